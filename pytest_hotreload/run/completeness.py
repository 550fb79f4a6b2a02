"""Collected = run + reported: decides whether what arrived of an item is all that was due.

A child counts what it logs, and says so with :class:`protocol.ItemRan`, past pytest's hooks; the controller counts what
it shows. Neither trusts the other, nor pytest's hooks: a test may have taken them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_hotreload.process.messages import ItemRan
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


@dataclass(frozen=True)
class Rules:
    """What is due from each item of a run.

    ``own_protocol``: pytest's own ``pytest_runtest_protocol`` alone runs items, which logs a report of each phase;
    that of a plugin may leave some out. ``calls``: False with ``--setup-only``.
    """

    own_protocol: bool
    calls: bool


@dataclass
class Arrived:
    """What was shown of one item.

    ``settled``: the controller made a report in the child's place, which has died, or was not needed.
    """

    started: bool = False
    finished: bool = False
    settled: bool = False
    reports: int = 0
    set_up: bool = False
    setup_passed: bool = False
    called: bool = False
    torn_down: bool = False
    ran: ItemRan | None = None

    def note(self, when: Any, *, passed: bool, subtest: bool) -> None:
        """A report of the child."""
        self.reports += 1
        if when == "setup":
            self.set_up = True
            self.setup_passed = self.setup_passed or passed
        elif when == "teardown":
            self.torn_down = True
        elif not subtest:
            self.called = True

    def lacks_call(self, rules: Rules) -> bool:
        """Whether a test's outcome was due by the time of its teardown, and is not there."""
        due = rules.own_protocol and self.setup_passed and rules.calls
        return due and not self.called and not self.settled


def missing(arrived: Arrived, rules: Rules) -> str:
    """What is missing of an item that is complete, in words, or ""."""
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
