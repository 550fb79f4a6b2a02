"""What happened when in a run: spans of time, and what they add up to. Pure: ``gathering`` fills it, ``report`` and
``trace`` show it.

Seconds count from the start of the controller's process. Spans of one slot never overlap, and what a child's tests
took is never more than the child's own life: clocks that a test turned back or froze can't make a picture that
is impossible (:func:`settle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pytest_hotreload.records.file_outcome import FAILED

#: The outcome of a test that was not run, since an earlier result holds.
REUSED: Final = "reused"
#: Seconds from which on a folder's collection is worth a row. In examples/shop, on a busy machine: 12 and 16 ms where
#: there is no conftest to import, 2.6 s where there is one.
_LEAST_FOLDER = 0.02
#: A phase may seem to begin that much before its child, which is told of by another clock.
_SLACK = 0.005


class Span(NamedTuple):
    """A named stretch of time."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class Phase(NamedTuple):
    """One report of a test: setup, call or teardown, in which child (its place in ``Timeline.children``, or -1)."""

    when: str
    begin: float
    end: float
    child: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class ItemSpan:
    """``outcome``: one of ``ran.OUTCOMES``, "reused", or "" where there is none."""

    __test__ = False

    nodeid: str
    file: str
    outcome: str = ""
    phases: list[Phase] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


@dataclass
class Child:
    """``how``: fork, apart, spawn, or plain. ``ending``: "" if well, else what happened, in words.

    ``order``: the places of its tests in ``Timeline.tests``, as they ran. ``cpu``: seconds, None if unknown.
    ``setups``: of session- and package-scoped fixtures.
    """

    slot: int
    file: str
    begin: float
    end: float = 0.0
    how: str = "fork"
    ending: str = ""
    cpu: float | None = None
    order: list[int] = field(default_factory=list)
    setups: list[Span] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class CollectionSpan:
    """A test file, or a folder with its conftest (its name ends with ``/``), in the controller's collection.

    ``seconds``: with its classes. ``imports``: of them, or None.
    """

    file: str
    begin: float
    end: float
    seconds: float
    imports: float | None = None


class Imported(NamedTuple):
    """CPU seconds that importing an installed top-level package took: by itself, and with what it imported first.

    ``modules``: how many of it were loaded.
    """

    name: str
    modules: int
    own: float
    total: float


class Saving(NamedTuple):
    """What one start and one import of each module served.

    Measured: ``start_cpu`` (CPU seconds before the first conftest), ``modules`` and ``imports`` (installed and
    standard-library modules that were loaded while collecting, and their CPU seconds). Estimated: the seconds that all
    ``children`` together would have taken for that, had each started by itself.
    """

    start_cpu: float
    modules: int
    imports: float
    children: int
    estimated: float

    @property
    def saved(self) -> float:
        """Never less than nothing."""
        return max(0.0, self.estimated - self.start_cpu - self.imports) if self.children else 0.0


@dataclass
class Timeline:
    """One run. ``began``: seconds of the system's clock. ``slots``: worker ids. ``facts``: name -> value, to be shown.

    ``cpu``: seconds of all processes. ``replayed``: seconds in which the controller showed reports while it ran.
    ``errors``: collection errors. ``shard``: what ``shard_of`` said.
    """

    began: float = 0.0
    seconds: float = 0.0
    phases: list[Span] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    tests: list[ItemSpan] = field(default_factory=list)
    collection: list[CollectionSpan] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)
    saving: Saving | None = None
    cpu: float = 0.0
    replayed: float = 0.0
    exitstatus: int = 0
    errors: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    shard: Mapping[str, Any] | None = None

    @property
    def running(self) -> Span:
        """From the first child's begin to the last one's end."""
        return Span(
            "run",
            min((child.begin for child in self.children), default=0.0),
            max((child.end for child in self.children), default=0.0),
        )


# ------------------------------------------------------------------------------------- placing


