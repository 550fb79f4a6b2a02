"""An edit of the settings after which no test is selected: a failure stays a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from .watching import Watching

FILES = {"test_a.py": "def test_a(): assert 0\n", "test_b.py": "def test_b(): pass\n"}
FAILING = "FAIL no tests ran · still failing: test_a.py::test_a"


@pytest.mark.parametrize(
    "setting",
    [
        "addopts = -k nothing_has_this_name",
        "addopts = -m slow",
        "python_files = spec_*.py",
        "python_functions = check_*",
    ],
)
def test_red_stays_red(tmp_path: Path, setting: str) -> None:
    with Watching(tmp_path, FILES) as watching:
        assert watching.shown().status == "FAIL 1 failed, 1 passed"
        assert watching.after({"pytest.ini": f"[pytest]\n{setting}\n"}).status == FAILING
        assert watching.after({"test_b.py": "def test_b(): assert 1\n"}).status == FAILING
        assert watching.after({"test_a.py": "def test_a(): assert 1\n"}).status == FAILING
        assert watching.after({"pytest.ini": "[pytest]\n"}).status == "PASS 2 passed"
        assert watching.end() == 0


def test_the_end(tmp_path: Path) -> None:
    with Watching(tmp_path, FILES) as watching:
        assert watching.shown().status == "FAIL 1 failed, 1 passed"
        assert (
            watching.after({"pytest.ini": "[pytest]\naddopts = -k nothing_has_this_name\n"}).status == FAILING
        )
        assert watching.end() == 1


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with Watching(tmp_path, {"test_a.py": FILES["test_a.py"]}) as watching:
        assert watching.shown().status == "FAIL 1 failed"
        (watching.root / "test_a.py").unlink()
        assert (
            watching.after({"pytest.ini": "[pytest]\naddopts = -k nothing\n"}).status == "PASS no tests ran"
        )
        assert watching.end() == 0
