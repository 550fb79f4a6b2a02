"""Ties the life of a process to the run that it serves."""

from __future__ import annotations

from pytest_hotreload._native import guard
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

#: Disables the parent-death signal, so that the pipe can be tested by itself on systems that have both.
_NO_DEATH_SIGNAL = "PYTEST_HOTRELOAD_NO_DEATH_SIGNAL"


def end_with(lifeline: int) -> None:
    """End this process, its group if it leads one, and its children when the parent ends.

    ``lifeline``: the read end of a pipe whose only write end the parent holds.
    """
    guard(lifeline, not os.environ.get(_NO_DEATH_SIGNAL))
