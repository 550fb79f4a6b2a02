"""The picture of a run: few shapes, nothing lost, readable numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.report.chart import Bar, Row, merge, picture, rows_of, tick_text, ticks

from .timelines import big, timelines

SVG = "{http://www.w3.org/2000/svg}"
PARTS = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.001, 3), st.sampled_from(["setup", "call", "other"])), max_size=40
)


def bars_of(parts) -> list[Bar]:
    bars, at = [], 0.0
    for gap, seconds, kind in parts:
        begin = at + gap
        at = begin + seconds
        bars.append(Bar(kind, begin, at))
    return bars


@given(PARTS, st.floats(0.01, 5))
def test_merged_bars_cover_what_was_covered_in_order(parts, least):
    bars = bars_of(parts)
    merged = merge(bars, least)
    for one, following in pairwise(merged):
        assert one.end <= following.begin
    for bar in bars:
        assert any(each.begin <= bar.begin and bar.end <= each.end for each in merged)
    kinds = {bar.kind for bar in bars}
    assert {bar.kind for bar in merged} <= kinds
    short = [bar for bar in merged if bar.end - bar.begin < least]
    # Between two short ones lies a gap, or one that is long.
    assert len(short) <= len(merged) / 2 + 1 + sum(gap > least for gap, _, _ in parts)


@given(PARTS)
def test_long_bars_stay_as_they_are(parts):
    bars = bars_of(parts)
    assert merge(bars, 0.0009) == bars  # the shortest, but for rounding


def test_a_merged_bar_is_of_the_kind_that_took_most():
    bars = [Bar("setup", 0, 1), Bar("call", 1, 4), Bar("setup", 4, 5.5), Bar("call", 6, 20)]
    assert merge(bars, 5) == [Bar("call", 0, 5.5), Bar("call", 6, 20)]


@given(st.floats(1e-4, 1e5))
def test_ticks_are_few_evenly_spaced_and_within(seconds):
    at = ticks(seconds)
    assert at[0] == 0
    assert 2 <= len(at) <= 10
    assert at[-1] <= seconds * (1 + 1e-9)
    step = at[1]
    assert [later - before for before, later in pairwise(at)] == pytest.approx([step] * (len(at) - 1))
    assert seconds - at[-1] < step
    assert len({tick_text(each, step) for each in at}) == len(at)


def test_texts_of_ticks():
    assert [tick_text(each, 0.5) for each in ticks(2.2, 5)] == ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]
    assert [tick_text(each, 20) for each in ticks(70)][:3] == ["0 s", "10 s", "20 s"]
    assert ticks(0) == [0.0]


@settings(max_examples=30)
@given(timelines())
def test_any_timeline_is_drawn_as_valid_svg_with_its_slots(timeline):
    drawn = picture(rows_of(timeline), timeline.seconds, "any")
    root = ET.fromstring(drawn)
    labels = [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "label"]
    assert labels[-len(timeline.slots) :] == timeline.slots or not timeline.slots
    assert labels[0] == "controller"


def test_a_failure_is_marked_at_its_place():
    row = Row("gw0", [Bar("call", 0, 1), Bar("call", 1, 2)], marks=[1.0])
    root = ET.fromstring(picture([row], 2.0, "one"))
    marks = [each.get("d") for each in root.iter(f"{SVG}path") if each.get("class") == "mark"]
    assert len(marks) == 1
    (begin,) = [float(d[1:].split()[0]) for d in marks]
    assert begin == pytest.approx(84 + (1120 - 84 - 8) / 2, abs=0.1)


def test_many_slots_of_many_tests_are_a_small_picture():
    timeline = big(5000, in_one=1, slots=20)
    drawn = picture(rows_of(timeline), timeline.seconds, "big")
    assert len(drawn) < 400_000
    ET.fromstring(drawn)
