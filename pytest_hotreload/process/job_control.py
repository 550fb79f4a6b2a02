"""Ctrl-Z: what runs tests stops as a whole, and time that it stood still does not count.

The terminal's signal reaches the foreground process group alone. Children lead groups of their own, so whoever
runs the loop passes it on before it stops itself, and wakes them when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

from pytest_hotreload._native import children_of
from pytest_hotreload.world import BUILTINS, contextlib, os, signal, threading, time

__builtins__ = BUILTINS


class Suspension:
    """While a run loop runs, in the main thread: handles SIGTSTP, unless somebody else does.

    ``on_resume``: called when the process goes on.
    """

    def __init__(self) -> None:
        self.on_resume: Callable[[], None] | None = None
        self._pid = os.getpid()
        self._installed = False
        self._stops: list[tuple[float, float]] = []

    def begin(self) -> None:
        """An ignored signal stays so: a shell without job control could not wake us."""
        self._pid = os.getpid()
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._suspend)
            self._installed = True

    def end(self) -> None:
        """Once is enough, more do no harm."""
        if self._installed:
            self._installed = False
            forget()

    def elapsed(self, since: float, now: float) -> float:
        """Seconds from one monotonic time to the other in which we were not stopped."""
        stood = sum(seconds for at, seconds in self._stops if at >= since)
        return max(now - since - stood, 0.0)

    def _suspend(self, _: int, __: FrameType | None) -> None:
        """Back from here, the process goes on again."""
        if os.getpid() != self._pid:  # a fork that was not told yet
            _stop_here()
            return
        at = time.monotonic()
        groups = _groups_below(self._pid)
        _tell(groups, signal.SIGSTOP)  # a test may handle SIGTSTP, or ignore it
        _stop_here()
        _tell(groups, signal.SIGCONT)
        self._stops.append((at, time.monotonic() - at))
        if self.on_resume is not None:
            self.on_resume()


def forget() -> None:
    """In a fork of the run loop: the signal does again what it did before."""
    handler = signal.getsignal(signal.SIGTSTP)
    if isinstance(getattr(handler, "__self__", None), Suspension):
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _stop_here() -> None:
    """What SIGTSTP does by itself: nothing, where no shell could continue us."""
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)


def _groups_below(root: int) -> set[int]:
    """Process groups of all descendants that are not our own group; none where there is no /proc."""
    ours = os.getpgrp()
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for pid in children_of(waiting.pop()):
            waiting.append(pid)
            with contextlib.suppress(OSError):
                found.add(os.getpgid(pid))
    return found - {ours}


def _tell(groups: set[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(OSError):  # it has ended
            os.killpg(group, number)
