"""A rerun of one test file runs it itself: it is a fork already, and nothing else runs in it.

Two more forks would see the same world, for 40 ms. What kills the process is told by the watcher, which starts
the file again in a child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_hotreload.compat import debugger
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.options import Options
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.interfaces import RerunLink


class InPlace:
    """A plugin of such a rerun; pytest's own loop runs the items."""

    def __init__(
        self, session: pytest.Session, rerun: RerunLink, totals: Totals, records: RunRecords | None
    ) -> None:
        self.rerun, self.records, self.totals = rerun, records, totals
        self.items = {item.nodeid: (index, item) for index, item in enumerate(session.items)}
        self.path = str(session.items[0].path)
        if self.records is not None:
            self.records.selected(session.items)
            self.records.stop_collecting()
            self.records.observer.running(alone=True)
        rerun.runs_alone()
        self._borrow_for_debugger()

    @staticmethod
    def fits(options: Options, rerun: RerunLink, session: pytest.Session) -> bool:
        """One file, and nobody asked for what only children give."""
        return (
            not rerun.apart
            and options.isolate in ("file", "worker")
            and options.timeout is None
            and len({item.path for item in session.items}) == 1
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.rerun.begins(nodeid, self.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.rerun.pulse.beat()
        index, item = self.items.get(report.nodeid, (-1, None))
        if item is None:
            return
        self.totals.report(index, report)
        if self.records is not None:
            self.records.report(item, index, report)

    def end(self) -> None:
        """After the last test."""
        if self.records is not None:
            self.records.child_ended(self.path, self.records.observer.end(), 0.0)

    def _borrow_for_debugger(self) -> None:
        debugger.call_before(self.rerun.borrow)

    def pytest_leave_pdb(self) -> None:
        self.rerun.give_back()
