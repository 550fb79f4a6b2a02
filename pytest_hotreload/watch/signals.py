"""Signals as events of a selector: a pipe that is readable when a signal arrived."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any


class SignalPipe:
    """Receives signals instead of their handlers until :meth:`close`."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {
            number: signal.signal(number, lambda *_: None) for number in numbers
        }

    def fileno(self) -> int:
        return self._reader

    def read(self) -> bytes:
        """Return the numbers of the signals that arrived since the last call, one per byte."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reader, 512)
        return b""

    def close(self) -> None:
        """Restore the handlers."""
        signal.set_wakeup_fd(self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
