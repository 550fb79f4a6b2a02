"""What became of one test file in one run, by the reports that were shown and what its children told."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import pytest

from pytest_hotreload.records.observer import Observed
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: Worst last; what a test's phases say together is the worst of them.
OUTCOMES: Final = ("passed", "skipped", "xfailed", "xpassed", "rerun", "error", "failed")
#: A test that ended so is no success: of its call, or of its setup or teardown.
FAILED: Final = ("failed", "error")
#: A file whose tests ended otherwise is run again, whatever changed.
CLEAN: Final = frozenset({"passed", "skipped", "xfailed"})


@dataclass
class FileOutcome:
    """By index of the item. ``spoiled``: something of it was lost. ``left``: processes were left behind."""

    nodeids: dict[int, str] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    observed: list[Observed] = field(default_factory=list)
    fixtures: float = 0.0
    spoiled: bool = False
    left: bool = False
    phases: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def report(self, index: int, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        self.phases[index].add(str(report.when))
        if outcome != "passed":
            self.phases[index].add("call")
        self.outcomes[index] = max(self.outcomes.get(index, "passed"), outcome, key=OUTCOMES.index)
        self.seconds[index] = self.seconds.get(index, 0.0) + getattr(report, "duration", 0.0)

    @property
    def whole(self) -> bool:
        """Every test ran to its end, and every child told what it saw."""
        return not self.spoiled and bool(self.observed) and all(map(self.ended, self.nodeids))

    def ended(self, index: int) -> bool:
        """Not interrupted, and not merely set up (``--setup-only`` reports that as passed)."""
        return self.phases[index] >= {"call", "teardown"}

    @property
    def clean(self) -> bool:
        """As far as it ran; what was interrupted is not."""
        return set(self.outcomes.values()) <= CLEAN and all(map(self.ended, self.outcomes))


def outcome_of(report: pytest.TestReport) -> str:
    """One of :data:`OUTCOMES`."""
    if report.outcome == "failed":
        return "failed" if report.when == "call" else "error"
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.outcome == "skipped" else "xpassed"
    return report.outcome if report.outcome in OUTCOMES else "failed"
