"""Imports, into the fork point, modules that children imported while their tests ran, within the same run.

Otherwise each child would pay again for a third-party module that is imported lazily (a database dialect,
hypothesis), while plain pytest pays once. When two children have reported the same module, the fork point
imports it, so that later children have it, as they would in plain pytest after an earlier file. First-party
code is never imported, and all modules are first tried in a throw-away fork, since one may fail or start a
thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pytest_hotreload.process import adoption
from pytest_hotreload.process.fork_messages import Warm
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.template import import_module, in_fork, quiet, recording
from pytest_hotreload.world import BUILTINS, MODULES, contextlib

__builtins__ = BUILTINS

#: The number of children that must report a module before the fork point imports it.
_ENOUGH = 2
#: The number of modules that may fail in one batch before the batch is given up.
_MOST_FAILURES = 5


class Learner:
    """Counts the modules that children report, in the controller."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def add(self, modules: Iterable[str]) -> tuple[str, ...]:
        """Count these modules; return those that have become worth warming, in the order of import."""
        ready = []
        for name in modules:
            count = self._told[name] = self._told.get(name, 0) + 1
            if count == _ENOUGH:
                ready.append(name)
        return tuple(ready)


class LearningRecorder(Protocol):
    """The observer that records a run (:class:`records.observer.Observer`)."""

    def learning(self) -> contextlib.AbstractContextManager[None]: ...


def answer(message: Any, observer: LearningRecorder | None) -> None:
    """Import the learned modules, in the fork point, without those whose import fails here."""
    if not isinstance(message, Warm):
        return
    with observer.learning() if observer is not None else contextlib.nullcontext():
        _import_all(message)


def _import_all(message: Warm) -> None:
    wanted = [name for name in message.modules if name not in MODULES and not adoption.is_warm(name)]
    for _ in range(_MOST_FAILURES):
        failing = in_fork(lambda names=tuple(wanted): _first_failure(names), "")
        if failing is None:
            _hold_back(wanted)
            return
        if failing not in wanted:
            return
        wanted = [name for name in wanted if name != failing and not name.startswith(failing + ".")]


def _hold_back(names: Iterable[str]) -> None:
    """Import the modules and hold them back.

    A child that imports one of them adopts it if the child's own import would give the same module.
    """
    held = adoption.held() or adoption.hold(Recorder())
    present = set(MODULES)
    with quiet(), recording(held.recorder):
        for name in names:
            import_module(name)
    held.hold_back(present, again=True)
    held.before_tests(ahead=False)


def _first_failure(names: Iterable[str]) -> str | None:
    recorder = Recorder()
    with quiet(), recording(recorder):
        return next((name for name in names if import_module(name) or recorder.refused), None)
