"""The contents of a watch's fork points, by properties, and the combination of consecutive changes."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.watch.chain_plan import LoadedGraph, plan, ranks
from pytest_hotreload.watch.protocol import Changed

#: Files in the order of import: each may import what stands before it. The last ones are test files.
_COUNT = 9
_TESTS = 3


@st.composite
def graphs(draw: st.DrawFn) -> LoadedGraph:
    edges = {}
    for importer in range(1, _COUNT):
        imported = draw(st.sets(st.integers(0, importer - 1), max_size=3))
        edges[f"/{importer}.py"] = sorted(f"/{number}.py" for number in imported)
    return LoadedGraph([(f"m{number}", f"/{number}.py") for number in range(_COUNT)], edges)


_FILES = [f"/{number}.py" for number in range(_COUNT)]
_TEST_FILES = _FILES[-_TESTS:]
_EDITS = st.lists(st.sampled_from(_FILES), unique=True).map(
    lambda files: {file: place for place, file in enumerate(files, 1)}
)
_HELD = st.sets(st.sampled_from(_FILES), max_size=3)


def _reached(graph: LoadedGraph, file: str) -> set[str]:
    """The file and all that it imports."""
    found: set[str] = set()
    waiting = [file]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += graph.edges.get(file, ())
    return found


def _groups(
    graph: LoadedGraph, edits: Mapping[str, int], held: set[str], refused: set[str]
) -> list[list[str]]:
    orders = plan(graph, edits, _TEST_FILES, held, refused)
    return [[file for _, file in order.modules] + list(order.tests) for order in orders]


@given(graphs(), _EDITS)
def test_a_rank_is_the_latest_edit_of_what_is_reached(graph: LoadedGraph, edits: dict[str, int]) -> None:
    found = ranks(graph, edits)
    for file in _FILES:
        expected = max((edits[each] for each in _reached(graph, file) if each in edits), default=None)
        assert found.get(file) == expected


@given(graphs(), _EDITS, _HELD, _HELD)
def test_each_file_is_in_one_group_or_has_a_reason(
    graph: LoadedGraph, edits: dict[str, int], held: set[str], refused: set[str]
) -> None:
    groups = _groups(graph, edits, held, refused)
    everything = [file for group in groups for file in group]
    assert len(everything) == len(set(everything))
    assert all(groups)
    concerned = ranks(graph, edits).keys()
    left_out = held | refused | {test for test in _TEST_FILES if test in concerned}
    assert set(everything) == set(_FILES) - left_out


@given(graphs(), _EDITS)
def test_no_group_needs_a_later_one(graph: LoadedGraph, edits: dict[str, int]) -> None:
    """Else an edit of what stands behind would make stale what stands in front."""
    groups = _groups(graph, edits, set(), set())
    place = {file: number for number, group in enumerate(groups) for file in group}
    for file, at in place.items():
        for imported in _reached(graph, file) & place.keys() - set(_TEST_FILES):
            assert place[imported] <= at


@given(graphs(), _EDITS)
def test_the_last_edit_stands_alone_at_the_end(graph: LoadedGraph, edits: dict[str, int]) -> None:
    """An edit of the same file once more drops the last fork point only."""
    modules = {file: place for file, place in edits.items() if file not in _TEST_FILES}
    groups = _groups(graph, modules, set(), set())
    if modules:
        last = max(modules, key=lambda file: modules[file])
        importers = {file for file in _FILES if last in _reached(graph, file)}
        assert set(groups[-1]) == importers - set(_TEST_FILES)
        assert not any(importers & set(group) for group in groups[:-1])


@given(graphs(), st.sets(st.sampled_from(_FILES)))
def test_what_no_module_imports_stands_apart(graph: LoadedGraph, itself: set[str]) -> None:
    """An edit of it leaves what the others import; a module that names itself is no importer."""
    edges = {file: [*graph.edges.get(file, ()), *([file] if file in itself else [])] for file in _FILES}
    modules = set(_FILES) - set(_TEST_FILES)
    below = {each for file in modules for each in graph.edges.get(file, ())}
    for group in _groups(LoadedGraph(graph.modules, edges), {}, set(), set()):
        assert len({file in below for file in group if file in modules}) <= 1


_NAMES = "abc"


@st.composite
def histories(draw: st.DrawFn) -> tuple[set[str], list[Changed]]:
    """Files that are there at first, and changes that can follow each other."""
    there = set(draw(st.sets(st.sampled_from(_NAMES))))
    first = set(there)
    changes = []
    for _ in range(draw(st.integers(0, 5))):
        touched = draw(st.sets(st.sampled_from(_NAMES)))
        deleted = {name for name in touched & there if draw(st.booleans())}
        created = touched - there
        changes.append(Changed(*(tuple(sorted(s)) for s in (touched & there - deleted, created, deleted))))
        there = (there | created) - deleted
    return first, changes


def _joined(changes: list[Changed]) -> Changed:
    found = Changed()
    for each in changes:
        found = found.joined(each)
    return found


@given(histories())
def test_joined_changes_lead_from_the_first_state_to_the_last(
    history: tuple[set[str], list[Changed]],
) -> None:
    first, changes = history
    last = set(first)
    for each in changes:
        last = (last | set(each.created)) - set(each.deleted)
    joined = _joined(changes)
    assert set(joined.created) == last - first
    assert set(joined.deleted) == first - last
    touched = {path for each in changes for path in each.paths}
    assert set(joined.changed) == touched & first & last


@given(histories(), st.integers(0, 5))
def test_joining_is_associative(history: tuple[set[str], list[Changed]], cut: int) -> None:
    _, changes = history
    assert _joined(changes[:cut]).joined(_joined(changes[cut:])) == _joined(changes)


def test_create_then_delete_is_nothing_and_delete_then_create_a_change() -> None:
    created, deleted = Changed(created=("a",)), Changed(deleted=("a",))
    assert created.joined(deleted) == Changed()
    assert deleted.joined(created) == Changed(changed=("a",))
    assert created.joined(Changed(changed=("a",))) == created
    assert Changed(changed=("a",)).joined(deleted) == deleted