def settle(begin: float, end: float, spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """(begin, seconds) in the order in which they were -> (begin, end), one after the other between two times.

    A begin is believed if it lies there and not before the last end. If not (a test has frozen or moved the clock),
    the span follows the last one at once. Seconds are cut where there is no room for them.
    """
    placed, last = [], begin
    for said, seconds in spans:
        believed = last - _SLACK <= said <= end
        start = min(max(said, last), end) if believed else last
        last = min(max(start + max(seconds, 0.0), start), end)
        placed.append((start, last))
    return placed


def lay_out(timeline: Timeline) -> None:
    """Put all children one after the other in their slots, and all phases one after the other in their children."""
    free: dict[int, float] = {}
    for child in timeline.children:
        child.begin = max(child.begin, free.get(child.slot, 0.0))
        child.end = free[child.slot] = max(child.end, child.begin)
    for number, child in enumerate(timeline.children):
        places = [
            (index, place)
            for index in child.order
            for place, phase in enumerate(timeline.tests[index].phases)
            if phase.child == number
        ]
        said = [timeline.tests[index].phases[place] for index, place in places]
        spans = settle(child.begin, child.end, [(phase.begin, phase.seconds) for phase in said])
        for (index, place), (begin, end) in zip(places, spans, strict=True):
            phases = timeline.tests[index].phases
            phases[place] = phases[place]._replace(begin=begin, end=end)
        child.setups = _within(
            child.setups, [span for phase, span in zip(said, spans, strict=True) if phase.when == "setup"]
        )


def _within(setups: Sequence[Span], places: Sequence[tuple[float, float]]) -> list[Span]:
    """Setups of fixtures, each inside of a test's setup; those that lie in none can't be placed."""
    found, last = [], 0.0
    for span in sorted(setups, key=lambda each: each.begin):
        for begin, end in places:
            if begin - _SLACK <= span.begin < end:
                start = min(max(span.begin, begin, last), end)
                last = max(start, min(span.end, end))
                found.append(Span(span.name, start, last))
                break
    return found


# ------------------------------------------------------------------------------------- adding up


class Share(NamedTuple):
    """How one slot spent the time in which children ran."""

    slot: str
    children: int
    busy: float
    idle: float

    @property
    def part(self) -> float:
        """Busy, from 0 to 1."""
        whole = self.busy + self.idle
        return self.busy / whole if whole else 0.0


def balance(timeline: Timeline) -> list[Share]:
    """One row for each slot. Busy and idle add up to the time in which children ran."""
    whole = timeline.running.seconds
    shares = []
    for number, slot in enumerate(timeline.slots):
        own = [child for child in timeline.children if child.slot == number]
        busy = min(whole, sum(child.seconds for child in own))
        shares.append(Share(slot, len(own), busy, whole - busy))
    return shares


@dataclass
class FileCost:
    """What one test file took. ``tests``: seconds of its tests. ``children``: of children that ran nothing else."""

    file: str
    count: int = 0
    failed: int = 0
    tests: float = 0.0
    children: float = 0.0
    cpu: float | None = None
    collection: float = 0.0
    imports: float | None = None


def file_costs(timeline: Timeline) -> list[FileCost]:
    """Each test file, the longest first."""
    costs: dict[str, FileCost] = {}
    for test in timeline.tests:
        cost = costs.setdefault(test.file, FileCost(test.file))
        cost.count += 1
        cost.failed += test.outcome in FAILED
        cost.tests += test.seconds
    for child in timeline.children:
        cost = costs.setdefault(child.file, FileCost(child.file))
        if {timeline.tests[index].file for index in child.order} <= {child.file}:
            cost.children += child.seconds
            if child.cpu is not None:
                cost.cpu = (cost.cpu or 0.0) + child.cpu
    for each in timeline.collection:
        if each.file.endswith("/") and each.seconds < _LEAST_FOLDER:
            continue
        cost = costs.setdefault(each.file, FileCost(each.file))
        cost.collection, cost.imports = each.seconds, each.imports
    return sorted(costs.values(), key=lambda cost: (-max(cost.children, cost.tests), cost.file))


def outcomes(timeline: Timeline) -> dict[str, int]:
    """How many tests ended how; "" for those without a result."""
    counts: dict[str, int] = {}
    for test in timeline.tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    return counts


def fixture_costs(timeline: Timeline) -> list[tuple[str, int, float]]:
    """(fixture, setups, seconds) of session- and package-scoped fixtures in children, the costliest first."""
    costs: dict[str, tuple[int, float]] = {}
    for child in timeline.children:
        for span in child.setups:
            times, seconds = costs.get(span.name, (0, 0.0))
            costs[span.name] = times + 1, seconds + span.seconds
    rows = [(name, times, seconds) for name, (times, seconds) in costs.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))
