"""What children import while their tests run goes back to the fork point, within the same run.

A lazily imported third-party module (a database dialect, hypothesis) would be paid for by each child
again; plain pytest pays once. When two children have told of the same module, the fork point imports it,
so that the children to come have it, as they would have in plain pytest after an earlier file.
Never first-party code; and a module that fails, or starts a thread, is tried in a throw-away fork first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pytest_hotreload.process import adoption
from pytest_hotreload.process.import_inputs import Recorder
from pytest_hotreload.process.messages import Warm
from pytest_hotreload.process.template import import_module, in_fork, quiet, recording
from pytest_hotreload.world import BUILTINS, MODULES, contextlib

__builtins__ = BUILTINS

#: Children that must tell of a module before it is imported for the others.
_ENOUGH = 2
#: Modules that fail in one batch before the batch is given up.
_MOST_FAILURES = 5


class Learner:
    """In the controller: counts what children tell."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def add(self, modules: Iterable[str]) -> tuple[str, ...]:
        """Count these; returns those that have become worth warming, in the order of import."""
        ready = []
        for name in modules:
            count = self._told[name] = self._told.get(name, 0) + 1
            if count == _ENOUGH:
                ready.append(name)
        return tuple(ready)


class LearningRecorder(Protocol):
    """What records a run (:class:`records.observer.Observer`)."""

    def learning(self) -> contextlib.AbstractContextManager[None]: ...


def answer(message: Any, observer: LearningRecorder | None) -> None:
    """In the fork point: import what was learned, if all of it imports well here."""
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
    """Import them; each child that imports one then gets it if it would get the same by itself."""
    held = adoption.held() or adoption.hold(Recorder())
    present = set(MODULES)
    with quiet(), recording(held.recorder):
        for name in names:
            import_module(name)
    held.hold_back(present, again=True)


def _first_failure(names: Iterable[str]) -> str | None:
    recorder = Recorder()
    with quiet(), recording(recorder):
        return next((name for name in names if import_module(name) or recorder.refused), None)
