"""The model of a run: for all clocks, spans do not overlap, stay in place, and sums agree."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.report.timeline import (
    Child,
    CollectionSpan,
    ItemSpan,
    Phase,
    Span,
    Timeline,
    balance,
    file_costs,
    fixture_costs,
    lay_out,
    outcomes,
    settle,
)

from .timelines import CLOCK, SECONDS, timelines

SAID = st.lists(st.tuples(CLOCK, SECONDS), max_size=8)


@given(st.floats(0, 10), SECONDS, SAID)
def test_what_is_settled_is_in_order_and_within(begin, length, said):
    placed = settle(begin, begin + length, said)
    assert len(placed) == len(said)
    last = begin
    for start, end in placed:
        assert last <= start <= end <= begin + length
        last = end
    assert all(end - start <= seconds + 1e-9 for (start, end), (_, seconds) in zip(placed, said, strict=True))


@given(st.lists(st.tuples(SECONDS, SECONDS), max_size=6))
def test_true_clocks_are_believed(parts):
    said, at = [], 1.0
    for gap, seconds in parts:
        said.append((at + gap, seconds))
        at += gap + seconds
    placed = settle(1.0, at, said)
    assert [start for start, _ in placed] == pytest.approx([start for start, _ in said])
    assert [end - start for start, end in placed] == pytest.approx([seconds for _, seconds in said], abs=1e-9)


def test_a_clock_that_was_moved_is_not_believed():
    assert settle(1.0, 5.0, [(1.5, 1.0), (1e9, 1.0), (-1e9, 0.5), (4.2, 0.5)]) == [
        (1.5, 2.5),
        (2.5, 3.5),
        (3.5, 4.0),
        (4.2, 4.7),
    ]


@settings(max_examples=50)
@given(timelines())
def test_children_of_a_slot_never_overlap_nor_do_their_tests(timeline):
    for number in range(len(timeline.slots)):
        own = [child for child in timeline.children if child.slot == number]
        for one, following in pairwise(own):
            assert one.end <= following.begin
    for number, child in enumerate(timeline.children):
        phases = [p for i in child.order for p in timeline.tests[i].phases if p.child == number]
        last = child.begin
        for phase in phases:
            assert last <= phase.begin <= phase.end <= child.end
            last = phase.end
        assert sum(phase.seconds for phase in phases) <= child.seconds + 1e-9
        setups = [phase for phase in phases if phase.when == "setup"]
        for span in child.setups:
            assert any(p.begin <= span.begin <= span.end <= p.end for p in setups)


@settings(max_examples=50)
@given(timelines())
def test_busy_and_idle_add_up_to_the_run(timeline):
    for share in balance(timeline):
        assert share.busy >= 0
        assert share.idle >= -1e-9
        assert share.busy + share.idle == pytest.approx(timeline.running.seconds)
        assert 0 <= share.part <= 1 + 1e-9
    assert sum(share.children for share in balance(timeline)) == len(timeline.children)


@settings(max_examples=50)
@given(timelines())
def test_files_have_all_tests_and_all_their_seconds(timeline):
    costs = file_costs(timeline)
    assert sum(cost.count for cost in costs) == len(timeline.tests) == sum(outcomes(timeline).values())
    assert sum(cost.tests for cost in costs) == pytest.approx(sum(test.seconds for test in timeline.tests))
    assert sum(cost.children for cost in costs) <= sum(child.seconds for child in timeline.children) + 1e-9
    weights = [max(cost.children, cost.tests) for cost in costs]
    assert weights == sorted(weights, reverse=True)


def sample() -> Timeline:
    """Two slots; b.py shares its child with a.py, its failed test ran in another one before."""
    timeline = Timeline(slots=["gw0", "gw1"])
    timeline.tests = [
        ItemSpan("a.py::one", "a.py", "passed", [Phase("setup", 1.1, 1.4, 0), Phase("call", 1.4, 1.9, 0)]),
        ItemSpan("b.py::two", "b.py", "failed", [Phase("call", 2.0, 2.25, 0)]),
        ItemSpan("c.py::three", "c.py", "error", [Phase("setup", 1.0, 1.5, 1)]),
    ]
    timeline.children = [
        Child(0, "a.py", 1.0, 3.0, order=[0, 1], setups=[Span("db", 1.2, 1.3), Span("db", 9.0, 9.5)]),
        Child(1, "c.py", 1.0, 2.0, order=[2], cpu=0.25, setups=[Span("db", 1.0, 1.25)]),
    ]
    timeline.collection = [
        CollectionSpan("a.py", 0.1, 0.2, 0.15, 0.05),
        CollectionSpan("sub/", 0.2, 0.21, 0.01),
        CollectionSpan("slow/", 0.3, 0.5, 0.2),
    ]
    lay_out(timeline)
    return timeline


def test_costs_of_a_sample():
    costs = {cost.file: cost for cost in file_costs(sample())}
    assert list(costs) == ["c.py", "a.py", "b.py", "slow/"]
    assert (costs["c.py"].children, costs["c.py"].cpu, costs["c.py"].failed) == (1.0, 0.25, 1)
    assert (costs["a.py"].children, costs["a.py"].cpu) == (0.0, None)
    assert costs["a.py"].tests == pytest.approx(0.8)
    assert (costs["a.py"].collection, costs["a.py"].imports) == (0.15, 0.05)
    assert (costs["b.py"].count, costs["b.py"].failed, costs["b.py"].tests) == (1, 1, 0.25)


def test_balance_of_a_sample():
    assert balance(sample()) == [("gw0", 1, 2.0, 0.0), ("gw1", 1, 1.0, 1.0)]


def test_fixtures_of_a_sample():
    ((name, count, seconds),) = fixture_costs(sample())
    assert (name, count) == ("db", 2)
    assert seconds == pytest.approx(0.35)
