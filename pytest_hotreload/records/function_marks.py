"""Tells the native recorder which test runs, so that each function that runs is known to belong to a test.

Functions that run while a fixture of a wider scope is set up, or torn down, belong to all tests of the file: the
value serves more than the test that happens to ask for it first.
"""

from __future__ import annotations

from pytest_hotreload._native import mark_functions
from pytest_hotreload.records.functions import NO_TEST
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


class FunctionMarks:
    """The tests of one process, one after another, each with its phases."""

    def __init__(self) -> None:
        self._index = NO_TEST
        #: Whether what runs now belongs to all tests.
        self._for_all = False

    def begins(self, index: int) -> None:
        """A test begins; what ran before it belongs to none."""
        self._close()
        self._index, self._for_all = index, False

    def fixture(self, scope: str) -> None:
        """The setup of a fixture begins, so what ran before it has ended."""
        self._switch(for_all=scope != "function")

    def call(self) -> None:
        """The test itself begins, after its fixtures."""
        self._switch(for_all=False)

    def teardown(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """The teardown begins; behind the last test of a class or module, fixtures of wider scopes end, too."""
        self._switch(for_all=following is None or following.parent is not item.parent)

    def ends(self) -> None:
        """The test has ended."""
        self._close()
        self._index, self._for_all = NO_TEST, False

    def _switch(self, *, for_all: bool) -> None:
        if for_all or self._for_all:
            self._close()
            self._for_all = for_all

    def _close(self) -> None:
        mark_functions(NO_TEST if self._for_all else self._index)
