"""VS Code's adapter: the editor receives the very messages that it receives from plain pytest, in the same order.

The adapter is not published as a package. These tests use a stand-in that reads the same attributes in the same
hooks; ``HOTRELOAD_VSCODE_ADAPTER=…/python_files`` runs them with the adapter of an installed extension.
"""

from __future__ import annotations

from typing import Any

import pytest

from .editors import ADAPTER, run

REAL = not ADAPTER.endswith("adapters")

PROJECT = {
    "shop.py": """
        def price(n):
            if n > 2:
                return n * 2
            return n
    """,
    "test_a.py": """
        import unittest

        import pytest

        from shop import price

        class Unlike(Exception):
            def __init__(self, one, two): super().__init__(f"{one} is unlike {two}")

        def test_passes(): pass
        def test_fails(): assert [1, 2] == [1, price(3)]
        def test_raises(): raise Unlike(1, 2)
        @pytest.mark.parametrize("n", [0, 1])
        def test_each(n): assert n
        @pytest.fixture
        def broken(): raise RuntimeError("no database")
        def test_setup(broken): pass
        @pytest.mark.skip(reason="by a mark")
        def test_skipped(): pass
        def test_skips(): pytest.skip("by itself")
        class TestIn:
            def test_method(self): pass
        class TestUnit(unittest.TestCase):
            def test_equal(self): self.assertEqual(1, 2)
            def test_subtests(self):
                for n in range(3):
                    with self.subTest(n=n): assert n != 1
    """,
    "sub/test_b.py": """
        import pytest

        @pytest.mark.xfail
        def test_expected(): assert 0
        @pytest.fixture
        def leaves():
            yield
            raise ValueError("left")
        def test_teardown(leaves): pass
        def test_long(): assert "x" * 9000 == "y"
        @pytest.mark.skipif(True, reason="always")
        class TestNever:
            def test_never(self): pass
    """,
}


def same(project: Any, *args: str, slots: int, extra: list[str] | None = None, **how: Any) -> list[Any]:
    """The messages with ``--hotreload``, which are those of plain pytest."""
    plain, told = run(project, *args, slots=None, **how)
    ours, ours_told = run(project, *args, *(extra or []), slots=slots, **how)
    assert ours_told == told
    # Not its lines: those of unittest's subtests differ, see docs/differences.md.
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)
    return ours_told


def outcomes(messages: list[Any]) -> list[tuple[str, str]]:
    """(test, outcome) of each message about a test."""
    found = []
    for message in messages:
        told = list(message["result"].values()) if message.get("result") else [message]
        found += [(each["test"].removeprefix("<root>/"), each["outcome"]) for each in told if "test" in each]
    return found


#: In plain pytest's order.
EVERYTHING = [
    ("sub/test_b.py::test_expected", "skipped"),
    ("sub/test_b.py::test_teardown", "success"),
    ("sub/test_b.py::test_long", "failure"),
    ("sub/test_b.py::TestNever::test_never", "skipped"),
    ("test_a.py::test_passes", "success"),
    ("test_a.py::test_fails", "failure"),
    ("test_a.py::test_raises", "failure"),
    ("test_a.py::test_each[0]", "failure"),
    ("test_a.py::test_each[1]", "success"),
    ("test_a.py::test_setup", "error"),
    ("test_a.py::test_skipped", "skipped"),
    ("test_a.py::test_skips", "skipped"),
    ("test_a.py::TestIn::test_method", "success"),
    ("test_a.py::TestUnit::test_equal", "failure"),
]


def test_everything(project, slots):
    project.write(PROJECT)
    told = outcomes(same(project, "--tb=short", slots=slots))
    assert told[: len(EVERYTHING)] == EVERYTHING
    assert [test for test, _ in told[len(EVERYTHING) :]] == ["test_a.py::TestUnit::test_subtests"]


@pytest.mark.parametrize(
    "how",
    [
        "--hotreload-isolate=test",
        "--hotreload-isolate=worker",
        "--hotreload-isolate=strict",
        "--hotreload-start=spawn",
    ],
)
def test_other_processes(project, slots, how):
    project.write(PROJECT)
    assert (
        outcomes(same(project, "-p", "no:subtests", slots=slots, extra=[how]))[: len(EVERYTHING)]
        == EVERYTHING
    )


