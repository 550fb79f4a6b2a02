"""A project that keeps records: runs the project repeatedly, and reads the lines about the records.

    kept = Kept(tmp_path, {"test_a.py": "def test_a(): pass"})
    kept.run()
    kept.write({"test_a.py": "def test_a(): assert 0"})
    assert kept.affected() == {"test_a.py": "test_a.py"}

Edits follow runs at once: the plugin ``hotreload_young`` sets the margin of 2 s to 30 ms. It is part of the epoch,
so every run has it, or none.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from json import loads
from pathlib import Path
from typing import Any

from pytest_hotreload._native import RecordStore

from .compare import Project, Result

_AFFECTED = re.compile(r"hotreload: \d+ of \d+ test files? affected")
#: The end of a line about a changed file that affects nothing.
_WITHOUT_EFFECT = ("only comments, layout or positions changed", "which no test ran")
#: The header and the closing line, which every run has; and how many files were rewound, which depends on the slots.
_ALWAYS = re.compile(r"hotreload: (python |rewound after |\d+ files? in )")


class Kept:
    """One copy of a project, in ``root``; ``plain`` is the other one, for runs of plain pytest.

    ``environ`` of each run may be changed. No bytecode is written: it is told apart by whole seconds.
    """

    def __init__(self, top: Path, files: Mapping[str, str], *, young: bool = True, **project: Any) -> None:
        self.project = Project(top, plugins=["hotreload_young"] if young else [], **project)
        self.project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        self.project.write({"pytest.ini": "[pytest]\n", **files})
        self.root = self.project.root("forks")

    @property
    def environ(self) -> dict[str, str]:
        return self.project.environ

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files, dedented; None removes one."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(textwrap.dedent(text), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that the file contains."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, name
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *args: str, slots: int = 1, **how: Any) -> Result:
        """One run under hotreload."""
        return self.project.run(*args, slots=slots, **how)

    def affected(self, *args: str) -> dict[str, str]:
        """Test file -> reason of those that ``--affected`` would run now. Nothing is run or recorded."""
        result = self.run("--affected", "--co", "-v", *args)
        assert (result.status, result.errors) == (0, []), result.raw
        return reasons(result)

    def store(self) -> RecordStore:
        return RecordStore(str(self.root / ".pytest_cache/d/hotreload"), str(self.root))

    def record(self, file: str) -> Any:
        """The record of a test file; None if it has none."""
        text = self.store().get(file)
        return None if text is None else loads(text)

    def files(self) -> list[str]:
        """Test files that have a record."""
        return self.store().files()


def reasons(result: Result) -> dict[str, str]:
    """Test file -> reason, as shown below ``N of M test files affected``, whose N is checked."""
    lines = result.raw.splitlines()
    (at,) = [number for number, line in enumerate(lines) if _AFFECTED.fullmatch(line)]
    found = {}
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        if line.endswith(_WITHOUT_EFFECT):
            continue
        file, _, why = line.strip().partition(": ")
        found[file] = why
    assert int(lines[at].split()[1]) == len(found), lines[at:]
    return found


def said(result: Result) -> list[str]:
    """Our lines, but for the header and the closing one, without the prefix."""
    return [line.partition(": ")[2] for line in result.notices if not _ALWAYS.match(line)]


def outcomes(result: Result) -> dict[str, str]:
    """Node id -> its outcome: of the call, or of the first phase that was another than passed."""
    return {
        nodeid: next((outcome for _, outcome in phases if outcome != "passed"), "passed")
        for nodeid, phases in result.outcomes.items()
    }
