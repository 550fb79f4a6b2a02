"""Which keys were pressed? The terminal's modes for that, and how they are put back on every way out.

Neither ``tty`` nor anything else in the standard library puts modes back, and ``tty.setcbreak`` throws away what
was typed ahead. The traps: a process in the background is stopped when it changes modes (SIGTTOU) or
reads (SIGTTIN), so both wait until it is in the foreground; a shell that edits its prompt has modes of its own,
which are not ours to change; and what the terminal is told (about pasted text) must not wait for a Ctrl-Q.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import os
import select
import signal
import sys
import termios
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_hotreload.watch.key_decoder import ESCAPE, QUIET_SECONDS, Decoder, Typed

#: What ``termios.tcgetattr`` gives: four sets of flags, two speeds, control characters. Plain data.
Modes = list[Any]

_INPUT, _OUTPUT, _LOCAL, _CHARACTERS = 0, 1, 3, 6
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HANDLED = (*_ENDING, signal.SIGTSTP, signal.SIGCONT)
_HELD_BACK = {*_HANDLED, signal.SIGINT, signal.SIGTTOU}
#: Pasted text comes in brackets, so that it is not taken for keys.
_PASTES_ON, _PASTES_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
#: POSIX's _POSIX_VDISABLE.
_NO_CHARACTER = b"\0" if sys.platform == "linux" else b"\xff"
_CTRL_C, _CTRL_D = "\x03", "\x04"
#: A terminal's input queue on Linux; and how many of them one call reads, so that it ends.
_QUEUE_BYTES, _QUEUES = 4096, 16
#: A signal that comes just before a wait has its handler run after it: a person does not notice this much.
_WAIT_SECONDS = 0.2


def found(descriptor: int) -> Modes | None:
    """The modes of a terminal; None where there is none."""
    try:
        return termios.tcgetattr(descriptor)
    except (OSError, termios.error):
        return None


def restore(descriptor: int, modes: Modes) -> bool:
    """Put back the modes that a :class:`Keyboard` found, for another process after it was killed.

    From the background, too. Whether it was done: not if the terminal has other modes than a keyboard's by
    now, since then a shell has it; nor if it is gone.
    """
    try:
        with _undisturbed():
            if not _are_ours(termios.tcgetattr(descriptor), modes):
                return False
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
            _tell(descriptor, _PASTES_OFF)
    except (OSError, termios.error):
        return False
    return True


class Keyboard:
    """Single keys from a terminal, its modes put back on every way out.

    The descriptor is duplicated: what becomes of it later (pytest's capture puts another file in place of 0)
    does not matter. Signals are handled where it is made in the main thread. A forked child has none of it.

    ``closed``: the end of the file, or the terminal is gone, or :meth:`close`. ``modes``: as found, None
    where there is no terminal. ``on_suspend``, ``on_resume``: called before the process stops, and when it goes
    on or has the terminal again (``listening`` says which), perhaps inside a signal handler of the main thread.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self.closed = False
        self.modes: Modes | None = None
        self.on_suspend: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None
        self._decoder = Decoder()
        self._ahead: list[Typed] = []
        self._ours = False
        self._lent = 0
        self._suspended = False
        self._prompt: str | None = None  # with what was typed ahead of it
        self._signals = _Signals(self._signalled)
        self._descriptor = -1
        try:
            self._descriptor = os.dup(descriptor)
            self.modes = termios.tcgetattr(self._descriptor)
        except OSError:
            self.closed = True  # nothing stands there
        except termios.error:
            pass  # no terminal
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
        """Whether it makes sense to wait for :meth:`fileno` now: not in the background, not while it is lent."""
        return not self.closed and not self._lent and (not self.is_terminal or self._foreground())

    def fileno(self) -> int:
        """What becomes readable when a key waits; -1 after :meth:`close`."""
        return self._descriptor

    def read(self) -> list[str]:
        """The keys that wait, never blocks. Ctrl-D is a key; without a terminal there are none, only the end."""
        return list(self.keys())

    def keys(self) -> Iterator[str]:
        """The same, one by one: an :meth:`ask` in between gets those that were typed behind the key.

        Go on to the end: those that are left do not make the descriptor readable.
        """
        self._receive()
        while self._ahead:
            typed = self._ahead.pop(0)
            if typed.kind == "key":
                yield typed.text

    def ask(self, prompt: str) -> str | None:
        """A line, typed in the terminal's own line mode; the cursor has to be at the start of a line.

        None for Ctrl-C, Escape (also as the first byte of what a cursor key sends), Ctrl-D on an empty line, and
        where there is no terminal. Nothing else is served meanwhile.
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
        """The modes as found, while someone else uses the terminal."""
        self._lent += 1
        self._put_back()
        try:
            yield
        finally:
            self._lent -= 1
            self._take(again=True)

    def close(self) -> None:
        """Put everything back; once is enough, more do no harm."""
        self._put_back()
        self._signals.remove()
        self._forget()

    # ------------------------------------------------------------------------------- modes

    def _foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal of our session: nobody controls jobs on it
            return True

    def _take(self, *, again: bool = False) -> bool:
        """Our modes, if they are due and the terminal is ours to change; ``again``: whatever they are now."""
        if self.modes is None or not self.listening or (self._ours and not again):
            return False
        with _undisturbed():
            self._ours, asks = True, self._prompt is not None
            _set(self._descriptor, _for_line(self.modes) if asks else _for_keys(self.modes))
            _tell(self._descriptor, _PASTES_OFF if asks else _PASTES_ON)
        return True

    def _put_back(self) -> None:
        if self.modes is None or self._descriptor < 0:
            return
        with _undisturbed():
            if not self._foreground():
                restore(self._descriptor, self.modes)
            elif self._ours:
                _set(self._descriptor, self.modes)
                _tell(self._descriptor, _PASTES_OFF)
            self._ours = False

    def _signalled(self, number: int, go_on: Callable[[], None]) -> None:
        """A signal, and what it would have done without us."""
        if number == signal.SIGCONT:
            self._ours = self._suspended = False  # a shell may have had the terminal meanwhile
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
        if self._suspended:  # no SIGCONT: the kernel stops nobody whom no shell could continue
            self._suspended = False
            self._come_back()

    def _come_back(self) -> None:
        self._take()
        if self.on_resume is not None:
            self.on_resume()
        self._show_prompt()

    def _forget(self) -> None:
        """Let go of the descriptor, not of the terminal's modes: a forked child has no say in them."""
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
        """Put what was typed behind what was not given out yet."""
        if not self._ours and self.listening and self.is_terminal:
            self._come_back()  # out of the background, without a signal
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
        """What was typed ahead, and the line that the terminal gives."""
        text = ""
        while True:
            while self._ahead:
                typed = self._ahead.pop(0)
                if typed.text == "\n":
                    return text
                if (
                    typed.kind == "sequence"
                    or typed.text in (ESCAPE, _CTRL_C)
                    or typed.text + text == _CTRL_D
                ):
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
        """A line ended with Escape: what follows at once belongs to that, and is neither echoed nor a key."""
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
        """To the terminal that the keys come from, wherever standard output leads."""
        data = text.encode()
        with contextlib.suppress(OSError):
            try:
                os.write(self._descriptor, data)
            except OSError:  # opened for reading only
                Path(os.ttyname(self._descriptor)).write_bytes(data)


class _Signals:
    """Handlers before those that stood there; a signal that was ignored stays so."""

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
            # Ends or stops us here; after a stop we are in charge again.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, self._on)


def _forgetting(keyboard: Keyboard) -> Callable[[], None]:
    """What runs at the begin of each forked child, for as long as the keyboard lives."""
    method = weakref.WeakMethod(keyboard._in_child)

    def forget() -> None:
        found = method()
        if found is not None:
            found()

    return forget


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No handler runs in between, and the background does not stop us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _for_keys(modes: Modes) -> Modes:
    """No echo and no lines, signals and output as they are."""
    changed = copy.deepcopy(modes)
    changed[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
    changed[_LOCAL] |= termios.ISIG
    changed[_CHARACTERS][termios.VMIN] = 1
    changed[_CHARACTERS][termios.VTIME] = 0
    return changed


def _for_line(modes: Modes) -> Modes:
    """Echo and lines; Ctrl-C interrupts no child, but ends the line as Escape does."""
    changed = copy.deepcopy(modes)
    changed[_INPUT] |= termios.ICRNL
    changed[_LOCAL] |= termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN
    changed[_CHARACTERS][termios.VINTR] = _NO_CHARACTER
    changed[_CHARACTERS][termios.VEOL] = ESCAPE.encode()
    changed[_CHARACTERS][termios.VEOL2] = _CTRL_C.encode()
    return changed


def _are_ours(modes: Modes, found: Modes) -> bool:
    """Whether a keyboard that found the one made the other."""
    keys = _for_keys(found)
    return all(modes[which] == keys[which] for which in (_INPUT, _OUTPUT, _LOCAL)) or modes == _for_line(
        found
    )


def _set(descriptor: int, modes: Modes) -> None:
    """At once: waiting for output may take for ever, and flushing loses what was typed."""
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetattr(descriptor, termios.TCSANOW, modes)


def _tell(descriptor: int, sequence: bytes) -> None:
    """Tell the terminal something, unless it can't understand, or output is halted."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return
    with contextlib.suppress(OSError):
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, sequence)
