"""Job control (Ctrl-Z): suspends all processes of a run together, and excludes the suspended time from durations.

The terminal sends the signal only to the foreground process group. Children lead process groups of their own,
so the process that runs the loop passes the signal on before it stops itself, and continues them when it
resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

from pytest_hotreload._native import children_of
from pytest_hotreload.world import BUILTINS, contextlib, os, signal, threading, time

__builtins__ = BUILTINS


class Suspension:
    """Handles SIGTSTP in the main thread while a run loop runs, unless another handler is installed."""

    def __init__(self) -> None:
        #: Called when the process resumes.
        self.on_resume: Callable[[], None] | None = None
        self._pid = os.getpid()
        self._installed = False
        self._stops: list[tuple[float, float]] = []

    def begin(self) -> None:
        """Install the handler.

        An ignored signal stays ignored, because a shell without job control could not resume the process.
        """
        self._pid = os.getpid()
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._suspend)
            self._installed = True

    def end(self) -> None:
        """Restore the default handling. Idempotent."""
        if self._installed:
            self._installed = False
            forget()

    def elapsed(self, since: float, now: float) -> float:
        """Return the seconds between two monotonic times, without the time in which the process was suspended."""
        stood = sum(seconds for at, seconds in self._stops if at >= since)
        return max(now - since - stood, 0.0)

    def _suspend(self, _: int, __: FrameType | None) -> None:
        """Suspend the children and this process; returns when the process resumes."""
        if os.getpid() != self._pid:  # a fork that has not called `forget` yet
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
    """Restore the default handling of SIGTSTP in a fork of the run loop."""
    handler = signal.getsignal(signal.SIGTSTP)
    if isinstance(getattr(handler, "__self__", None), Suspension):
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _stop_here() -> None:
    """Stop this process as SIGTSTP does by default: not at all if no shell could resume it."""
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)


def _groups_below(root: int) -> set[int]:
    """Return the process groups of all descendants except this process's own group; empty without /proc."""
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
        with contextlib.suppress(OSError):  # the group has ended
            os.killpg(group, number)
