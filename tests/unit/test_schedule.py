"""Groups and their order: nothing is lost or repeated, and the longest comes first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.run.schedule import Group, Schedule, make_groups

PATHS = st.lists(st.sampled_from(["a.py", "b.py", "c/a.py", "d.txt"]), max_size=30)
SECONDS = st.dictionaries(st.sampled_from(["a.py", "b.py", "c/a.py", "d.txt"]), st.floats(0, 100))


def items_of(paths: list[str]) -> Any:
    return [SimpleNamespace(path=path) for path in paths]


def drained(schedule: Schedule) -> list[Group]:
    groups = []
    while schedule:
        group = schedule.next()
        assert group is not None
        groups.append(group)
    assert schedule.next() is None
    return groups


@given(PATHS, st.sampled_from(["file", "test", "worker", "strict"]))
def test_each_item_is_in_one_group_in_its_order(paths, isolate):
    groups = make_groups(items_of(paths), isolate)
    assert sorted(i for group in groups for i in group.indices) == list(range(len(paths)))
    for group in groups:
        assert group.indices == sorted(group.indices)
        assert {paths[i] for i in group.indices} == {group.path}
    if isolate == "test":
        assert all(len(group.indices) == 1 for group in groups)
    else:
        assert len(groups) == len(set(paths))


@given(PATHS, SECONDS, st.integers(1, 4))
def test_longest_first_and_unknown_before(paths, seconds, slots):
    groups = make_groups(items_of(paths), "file")
    order = drained(Schedule(groups, seconds, slots))
    assert sorted(map(id, order)) == sorted(map(id, groups))
    if slots == 1 or not seconds:
        assert order == groups
        return
    costs = [seconds.get(group.path, float("inf")) for group in order]
    assert costs == sorted(costs, reverse=True)
    for cost in set(costs):  # pytest's order decides between equals
        equal = [group for group in order if seconds.get(group.path, float("inf")) == cost]
        assert equal == [group for group in groups if group in equal]


def test_what_runs_again_runs_next():
    schedule = Schedule([Group("a", [0]), Group("b", [1])], {}, 2)
    first = schedule.next()
    assert first is not None
    assert first.path == "a"
    schedule.again(Group("a", [2]))
    schedule.all_alone("spawn")
    assert [(group.path, group.alone) for group in drained(schedule)] == [("a", "spawn"), ("b", "spawn")]
    schedule.again(Group("c", [3], alone="strict"))
    assert [group.alone for group in drained(schedule)] == ["strict"]
    schedule.again(Group("d", [4]))
    schedule.clear()
    assert not schedule


def test_late_items_are_groups_that_start_after_all_others():
    items: Any = [SimpleNamespace(path=path) for path in ("a", "b", "a", "b", "c")]
    groups = make_groups(items, "file", frozenset({2, 3}))
    assert [(group.path, group.indices, group.phase) for group in groups] == [
        ("a", [0], 0),
        ("b", [1], 0),
        ("a", [2], 1),
        ("b", [3], 1),
        ("c", [4], 0),
    ]
    schedule = Schedule(groups, {"a": 9.0, "b": 5.0, "c": 1.0}, slots=2)
    order = [schedule.next() for _ in groups]
    assert [group and group.indices for group in order] == [[0], [1], [4], [2], [3]]


def test_a_group_of_a_later_phase_does_not_overtake():
    first, late = Group("a", [0], keys=frozenset({"port"})), Group("b", [1], phase=1)
    schedule = Schedule([late, first], {}, slots=2)
    assert schedule.next([Group("c", [2], keys=frozenset({"port"}))]) is None
    assert schedule.next() is first
    assert schedule.next() is late
