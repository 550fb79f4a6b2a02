"""Decides the fate of a group whose child has ended: completed, run again, continued elsewhere, left out or failed."""

from __future__ import annotations

from typing import Any

from pytest_hotreload.compat import plugins
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.process.messages import Ended, Gathered
from pytest_hotreload.run import messages
from pytest_hotreload.run.children import RunningChild
from pytest_hotreload.run.context import RunContext
from pytest_hotreload.run.crashes import Crashes
from pytest_hotreload.run.gathered.merge import Merger
from pytest_hotreload.run.interfaces import Timeline
from pytest_hotreload.run.launcher import Launcher
from pytest_hotreload.run.terminal_lease import Lease
from pytest_hotreload.run.watched import WatchedRun
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


class Endings:
    """Decides what becomes of the tests of children that have ended, and takes what these children said last."""

    def __init__(
        self,
        context: RunContext,
        sources: Launcher,
        lease: Lease,
        crashes: Crashes,
        watched: WatchedRun,
        timeline: Timeline | None,
    ) -> None:
        self._context, self._sources, self._lease = context, sources, lease
        self._crashes, self._watched, self._timeline = crashes, watched, timeline
        #: What takes the data that plugins gathered in children; None if no plugin gathers any.
        self.merger: Merger | None = None

    def end(self, running: RunningChild) -> None:
        """Handle the end of a child, whose messages have all been read."""
        self._lease.end_of(running)
        if running.left:
            self._left_processes(running)
        if running.rewound is not None:
            self._sources.rewinding.done(running.rewound)
        elif running.status and self._sources.rewinding.broke(running):
            running.status = 0
        ended = running.ended if running.status == 0 and not running.stopped else None
        if self._timeline is not None:
            self._timeline.ended(running, ended)
        if ended is not None:
            self._ended_well(running, ended)
        elif self._context.records is not None and not running.stopped:
            self._context.records.spoiled(running.group.path)
        if not running.stopped:
            self._crashes.contends(running)
            self._note_lost_gathering(running, ended)
        self._settle(running, ended)

    def _settle(self, running: RunningChild, ended: Ended | None) -> None:
        """Complete, rerun, fail or leave out the items of a child that is gone."""
        if running.stopped:
            for group in running.groups:
                self._watched.leave_out(group)
        elif running.rerouted:
            self._run_rest(running)
        elif running.collided is not None:
            self._crashes.run_alone(running)
        elif ended is not None:
            if ended.frames not in (-1, running.heard) and not self._context.interrupted:
                self._crashes.lost(running, ended)
            for index in running.assigned:
                self._context.replay.complete(index)
        else:
            self._crashes.died(running)

    def reroute(self, running: RunningChild, name: str) -> None:
        """A test needs a fixture that another process holds: the child ends, and the rest of the file runs there."""
        running.rerouted = True
        if self._sources.fixtures is not None:
            self._sources.fixtures.need(running.group, name)

    def take_rest(self, running: RunningChild, message: Any) -> None:
        """Of a rerouted child, take what counts for the tests that it ran: what it observed, measured and gathered."""
        if type(message) is Ended:
            running.ended = message
        elif type(message) is Gathered:
            ran = [index for index in running.assigned if self._context.replay.is_complete(index)]
            if ran:  # the test that it stopped before is forgotten, with all its messages
                self._context.replay.feed(ran[-1], message)

    def _run_rest(self, running: RunningChild) -> None:
        unfinished = [index for index in running.assigned if not self._context.replay.is_complete(index)]
        if unfinished and not self._context.interrupted:
            self._context.replay.forget(unfinished[0])
            self._context.schedule.again(*running.rest(unfinished))

    def _note_lost_gathering(self, running: RunningChild, ended: Ended | None) -> None:
        """Note a file whose gathered data is lost: its child did not end well, and does not run again."""
        if self.merger is not None and ended is None and running.collided is None:
            self.merger.lost.append(self._context.shown(running.group.path))

    def _left_processes(self, running: RunningChild) -> None:
        path = running.group.path
        self._context.totals.notices.append(messages.leftovers(self._context.shown(path), running.left))
        if self._context.records is not None:
            self._context.records.left_processes(path)

    def _ended_well(self, running: RunningChild, ended: Ended) -> None:
        """Record a child that ended well, even if it stopped early.

        The recorded accesses and the coverage of the tests that ran count.
        """
        self._context.nodes.child_ended(running.slot, loads(ended.workeroutput, self._context.config))
        self._context.totals.ended(ended)
        if self._sources.fixtures is not None:
            self._sources.fixtures.learn(running.group, ended.fixtures, ended.requested)
        if self._context.records is not None:
            spent = sum(cost.seconds for cost in ended.fixtures)
            self._context.records.child_ended(running.group.path, ended.observed, spent)
        if ended.started_over:
            path = self._context.shown(running.group.path)
            self._context.totals.notices.append(messages.collected_anew(path, ended.started_over))
        self._take_of_fork(running, ended)
        if ended.coverage is not None:
            plugins.add_coverage(ended.coverage)

    def _take_of_fork(self, running: RunningChild, ended: Ended) -> None:
        """Take what the end of a fork means for its fork point: modules to learn, and files that are old there.

        If tests replaced files that are open in the fork point, all later files collect by themselves.
        """
        if running.group.alone:
            return
        self._sources.learn(ended.modules)
        if ended.replaced and self._context.schedule.all_alone("replaced"):
            path, replaced = self._context.shown(running.group.path), self._context.shown(ended.replaced[0])
            self._context.totals.notices.append(messages.replaced_file(path, replaced))
