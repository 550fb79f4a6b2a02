"""A watch of a project whose options leave tests out of files: an edit runs what it affects of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_records_selection import FILES as RECORDED
from .test_records_selection import INI
from .watching import Watching

FILES = {**RECORDED, "test_b.py": "def test_b():\n    pass\n"}
MARKED = "-m 'not slow'"


@pytest.mark.parametrize("place", ["addopts", "command line"])
def test_an_edit_runs_what_it_affects(tmp_path: Path, place: str) -> None:
    files = {**FILES, "pytest.ini": INI.format(options=MARKED if place == "addopts" else "")}
    arguments = ["-m", "not slow"] if place == "command line" else []
    with Watching(tmp_path, files, arguments) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({"test_b.py": "def test_b():\n    assert True\n"})
        assert shown.ran == {"test_b.py::test_b": "passed"}
        shown = watching.after({"quick.py": "VALUE = 2\n"})
        assert shown.ran == {"test_a.py::test_quick": "passed"}
        shown = watching.after({"slow.txt": "0"})
        assert shown.ran == {}
        assert watching.end() == 0


def test_records_of_another_selection_decide_nothing(tmp_path: Path) -> None:
    files = {**FILES, "pytest.ini": INI.format(options="")}
    with Watching(tmp_path, files, ["-m", "not slow"]) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.end() == 0
    with Watching(tmp_path, arguments=["--watch-first=none"]) as watching:
        watching.shown()
        shown = watching.after({"slow.txt": "0"})
        assert shown.ran == {"test_a.py::test_quick": "passed", "test_a.py::test_slow": "failed"}
        assert watching.end() == 1


def test_what_the_last_outcomes_keep_out(tmp_path: Path) -> None:
    """An edited file that did not run has no result: the watch is not green, and does not end as if it were."""
    files = {
        "pytest.ini": INI.format(options="--lf"),
        "test_a.py": "def test_a():\n    assert 0\n",
        "test_b.py": "def test_b():\n    pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "FAIL 1 failed, 1 passed"
        assert watching.after({"test_b.py": "def test_b():\n    assert 0\n"}).ran == {
            "test_a.py::test_a": "failed"
        }
        shown = watching.after({"test_a.py": "def test_a():\n    pass\n"})
        assert shown.ran == {"test_a.py::test_a": "passed"}
        assert shown.status == "PASS 1 passed · 1 test file without a result"
        assert (
            watching.after({"test_a.py": "def test_a():\n    assert 1\n"}).ran["test_b.py::test_b"]
            == "failed"
        )
        assert watching.end() == 1
