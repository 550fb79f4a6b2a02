"""Adds results of teardowns in other processes to tests: pytest has one report for all that is torn down after a test.

A fixture process tears down after the child of the last test that may use its fixtures has ended. Until then, the
report of this test's teardown, and all that follows it, waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

if TYPE_CHECKING:
    import pytest


class LateTeardowns:
    """By the index of a test: who has still to tear down after it, and what those showed that have."""

    def __init__(self) -> None:
        self._holders: Counter[int] = Counter()
        self._shown: dict[int, list[Any]] = {}
        self._failed: dict[int, list[pytest.TestReport]] = {}

    def hold(self, index: int) -> None:
        """Note that another process has to tear down after this test."""
        self._holders[index] += 1

    def release(self, index: int, shown: Iterable[Any], failed: Iterable[pytest.TestReport]) -> None:
        """Note that one of these processes has torn down, what that showed, and the reports of its failures."""
        self._holders[index] -= 1
        self._shown.setdefault(index, []).extend(shown)
        self._failed.setdefault(index, []).extend(failed)

    def concerns(self, index: int) -> bool:
        """Whether the report of this test's teardown is not complete by itself."""
        return index in self._holders

    def waits(self, index: int) -> bool:
        """Whether another process has still to tear down after this test."""
        return self._holders[index] > 0 if index in self._holders else False

    def take(self, index: int) -> tuple[list[Any], list[pytest.TestReport]]:
        """Return what the processes showed and the reports of their failures, and forget the test."""
        self._holders.pop(index, None)
        return self._shown.pop(index, []), self._failed.pop(index, [])

    def rest(self) -> list[int]:
        """Return the tests that were not taken: the run has stopped before them."""
        return sorted(self._holders)

    def move(self, index: int, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """Let the failures after this test be those of another one, at which the run has stopped."""
        for report in self._failed.get(index, ()):
            report.nodeid, report.location = nodeid, location
