"""A watch on a terminal, as a user sees it: the project is edited, keys are pressed, the screen is read."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from .processes import until
from .terminals import Terminal

#: The end of each line that says: now it waits.
WATCHING = "watching, h for help"
#: What is set where tests run, and would change what is looked at.
_NOT_OURS = (
    "CI",
    "BUILD_NUMBER",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
    "PYTHONDONTWRITEBYTECODE",
)
#: Longest time that what was left behind may take to end.
GONE_SECONDS = 3.0


class Desk:
    """``root``: the project. ``term``: where the watch runs, from :meth:`watch` on."""

    def __init__(self, folder: Path) -> None:
        self.root, self.temporary = folder / "project", folder / "temporary"
        self.root.mkdir()
        self.temporary.mkdir()
        self.terminals: list[Terminal] = []
        self.write({"pytest.ini": "[pytest]\n"})

    @property
    def term(self) -> Terminal:
        return self.terminals[-1]

    def write(self, files: Mapping[str, str]) -> None:
        """Save files, dedented; each as an editor does that writes in place."""
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))

    def environ(self, **more: str) -> dict[str, str]:
        """No plugin but ours, a folder of its own for what is temporary."""
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        return {
            **{name: value for name, value in kept.items() if not name.startswith("PYTEST_")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(self.temporary),
            **more,
        }

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-p", "pytest_hotreload.plugin", "--hotreload", *args]

    def start(self, command: list[str], *, rows: int = 40, columns: int = 120, **environ: str) -> Terminal:
        """Any command on a terminal, in the project."""
        terminal = Terminal(command, cwd=self.root, env=self.environ(**environ), rows=rows, columns=columns)
        self.terminals.append(terminal)
        return terminal

    def watch(self, *args: str, rows: int = 40, columns: int = 120, **environ: str) -> str:
        """Start it; what its first run shows."""
        command = self.command("--watch", *args)
        self.start(command, rows=rows, columns=columns, **environ)
        self.term.wait_for(WATCHING)
        return self.term.text()

    @contextlib.contextmanager
    def seeing(self, wanted: str | re.Pattern[str] = WATCHING) -> Iterator[list[str]]:
        """What is done within is followed by ``wanted``; the list gets all that was shown, as one text."""
        mark = self.term.mark()
        seen: list[str] = []
        yield seen
        self.term.wait_for(wanted, since=mark)
        seen.append(self.term.text(mark))

    def press(self, keys: str, wanted: str | re.Pattern[str] = WATCHING) -> str:
        """Press, and wait; what was shown."""
        with self.seeing(wanted) as seen:
            self.term.press(keys)
        return seen[0]

    def edit(self, files: Mapping[str, str], wanted: str | re.Pattern[str] = WATCHING) -> str:
        """Save, and wait; what was shown."""
        with self.seeing(wanted) as seen:
            self.write(files)
        return seen[0]

    def says(self, name: str, text: str, seconds: float = 30.0) -> None:
        """Wait until a file of the project, which tests write, has this text."""
        file = self.root / name
        until(lambda: file.exists() and text in file.read_text(), f"{text!r} in {name}", seconds)

    def left_behind(self) -> None:
        """Assert that nothing is: no process, no file, no mode of the terminal."""
        term = self.term
        until(lambda: not term.processes(), f"no process of {term.processes()}", GONE_SECONDS)
        assert term.modes() == term.modes_before
        assert self.temporary_files() == []

    def temporary_files(self) -> list[str]:
        """Without what pytest itself keeps of the last runs."""
        return sorted(
            entry.name for entry in self.temporary.iterdir() if not entry.name.startswith("pytest-of-")
        )

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()


def counts(text: str) -> list[str]:
    """pytest's last lines and the status lines in ``text``, without times: what ran, and how often."""
    return re.findall(r"\b(?:PASS|FAIL) (.+?) in \d+\.\d\d s", text)


def status_lines(text: str) -> list[str]:
    """The status lines in ``text``, without their times, joined where a narrow terminal would break them."""
    found = re.findall(r"^(?:PASS|FAIL) .*$", text, re.MULTILINE)
    return [re.sub(r"in \d+\.\d\d s(?: \([^)]*\))?", "in TIME", line) for line in found]
