"""Collected = run + reported: decides whether everything that is due for an item has arrived.

A child counts the reports that it logs, and sends the count with :class:`messages.ItemRan`, without pytest's
hooks. The controller counts the reports that it shows. Neither relies on the other or on pytest's hooks,
because a test may have replaced them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_hotreload.process.messages import ItemRan
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


@dataclass(frozen=True)
class Rules:
    """The reports that are due for each item of a run."""

    #: True if only pytest's own ``pytest_runtest_protocol`` runs items, which logs a report for each phase.
    #: A plugin's implementation may leave some reports out.
    own_protocol: bool
    #: False with ``--setup-only``.
    calls: bool


@dataclass
class Arrived:
    """The messages of one item that have been shown."""

    started: bool = False
    finished: bool = False
    #: The controller made a report in place of the child, which died, or no report was needed.
    settled: bool = False
    reports: int = 0
    set_up: bool = False
    setup_passed: bool = False
    called: bool = False
    torn_down: bool = False
    ran: ItemRan | None = None

    def note(self, when: Any, *, passed: bool, subtest: bool) -> None:
        """Count one report of the child."""
        self.reports += 1
        if when == "setup":
            self.set_up = True
            self.setup_passed = self.setup_passed or passed
        elif when == "teardown":
            self.torn_down = True
        elif not subtest:
            self.called = True

    def lacks_call(self, rules: Rules) -> bool:
        """Whether the report of the call is missing although it was due before the teardown."""
        due = rules.own_protocol and self.setup_passed and rules.calls
        return due and not self.called and not self.settled


def missing(arrived: Arrived, rules: Rules) -> str:
    """Return what is missing for a complete item, in words, or ""."""
    ran = arrived.ran
    if arrived.settled:
        return ""
    if ran is None:
        return "no message says that it ran to its end"
    if arrived.reports < ran.reports:
        return f"{ran.reports - arrived.reports} of its {ran.reports} reports did not arrive"
    if arrived.reports > ran.reports:
        return f"{arrived.reports} reports arrived although it sent only {ran.reports}"
    if not rules.own_protocol:
        unreported = rules.calls and not arrived.called and ran.called
        return "its call was not reported although it ran" if unreported else ""
    if not arrived.set_up:
        return "its setup was not reported"
    if arrived.lacks_call(rules):
        return "its call was not reported although its setup passed"
    return "" if arrived.torn_down else "its teardown was not reported"
