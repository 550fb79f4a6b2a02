"""Runs the items of a one-file rerun, or of tests first, in the rerun's own process.

That process is a fork already, and runs nothing else. Two more forks would see the same state, and
cost 40 ms. If the process is killed, the watcher reports that and starts the file again in a child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.compat import debugger
from pytest_hotreload.records.function_marks import FunctionMarks
from pytest_hotreload.records.functions import NO_TEST
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.options import Options
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.interfaces import RerunLink


class InPlace:
    """The plugin of such a rerun; pytest's own loop runs the items."""

    def __init__(
        self, session: pytest.Session, rerun: RerunLink, totals: Totals, records: RunRecords | None
    ) -> None:
        self.rerun, self.records, self.totals = rerun, records, totals
        self.items = {item.nodeid: (index, item) for index, item in enumerate(session.items)}
        self._paths = {item.nodeid: str(item.path) for item in session.items}
        self.path = str(session.items[0].path)
        self.marks: FunctionMarks | None = None
        if self.records is not None:
            self.records.selected(session.items)
            self.records.stop_collecting()
            self.records.observer.running(alone=True)
            self.marks = FunctionMarks()
        rerun.runs_alone()
        self._borrow_for_debugger()

    @staticmethod
    def fits(options: Options, rerun: RerunLink, session: pytest.Session) -> bool:
        """Whether the files may share a process, and no option asks for something that only children provide."""
        return (
            not rerun.apart
            and options.isolate in ("file", "worker")
            and options.timeout is None
            and (rerun.together or len({item.path for item in session.items}) == 1)
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        path = self._paths.get(nodeid, self.path)
        if path != self.path:
            self._next_file(path)
        self.rerun.begins(nodeid, self.path)
        if self.marks is not None:
            self.marks.begins(self.items.get(nodeid, (NO_TEST, None))[0])

    def _next_file(self, path: str) -> None:
        """End the observation of one file, and begin that of the next: the fixtures of the first are torn down."""
        self.end()
        self.path = path
        if self.records is not None:
            self.records.observer.running(alone=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        if self.marks is not None:
            self.marks.fixture(fixturedef.scope)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if self.marks is not None:
            self.marks.call()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if self.marks is not None:
            self.marks.teardown(item, nextitem)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        if self.marks is not None:
            self.marks.ends()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.rerun.pulse.beat()
        index, item = self.items.get(report.nodeid, (-1, None))
        if item is None:
            return
        self.totals.report(index, report)
        if self.records is not None:
            self.records.report(item, index, report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # What plugins read and write at the end is no input of a test; after a stop, fixtures are torn down only then.
        if not (session.shouldstop or session.shouldfail):
            self.end()

    def end(self) -> None:
        """Record the end of the file, after the last test. Idempotent."""
        if self.records is not None and self.records.observer.active:
            self.records.child_ended(self.path, self.records.observer.end(), 0.0)

    def _borrow_for_debugger(self) -> None:
        debugger.call_before(self.rerun.borrow)

    def pytest_leave_pdb(self) -> None:
        self.rerun.give_back()
