"""The outcome of one test file in one run, from the reports shown and from its children's messages."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import pytest

from pytest_hotreload.records.observer import Observed
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: Sorted from best to worst. A test's outcome is the worst outcome of its phases.
OUTCOMES: Final = ("passed", "skipped", "xfailed", "xpassed", "rerun", "error", "failed")
#: Outcomes that are no success: "failed" is for the call, "error" for setup or teardown.
FAILED: Final = ("failed", "error")
#: A file with any other outcome runs again, whatever changed.
CLEAN: Final = frozenset({"passed", "skipped", "xfailed"})
_ENDLESS: Final = float("inf")


@dataclass
class FileOutcome:
    """The outcome of one test file. The keys of the mappings are indexes of items."""

    nodeids: dict[int, str] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    observed: list[Observed] = field(default_factory=list)
    #: Seconds that fixtures took in the children.
    fixtures: float = 0.0
    #: Whether some of the children's observations were lost.
    spoiled: bool = False
    #: Whether an edit stopped the file.
    stopped: bool = False
    #: Whether processes were left behind.
    left: bool = False
    phases: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def report(self, index: int, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        self.phases[index].add(str(report.when))
        if outcome != "passed":
            self.phases[index].add("call")
        self.outcomes[index] = max(self.outcomes.get(index, "passed"), outcome, key=OUTCOMES.index)
        self.seconds[index] = self.seconds.get(index, 0.0) + seconds_of(report, "duration")

    @property
    def whole(self) -> bool:
        """Whether every test ran to its end and every child reported what it observed."""
        return self.is_observed and all(map(self.ended, self.nodeids))

    @property
    def is_observed(self) -> bool:
        """Whether every child reported what it observed."""
        return not self.spoiled and not self.stopped and bool(self.observed)

    @property
    def extends(self) -> bool:
        """Whether what a part of the tests did is known completely."""
        return self.is_observed and bool(self.outcomes)

    @property
    def refutes(self) -> bool:
        """Whether an older record may no longer claim that this file passed, if nothing replaces or extends it."""
        if self.stopped and not self.spoiled:  # the test that ran then was interrupted
            return not set(self.outcomes.values()) <= CLEAN
        return self.spoiled or not self.clean

    @property
    def told(self) -> list[int]:
        """The tests with an outcome, in order."""
        return [index for index in self.nodeids if index in self.outcomes]

    def ended(self, index: int) -> bool:
        """Whether the test was neither interrupted nor only set up (``--setup-only`` reports that as passed)."""
        return self.phases[index] >= {"call", "teardown"}

    @property
    def clean(self) -> bool:
        """Whether all outcomes so far are in :data:`CLEAN`; an interrupted test is not clean."""
        return set(self.outcomes.values()) <= CLEAN and all(map(self.ended, self.outcomes))


def outcome_of(report: pytest.TestReport) -> str:
    """The outcome in a report, as one of :data:`OUTCOMES`."""
    if report.outcome == "failed":
        return "failed" if report.when == "call" else "error"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.outcome == "skipped" else "xpassed"
    return report.outcome if report.outcome in OUTCOMES else "failed"


def seconds_of(report: pytest.TestReport, name: str) -> float:
    """The report's ``duration`` or ``start`` in seconds, or 0.0 if a test's own clock gave something else.

    pytest reads the clock of a subtest by a name that tests replace: under ``mock.patch("time.perf_counter")`` the
    duration is a mock, or what stands for it behind the way to the controller.
    """
    value = getattr(report, name, 0.0)
    return value if type(value) in (float, int) and 0 <= value < _ENDLESS else 0.0
