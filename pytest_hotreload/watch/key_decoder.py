"""Decodes a terminal's bytes into keys, escape sequences and pasted text. Nothing here accesses a terminal."""

from __future__ import annotations

import codecs
import re
from typing import Literal, NamedTuple

ESCAPE = "\x1b"
#: The brackets around pasted text, which a terminal sends on request (xterm's "bracketed paste").
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
#: Seconds of quiet after which Escape counts as the key, and not as the start of a sequence: Vim's ``ttimeoutlen``.
QUIET_SECONDS = 0.1
#: Seconds of quiet after which a paste without an end is given up. A guess: connections pause that long, not longer.
_PASTE_SECONDS = 2.0

#: ECMA-48's control sequences; the Linux console's function keys; VT100's keypad; strings (a terminal's
#: answers) up to their terminator; Alt with a key.
_SEQUENCE = re.compile(
    r"\x1b(?:\[\[.|\[[0-?]*[ -/]*[@-~]|O[0-9;]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[^\[\]OPX^_\x1b])", re.DOTALL
)
_UNFINISHED = re.compile(r"\x1b(?:\[\[|\[[0-?]*[ -/]*|O[0-9;]*|[\]PX^_](?:(?!\x07|\x1b\\).)*)?", re.DOTALL)


class Typed(NamedTuple):
    """A key (``text`` is the character, a newline for Enter), an escape sequence, or pasted text."""

    kind: Literal["key", "sequence", "paste"]
    text: str


class Decoder:
    """Decodes bytes in pieces of any size; an incomplete character or sequence is kept until the rest comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._text = ""
        self._since = 0.0

    @property
    def waits(self) -> bool:
        """Whether an incomplete sequence is kept, which may become a key when time passes."""
        return bool(self._text)

    def take(self, data: bytes, now: float) -> list[Typed]:
        """Decode the data. Call this without data to let time pass. ``now``: monotonic seconds."""
        patience = _PASTE_SECONDS if self._text.startswith(_PASTE) else QUIET_SECONDS
        found = self._give_up() if self._text and now - self._since >= patience else []
        if data:
            self._text += self._decoder.decode(data)
            self._since = now
        while (typed := self._next()) is not None:
            found.append(typed)
        return found

    def _next(self) -> Typed | None:
        text = self._text
        if not text:
            return None
        if not text.startswith(ESCAPE):
            self._text = text[1:]
            return Typed("key", "\n" if text[0] == "\r" else text[0])
        if text.startswith(_PASTE):
            return self._paste()
        if _UNFINISHED.fullmatch(text):
            return None
        match = _SEQUENCE.match(text)
        length = match.end() if match else 1
        self._text = text[length:]
        return Typed("sequence" if match else "key", text[:length])

    def _paste(self) -> Typed | None:
        body, end, rest = self._text[len(_PASTE) :].partition(_PASTED)
        if not end:
            return None
        self._text = rest
        return Typed("paste", body)

    def _give_up(self) -> list[Typed]:
        """Give up waiting for the rest: Escape by itself is a key, and an incomplete sequence is dropped."""
        text, self._text = self._text, ""
        return [Typed("key", text)] if text == ESCAPE else []
