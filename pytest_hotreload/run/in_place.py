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
    from pytest_hotreload.run.session import Active


class InPlace:
    """A plugin of such a rerun; pytest's own loop runs the items."""

    def __init__(self, session: pytest.Session, active: Active) -> None:
        self.active, self.records, self.totals = active, active.records, active.totals
        self.items = {item.nodeid: (index, item) for index, item in enumerate(session.items)}
        self.path = str(session.items[0].path)
        if self.records is not None:
            self.records.selected(session.items)
            self.records.stop_collecting()
            self.records.observer.running(alone=True)
        assert active.rerun is not None
        active.rerun.runs_alone()
        self._borrow_for_debugger()

    @staticmethod
    def fits(active: Active, session: pytest.Session) -> bool:
        """One file, and nobody asked for what only children give."""
        options, rerun = active.options, active.rerun
        return (
            rerun is not None
            and not rerun.go.apart
            and options.isolate in ("file", "worker")
            and options.timeout is None
            and len({item.path for item in session.items}) == 1
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        assert self.active.rerun is not None
        self.active.rerun.begins(nodeid, self.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        assert self.active.rerun is not None
        self.active.rerun.pulse.beat()
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
        rerun = self.active.rerun
        assert rerun is not None
        debugger.call_before(rerun.borrow)

    def pytest_leave_pdb(self) -> None:
        assert self.active.rerun is not None
        self.active.rerun.give_back()
