"""Counts and durations in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.wording import duration, many, plural, verb


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "test file", "2 test files"),
        (1, "child", "1 child"),
        (2, "child", "2 children"),
        (3, "process", "3 processes"),
    ],
)
def test_how_many(count: int, noun: str, text: str) -> None:
    assert many(count, noun) == text
    assert text.endswith(" " + plural(count, noun))


def test_what_so_many_do() -> None:
    assert [verb(count, "wait") for count in range(3)] == ["wait", "waits", "wait"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0001, "< 1 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (3.14159, "3.14 s"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (61, "1 min 01 s"),
        (119.9, "2 min"),
        (3700, "61 min 40 s"),
    ],
)
def test_durations_are_as_long_as_they_need_to_be(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e6))
def test_no_duration_is_off_by_more_than_it_shows(seconds: float) -> None:
    text = duration(seconds)
    if text in ("0 s", "< 1 ms"):
        assert seconds < 0.00095
        return
    units = {"min": 60.0, "s": 1.0, "ms": 0.001}
    words = text.split()
    told = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert told == pytest.approx(seconds, rel=0.01, abs=0.0006)
