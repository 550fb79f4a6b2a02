"""Modes of a terminal: for single keys, for a line, and as they were found.

Neither ``tty`` nor anything else in the standard library restores modes, and ``tty.setcbreak`` discards text that was
typed ahead.
"""

from __future__ import annotations

import contextlib
import copy
import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from typing import Any

from pytest_hotreload.watch.key_decoder import ESCAPE

#: The result of ``termios.tcgetattr``: four sets of flags, two speeds, control characters. Plain data.
Modes = list[Any]

_INPUT, _OUTPUT, _LOCAL, _CHARACTERS = 0, 1, 3, 6
_HELD_BACK = {
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGINT,
    signal.SIGTTOU,
}
#: Switch bracketed paste on and off, so that pasted text is not taken for keys.
PASTES_ON, PASTES_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
#: POSIX's _POSIX_VDISABLE.
_NO_CHARACTER = b"\0" if sys.platform == "linux" else b"\xff"
CTRL_C = "\x03"


def found(descriptor: int) -> Modes | None:
    """The modes of a terminal; None if the descriptor is no terminal."""
    try:
        return termios.tcgetattr(descriptor)
    except (OSError, termios.error):
        return None


def restore(descriptor: int, modes: Modes) -> bool:
    """Restore the modes that a :class:`Keyboard` of another, killed process had found.

    This also works from the background. Returns whether the modes were restored. They are not if the terminal no
    longer has a keyboard's modes, since then a shell uses it; nor if the terminal is gone.
    """
    try:
        with undisturbed():
            if not _are_ours(termios.tcgetattr(descriptor), modes):
                return False
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
            tell(descriptor, PASTES_OFF)
    except (OSError, termios.error):
        return False
    return True


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Block signals, so that no handler runs meanwhile and a change of modes does not stop a background process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def for_keys(modes: Modes) -> Modes:
    """The modes for keys: no echo and no line editing, with signals, and with output unchanged."""
    changed = copy.deepcopy(modes)
    changed[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
    changed[_LOCAL] |= termios.ISIG
    changed[_CHARACTERS][termios.VMIN] = 1
    changed[_CHARACTERS][termios.VTIME] = 0
    return changed


def for_line(modes: Modes) -> Modes:
    """The modes for a line: echo and line editing. Ctrl-C sends no signal, but ends the line as Escape does."""
    changed = copy.deepcopy(modes)
    changed[_INPUT] |= termios.ICRNL
    changed[_LOCAL] |= termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN
    changed[_CHARACTERS][termios.VINTR] = _NO_CHARACTER
    changed[_CHARACTERS][termios.VEOL] = ESCAPE.encode()
    changed[_CHARACTERS][termios.VEOL2] = CTRL_C.encode()
    return changed


def _are_ours(modes: Modes, found: Modes) -> bool:
    """Whether ``modes`` are those that a keyboard sets on a terminal with the modes ``found``."""
    keys = for_keys(found)
    return all(modes[which] == keys[which] for which in (_INPUT, _OUTPUT, _LOCAL)) or modes == for_line(found)


def set_modes(descriptor: int, modes: Modes) -> None:
    """Set the modes at once: waiting for output may take for ever, and flushing loses typed text."""
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetattr(descriptor, termios.TCSANOW, modes)


def tell(descriptor: int, sequence: bytes) -> None:
    """Send a sequence to the terminal, unless the terminal does not support it or output is halted."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return
    with contextlib.suppress(OSError):
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, sequence)
