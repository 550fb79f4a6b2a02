"""Runs of a part of a file's tests: they add to what the file's record knows, and take nothing away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .commands import say
from .keeping import Kept, outcomes

functions = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on"
)

#: Whether the flag exists is not observed, so the record of a first run lacks what follows from it.
FILES = {
    "part.py": """\
        import functools

        @functools.lru_cache
        def table(n):
            return [n]

        def other():
            return 1
        """,
    "test_a.py": """\
        import os, part

        def test_one():
            assert part.table(1) == [1]

        def test_two():
            assert part.table(1)
            if os.path.exists("flag"):
                part.other()
                assert open("data.txt").read() == "good"
        """,
    "data.txt": "good",
}
TWO = "test_a.py::test_two"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path, FILES)
    assert outcomes(kept.run()) == {"test_a.py::test_one": "passed", TWO: "passed"}
    assert kept.affected() == {}
    return kept


def edit(kept: Kept, old: str, new: str, name: str = "part.py") -> None:
    text = Path(kept.root, name).read_text()
    assert old in text
    kept.write({name: text.replace(old, new)})


@pytest.mark.parametrize("arguments", [[TWO], ["-k", "two"], ["--deselect", "test_a.py::test_one"]])
def test_an_input_that_a_part_read_is_added(kept: Kept, arguments: list[str]) -> None:
    before = kept.record("test_a.py")
    kept.write({"data.txt": "bad", "flag": ""})
    assert kept.affected() == {}
    kept.write({"data.txt": "good"})
    assert outcomes(kept.run(*arguments)) == {TWO: "passed"}
    after = kept.record("test_a.py")
    for key in ("closure", "reads", "listings", "layout", "environment"):
        assert [pair for pair in before[key] if pair not in after[key]] == []
    assert [name for name, _ in after["reads"] if name == "data.txt"] == ["data.txt"]
    assert kept.affected() == {}
    kept.write({"data.txt": "bad"})
    assert kept.affected() == {"test_a.py": "data.txt"}


def test_a_part_makes_nothing_fresh(kept: Kept) -> None:
    edit(kept, "return 1", "return 2")
    kept.write({"test_a.py": FILES["test_a.py"] + "\n        def test_new():\n            pass\n"})
    assert outcomes(kept.run("test_a.py::test_new")) == {"test_a.py::test_new": "passed"}
    assert list(kept.affected()) == ["test_a.py"]
    assert [row[0] for row in kept.record("test_a.py")["tests"]] == ["test_a.py::test_one", TWO]


@functions
def test_functions_that_a_part_ran_are_added_to_its_test(kept: Kept) -> None:
    """In the whole file the first test fills the cache; alone the second test does."""

    def ran() -> list[str]:
        found = say(
            kept.project,
            "pytest-hotreload",
            "explain",
            TWO,
            PYTEST_ADDOPTS="-p hotreload -p hotreload_young",
        )
        assert (found.status, found.errors) == (0, [])
        return found.lines[-2:]

    assert ran() == [f"  {TWO}", "    test_a.py: test_two"]
    kept.run(TWO)
    assert ran() == ["    part.py: table", "    test_a.py: test_two"]
    assert kept.affected() == {}
    edit(kept, "[n]", "[n, n]")
    result = kept.run("--affected=tests")
    assert outcomes(result) == {"test_a.py::test_one": "failed", TWO: "passed"}
    assert kept.affected() == {"test_a.py": "one of its tests failed"}


@functions
def test_functions_are_added_across_an_edit_of_bodies(kept: Kept) -> None:
    """The record is of the old content, whose functions have the same numbers."""
    edit(kept, "return [n]", "return [other()]")
    assert set(outcomes(kept.run("--affected=tests")).values()) == {"passed"}
    assert kept.affected() == {"test_a.py": "part.py:table ← test_a.py"}
    edit(kept, "return [other()]", "return [n]")
    assert kept.affected() == {}
    edit(kept, "return 1", "return 1 + 0")
    assert kept.affected() == {"test_a.py": "part.py:other ← test_a.py"}


@functions
def test_a_part_that_looks_at_a_source(tmp_path: Path) -> None:
    looks = """\
        import os, inspect, part

        def test_looks():
            assert not os.path.exists("flag") or "return 1" in inspect.getsource(part.f)

        def test_other():
            assert part.f() == 1
        """
    files = {"part.py": "def f():\n    return 1\n\ndef g():\n    return 2\n", "test_a.py": looks}
    kept = Kept(tmp_path, files)
    kept.run()
    edit(kept, "return 2", "return 3")
    assert kept.affected() == {}
    kept.write({"flag": ""})
    kept.run("-k", "looks")
    edit(kept, "return 3", "return 4")
    assert kept.affected() == {"test_a.py": "part.py ← test_a.py"}


@functions
def test_a_file_that_is_not_divided_runs_whole_under_affected_tests(tmp_path: Path) -> None:
    """Another test file divides the module, which says nothing of the one that starts a process."""
    kept = Kept(tmp_path, {
        "part.py": "def f():\n    return 1\n",
        "test_a.py": "import part\n\ndef test_a():\n    assert part.f() == 1\n",
        "test_b.py": """\
            import subprocess, sys, part

            def test_b():
                subprocess.run([sys.executable, "-c", "1"], check=True)
                assert part.f() == 1
            """,
    })  # fmt: skip
    kept.run()
    edit(kept, "return 1", "return 2")
    result = kept.run("--affected=tests")
    assert outcomes(result) == {"test_a.py::test_a": "failed", "test_b.py::test_b": "failed"}