@pytest.mark.parametrize(
    "tests",
    [
        ["test_a.py::test_passes"],
        ["test_a.py::test_fails"],
        ["test_a.py::test_each[0]", "test_a.py::test_each[1]"],
        ["test_a.py::TestIn::test_method", "sub/test_b.py::test_long", "test_a.py::TestUnit::test_equal"],
    ],
    ids=["passes", "fails", "parametrised", "several"],
)
def test_chosen_tests(project, slots, tests):
    project.write(PROJECT)
    told = outcomes(same(project, *tests, slots=slots))
    assert [test for test, _ in told] == tests


def test_ini(project):
    """``hotreload = true``: the editor adds nothing to its command line."""
    project.write(PROJECT)
    _, told = run(project, slots=None)
    project.write({"pytest.ini": "[pytest]\nhotreload = true\n"})
    ours, ours_told = run(project, slots=None)
    assert ours_told == told
    assert [line for line in ours.notices if "in 2 children" in line or "test files" in line]


def test_discovery(project, slots):
    project.write(PROJECT)
    (message,) = same(project, "--collect-only", slots=slots)
    if not REAL:
        assert [nodeid for nodeid, *_ in message["discovered"]][:2] == [test for test, _ in EVERYTHING[:2]]


def test_discovery_of_a_broken_file(project, slots):
    project.write({**PROJECT, "test_c.py": "import not_there\n"})
    messages = same(project, "--collect-only", slots=slots)
    if not REAL:
        (message,) = messages
        broken, interrupted = message["errors"]
        assert broken.endswith("ModuleNotFoundError: No module named 'not_there'")
        assert interrupted == "Interrupted: 1 error during collection"


def test_a_file_that_cannot_be_collected(project, slots):
    project.write({**PROJECT, "test_c.py": "import not_there\n"})
    same(project, slots=slots)
    told = outcomes(same(project, "--continue-on-collection-errors", slots=slots))
    assert [each for each in told if each in EVERYTHING] == EVERYTHING


def test_coverage(project, slots):
    pytest.importorskip("pytest_cov")
    project.plugins = ["pytest_cov.plugin"]
    project.write(PROJECT)
    options = ["--cov=.", "--cov-branch", "--cov-report="]
    *told, lines = same(project, *options, slots=slots, environ={"COVERAGE_ENABLED": "True"})
    assert outcomes(told)[: len(EVERYTHING)] == EVERYTHING
    if not REAL:
        assert lines["lines"]["<root>/shop.py"] == [2, 3, 4]


def test_a_stop(project, slots):
    project.write(PROJECT)
    told = outcomes(same(project, "-x", slots=slots))
    assert told == EVERYTHING[:2]


def test_an_exit(project, slots):
    project.write(
        {"test_a.py": "import pytest\ndef test_one(): pass\ndef test_two(): pytest.exit('enough')\n"}
    )
    told = same(project, slots=slots)
    assert outcomes(told) == [("test_a.py::test_one", "success")]
    assert len(told) == 2


def test_reruns(project, slots):
    """The adapter tells only the first result of a test that runs again."""
    pytest.importorskip("pytest_rerunfailures")
    project.plugins = ["pytest_rerunfailures"]
    project.write(PROJECT)
    told = outcomes(same(project, "--reruns=1", "-p", "no:subtests", slots=slots))
    assert [test for test, _ in told[:5]] == [test for test, _ in EVERYTHING[:5]]


def test_a_death(project, slots):
    """A test whose process dies has a result; plain pytest would end without one."""
    project.write(
        {"test_a.py": "import os\ndef test_one(): pass\ndef test_dies(): os.abort()\ndef test_two(): pass\n"}
    )
    _, told = run(project, slots=slots)
    assert outcomes(told) == [
        ("test_a.py::test_one", "success"),
        ("test_a.py::test_dies", "failure"),
        ("test_a.py::test_two", "success"),
    ]
