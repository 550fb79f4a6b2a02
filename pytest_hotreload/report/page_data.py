"""The data from which the page's script draws: all of a timeline, in few bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.report.failure_section import anchors
from pytest_hotreload.report.timeline import REUSED, FileCost, ItemSpan, Phase, Timeline, file_costs

#: The length of one time unit, in seconds.
UNIT: Final = 1e-5
#: Outcomes in the order in which they are counted, the interesting ones first; "" means no outcome.
COUNTED: Final = ("failed", "error", "rerun", "xpassed", "passed", REUSED, "skipped", "xfailed", "")
_HOW = {
    "fork": "a fork",
    "apart": "a child that collected its file itself",
    "spawn": "a fresh interpreter",
    "plain": "plain pytest",
}


def payload(timeline: Timeline) -> dict[str, Any]:
    """Return the data from which the page's script draws. Times are whole numbers of ``unit`` seconds.

    ``children``: [slot, file, begin, length, CPU or -1, how, ending]. ``tests``: [file, name, outcome, then
    for each round of the test: child, begin, setup, call, teardown]; a name that begins with ``::`` follows
    its file's name. ``failures``: test -> the id of its first failure on the page.
    """
    files = {name: number for number, name in enumerate(_file_names(timeline))}
    kinds = {name: number for number, name in enumerate(COUNTED)}
    return {
        "schema": "hotreload-report/1",
        "unit": UNIT,
        "length": _units(timeline.seconds),
        "slots": timeline.slots,
        "files": list(files),
        "outcomes": [outcome or "no result" for outcome in COUNTED],
        "bad": sorted(kinds[outcome] for outcome in FAILED),
        "how": _HOW,
        "phases": [[s.name, *_placed(s.begin, s.end)] for s in timeline.phases],
        "collection": [
            [files[each.file], *_placed(each.begin, each.end), _units(each.imports or 0.0)]
            for each in timeline.collection
        ],
        "children": [
            [
                child.slot,
                files[child.file],
                *_placed(child.begin, child.end),
                -1 if child.cpu is None else _units(child.cpu),
                child.how,
                child.ending,
            ]
            for child in timeline.children
        ],
        "costs": [_cost(cost, files) for cost in file_costs(timeline)],
        "failures": _failures(timeline),
        "tests": [_test(test, files, kinds) for test in timeline.tests],
    }


def _failures(timeline: Timeline) -> dict[str, str]:
    linked = anchors(timeline)
    return {str(at): linked[test.nodeid] for at, test in enumerate(timeline.tests) if test.nodeid in linked}


def _file_names(timeline: Timeline) -> Iterable[str]:
    names = [test.file for test in timeline.tests]
    names += [each.file for each in timeline.collection] + [child.file for child in timeline.children]
    return dict.fromkeys(names)


def _units(amount: float) -> int:
    return round(amount / UNIT)


def _placed(begin: float, end: float) -> tuple[int, int]:
    """Return begin and length. Ends are rounded, not lengths, so that adjacent spans do not overlap."""
    return _units(begin), _units(end) - _units(begin)


def _cost(cost: FileCost, files: Mapping[str, int]) -> list[int]:
    known = [cost.children, cost.tests, cost.cpu, cost.collection, cost.imports]
    return [
        files[cost.file],
        cost.count,
        cost.failed,
        *(-1 if each is None else _units(each) for each in known),
    ]


def _test(test: ItemSpan, files: Mapping[str, int], kinds: Mapping[str, int]) -> list[Any]:
    name = test.nodeid.removeprefix(test.file)
    if not name.startswith("::"):
        name = test.nodeid
    numbers = [number for one in rounds(test) for number in one]
    return [files[test.file], name, kinds.get(test.outcome, len(COUNTED) - 1), *numbers]


def rounds(test: ItemSpan) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (child, begin, setup, call, teardown) for each round of a test: more than one if it ran again."""
    current: dict[str, Phase] = {}
    for phase in test.phases:
        when = phase.when if phase.when in ("setup", "teardown") else "call"
        if current and (when == "setup" or when in current):
            yield _round(current)
            current = {}
        current[when] = phase
    if current:
        yield _round(current)


def _round(phases: Mapping[str, Phase]) -> tuple[int, int, int, int, int]:
    first = next(iter(phases.values()))
    lengths = [
        _placed(phases[when].begin, phases[when].end)[1] if when in phases else 0
        for when in ("setup", "call", "teardown")
    ]
    return (first.child, _units(first.begin), lengths[0], lengths[1], lengths[2])
