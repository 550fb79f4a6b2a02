"""Collected = run + reported: every lost message between a child and the output is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.process.messages import ItemRan
from pytest_hotreload.run.completeness import Arrived, Rules, missing

OWN = Rules(own_protocol=True, calls=True)
FOREIGN = Rules(own_protocol=False, calls=True)

#: (phase, passed, of a subtest): what pytest's own protocol logs of a test.
SETUP_FAILS = [("setup", False, False), ("teardown", True, False)]
SUBTEST = ("call", False, True)
tests = st.one_of(
    st.just(SETUP_FAILS),
    st.builds(
        lambda subtests, call, teardown: [
            ("setup", True, False),
            *subtests,
            ("call", call, False),
            ("teardown", teardown, False),
        ],
        st.lists(st.just(SUBTEST), max_size=3),
        st.booleans(),
        st.booleans(),
    ),
)


def arrived(reports: list[Any], ran: ItemRan | None) -> Arrived:
    found = Arrived(started=True, ran=ran)
    for when, passed, subtest in reports:
        found.note(when, passed=passed, subtest=subtest)
    return found


@given(tests, st.booleans())
def test_what_is_complete_is_no_error(reports, own):
    ran = ItemRan(len(reports), any(when == "call" for when, _, _ in reports))
    assert missing(arrived(reports, ran), OWN if own else FOREIGN) == ""


@given(tests, st.data(), st.booleans())
def test_any_subset_that_is_lost_is_an_error(reports, data, own):
    """Also where what the child says of itself is lost with it."""
    kept = data.draw(st.lists(st.sampled_from(range(len(reports))), unique=True).map(sorted))
    lost = len(kept) < len(reports)
    ran = ItemRan(len(reports), any(when == "call" for when, _, _ in reports))
    said = data.draw(st.sampled_from([ran, None]))
    found = missing(arrived([reports[place] for place in kept], said), OWN if own else FOREIGN)
    assert bool(found) == (lost or said is None)


@given(tests, st.data())
def test_a_hook_that_never_fired_is_an_error(reports, data):
    """Then the child does not know of these reports either."""
    kept = data.draw(st.lists(st.sampled_from(range(len(reports))), unique=True).map(sorted))
    left = [reports[place] for place in kept]
    gone = {report[0] for report in reports if not report[2]} - {
        report[0] for report in left if not report[2]
    }
    found = missing(arrived(left, ItemRan(len(left), called=False)), OWN)
    # Without its setup a test is incomplete anyway; without its call only if the setup passed.
    assert bool(found) == bool(gone)


@given(tests)
def test_what_arrives_twice_is_an_error(reports):
    ran = ItemRan(len(reports), called=True)
    assert (
        missing(arrived([*reports, reports[-1]], ran), OWN)
        == f"{ran.reports + 1} reports arrived although it sent only {ran.reports}"
    )


@pytest.mark.parametrize(
    ("reports", "ran", "rules", "expected"),
    [
        ([], ItemRan(0, called=False), FOREIGN, ""),  # a plugin may leave a test out, as in plain pytest
        ([], ItemRan(0, called=True), FOREIGN, "its call was not reported although it ran"),
        ([], ItemRan(0, called=False), OWN, "its setup was not reported"),
        (SETUP_FAILS[:1], ItemRan(1, called=False), OWN, "its teardown was not reported"),
        (
            [("setup", True, False), ("teardown", True, False)],
            ItemRan(2, called=False),
            Rules(own_protocol=True, calls=False),  # --setup-only
            "",
        ),
    ],
)
def test_what_is_due(reports, ran, rules, expected):
    assert missing(arrived(reports, ran), rules) == expected


def test_what_the_controller_made_itself_settles_an_item():
    assert missing(Arrived(settled=True), OWN) == ""
