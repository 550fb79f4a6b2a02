"""A report survives serialisation, whatever plugins attached to it."""

from __future__ import annotations

import threading
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_hotreload.compat.plain_reports import is_plain
from pytest_hotreload.compat.reports import pack_report, pack_warning, unpack_report, unpack_warning

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.tuples(each) | st.dictionaries(st.text(max_size=3), each),
    max_leaves=8,
)
NAMES = st.from_regex(r"extra_[a-z]{1,5}", fullmatch=True)
HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Nasty:
    """Can't be pickled, and can't even be shown."""

    def __reduce__(self):
        raise RuntimeError("never")

    def __repr__(self):
        raise ValueError("nor this")


def report_of(item: pytest.Item, **more: object) -> pytest.TestReport:
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={"a": 1},
        outcome="passed",
        longrepr=None,
        when="call",
        sections=[("Captured stdout call", "said")],
        duration=0.25,
    )
    vars(report).update(more)
    return report


def sent(request: pytest.FixtureRequest, report: pytest.TestReport):
    return unpack_report(request.config, pack_report(request.config, report), request.node)


@HERE
@given(more=st.dictionaries(NAMES, PLAIN, max_size=4))
def test_what_can_be_pickled_arrives_original_names(request, more):
    report = report_of(request.node, **more)
    assert vars(sent(request, report)) == vars(report)


@pytest.mark.parametrize("name", ["", "::test_other", "::test_other[a::b]", "::test_[x"])
@pytest.mark.parametrize("more", [{}, {"zz_lock": threading.Lock}], ids=["plain", "other"])
def test_a_node_id_of_its_own(request, name, more):
    report = report_of(request.node, **more)
    if name:
        report.nodeid = f"tests/test_other.py{name}"
    arrived = sent(request, report)
    assert vars(arrived) == vars(report)
    assert list(vars(arrived)) == list(vars(report))
    assert arrived.nodeid == report.nodeid
    assert is_plain(pack_report(request.config, report)) is (not more)


def test_the_node_id_of_the_item_is_the_items_own_object(request):
    item = request.node
    report = pytest.TestReport.from_item_and_call(item, pytest.CallInfo.from_call(lambda: None, "call"))
    arrived = sent(request, report)
    assert arrived.nodeid is item.nodeid
    assert vars(arrived) == vars(report)


def test_data_of_other_types_is_not_taken_for_plain(request):
    class Text(str):
        __slots__ = ()

    values: list[object] = [
        Text("a"),
        [Text("a")],
        {"a": Text("a")},
        {Text("a"): 1},
        [[]],
        bytearray(b"a"),
        {1},
        1j,
    ]
    for value in values:
        assert not is_plain(pack_report(request.config, report_of(request.node, extra_a=value)))


@HERE
@given(more=st.dictionaries(NAMES, PLAIN, max_size=4), text=st.text(max_size=20))
def test_what_cannot_costs_only_itself(request, more, text):
    lock = threading.Lock()
    properties = [("fine", text), ("lock", lock)]
    report = report_of(request.node, **more, zz_lock=lock, zz_nasty=Nasty(), user_properties=properties)
    arrived = sent(request, report)
    assert (arrived.outcome, arrived.nodeid, arrived.duration) == ("passed", report.nodeid, 0.25)
    assert arrived.sections == report.sections
    assert {name: getattr(arrived, name) for name in more} == more
    assert arrived.user_properties[0] == ("fine", text)
    assert str(arrived.user_properties[1][1]) == str(arrived.zz_lock) == str(lock)
    assert repr(arrived.zz_nasty) == "<Nasty, whose repr raised ValueError>"


def test_nodes_arrive_as_those_of_the_controller(request):
    arrived = sent(
        request, report_of(request.node, node=request.node, parents=[request.node.parent, request.config])
    )
    assert arrived.node is request.node
    assert arrived.parents == [request.node.parent, request.config]


def test_what_cannot_be_read_is_a_failure_that_says_so(request):
    arrived = unpack_report(request.config, b"no pickle", request.node)
    assert arrived.failed
    assert "could not be read in the controller" in arrived.longreprtext


@HERE
@given(text=st.text(max_size=30))
def test_a_warning_of_a_class_made_in_a_test(request, text):
    class Local(DeprecationWarning):
        def __init__(self, message, lock):
            super().__init__(message)
            self.lock = lock

    recorded = warnings.WarningMessage(Local(text, threading.Lock()), Local, "file.py", 7, line="code")
    arrived = unpack_warning(request.config, *pack_warning(request.config, recorded))
    assert str(arrived.message) == text
    assert (arrived.category.__name__, arrived.filename, arrived.lineno) == ("Local", "file.py", 7)
    assert issubclass(arrived.category, DeprecationWarning)
