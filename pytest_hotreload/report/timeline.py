"""The data model of a run's timeline: spans of time, and their sums.

The module has no side effects: ``collector`` fills the timeline, ``page`` and ``trace`` show it.

Seconds count from the start of the controller's process. Spans in one slot never overlap, and a child's tests
never take longer than the child's own life: clocks that a test turned back or froze can't make an impossible
picture (:func:`settle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.records.saving import Saving
from pytest_hotreload.report.failure import Failure

#: The outcome of a test that was not run because an earlier result holds.
REUSED: Final = "reused"
#: Seconds from which a folder's collection is worth a row. In examples/shop, on a busy machine: 12 and 16 ms
#: if there is no conftest to import, 2.6 s if there is one.
_LEAST_FOLDER = 0.02
#: A phase may seem to begin this many seconds before its child, whose begin comes from another clock.
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
    """One report of a test."""

    #: setup, call or teardown.
    when: str
    begin: float
    end: float
    #: The child's position in ``Timeline.children``, or -1.
    child: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class ItemSpan:
    """A test with its outcome and its phases."""

    __test__ = False

    nodeid: str
    file: str
    #: One of ``file_outcome.OUTCOMES``, "reused", or "" if there is no outcome.
    outcome: str = ""
    phases: list[Phase] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


@dataclass
class Child:
    """A child of the run, as a span in its slot."""

    slot: int
    file: str
    begin: float
    end: float = 0.0
    #: fork, apart (self-collecting), spawn, or plain.
    how: str = "fork"
    #: "" if the child ended well, otherwise what happened, in words.
    ending: str = ""
    #: CPU seconds; None if unknown.
    cpu: float | None = None
    #: The positions of its tests in ``Timeline.tests``, as they ran.
    order: list[int] = field(default_factory=list)
    #: Setups of session- and package-scoped fixtures.
    setups: list[Span] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass
class CollectionSpan:
    """The collection of a test file or a folder in the controller."""

    #: The path; that of a folder with its conftest ends with ``/``.
    file: str
    begin: float
    end: float
    #: Seconds of the collection, including the classes in the file.
    seconds: float
    #: The seconds of these that imports took, or None.
    imports: float | None = None


class Imported(NamedTuple):
    """The CPU time that importing an installed top-level package took."""

    name: str
    #: The number of its modules that were loaded.
    modules: int
    #: CPU seconds of the package itself.
    own: float
    #: CPU seconds with all modules that the package imported first.
    total: float


@dataclass
class Timeline:
    """The timeline of one run."""

    #: The start of the process, in seconds of the system's clock.
    began: float = 0.0
    seconds: float = 0.0
    phases: list[Span] = field(default_factory=list)
    #: The worker ids of the slots.
    slots: list[str] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    tests: list[ItemSpan] = field(default_factory=list)
    collection: list[CollectionSpan] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)
    #: In the order in which pytest showed them, with the failed attempts of tests that passed in the end.
    failures: list[Failure] = field(default_factory=list)
    saving: Saving = field(default_factory=Saving)
    #: CPU seconds of all processes.
    cpu: float = 0.0
    #: Seconds in which the controller showed reports while children ran.
    replayed: float = 0.0
    exitstatus: int = 0
    #: The number of collection errors.
    errors: int = 0
    #: Name -> value, to be shown.
    facts: dict[str, str] = field(default_factory=dict)
    #: The result of ``collector.shard_of``.
    shard: Mapping[str, Any] | None = None

    @property
    def running(self) -> Span:
        """The span from the first child's begin to the last child's end."""
        return Span(
            "run",
            min((child.begin for child in self.children), default=0.0),
            max((child.end for child in self.children), default=0.0),
        )


# ------------------------------------------------------------------------------------- placing


def settle(begin: float, end: float, spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Place spans one after the other between two times: (begin, seconds) in order -> (begin, end).

    A begin is used if it lies between the two times and not before the previous end. If not (a test has
    frozen or moved the clock), the span follows the previous one at once. Spans are shortened if there is no
    room for them.
    """
    placed, last = [], begin
    for said, seconds in spans:
        believed = last - _SLACK <= said <= end
        start = min(max(said, last), end) if believed else last
        last = min(max(start + max(seconds, 0.0), start), end)
        placed.append((start, last))
    return placed


def lay_out(timeline: Timeline) -> None:
    """Place all children one after the other in their slots, and all phases likewise in their children."""
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
    """Place setups of fixtures inside the setups of tests; setups that lie in none are dropped."""
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
    """The use of one slot during the time in which children ran, in seconds."""

    slot: str
    children: int
    busy: float
    idle: float

    @property
    def part(self) -> float:
        """The busy share, from 0 to 1."""
        whole = self.busy + self.idle
        return self.busy / whole if whole else 0.0


def balance(timeline: Timeline) -> list[Share]:
    """Return one row for each slot. Busy and idle add up to the time in which children ran."""
    whole = timeline.running.seconds
    shares = []
    for number, slot in enumerate(timeline.slots):
        own = [child for child in timeline.children if child.slot == number]
        busy = min(whole, sum(child.seconds for child in own))
        shares.append(Share(slot, len(own), busy, whole - busy))
    return shares


@dataclass
class FileCost:
    """The cost of one test file."""

    file: str
    count: int = 0
    failed: int = 0
    #: Seconds of its tests.
    tests: float = 0.0
    #: Seconds of children that ran nothing else.
    children: float = 0.0
    cpu: float | None = None
    collection: float = 0.0
    imports: float | None = None


def file_costs(timeline: Timeline) -> list[FileCost]:
    """Return the cost of each test file, the longest first."""
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
    """Return the number of tests per outcome; "" for tests without a result."""
    counts: dict[str, int] = {}
    for test in timeline.tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    return counts


def fixture_costs(timeline: Timeline) -> list[tuple[str, int, float]]:
    """Return (fixture, setups, seconds) for each fixture that children set up, the costliest first.

    Only session- and package-scoped fixtures count.
    """
    costs: dict[str, tuple[int, float]] = {}
    for child in timeline.children:
        for span in child.setups:
            times, seconds = costs.get(span.name, (0, 0.0))
            costs[span.name] = times + 1, seconds + span.seconds
    rows = [(name, times, seconds) for name, (times, seconds) in costs.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))
