"""Objects that cannot be pickled are replaced; their containers and all other objects arrive unchanged."""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.unpickling import Placeholder, loads

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
Pair = collections.namedtuple("Pair", "first second")  # noqa: PYI024 - as suites make them


@dataclasses.dataclass
class Data:
    value: object


class NeedsError(Exception):
    def __init__(self, response, operation):
        super().__init__(f"{operation}: {response}")


class DoublesError(Exception):
    """Unpickles into something else."""

    def __init__(self, code=1):
        super().__init__(f"code {code}")


class Reduces:
    def __reduce__(self):
        raise RuntimeError("never")


class Leaves:
    """Must not run where it is read."""

    def __reduce__(self):
        return exit, (3,)


class Sets:
    def __setstate__(self, state):
        raise SystemExit(4)


class SlottedError(Exception):
    __slots__ = ("more",)
    more: list[int]


class Bag(list[object]):
    pass


def lies():
    local = type("Local", (), {})
    return local()


BAD: list[Callable[[], object]] = [
    threading.Lock,
    Reduces,
    Leaves,
    Sets,
    lies,
    lambda: lambda: 1,
    lambda: (each for each in ""),
]
bad = st.sampled_from(BAD).map(lambda make: make())
good = st.none() | st.integers() | st.text(max_size=3)


def containers(each):
    return st.one_of(
        st.lists(each, max_size=3),
        st.lists(each, max_size=3).map(tuple),
        st.lists(each, max_size=3).map(collections.deque),
        st.lists(each, max_size=3).map(Bag),
        st.dictionaries(st.text(max_size=2), each, max_size=3),
        st.dictionaries(st.text(max_size=2), each, max_size=3).map(collections.OrderedDict),
        st.dictionaries(st.text(max_size=2), each, max_size=3).map(
            lambda d: collections.defaultdict(list, d)
        ),
        st.builds(Pair, each, each),
        st.builds(Data, each),
    )


def same(before, after) -> None:
    """Of one shape; a placeholder stands for the bad things, and for them alone."""
    if type(after) is Placeholder:
        assert type(before) not in (int, str, type(None), list, tuple, dict, Pair, Data, Bag)
        return
    assert type(after) is type(before)
    if isinstance(before, dict):
        assert list(before) == list(after)
        before, after = list(before.values()), list(after.values())
    elif isinstance(before, Data):
        before, after = [before.value], [after.value]
    elif not isinstance(before, list | tuple | collections.deque):
        assert before == after
        return
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        same(one, other)


def sent(request, value):
    return loads(pack(value, request.config), request.config)


@HERE
@given(value=st.recursive(good | bad, containers, max_leaves=10))
def test_only_the_innermost_thing_is_replaced(request, value):
    same(value, sent(request, value))


@HERE
@given(value=st.recursive(good, containers, max_leaves=10))
def test_what_can_travel_is_equal(request, value):
    assert sent(request, value) == value


def test_cycles_and_shared_references(request):
    inner: list[object] = [threading.Lock()]
    outer = Data([inner, inner])
    inner.append(outer)
    arrived = sent(request, outer)
    assert arrived.value[0] is arrived.value[1]
    assert arrived.value[0][1] is arrived
    assert type(arrived.value[0][0]) is Placeholder


@pytest.mark.parametrize(
    "error",
    [
        NeedsError({}, "Get"),
        DoublesError(3),
        FileNotFoundError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        KeyError("k"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_arrive_without_their_constructor(request, error):
    error.more = "kept"
    arrived = sent(request, error)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.more) == (str(error), "kept")


def test_slots_of_an_exception(request):
    error = SlottedError("said")
    error.more = [1]
    arrived = sent(request, error)
    assert (str(arrived), arrived.more) == ("said", [1])


def test_no_code_of_the_project_runs_where_it_is_read(request):
    arrived = sent(request, [Leaves(), Sets()])
    assert [type(each) for each in arrived] == [Placeholder, Placeholder]


def test_a_log_record_with_a_lock(request):
    record = logging.LogRecord("n", 20, "p", 1, "said %s", ("x",), None)
    lock = record.lock = threading.Lock()
    arrived = sent(request, [record])[0]
    assert (type(arrived), arrived.getMessage()) == (logging.LogRecord, "said x")
    assert str(arrived.lock) == str(lock)


def test_a_class_that_is_not_there_leaves_its_text(request, monkeypatch):
    data = pack([Data(1), 2], request.config)
    monkeypatch.delitem(globals(), "Data")
    arrived = loads(data, request.config)
    assert (str(arrived[0]), arrived[1]) == ("Data(value=1)", 2)


def test_deeper_than_pickle_goes(request):
    deep: list[Any] = []
    bottom = deep
    for _ in range(100_000):
        bottom.append([])
        bottom = bottom[0]
    arrived = sent(request, {"deep": deep, "said": 1})
    assert (type(arrived["deep"]), arrived["said"]) == (list, 1)
