"""The status line on a terminal: shows what is running, on a line of its own below pytest's output.

The line is erased before anything else is written. The line is drawn under the current one (a newline scrolls
if necessary), and the cursor returns to its place, so that pytest's own idea of the column stays true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import console, pytest_output
from pytest_hotreload.world import BUILTINS, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_hotreload.run.context import RunContext

#: Seconds of silence before the line is drawn, and between two draws.
_QUIET = 0.5


class Status:
    """Draws only if the terminal understands cursor movement and nothing else draws.

    ``what_runs`` returns a phrase for each child, or for each host, at a given time.
    """

    def __init__(self, context: RunContext, what_runs: Callable[[float], list[str]]) -> None:
        self._what_runs = what_runs
        self._drawn = False
        self._last = 0.0
        writer = pytest_output.terminal_writer(context.config)
        self._writer: Any = writer
        self.enabled = bool(
            writer is not None
            and getattr(writer, "hasmarkup", False)
            and getattr(writer._file, "isatty", lambda: False)()
            and not context.options.direct
            and not console.is_quiet(context.config)
        )
        if self.enabled:
            self._watch(writer)

    def _watch(self, writer: Any) -> None:
        """Wrap the terminal's file, so that the line is erased before anything is written."""
        plain = writer._file.write

        def write(text: str) -> Any:
            if self._drawn:
                self._erase()
            self._last = time.monotonic()
            return plain(text)

        self._plain_write = plain
        self._file = _Erasing(writer._file, write)
        writer._file = self._file

    def show(self, now: float) -> None:
        """Draw the line, if nothing was written for a while."""
        if not self.enabled or now - self._last < _QUIET:
            return
        self._erase()
        width = self._writer.fullwidth - 1
        text = self._text(now)[:width]
        column = self._writer.width_of_current_line
        back = f"\x1b[{column}C" if column else ""
        self._plain_write(f"\n\x1b[2m{text}\x1b[0m\r\x1b[A{back}")
        self._writer._file.flush()
        self._drawn, self._last = True, now

    def _text(self, now: float) -> str:
        return "running: " + " · ".join(self._what_runs(now))

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            column = self._writer.width_of_current_line
            back = f"\x1b[{column}C" if column else ""
            self._plain_write(f"\n\x1b[2K\r\x1b[A{back}")

    def close(self) -> None:
        """Restore the terminal to the state that pytest knows."""
        if self.enabled:
            self._erase()
            self._writer._file = self._file.plain


class _Erasing:
    """A proxy for the terminal's file with a replaced ``write``."""

    def __init__(self, plain: Any, write: Any) -> None:
        self.plain, self.write = plain, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


def children_at_work(context: RunContext, now: float) -> list[str]:
    """Return the test that each child runs, and for how many seconds."""
    found = []
    for running in context.children.living:
        index, _, since = running.slot.files.progress.read()
        name = context.shown(running.group.path)
        if 0 <= index < len(context.items):
            name += "::" + context.items[index].name
        found.append(f"{name} ({now - (since or running.began):.0f} s)")
    return found
