"""Projects whose costly session fixtures write notes outside of the project."""

from __future__ import annotations

import textwrap

#: Notes of a setup or a teardown: a word, the process, and whether it runs tests.
NOTE = """
import os, pytest, time

def note(word):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
"""

SLOW = """
@pytest.fixture(scope="session")
def base():
    note("up")
    time.sleep(0.15)
    yield {"n": 1}
    close()

def close():
    note("down")
"""

FOUR = "abcd"


class Suite:
    """A project whose fixtures write notes outside of it, run with and without hotreload."""

    def __init__(self, project, tmp_path, files) -> None:
        self.project, self.notes = project, tmp_path / "notes.txt"
        project.environ["NOTES"] = str(self.notes)
        project.write(files)

    def words(self) -> list[tuple[str, str]]:
        """The notes since the last call."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [(word, pid) for word, pid in (line.split() for line in lines)]

    def learned(self, *args, slots):
        """A run of ours that knows what fixtures cost, with its notes and those of plain pytest."""
        self.project.run(*args, slots=slots)
        plain = self.project.run(*args, slots=None)
        self.words()
        ours = self.project.run(*args, slots=slots)
        return plain, ours


def suite_of(project, tmp_path, conftest, files=None, **more):
    """A suite of four files that use the fixture ``base``, or of these files; ``more``: further files."""
    users = {f"test_{name}.py": "def test_it(base): assert base\n" for name in FOUR}
    conftest = textwrap.dedent(conftest)
    return Suite(
        project, tmp_path, {"conftest.py": NOTE + conftest, **(users if files is None else files), **more}
    )


def shared_lines(result) -> list[str]:
    return [line for line in result.notices if line.startswith("hotreload: shared: ")]


def refusals(result) -> list[str]:
    return [line for line in result.notices if "is set up by each child" in line]
