"""Shows the results of children in pytest's order, with the controller's own items and hooks.

Messages wait in one queue per item. The head is the first item that is not complete. Messages of the head are
shown at once; messages of later items are shown when they become the head. So every plugin and every line of
output sees the same sequence as in plain pytest, whatever the order of completion.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import junit, pytest_output, pytest_session, teamcity, withdrawals
from pytest_hotreload.compat.call_infos import unpack_call
from pytest_hotreload.compat.controller_hooks import ControllerHooks
from pytest_hotreload.compat.reports import new_report, one_teardown, unpack_report, unpack_warning
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.errors import ChildInternalError
from pytest_hotreload.process import messages
from pytest_hotreload.process.fork_state import flush
from pytest_hotreload.run import messages as run_messages
from pytest_hotreload.run.completeness import Arrived, Rules, missing
from pytest_hotreload.run.early_failures import EarlyFailures
from pytest_hotreload.run.late_teardowns import LateTeardowns
from pytest_hotreload.world import BUILTINS, os, pytest

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.gathered.merge import Merger

#: The messages that are reports.
_REPORTS = (messages.Reported, pytest.TestReport)
#: The ways in which an item was completed.
_COMPLETE, _LEFT_OUT = 1, 2


class Replay:
    """The queues and the head. ``on_report`` is called with each report that is shown.

    ``stopping`` means that children were told to tear down, and the run waits for them. ``interrupted`` means
    that nothing more is shown.
    """

    def __init__(self, session: pytest.Session, on_report: Callable[[int, pytest.TestReport], None]) -> None:
        self.session = session
        self.config = session.config
        self.items: Sequence[pytest.Item] = session.items
        self.head = 0
        self._queues: list[deque[Any] | None] = [None] * len(self.items)
        self._complete = bytearray(len(self.items))
        self._rules = Rules(
            own_protocol=pytest_session.own_protocol(self.config),
            calls=not getattr(self.config.option, "setuponly", False),
        )
        self._arrived = Arrived()
        self._last_report: Any = None
        self._reported_last = -1
        self._on_report = on_report
        self._hooks = ControllerHooks(self.config)
        self._early = EarlyFailures(self.config, self.items)
        self.gathered: Merger | None = None
        self.memo: Any = None
        self.stopping = self.interrupted = False
        self._late = LateTeardowns()
        #: The report of the head's teardown, while other processes have to tear down after it.
        self._held: pytest.TestReport | None = None
        self._handlers: dict[type, Callable[[int, Any], None]] = {
            messages.ItemStarted: self._started,
            messages.ItemFinished: self._finished,
            messages.ItemRan: self._ran,
            messages.StatsChanged: self._stats_changed,
            messages.Reported: self._reported,
            pytest.TestReport: self._made_here,
            messages.Warned: self._warned,
            messages.Wrote: self._wrote,
            messages.Printed: self._printed,
            messages.Logged: self._logged,
            messages.LoggedLive: self._logged_live,
            messages.NewlineEnsured: self._newline_ensured,
            messages.Junit: self._junit,
            messages.Amended: self._amended,
            messages.Interacted: self._interacted,
            messages.PdbShown: self._pdb_shown,
            messages.Gathered: self._gathered,
            messages.StopAsked: self._stop_asked,
            messages.Exited: self._exited,
            messages.ChildInterrupted: self._interrupted,
            messages.InternalError: self._internal_error,
        }

    @property
    def done(self) -> bool:
        """Whether every item is complete and shown."""
        return self.head >= len(self.items)

    def feed(self, index: int, message: Any) -> None:
        """Queue a message of the item.

        A late message, after the item was shown (its process died after it), is handled at once.
        """
        if self.interrupted:
            return
        if index < self.head:
            self._handlers[type(message)](index, message)
            return
        queue = self._queues[index]
        if queue is None:
            queue = self._queues[index] = deque()
        queue.append(message)
        if index > self.head and type(message) in _REPORTS and message.failed:
            self._early.note(index)

    def complete(self, index: int) -> None:
        """Mark the item as complete: no further message will come, and all that are due must have arrived."""
        self._complete[index] = self._complete[index] or _COMPLETE

    def leave_out(self, index: int) -> None:
        """Mark the item as left out: no further message will come, and none is due."""
        self._queues[index] = None
        self._complete[index] = _LEFT_OUT

    def is_complete(self, index: int) -> bool:
        return bool(self._complete[index])

    def forget(self, index: int) -> None:
        """Drop the queued messages, because the item will run again."""
        self._queues[index] = None
        self._early.forget(index)
        if index == self.head:
            self._arrived = Arrived()

    def can_run_again(self, index: int) -> bool:
        """Whether no report of this item has been shown."""
        return index >= self.head and index != self._reported_last

    def show(self, index: int, report: pytest.TestReport) -> None:
        """Show a report that does not count for an item's completeness."""
        self.items[index].ihook.pytest_runtest_logreport(report=report)

    def advance(self) -> None:
        """Show all messages that can be shown. Raises the exceptions that plain pytest's loop would raise."""
        while self.head < len(self.items):
            if not self._show_queue() or self._late.waits(self.head):
                self._early.tell(self.head)
                return
            self._show_late()  # what other processes tore down, if the item's own teardown was not reported
            self._check_complete()
            self._hooks.end()
            self._queues[self.head] = None
            self._arrived = Arrived()
            self.head += 1
            if self.session.shouldfail:
                raise self.session.Failed(self.session.shouldfail)
            if self.session.shouldstop:
                raise self.session.Interrupted(self.session.shouldstop)

    def _show_queue(self) -> bool:
        """Show the messages of the head that can be shown. Returns whether that were all."""
        queue = self._queues[self.head]
        while not self.interrupted:
            if self._held is not None:
                if self._late.waits(self.head):
                    return False
                self._show_late()
            if not queue:
                break
            message = queue.popleft()
            self._handlers[type(message)](self.head, message)
        return not self.interrupted and bool(self._complete[self.head])

    # -- collected = run + reported ------------------------------------------------------------

    def _check_complete(self) -> None:
        """Report an error of the head if anything of it is missing."""
        if self.stopping or self._complete[self.head] == _LEFT_OUT:
            return
        what = missing(self._arrived, self._rules)
        if what:
            self._tell_missing(what)

    def _tell_missing(self, what: str) -> None:
        if not self._arrived.started:
            self._started(self.head, None)
        self._made_here(self.head, new_report(self.items[self.head], "call", run_messages.unreported(what)))
        if not self._arrived.finished:
            self._finished(self.head, None)

    # -- one handler for each message --------------------------------------------------------

    def _started(self, index: int, _: Any) -> None:
        if index == self.head:
            self._arrived.started = True
        item = self.items[index]
        self._begin(index)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)

    def _begin(self, index: int) -> None:
        following = self.items[index + 1] if index + 1 < len(self.items) else None
        self._hooks.begin(self.items[index], following)

    def _ran(self, index: int, message: messages.ItemRan) -> None:
        if index == self.head:
            self._arrived.ran = message

    def _stats_changed(self, index: int, message: messages.StatsChanged) -> None:
        withdrawals.apply(self.config, self.session, self.items[index], message)

    def _finished(self, index: int, _: Any) -> None:
        if index == self.head:
            self._arrived.finished = True
        item = self.items[index]
        pytest_session.leave_item(item)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _reported(self, index: int, message: messages.Reported) -> None:
        item = self.items[index]
        report = unpack_report(self.config, message.payload, item)
        if self.gathered is not None:
            self.gathered.state.restore(report)
        teamcity.restore(report)
        pytest_session.set_failed_subtests(self.config, item, message.failed_subtests)
        if type(report.user_properties) is list and report.user_properties:  # else a test replaced ``list``
            item.user_properties[:] = report.user_properties
        if report.when == "teardown" and index == self.head and self._late.concerns(index):
            self._held = report
            return
        if index == self.head:
            self._note(report)
        self._show_report(index, report)

    # -- teardowns in other processes ------------------------------------------------------------

    def hold(self, index: int) -> None:
        """Show nothing after this item until :meth:`release`: another process has to tear down after it."""
        if index >= self.head:
            self._late.hold(index)

    def release(self, index: int, shown: Sequence[Any], failed: Sequence[pytest.TestReport]) -> None:
        """Add what another process tore down after this item: messages, and the reports of its failures."""
        self._late.release(index, shown, failed)

    def show_rest(self) -> None:
        """Show what other processes tore down, when the run stopped before the items that this belongs to."""
        for index in self._late.rest():
            if self._held is None and self._reported_last >= 0:
                stopped_at = self.items[self._reported_last]
                self._late.move(index, stopped_at.nodeid, stopped_at.location)
            self._show_late(index)

    def _show_late(self, index: int | None = None) -> None:
        """Show an item's teardown, of which other processes have done their part.

        The first failure takes the place of a teardown that passed, as there is only one in plain pytest.
        """
        index = self.head if index is None else index
        if not self._late.concerns(index):
            return
        shown, failed = self._late.take(index)
        for message in () if self.interrupted else shown:
            self._handlers[type(message)](index, message)
        held, self._held = self._held, None
        if held is not None:
            if failed and held.passed:
                held = one_teardown(held, failed.pop(0))
            self._note(held)
            self._show_report(index, held)
        for report in failed:
            self.show(index, report)

    def _note(self, report: pytest.TestReport) -> None:
        """Count a report; a missing call is reported before the teardown, where it belongs."""
        arrived = self._arrived
        if report.when == "teardown" and arrived.lacks_call(self._rules):
            what = "its call was not reported although its setup passed"
            self._made_here(
                self.head, new_report(self.items[self.head], "call", run_messages.unreported(what))
            )
        arrived.note(report.when, passed=report.passed, subtest=pytest_session.is_subtest(report))

    def _gathered(self, _: int, message: messages.Gathered) -> None:
        if self.gathered is not None:
            self.gathered.take(message.payload)

    def _made_here(self, index: int, report: Any) -> None:
        """Show a report that replaces the one that a child could not make."""
        if index == self.head:
            self._arrived.settled = True
        self._show_report(index, report)

    def _show_report(self, index: int, report: Any) -> None:
        self._reported_last = index
        self._last_report = report
        self._begin(index)  # a process may die before it says that the test began
        self._on_report(index, report)
        self.items[index].ihook.pytest_runtest_logreport(report=report)

    def _warned(self, index: int, message: messages.Warned) -> None:
        warning = unpack_warning(self.config, *message[:5])
        self.config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning,
                "when": message.when,
                "nodeid": message.nodeid,
                "location": message.location,
            }
        )

    def _wrote(self, index: int, message: messages.Wrote) -> None:
        writer = pytest_output.terminal_writer(self.config)
        if writer is not None:
            writer.write(message.text, flush=True, **message.markup)

    def _printed(self, index: int, message: messages.Printed) -> None:
        # What waits in buffers comes first. A test file may have put anything in the place of a stream.
        streams = (sys.stdout, sys.__stdout__) if message.fd == 1 else (sys.stderr, sys.__stderr__)
        for stream in streams:
            flush(stream)
        data = message.data
        while data:
            data = data[os.write(message.fd, data) :]

    def _logged(self, index: int, message: messages.Logged) -> None:
        pytest_output.write_log_file(self.config, message.text)

    def _logged_live(self, index: int, message: messages.LoggedLive) -> None:
        pytest_output.write_live_log(self.config, message.text, message.when)

    def _newline_ensured(self, index: int, _: messages.NewlineEnsured) -> None:
        pytest_output.ensure_newline(self.config)

    def _junit(self, index: int, message: messages.Junit) -> None:
        xml = junit.report(self.config)
        if xml is not None:
            target = xml.node_reporter(self.items[index].nodeid) if message.on_node else xml
            getattr(target, message.method)(*loads(message.args, self.config, self.items[index]))

    def _amended(self, index: int, message: messages.Amended) -> None:
        report = unpack_report(self.config, message.payload, self.items[index])
        if self._last_report is not None:
            vars(self._last_report).update(vars(report))

    def _interacted(self, index: int, message: messages.Interacted) -> None:
        item, report = self.items[index], self._last_report
        if message.report:
            report = unpack_report(self.config, message.report, item)
        self._hooks.interact(item, unpack_call(self.config, message.call, item), report)

    def _pdb_shown(self, index: int, _: messages.PdbShown) -> None:
        if self._last_report is not None:
            self._last_report._pdbshown = True

    def _stop_asked(self, index: int, message: messages.StopAsked) -> None:
        """Stop the run, because the child stopped after this item and ran nothing more of its file."""
        if message.failed:
            self.session.shouldfail = message.reason
            raise self.session.Failed(message.reason)
        self.session.shouldstop = message.reason
        raise self.session.Interrupted(message.reason)

    def _exited(self, index: int, message: messages.Exited) -> None:
        self._remember(message.memo)
        raise pytest.exit.Exception(message.reason, message.returncode)

    def _interrupted(self, index: int, message: messages.ChildInterrupted) -> None:
        """Handle a child that was interrupted, by a test or by the controller.

        In the latter case other children may still tear down, and end in their own time.
        """
        if self.stopping and index < self.head:
            return  # the tests of that child had ended
        self._remember(message.memo)
        self.interrupted = True
        if not self.stopping:
            raise KeyboardInterrupt

    def _internal_error(self, index: int, message: messages.InternalError) -> None:
        raise ChildInternalError(message.text)

    def _remember(self, memo: bytes | None) -> None:
        if memo is not None:
            try:
                self.memo = loads(memo, self.config)
            except Exception:
                self.memo = None
