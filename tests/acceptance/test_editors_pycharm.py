"""PyCharm and TeamCity: the messages of teamcity-messages, with the two values of each comparison that failed."""

from __future__ import annotations

import re
from typing import Any

import pytest

COMPARISONS = """
    import dataclasses, unittest

    import pytest

    @dataclasses.dataclass
    class Point:
        x: int

    class Own:
        def __init__(self, n): self.n = n
        def __repr__(self): return f"Own({self.n})"

    class Unpicklable:
        def __reduce__(self): raise RuntimeError("stays here")
        def __repr__(self): return "unpicklable"

    def test_passes(): print("said")
    def test_lists(): assert [1, 2] == [1, 3]
    def test_texts(): assert "one\\ntwo" == "one\\nthree"
    def test_own(): assert Own(1) == Own(2)
    def test_points(): assert Point(1) == Point(2)
    def test_inside(): assert {"a": [Own(1), Point(2)]} == {"a": [Own(2), Point(3)]}
    def test_unpicklable(): assert Unpicklable() == {"a": 1}
    def test_in(): assert 1 in [2, 3]
    def test_plain(): assert 0
    def test_raises(): raise ValueError("no comparison")
    @pytest.mark.parametrize("n", [1, 2])
    def test_each(n): assert n == 1
    def test_second():
        try:
            assert [1] == [2]
        except AssertionError:
            pass
        raise KeyError("after a comparison that was caught")

    @pytest.fixture
    def broken(): assert [1] == [2]
    def test_setup(broken): pass
    @pytest.fixture
    def leaves():
        yield
        assert [1] == [3]
    def test_teardown(leaves): assert [4] == [5]

    class TestUnit(unittest.TestCase):
        def test_equal(self): self.assertEqual(1, 2)
        def test_message(self): self.assertEqual("x", "y", "said")
        def test_lists(self): self.assertEqual([1, Own(1)], [2, Own(2)])
        def test_caught(self):
            with self.assertRaises(AssertionError): self.assertEqual(3, 4)
        def test_after(self): raise KeyError("z")
        def test_subtests(self):
            for n in range(3):
                with self.subTest(n=n): self.assertEqual(n, 1)
"""
PROJECT = {"test_a.py": COMPARISONS, "sub/test_b.py": COMPARISONS}


def messages(result: Any) -> list[str]:
    """The service messages, in order, without times."""
    found = re.findall(r"##teamcity\[.*\]", result.raw.replace(str(result.root), "<root>"))
    return [
        re.sub(r"0x[0-9a-f]+", "0xA", re.sub(r"(timestamp|duration)='[^']*'", r"\1=''", line))
        for line in found
    ]


def same(project: Any, *args: str, slots: int, extra: list[str] | None = None) -> list[str]:
    """The messages with ``--hotreload``, which are those of plain pytest."""
    pytest.importorskip("teamcity.pytest_plugin", reason="teamcity-messages is not installed")
    project.plugins = [*project.plugins, "teamcity.pytest_plugin"]
    project.write(PROJECT)
    plain, ours = project.both("--teamcity", *args, slots=slots, extra=extra or [])
    assert messages(ours) == messages(plain)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)
    return messages(ours)


def compared(told: list[str], test: str) -> list[tuple[str, str]]:
    """(expected, actual) of each comparison of a test."""
    return [
        (expected, actual)
        for line in told
        if f"name='{test}'" in line
        for actual in re.findall(r" actual='((?:\|.|[^|'])*)'", line)
        for expected in re.findall(r" expected='((?:\|.|[^|'])*)'", line)
    ]


# Without capture: lines of unittest's subtests are otherwise captured by plain pytest, see docs/differences.md.
@pytest.mark.parametrize(
    "how",
    [
        [],
        ["--hotreload-isolate=test"],
        ["--hotreload-isolate=worker"],
        ["--hotreload-isolate=strict"],
        ["--hotreload-start=spawn"],
    ],
    ids=["file", "test", "worker", "strict", "spawn"],
)
def test_comparisons(project, slots, how):
    told = same(project, "-s", slots=slots, extra=how)
    for file in ("test_a", "sub.test_b"):
        assert compared(told, f"{file}.test_lists") == [("|[1, 3|]", "|[1, 2|]")]
        assert compared(told, f"{file}.test_own") == [("Own(2)", "Own(1)")]
        assert compared(told, f"{file}.test_unpicklable") == [("{|'a|': 1}", "unpicklable")]
        assert compared(told, f"{file}.TestUnit.test_equal") == [("1", "2")]
        assert compared(told, f"{file}.test_plain") == []


def test_captured(project, slots):
    told = same(project, "-k", "not test_subtests", slots=slots)
    assert compared(told, "test_a.test_each(2)") == [("1", "2")]


def test_swapped(project, slots):
    told = same(project, "-k", "test_lists", "--jb-swapdiff", slots=slots)
    assert compared(told, "test_a.test_lists") == [("|[1, 2|]", "|[1, 3|]")]


def test_reruns(project, slots):
    pytest.importorskip("pytest_rerunfailures")
    project.plugins = ["pytest_rerunfailures"]
    told = same(project, "-s", "--reruns=1", "-k", "not test_subtests", slots=slots)
    assert compared(told, "test_a.test_lists") == [("|[1, 3|]", "|[1, 2|]")]
