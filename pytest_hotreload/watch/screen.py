"""The output of a watch: lines with colours on a terminal or another stream."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, TextIO

from pytest_hotreload.compat.console import PREFIX

#: Columns below which lines are broken between their parts. The shortest usual line about a rerun has 47 characters.
_NARROW = 60
#: Bytes from the end of a file in which the last line is looked for: pytest's output may follow it.
_COPIED_BYTES = 65536
#: What stands between the parts of a line.
_BETWEEN = " · "


class Screen:
    """The stream to which a watch writes.

    On a terminal, a rerun begins with a clear screen; the scrollback is kept.
    """

    def __init__(self, stream: TextIO, *, clear: bool, verbose: bool = False) -> None:
        self.stream, self.verbose = stream, verbose
        self.is_terminal = stream.isatty()
        self._clear = clear and self.is_terminal and os.environ.get("TERM", "") != "dumb"
        self._colours = self.is_terminal and not os.environ.get("NO_COLOR")
        self._last = ""

    def clear(self) -> None:
        if self._clear:
            self.stream.write("\x1b[2J\x1b[H")
            self.stream.flush()

    def line(self, text: str, colour: str = "") -> None:
        """Write one line. ``colour``: "red", "green", "yellow", "bold" or ""."""
        self._last = text = self._fitting(text)
        codes = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
        shown = f"\x1b[{codes[colour]}m{text}\x1b[0m" if colour and self._colours else text
        try:
            self.stream.write(shown + "\n")
            self.stream.flush()
        except OSError:
            self.reader_gone()

    def is_copied_to(self, path: str) -> bool:
        """Return whether the file ends with what was shown last, because the output is redirected there (``tee``)."""
        copy = Path(path)
        try:
            if not self._last or not copy.is_file():
                return False
            with copy.open("rb") as file:
                file.seek(max(0, copy.stat().st_size - _COPIED_BYTES))
                return self._last.encode() in file.read()
        except OSError:
            return False

    def width(self) -> int:
        """Return the columns of the terminal; 80 without one."""
        try:
            return (os.get_terminal_size(self.stream.fileno()).columns if self.is_terminal else 0) or 80
        except (OSError, ValueError):
            return 80

    def _fitting(self, text: str) -> str:
        """Break a line between its parts if a narrow terminal would break it inside of a word."""
        width = self.width()
        if width >= _NARROW or len(text) <= width:
            return text
        lines = [""]
        for part in text.split(_BETWEEN):
            joined = lines[-1] + _BETWEEN + part if lines[-1] else part
            if len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(part)
        return "\n".join(filter(None, lines))

    def reader_gone(self) -> NoReturn:
        """End quietly, because the reader of the output has closed it.

        The descriptor is redirected, so that flushing buffered text cannot fail when the interpreter exits.
        """
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
        raise SystemExit(0) from None

    def notice(self, text: str) -> None:
        """Write a line with hotreload's prefix, between the lines of others."""
        self.line(PREFIX + text, "yellow")

    def lines(self, lines: Iterable[str]) -> None:
        """Write several lines without a colour."""
        for line in lines:
            self.line(line)
