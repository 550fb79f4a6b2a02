"""What was typed? Keys out of a terminal's bytes, and a line out of keys; nothing here touches a terminal."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from typing import Literal, NamedTuple

ESCAPE = "\x1b"
#: Around what is pasted, once the terminal was asked for it (xterm's "bracketed paste").
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
#: Seconds of quiet after which Escape is the key, and no sequence follows: Vim's ``ttimeoutlen``.
QUIET_SECONDS = 0.1
#: The same for a paste whose end is missing. A guess: connections rest for that long, not for longer.
_PASTE_SECONDS = 2.0

#: ECMA-48's control sequences; the Linux console's function keys; VT100's keypad; strings (a terminal's
#: answers) up to their terminator; Alt with a key.
_SEQUENCE = re.compile(
    r"\x1b(?:\[\[.|\[[0-?]*[ -/]*[@-~]|O[0-9;]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[^\[\]OPX^_\x1b])", re.DOTALL
)
_UNFINISHED = re.compile(r"\x1b(?:\[\[|\[[0-?]*[ -/]*|O[0-9;]*|[\]PX^_](?:(?!\x07|\x1b\\).)*)?", re.DOTALL)
#: Colours in a prompt take no room.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Typed(NamedTuple):
    """A key (``text`` is the character, Enter is a newline), an escape sequence, or what was pasted."""

    kind: Literal["key", "sequence", "paste"]
    text: str


class Decoder:
    """Bytes come in pieces of any size; a character or a sequence that is not complete is kept."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._text = ""
        self._since = 0.0

    @property
    def waits(self) -> bool:
        """Whether time may make a key of what is kept."""
        return bool(self._text)

    def take(self, data: bytes, now: float) -> list[Typed]:
        """``now``: seconds of a monotonic clock; call it with no data to let time pass."""
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
        """Nothing followed: Escape by itself is a key, half a sequence is nothing."""
        text, self._text = self._text, ""
        return [Typed("key", text)] if text == ESCAPE else []


class Edit(Enum):
    """What a key did to a line."""

    GOES_ON = "goes on"
    DONE = "done"
    GIVEN_UP = "given up"


class Line:
    """A line that is being typed, with the keys that shells have."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.at = len(text)

    def take(self, typed: Typed) -> Edit:
        if typed.kind == "paste":
            self._insert(" ".join(typed.text.split()))
        elif typed.text in _ENDS:
            return _ENDS[typed.text]
        elif typed.text == "\x04" and not self.text:  # Ctrl-D
            return Edit.GIVEN_UP
        elif typed.text in _EDITS:
            _EDITS[typed.text](self)
        elif typed.kind == "key" and typed.text.isprintable():
            self._insert(typed.text)
        return Edit.GOES_ON

    def shown(self, prompt: str, columns: int) -> tuple[str, int]:
        """The prompt and as much of the text as fits, the cursor in it; columns from its end back to the cursor."""
        room = max(1, columns - width(_COLOURS.sub("", prompt)) - 1)
        begin = 0
        while width(self.text[begin : self.at]) > room:
            begin += 1
        end = len(self.text)
        while end > self.at and width(self.text[begin:end]) > room:
            end -= 1
        return prompt + self.text[begin:end], width(self.text[self.at : end])

    def _insert(self, text: str) -> None:
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)

    def _move(self, by: int) -> None:
        self.at = min(max(0, self.at + by), len(self.text))

    def _cut(self, begin: int, end: int) -> None:
        self.text = self.text[:begin] + self.text[end:]
        self.at = begin

    def _cut_word(self) -> None:
        kept = re.sub(r"\S+\s*$|\s+$", "", self.text[: self.at])
        self._cut(len(kept), self.at)


#: Ctrl-C arrives as a key where the terminal was told so.
_ENDS = {"\n": Edit.DONE, ESCAPE: Edit.GIVEN_UP, "\x03": Edit.GIVEN_UP}

#: Control characters, and the cursor keys as they come in both modes of a keypad.
_EDITS: dict[str, Callable[[Line], None]] = {
    **dict.fromkeys(["\x7f", "\x08"], lambda line: line._cut(max(0, line.at - 1), line.at)),
    **dict.fromkeys(["\x04", "\x1b[3~"], lambda line: line._cut(line.at, line.at + 1)),
    "\x15": lambda line: line._cut(0, line.at),
    "\x0b": lambda line: line._cut(line.at, len(line.text)),
    "\x17": Line._cut_word,
    **dict.fromkeys(["\x02", "\x1b[D", "\x1bOD"], lambda line: line._move(-1)),
    **dict.fromkeys(["\x06", "\x1b[C", "\x1bOC"], lambda line: line._move(1)),
    **dict.fromkeys(["\x01", "\x1b[H", "\x1bOH", "\x1b[1~"], lambda line: line._move(-len(line.text))),
    **dict.fromkeys(["\x05", "\x1b[F", "\x1bOF", "\x1b[4~"], lambda line: line._move(len(line.text))),
}


def width(text: str) -> int:
    """Columns on a terminal: East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )
