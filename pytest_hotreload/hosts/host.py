"""A host: a complete controller that gets its test files from the user's controller and sends its reports there.

A host collects, and has slots, children, second tries and time limits like any other controller. The features that
belong to the user's controller (terminal, report files, cache, selection, stopping) are disabled, as in any
self-collecting child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.compat.xdist import Node, Nodes, WorkerNode
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.hosts.protocol import (
    Absent,
    Begin,
    ChildEnded,
    ChildStarted,
    Finish,
    GivenBack,
    Idle,
    Interrupt,
    Noticed,
    RunFile,
    Wants,
)
from pytest_hotreload.hosts.relay import Relay
from pytest_hotreload.hosts.role import HostRole
from pytest_hotreload.process.messages import Asked, Ended
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.children import RunningChild
from pytest_hotreload.run.endings import Endings
from pytest_hotreload.run.interfaces import Receiver
from pytest_hotreload.run.loop import RunLoop
from pytest_hotreload.run.schedule import Group, Schedule
from pytest_hotreload.world import BUILTINS, os, signal

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.context import RunSetup

#: Seconds between two checks of living children, as in any run loop.
_TICK = 0.1
#: Seconds of a wait without living children, when only the user's controller can send messages.
_LONG = 60.0


class HostNodes(Nodes):
    """Nodes that the user's controller has configured, and for which it calls the hooks."""

    def __init__(self, config: pytest.Config, slots: list[Slot], begin: Begin) -> None:
        super().__init__(config, [])
        self._environ = {}
        for slot, worker in zip(slots, begin.workers, strict=False):
            slot.worker_id = worker.worker_id
            slot.node = Node(config, worker.worker_id, 0, "")
            slot.node.workerinput = dict(worker.workerinput)
            self._environ[worker.worker_id] = dict(worker.environ)

    def environ(self, slot: WorkerNode) -> dict[str, str]:
        return self._environ[slot.worker_id]

    def down(self) -> None:
        """Do nothing: the user's controller calls the hook for the end of a node."""


class HostSchedule(Schedule):
    """A schedule that returns exclusive groups to the user's controller, since no other host may run meanwhile."""

    def __init__(self, give_back: Any) -> None:
        super().__init__((), {}, 1)
        self._give_back = give_back

    def append(self, group: Group) -> None:
        """Add a group behind the waiting ones."""
        self._queue.append(group)

    def again(self, *groups: Group) -> None:
        for group in groups:
            if group.exclusive:
                self._give_back(group)
        super().again(*(group for group in groups if not group.exclusive))


class HostEndings(Endings):
    """The endings of a host's children: the user's controller records them."""

    host: HostRole

    def end(self, running: RunningChild) -> None:
        ended = running.ended if running.status == 0 else None
        if ended is not None:
            ended = ended._replace(observed=None)
        self.host.send(ChildEnded(running.slot.index, ended))
        super().end(running)

    def _ended_well(self, running: RunningChild, ended: Ended) -> None:
        self._take_of_fork(running, ended)


class HostLoop(RunLoop):
    """The run loop of a host."""

    replay: Relay
    schedule: HostSchedule

    def __init__(self, session: pytest.Session, setup: RunSetup, host: HostRole) -> None:
        host.worker_for_good(session.config)
        self.host = host
        super().__init__(session, setup)
        self.children.add_listener(host.channel, self._hear)
        self._places = self._find_places()
        self._asked, self._idle = 0, False
        self._finished = False

    def _make_schedule(self, slots: int) -> Schedule:  # noqa: ARG002 - the user's controller orders
        return HostSchedule(self._give_back)

    def _make_replay(self) -> Receiver:
        return Relay(self.host, len(self.items))

    def _make_nodes(self) -> Nodes:
        return HostNodes(self.config, self.slots, self.host.begin)

    def _make_endings(self) -> Endings:
        endings = HostEndings(
            self.context, self.sources, self.lease, self.crashes, self.watched, self.timeline
        )
        endings.host = self.host
        return endings

    def _find_places(self) -> dict[tuple[str, int], int]:
        """(node id, index among the items with this node id) -> index of the item."""
        counts: dict[str, int] = {}
        places = {}
        for index, item in enumerate(self.items):
            which = counts.get(item.nodeid, 0)
            counts[item.nodeid] = which + 1
            places[item.nodeid, which] = index
        return places

    def run(self) -> None:
        """Run the received files until the user's controller ends the session or the connection."""
        self._before_first_fork()
        self._alone = {group.path: group.alone for group in self.groups}
        try:
            while not self._finished:
                self._turn()
        finally:
            if os.getpid() == self._pid:  # a child unwinds through here
                self._after_last_child()
                self._tell_notices()
                self.host.flush()

    def _turn(self) -> None:
        self._fill_slots()
        self._ask_for_files()
        self.host.flush()
        for running, frames in self.children.events(_TICK if self.children.living else _LONG):
            self.listen(running, frames)
        self.deadlines.look()
        self._tell_notices()
        if self.context.interrupted and not self.children.living and not self._idle:
            self._idle = True
            self.host.send(Idle())
        self.host.flush()

    def _ask_for_files(self) -> None:
        """Request a file for each free slot, and one more for each slot.

        A host that collected nothing requests files as well, and reports their items as absent.
        """
        free = sum(slot.running is None for slot in self.slots) + len(self.slots)
        free -= len(self.schedule) + self._asked
        if free > 0 and not self.context.interrupted:
            self._asked += free
            self.host.send(Wants(free))

    def _tell_notices(self) -> None:
        for text in self.totals.notices:
            self.host.send(Noticed(text, summary=True))
        self.totals.notices.clear()

    def _keep_apart(self) -> None:
        """Do nothing: the user's controller lets conflicting files take turns, on all hosts."""

    # -- messages from the user's controller ------------------------------------------------------

    def _hear(self) -> None:
        frames, closed = self.host.channel.drain()
        for _, message in frames:
            if isinstance(message, RunFile):
                self._take_file(message)
            elif isinstance(message, Interrupt):
                self._interrupt()
            elif isinstance(message, Finish):
                self._finished = True
        self._finished = self._finished or closed

    def _take_file(self, message: RunFile) -> None:
        self._asked -= 1
        self.session.testsfailed = message.failed
        indices = []
        for wanted in message.wanted:
            index = self._places.get((wanted.nodeid, wanted.which))
            if index is None:
                self.host.send(Absent(wanted.item, self.host.why_missing(wanted.nodeid)))
            else:
                self.replay.theirs[index] = wanted.item
                self.replay.again(index)
                indices.append(index)
        if indices and not self.context.interrupted:
            path = str(self.items[indices[0]].path)
            alone = self._alone.get(path, "")
            self.schedule.append(Group(path, indices, alone=alone, exclusive=message.exclusive))

    def _interrupt(self) -> None:
        self.schedule.close()
        self.children.signal_all(signal.SIGINT)

    # -- messages from children -------------------------------------------------------------------

    def _start(self, group: Group, slot: Slot) -> None:
        self.host.send(ChildStarted())
        super()._start(group, slot)
        if slot.running is not None and self.host.begin.crowded:
            slot.running.accompanied = True  # perhaps by a child of another host

    def _answer(self, running: RunningChild, asked: Asked) -> None:
        if asked.what == "terminal":
            self.children.kill(running, hosts_messages.no_terminal())
        else:
            super()._answer(running, asked)

    def _show(self) -> None:
        """Do nothing: the user's controller shows the results."""

    def _give_back(self, group: Group) -> None:
        self.host.send(GivenBack(tuple(self.replay.theirs[index] for index in group.indices)))
