"""Compares what imports asked of files without opening them: whether one exists, its time, its size, its permissions.

No event of the interpreter shows such a question. ``standby/asking.py`` notes the answers while a process that others
are forked from imports the project; here they are asked for again.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pytest_hotreload.watch.protocol import Answer, FileQuestion
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

#: The place of the change time in the answer to a question for the state.
_CHANGED = 2


def _kind(found: Any) -> Answer:
    return stat.S_IFMT(found.st_mode)


def _state(found: Any) -> Answer:
    return (found.st_mode, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _source(found: Any) -> Answer:
    return (found.st_mtime_ns, found.st_size, found.st_ino)  # the change time is also that of a further link


#: The function of ``os`` that answers, and what of the answer counts.
_QUESTIONS: Final[Mapping[str, tuple[Callable[[str], Any], Callable[[Any], Answer]]]] = MappingProxyType(
    {
        "kind": (os.stat, _kind),
        "kind of link": (os.lstat, _kind),
        "source": (os.stat, _source),
        "state": (os.stat, _state),
        "state of link": (os.lstat, _state),
    }
)


def answer(path: str, question: str) -> Answer:
    """The present answer. ``question``: one of :data:`_QUESTIONS`, or "access MODE"."""
    name, _, mode = question.partition("access ")
    try:
        if not name:
            return os.access(path, int(mode))
        asks, counts = _QUESTIONS[question]
        return counts(asks(path))
    except (OSError, ValueError, OverflowError):
        return None


def changed(asked: Iterable[FileQuestion]) -> list[str]:
    """The paths of which an answer is another one now."""
    return [each.path for each in asked if answer(each.path, each.question) != each.answer]


def young(asked: Iterable[FileQuestion], limit_ns: int) -> str:
    """A path whose state may have changed since without a trace, because its last change is younger; or ""."""
    states = [(each.path, each.answer) for each in asked if each.question.startswith("state")]
    return next((path for path, state in states if type(state) is tuple and state[_CHANGED] > limit_ns), "")
