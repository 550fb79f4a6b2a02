"""Every word of a watch, and the screen that it stands on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn, TextIO

from pytest_hotreload.compat.console import PREFIX

if TYPE_CHECKING:
    pass


class Screen:
    """Where it is written. On a terminal a rerun begins with a clear screen, the scrollback stays."""

    def __init__(self, stream: TextIO, *, clear: bool) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._clear = clear and self.is_terminal and os.environ.get("TERM", "") != "dumb"
        self._colours = self.is_terminal and not os.environ.get("NO_COLOR")

    def clear(self) -> None:
        if self._clear:
            self.stream.write("\x1b[2J\x1b[H")
            self.stream.flush()

    def line(self, text: str, colour: str = "") -> None:
        """One line; ``colour``: "red", "green", "yellow", "bold" or ""."""
        codes = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
        shown = f"\x1b[{codes[colour]}m{text}\x1b[0m" if colour and self._colours else text
        try:
            self.stream.write(shown + "\n")
            self.stream.flush()
        except OSError:
            self.reader_gone()

    def reader_gone(self) -> NoReturn:
        """Nobody reads any more: end quietly. What the stream still holds must not fail at the interpreter's end."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
        raise SystemExit(0) from None

    def notice(self, text: str) -> None:
        """A line of ours between others."""
        self.line(PREFIX + text, "yellow")

    def lines(self, lines: Iterable[str]) -> None:
        """Several, as they are."""
        for line in lines:
            self.line(line)


# ------------------------------------------------------------------------------------- lines


# ------------------------------------------------------------------------------------- attached runs
