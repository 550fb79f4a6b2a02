"""The run loop: starts a child for each group, replays its messages, and ends every process that it started.

The loop replaces ``pytest_runtestloop`` and nothing else: pytest itself collects, orders, selects and shows
the tests.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest

from pytest_hotreload.compat import plugins, pytest_output, pytest_session
from pytest_hotreload.compat.xdist import Nodes
from pytest_hotreload.errors import IncompleteRunError
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process.fork_messages import Answer
from pytest_hotreload.process.interrupts import Interrupts
from pytest_hotreload.process.job_control import Suspension
from pytest_hotreload.process.messages import (
    Asked,
    Collided,
    Ended,
    ItemRan,
    Missing,
    NeedsFixture,
    NotRewound,
    Printed,
    Unreadable,
)
from pytest_hotreload.process.slots import Slot, new_board
from pytest_hotreload.run import messages, preparation
from pytest_hotreload.run.child import reset
from pytest_hotreload.run.children import Children, RunningChild
from pytest_hotreload.run.context import RunContext, RunSetup
from pytest_hotreload.run.crashes import Crashes
from pytest_hotreload.run.endings import Endings
from pytest_hotreload.run.fixtures.shared import Shared
from pytest_hotreload.run.interfaces import Receiver
from pytest_hotreload.run.launcher import Launcher
from pytest_hotreload.run.phases import late_tests
from pytest_hotreload.run.replay import Replay
from pytest_hotreload.run.schedule import Group, Schedule, make_groups
from pytest_hotreload.run.status_line import Status, children_at_work
from pytest_hotreload.run.terminal_lease import Lease
from pytest_hotreload.run.timeouts import Deadlines
from pytest_hotreload.run.watched import WatchedRun
from pytest_hotreload.world import BUILTINS, os, signal, time

__builtins__ = BUILTINS

#: Seconds between two checks of the deadlines; no deadline is shorter than this.
_TICK = 0.1
#: Messages about the child's process or from its channel, which come whatever became of its tests.
_OF_PROCESSES = {Asked, Unreadable, NotRewound}


class RunLoop:
    """One run over the collected items. The totals are filled in for the closing lines."""

    def __init__(self, session: pytest.Session, setup: RunSetup) -> None:
        self.session, self.config, self.options = session, session.config, setup.options
        self.reporter, self.totals, self.records = setup.reporter, setup.totals, setup.records
        self.declarations, self.timeline = setup.declarations, setup.timeline
        self.reuse, self.rerun = setup.reuse, setup.rerun
        self.items = session.items
        self.alone = setup.slots == 1
        self._board = -1
        groups = make_groups(self.items, self.options.isolate, late_tests(self.items))
        reused = setup.reuse.taken if setup.reuse is not None else {}
        self.groups = [group for group in groups if group.path not in reused]
        self.totals.files = len({group.path for group in self.groups})
        self.slots = self._make_slots()
        self.children = Children()
        self.schedule = self._make_schedule(setup.slots)
        self.replay = self._make_replay()
        self.nodes = self._make_nodes()
        self.context = context = self._context()
        self.real = (os.dup(1), os.dup(2)) if pytest_output.stderr_is_real() else (os.dup(1), os.dup(1))
        self.crashes = Crashes(context)
        self.sources = Launcher(context, setup.origin, self.reporter, self.slots, self.real)
        self.lease = Lease(self.config, self.rerun)
        self.suspension = Suspension()
        self.deadlines = Deadlines(
            context, self.crashes, self.sources, self.lease, self.suspension, self.listen
        )
        self.status = Status(context, self._what_runs)
        self.watched = WatchedRun(context, self.lease)
        for slot in self.slots:
            self.children.add_slot(slot)
        if self.rerun is not None:
            self.children.add_listener(self.rerun, functools.partial(self.rerun.listen, self.watched))
        self.shared = Shared()
        self.endings = self._make_endings()
        self.ctrl_c = Interrupts(once=self.rerun is not None)
        self._pid = os.getpid()

    def _context(self) -> RunContext:
        return RunContext(
            session=self.session,
            config=self.config,
            options=self.options,
            items=self.items,
            children=self.children,
            schedule=self.schedule,
            replay=self.replay,
            nodes=self.nodes,
            totals=self.totals,
            records=self.records,
        )

    def _make_slots(self) -> list[Slot]:
        count = min(self.options.slots, max(len(self.groups), 1))
        one_stream = pytest_output.stderr_is_real() and os.path.sameopenfile(1, 2)
        if count > 1:
            self._board = new_board()
        return [Slot(i, alone=self.alone, one_stream=one_stream, board=self._board) for i in range(count)]

    def _make_schedule(self, slots: int) -> Schedule:
        return Schedule(self.groups, self.totals.durations, slots)

    def _make_replay(self) -> Receiver:
        return Replay(self.session, self._reported)

    def _make_nodes(self) -> Nodes:
        return Nodes(self.config, self.slots)

    def _make_endings(self) -> Endings:
        return Endings(self.context, self.sources, self.lease, self.crashes, self.watched, self.timeline)

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Run all groups. Raises the exceptions that plain pytest's loop raises."""
        self._before_first_fork()
        if self.reuse is not None:
            self.reuse.tell(self.items, self.replay)
        with ORIGINAL_NAMES:
            self.suspension.begin()
            self.ctrl_c.begin()
        try:
            self._fill_slots()
            if self.records is not None and self.rerun is None:  # while the first children run
                self.records.judge(group.path for group in self.groups)
            while not self.replay.done:
                try:
                    self.ctrl_c.look()
                    self._turn()
                except self.session.Interrupted:
                    raise  # a subclass of KeyboardInterrupt: this is shouldstop, not Ctrl-C
                except KeyboardInterrupt:
                    if self.replay.interrupted:
                        raise  # raised by a test, not by Ctrl-C: nothing after this test is shown
                    self.ctrl_c.end()  # the next Ctrl-C takes effect, also if a plugin raised this one
                    self._interrupt()
            self._check_complete()
        finally:
            if os.getpid() == self._pid:  # a child unwinds through here
                self._after_last_child()
        self.ctrl_c.look()

    def _turn(self) -> None:
        self._end_packages()
        self._fill_slots()
        plugins.let_greenlets_run()
        if self.rerun is not None:
            self.rerun.turn(self.watched)
        for running, frames in self.children.events(_TICK if self.children.living or self.schedule else 0):
            self.listen(running, frames)
        if self.deadlines.look() and self.children.living and self.lease.holder is None:
            self.status.show(time.monotonic())
        self._show()
        if not self.children.living and not self.schedule and not self.replay.done:
            self._end_fixtures()
            self._check_complete()

    def _reported(self, index: int, report: pytest.TestReport) -> None:
        if hasattr(report, "reused"):
            return
        self.totals.report(index, report)
        if self.records is not None:
            self.records.report(self.items[index], index, report)
        if self.timeline is not None:
            self.timeline.report(index, report)

    def _show(self) -> None:
        if self.lease.holder is None:
            if self.timeline is None:
                self.replay.advance()
            else:
                self.timeline.advance(self.replay)
            for running in self.children.living:
                if running.waiting is not None and self.replay.head in running.assigned:
                    self.lease.grant(running)
                    return

    def _before_first_fork(self) -> None:
        context = self.context
        preparation.warm(context, self.groups, self.sources)  # first: it may end in a usage error
        preparation.tell_of_nodes(context, several=not self.alone)
        self.reporter.prepare(self.session)
        pytest_session.locate(self.items[index] for group in self.groups for index in group.indices)
        self.shared = preparation.shared(context, self.groups)
        if self.records is not None:
            self.records.selected(self.items)
        self._keep_apart()
        preparation.tell(context, self.shared.notices)
        several = not self.alone or self.options.slots > 1
        self.endings.merger = preparation.gathers(context, self.reporter, several=several)
        self.sources.prepare(self.groups, self.shared.cleared)
        if self.groups:
            preparation.find_apart(context, self.groups, self.sources)

    def _keep_apart(self) -> None:
        if not self.alone:
            preparation.keep_apart(self.context, self.groups, self.declarations, self.sources)

    def _after_last_child(self) -> None:
        if self.timeline is not None:
            self.timeline.over()
        with ORIGINAL_NAMES:
            self.suspension.end()
            self.ctrl_c.end()
        self.schedule.clear()
        self.lease.end()
        self.status.close()
        self._end_fixtures()
        self.replay.show_rest()
        self.children.close()
        self.totals.run_ended()
        reset.unfreeze_gc(inherited=self.rerun is not None)
        for error in self.shared.tear_down(self.session):
            self.crashes.shared_teardown_failed(pytest_session.internal_error_text(self.config, error))
        self.nodes.down()
        merger = self.endings.merger
        if merger is not None:
            reused = len(self.reuse.taken) if self.reuse is not None else 0
            self.totals.notices += messages.not_gathered(
                merger.problems, merger.lost, sorted(merger.applied), reused
            )
        for slot in self.slots:
            slot.close()
        for descriptor in (*self.real, self._board):
            if descriptor >= 0:
                os.close(descriptor)
        if self.sources.fixtures is not None and self.sources.fixtures.interrupted:
            raise KeyboardInterrupt

    def _end_packages(self) -> None:
        """Let fixtures be torn down whose package has no more tests; what that shows comes before the next file."""
        for found in self.sources.fixtures.turn() if self.sources.fixtures is not None else ():
            self.crashes.torn_down(found)
            self._show()

    def _end_fixtures(self) -> None:
        """End the fixture processes, after the last child, and note what they saved."""
        fixtures = self.sources.fixtures
        if fixtures is None:
            return
        for running in list(self.children.living):  # after an interrupt or a stop
            self.children.kill(running, "the run is over")
        for found in fixtures.end():
            self.crashes.torn_down(found)
        self.totals.fixtures_once = fixtures.shared()
        self.totals.fixtures_refused = fixtures.refused()

    def _check_complete(self) -> None:
        """Check executed + deselected = collected; any difference is an error, never a green run."""
        self.replay.advance()
        if not self.replay.done:
            item = self.items[self.replay.head]
            raise IncompleteRunError(
                f"{item.nodeid} was collected, but has no result",
                hint="report this as a bug; --no-hotreload runs the suite without children",
            )

    # -- starting ------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        for slot in self.slots:
            group = self.schedule.next(self.children.groups()) if self._may_start(slot) else None
            if group is not None:
                self._start(group, slot)

    def _may_start(self, slot: Slot) -> bool:
        fixtures = self.sources.fixtures
        waits = fixtures is not None and fixtures.is_waiting(slot)
        return slot.running is None and bool(self.schedule) and not self.context.interrupted and not waits

    def _start(self, group: Group, slot: Slot) -> None:
        self.totals.children += 1
        self.sources.start(group, slot)
        if self.timeline is not None and slot.running is not None:
            self.timeline.started(slot.running)

    # -- listening -----------------------------------------------------------------------------

    def listen(self, running: RunningChild, frames: list[tuple[int, Any]]) -> None:
        """Handle new messages of a child, and its end."""
        running.heard += len(frames)
        for index, message in [] if running.over else frames:
            self._take(running, index, message)
        if running.status is not None:
            self.endings.end(running)

    def _take(self, running: RunningChild, index: int, message: Any) -> None:
        kind = type(message)
        if kind in _OF_PROCESSES:
            self._take_from_process(running, message)
            return
        if running.stopped:
            return
        if running.rerouted:
            self.endings.take_rest(running, message)
            return
        if kind is NeedsFixture:
            self.endings.reroute(running, message.name)
            return
        if kind is Collided and running.collided is None:
            self.crashes.collided(running, index, message.address)
            return
        if self.crashes.contends(running) and not running.came_before(index):
            running.ended = message if kind is Ended else running.ended
            return
        self.lease.end_of(running)
        if kind is Ended:
            running.ended = message
        elif kind is Missing:
            self.crashes.missing(index, message.reason)
        else:
            self._replay(running, index, message)

    def _take_from_process(self, running: RunningChild, message: Any) -> None:
        if type(message) is Asked:
            self._answer(running, message)
            return
        running.heard -= 1
        if type(message) is Unreadable:
            self.children.kill(running, messages.unreadable(message.why))
        else:
            self.sources.rewinding.refused(message)

    def _replay(self, running: RunningChild, index: int, message: Any) -> None:
        if type(message) is Printed:
            running.slot.files.taken[message.fd] += len(message.data)
        if index in running.group.repeated:
            return
        self.replay.feed(index, message)
        if type(message) is ItemRan and index != running.assigned[-1]:
            self.replay.complete(index)

    def _answer(self, running: RunningChild, asked: Asked) -> None:
        answer: Any = None
        if asked.what == "basetemp":
            answer = str(pytest_session.temporary_factory(self.config).getbasetemp())
        elif asked.what == "shown":
            self._show()
        elif asked.what == "files":
            answer = self._following_of(running)
        elif asked.what == "terminal":
            self.lease.end_of(running)
            running.waiting = asked
            return
        elif asked.what == "release":
            self.lease.end()
        running.slot.channel.send(-1, Answer(asked.number, answer))

    def _following_of(self, running: RunningChild) -> list[int] | None:
        """Give a child that runs several files its next one; None if there is none that may run in it."""
        following = self.schedule.following(running.group, self.children.groups(but=running))
        if following is None:
            return None
        running.following.append(following)
        if self.timeline is not None:
            self.timeline.given(running, following.indices)
        return following.indices

    def _what_runs(self, now: float) -> list[str]:
        """Return the phrases for the status line."""
        return children_at_work(self.context, now)

    # -- Ctrl-C ----------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """Handle Ctrl-C: the first one makes children tear down, the second one ends them at once."""
        self.schedule.close()
        self.replay.stopping = True
        if self.rerun is not None:
            self.rerun.interrupted()
        self.children.signal_all(signal.SIGINT)
        if self.sources.fixtures is not None:
            self.sources.fixtures.interrupt()
        while self.children.living:
            for running, frames in self.children.events(_TICK):
                self.listen(running, frames)
            self._show()
        raise KeyboardInterrupt
