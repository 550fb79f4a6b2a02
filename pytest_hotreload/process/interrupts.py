"""Ctrl-C while a run loop runs: noted at once, acted on between two turns.

Raised wherever it strikes, KeyboardInterrupt would lose what the loop has half done: a message that was read and
not yet taken in, a child that was started and not yet noted. Such a child would not be asked to tear down.
"""

from __future__ import annotations

from types import FrameType

from pytest_hotreload.world import BUILTINS, os, signal, threading

__builtins__ = BUILTINS


class Interrupts:
    """While a run loop runs, in the main thread: handles SIGINT, unless somebody else does.

    ``once``: a second one means nothing here. Otherwise it raises wherever it strikes, as it would without us:
    somebody waits, perhaps for a hook that does not end.
    """

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._pid = os.getpid()
        self._installed = self._struck = False

    def begin(self) -> None:
        """A handler of a plugin, or of a conftest, stays: it knows better."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True

    def end(self) -> None:
        """Once is enough, more do no harm."""
        if self._installed:
            self._installed = False
            if signal.getsignal(signal.SIGINT) == self._note:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def look(self) -> None:
        """Between two turns, and after the last. Raises KeyboardInterrupt if Ctrl-C was pressed meanwhile."""
        if self._struck:
            self._struck = False
            self.end()
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._struck or os.getpid() != self._pid:  # a fork that was not told yet
            signal.default_int_handler(number, frame)
        self._struck = True
        if self._once:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
