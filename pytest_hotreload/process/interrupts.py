"""Handling of Ctrl-C while a run loop runs: the signal is noted at once and takes effect between two turns.

A KeyboardInterrupt that is raised at an arbitrary point would lose the loop's unfinished work: a message that
was read but not yet processed, or a child that was started but not yet registered. Such a child would never
be told to tear down.
"""

from __future__ import annotations

from types import FrameType

from pytest_hotreload.world import BUILTINS, os, signal, threading

__builtins__ = BUILTINS


class Interrupts:
    """Handles SIGINT in the main thread while a run loop runs, unless another handler is installed."""

    def __init__(self, *, once: bool) -> None:
        #: Whether a second SIGINT is ignored. Otherwise a second SIGINT raises KeyboardInterrupt immediately,
        #: as it would without hotreload: the user may be waiting for a hook that never ends.
        self._once = once
        self._pid = os.getpid()
        self._installed = self._struck = False

    def begin(self) -> None:
        """Install the handler. A handler that a plugin or a conftest installed stays in place."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True

    def end(self) -> None:
        """Restore Python's own handler. Idempotent."""
        if self._installed:
            self._installed = False
            if signal.getsignal(signal.SIGINT) == self._note:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def look(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since the last call.

        The run loop calls this between two turns and after the last.
        """
        if self._struck:
            self._struck = False
            self.end()
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._struck or os.getpid() != self._pid:  # a fork that has not set its own handler yet
            signal.default_int_handler(number, frame)
        self._struck = True
        if self._once:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
