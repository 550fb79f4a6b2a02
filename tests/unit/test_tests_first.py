"""Tests first: whether the affected tests run before the rest of their files, and how."""

from __future__ import annotations

import pytest

from pytest_hotreload.watch import messages
from pytest_hotreload.watch.protocol import AffectedPart
from pytest_hotreload.watch.tests_first import FirstTests, choose


def part(
    file: str, own: int, every: int, seconds: float = 0.01, rest: float = 1.0, *, known: bool = True
) -> AffectedPart:
    """``own`` of ``every`` tests ran what changed, in ``seconds``; the others took ``rest``."""
    tests = tuple(f"{file}::test_{number}" for number in range(own)) if known else None
    return AffectedPart(file, tests, seconds, every, seconds + rest)


def chosen(*parts: AffectedPart, files: tuple[str, ...] = (), slots: int = 1) -> FirstTests | None:
    return choose(files or tuple(one.file for one in parts), parts, {"a.py": ["f"]}, slots)


def test_the_affected_tests_and_what_follows() -> None:
    first = chosen(part("test_a.py", 2, 40), part("test_b.py", 1, 35))
    assert first is not None
    assert first.nodeids == ("test_a.py::test_0", "test_a.py::test_1", "test_b.py::test_0")
    assert first.files == first.rest == ("test_a.py", "test_b.py")
    assert (first.others, first.together) == (72, True)
    go = first.go
    assert (go.files, go.nodeids, go.hold, go.together, go.preview) == (
        first.files,
        first.nodeids,
        True,
        True,
        True,
    )


def test_files_of_which_nothing_is_known_follow() -> None:
    first = chosen(
        part("test_a.py", 1, 9),
        part("test_b.py", 0, 9, known=False),
        files=("test_a.py", "test_b.py", "test_pending.py"),
    )
    assert first is not None
    assert first.files == ("test_a.py",)
    assert first.rest == ("test_a.py", "test_b.py", "test_pending.py")
    assert first.others == 0


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part("test_a.py", 0, 9, known=False)],
        [part("test_a.py", 9, 9), part("test_b.py", 3, 3)],
        # The others take less than what both reruns cost.
        [part("test_a.py", 1, 9, seconds=0.01, rest=0.15)],
        # The affected tests are most of what there is.
        [part("test_a.py", 1, 9, seconds=2.0, rest=1.5)],
    ],
)
def test_one_rerun(parts: list[AffectedPart]) -> None:
    assert chosen(*parts) is None


def test_files_that_do_not_run_do_not_count() -> None:
    """One waits until another file parses."""
    first = chosen(part("test_a.py", 1, 9), part("test_b.py", 1, 9), files=("test_a.py",))
    assert first is not None
    assert (first.files, first.others) == (("test_a.py",), 8)
    assert chosen(part("test_a.py", 1, 9), files=("test_other.py",)) is None


@pytest.mark.parametrize(
    ("seconds", "slots", "together"),
    [(0.01, 1, True), (5.0, 1, True), (0.01, 2, True), (0.1, 2, True), (0.5, 2, False), (0.1, 8, False)],
)
def test_children_are_used_where_they_are_faster(seconds: float, slots: int, together: bool) -> None:
    parts = [part(f"test_{number}.py", 1, 9, seconds=seconds, rest=20.0) for number in range(4)]
    first = chosen(*parts, slots=slots)
    assert first is not None
    assert first.together is together


@pytest.mark.parametrize(
    ("functions", "tests", "line"),
    [
        ({"pricing.py": ["gross"]}, 3, "RERUN pricing.py: gross() → 3 tests (how)"),
        ({"a.py": ["C.f", "g"], "b.py": ["h"]}, 1, "RERUN a.py: C.f(), g(), b.py: h() → 1 test (how)"),
        ({"a.py": list("fghij")}, 9, "RERUN a.py: f(), g(), h() and 2 more → 9 tests (how)"),
    ],
)
def test_the_line_names_functions(functions: dict[str, list[str]], tests: int, line: str) -> None:
    assert messages.tests_first(functions, tests, "how") == line


@pytest.mark.parametrize(
    ("tests", "files", "text"),
    [
        (72, 2, "72 more of 2 files follow"),
        (1, 1, "1 more of 1 file follows"),
        (0, 2, "2 files follow"),
        (0, 1, "1 file follows"),
    ],
)
def test_what_follows_in_words(tests: int, files: int, text: str) -> None:
    assert messages.follow(tests, files) == text
