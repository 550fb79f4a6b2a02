"""Reads single keys from a terminal: sets the modes that this needs, and restores them on every way out.

The difficulties: job control stops a background process that changes modes (SIGTTOU) or reads
(SIGTTIN), so both wait until the process is in the foreground; a shell that edits its prompt sets modes of its own,
which must not be changed; and a write to the terminal (about pasted text) must not block until a Ctrl-Q.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import termios
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_hotreload.watch.key_decoder import ESCAPE, QUIET_SECONDS, Decoder, Typed
from pytest_hotreload.watch.terminal_modes import (
    CTRL_C,
    PASTES_OFF,
    PASTES_ON,
    Modes,
    for_keys,
    for_line,
    restore,
    set_modes,
    tell,
    undisturbed,
)

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HANDLED = (*_ENDING, signal.SIGTSTP, signal.SIGCONT)
_CTRL_D = "\x04"
#: The size of a terminal's input queue on Linux, and the number of queues after which a call stops reading.
_QUEUE_BYTES, _QUEUES = 4096, 16
#: Seconds of one wait. The handler of a signal that arrives just before the wait runs only after it; a person does not
#: notice this delay.
_WAIT_SECONDS = 0.2


class Keyboard:
    """Single keys from a terminal whose modes are restored on every way out.

    Descriptor 0 is duplicated, so that later changes to it do not matter (pytest's capture puts another file in its
    place). Signals are handled if the object is made in the main thread. In a forked child, the keyboard is
    closed.
    """

    def __init__(self) -> None:
        #: Whether the file has ended, the terminal is gone, or :meth:`close` was called.
        self.closed = False
        #: The modes as found; None if there is no terminal.
        self.modes: Modes | None = None
        #: Called before the process stops, perhaps inside a signal handler of the main thread.
        self.on_suspend: Callable[[], None] | None = None
        #: Called when the process continues or has the terminal again (``listening`` says which), perhaps inside a
        #: signal handler of the main thread.
        self.on_resume: Callable[[], None] | None = None
        self._decoder = Decoder()
        self._ahead: list[Typed] = []
        self._ours = False
        self._lent = 0
        self._suspended = False
        self._prompt: str | None = None  # includes text that was typed ahead
        self._signals = _Signals(self._signalled)
        self._descriptor = -1
        try:
            self._descriptor = os.dup(0)
            self.modes = termios.tcgetattr(self._descriptor)
        except OSError:
            self.closed = True  # the descriptor is not open
        except termios.error:
            pass  # the descriptor is no terminal
        if self.modes is not None:
            atexit.register(self.close)
            os.register_at_fork(after_in_child=_forgetting(self))
            self._signals.install()
            self._take()

    @property
    def is_terminal(self) -> bool:
        return self.modes is not None

    @property
    def listening(self) -> bool:
        """Whether waiting for :meth:`fileno` makes sense now: not in the background or while the terminal is lent."""
        return not self.closed and not self._lent and (not self.is_terminal or self._foreground())

    def fileno(self) -> int:
        """The descriptor that becomes readable when a key waits; -1 after :meth:`close`."""
        return self._descriptor

    def read(self) -> list[str]:
        """Return the waiting keys without blocking.

        Ctrl-D is a key. Without a terminal there are no keys, and only the end of the file is noticed.
        """
        return list(self.keys())

    def keys(self) -> Iterator[str]:
        """Yield the waiting keys one by one: an :meth:`ask` in between receives the keys typed after this key.

        The iterator has to be exhausted: keys that are left do not make the descriptor readable.
        """
        self._receive()
        while self._ahead:
            typed = self._ahead.pop(0)
            if typed.kind == "key":
                yield typed.text

    def ask(self, prompt: str) -> str | None:
        """Ask for a line, typed in the terminal's own line mode. The cursor has to be at the start of a line.

        Returns None after Ctrl-C, Escape (also as the first byte of a cursor key's sequence) or Ctrl-D on an empty
        line, and if there is no terminal. The call blocks.
        """
        if not (self.is_terminal and self.listening):
            return None
        self._receive()
        self._prompt = prompt
        try:
            self._take(again=True)
            answer = self._answer(prompt)
            if answer is None:
                self._write("\r\x1b[K")
            return answer
        finally:
            self._prompt = None
            self._take(again=True)

    @contextlib.contextmanager
    def lend(self) -> Iterator[None]:
        """Restore the modes as found, while another process or debugger uses the terminal."""
        self._lent += 1
        self._put_back()
        try:
            yield
        finally:
            self._lent -= 1
            self._take(again=True)

    def close(self) -> None:
        """Restore the modes and signal handlers, and close the descriptor. Idempotent."""
        self._put_back()
        self._signals.remove()
        self._forget()

    # ------------------------------------------------------------------------------- modes

    def _foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # the terminal is not our session's: there is no job control on it
            return True

    def _take(self, *, again: bool = False) -> bool:
        """Set our modes if the keyboard listens, and return whether that was done.

        ``again``: even if our modes were set before.
        """
        if self.modes is None or not self.listening or (self._ours and not again):
            return False
        with undisturbed():
            self._ours, asks = True, self._prompt is not None
            set_modes(self._descriptor, for_line(self.modes) if asks else for_keys(self.modes))
            tell(self._descriptor, PASTES_OFF if asks else PASTES_ON)
        return True

    def _put_back(self) -> None:
        if self.modes is None or self._descriptor < 0:
            return
        with undisturbed():
            if not self._foreground():
                restore(self._descriptor, self.modes)
            elif self._ours:
                set_modes(self._descriptor, self.modes)
                tell(self._descriptor, PASTES_OFF)
            self._ours = False

    def _signalled(self, number: int, go_on: Callable[[], None]) -> None:
        """Handle a signal. ``go_on`` has the effect that the signal would have had without this class."""
        if number == signal.SIGCONT:
            self._ours = self._suspended = False  # a shell may have used the terminal meanwhile
            go_on()
            self._come_back()
        elif number == signal.SIGTSTP:
            self._suspend(go_on)
        else:
            self._put_back()
            go_on()

    def _suspend(self, stop: Callable[[], None]) -> None:
        if self.on_suspend is not None:
            self.on_suspend()
        self._put_back()
        self._suspended = True
        stop()
        if self._suspended:  # no SIGCONT: the kernel stops no process that no shell could continue
            self._suspended = False
            self._come_back()

    def _come_back(self) -> None:
        self._take()
        if self.on_resume is not None:
            self.on_resume()
        self._show_prompt()

    def _forget(self) -> None:
        """Close the descriptor and leave the terminal's modes alone: a forked child must not change them."""
        atexit.unregister(self.close)
        self.closed, self._ours = True, False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _in_child(self) -> None:
        self._signals.remove()
        self._forget()

    # ------------------------------------------------------------------------------- keys

    def _receive(self) -> None:
        """Read the typed keys and append them to those that were not handed out yet."""
        if not self._ours and self.listening and self.is_terminal:
            self._come_back()  # from the background, without a signal
        if self.listening:
            data = self._waiting()
            if self.is_terminal:
                self._ahead += self._decoder.take(data, time.monotonic())

    def _waiting(self) -> bytes:
        data = b""
        for _ in range(_QUEUES):
            if not select.select([self._descriptor], [], [], 0)[0]:
                break
            try:
                part = os.read(self._descriptor, _QUEUE_BYTES)
            except BlockingIOError:
                break
            except OSError:  # the terminal is gone
                part = b""
            if (
                not part and self._prompt is not None
            ):  # Ctrl-D; a lost terminal is noticed once the prompt is gone
                part = _CTRL_D.encode()
            if not part:
                self.closed = True
                break
            data += part
        return data

    def _answer(self, prompt: str) -> str | None:
        """The text that was typed ahead, followed by the line that the terminal returns; None if it was cancelled."""
        text = ""
        while True:
            while self._ahead:
                typed = self._ahead.pop(0)
                if typed.text == "\n":
                    return text
                if typed.kind == "sequence" or typed.text in (ESCAPE, CTRL_C) or typed.text + text == _CTRL_D:
                    return None
                text += "".join(each if each.isprintable() else " " for each in typed.text)
            if self._decoder.waits:
                self._finish_escape()
            if self._prompt is None or self.closed:
                return None
            self._prompt = prompt + text
            self._show_prompt()
            self._await_line()

    def _finish_escape(self) -> None:
        """Read the rest of a sequence after a line that ended with Escape.

        Bytes that follow at once belong to the sequence: they are not echoed, and are no keys.
        """
        self._prompt = None
        self._take(again=True)
        while self._decoder.waits and not self.closed:
            select.select([self._descriptor] if self.listening else [], [], [], QUIET_SECONDS)
            self._receive()
        del self._ahead[:1]

    def _await_line(self) -> None:
        while not (self._ahead or self._decoder.waits or self.closed):
            select.select([self._descriptor] if self.listening else [], [], [], _WAIT_SECONDS)
            self._receive()

    def _show_prompt(self) -> None:
        if self._prompt is not None and self.listening:
            self._write(f"\r\x1b[K{self._prompt}")

    def _write(self, text: str) -> None:
        """Write to the terminal that the keys come from, even if standard output is redirected."""
        data = text.encode()
        with contextlib.suppress(OSError):
            try:
                os.write(self._descriptor, data)
            except OSError:  # opened for reading only
                Path(os.ttyname(self._descriptor)).write_bytes(data)


class _Signals:
    """Signal handlers that run before the previous ones. An ignored signal stays ignored."""

    def __init__(self, handle: Callable[[int, Callable[[], None]], None]) -> None:
        self._handle = handle
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _HANDLED:
            before = signal.getsignal(number)
            if before not in (signal.SIG_IGN, None):  # None: a handler that is not Python's
                self._before[number] = before
                signal.signal(number, self._on)

    def remove(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, before in self._before.items():
                if signal.getsignal(number) == self._on:
                    signal.signal(number, before)
        self._before.clear()

    def _on(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number, signal.SIG_DFL)
        self._handle(number, lambda: self._go_on(number, before, frame))

    def _go_on(self, number: int, before: Any, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        elif number != signal.SIGCONT:
            # The signal ends or stops the process here; after a stop, our handler is installed again.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, self._on)


def _forgetting(keyboard: Keyboard) -> Callable[[], None]:
    """A function that closes the keyboard in a forked child, as long as the keyboard exists."""
    method = weakref.WeakMethod(keyboard._in_child)

    def forget() -> None:
        found = method()
        if found is not None:
            found()

    return forget
