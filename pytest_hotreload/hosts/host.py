"""A host: a complete controller that gets its test files from the user's controller and sends its reports there.

A host collects, and has slots, children, second tries and time limits like any other controller. The features that
belong to the user's controller (terminal, report files, cache, selection, stopping) are disabled, as in any
self-collecting child.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.compat import console, plugins, pytest_output
from pytest_hotreload.compat.xdist import Node, Nodes, WorkerNode
from pytest_hotreload.host_options import HOST_ENVIRONMENT
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.hosts.protocol import (
    Absent,
    Batch,
    Begin,
    ChildEnded,
    ChildStarted,
    Finish,
    GivenBack,
    Idle,
    Interrupt,
    ItemMessages,
    Late,
    Noticed,
    RunFile,
    Wants,
)
from pytest_hotreload.hosts.start import inherited
from pytest_hotreload.options import Options
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.messages import Asked, Ended
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.child import self_collecting
from pytest_hotreload.run.children import RunningChild
from pytest_hotreload.run.loop import RunLoop
from pytest_hotreload.run.replay import Receiver
from pytest_hotreload.run.schedule import Group, Schedule
from pytest_hotreload.world import BUILTINS, os, signal, sockets

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.context import RunSetup
    from pytest_hotreload.run.gathered.merge import Merger

#: Seconds between two checks of living children, as in any run loop.
_TICK = 0.1
#: Seconds of a wait without living children, when only the user's controller can send messages.
_LONG = 60.0


class HostRole:
    """The plugin of a host's pytest, and its connection to the user's controller. Active before the first conftest."""

    def __init__(self, lifeline: int, end: int) -> None:
        for descriptor in (lifeline, end):
            os.set_inheritable(descriptor, False)
        end_with(lifeline)
        self.channel = Channel(sockets.socket(fileno=end))
        _, begin = self.channel.receive()
        self.begin: Begin = begin
        #: (node id, error text) of collectors that failed.
        self.errors: list[tuple[str, str]] = []
        self._out: list[Any] = []
        self.xmlpath: str | None = None

    @classmethod
    def started(cls) -> HostRole | None:
        """The role if an agent started this process; else None."""
        found = inherited()
        if found is None:
            return None
        del os.environ[HOST_ENVIRONMENT]
        return cls(*found)

    def send(self, message: Any) -> None:
        """Queue a message to the user's controller for the next :meth:`flush`."""
        self._out.append(message)

    def flush(self) -> None:
        """Send the queued messages as one batch.

        Messages that a child sent together have to arrive together, because the user's controller may stop after any
        of them.
        """
        if self._out:
            self.channel.send(-1, Batch(tuple(self._out)))
            self._out.clear()

    def options(self, chosen: Options) -> Options:
        """The user's options without those that apply only to the user's controller."""
        return replace(
            chosen,
            slots=len(self.begin.workers),
            hosts=(),
            direct=False,
            records=False,
            affected=False,
            affected_since=None,
            reuse="off",
            watch=False,
            json=None,
            shard=None,
            shard_plan=None,
            shard_from=None,
        )

    @property
    def workerinput(self) -> dict[str, Any]:
        """The value for plugins that test whether this process is a worker: that of the first slot."""
        return dict(self.begin.workers[0].workerinput)

    def join(self, config: pytest.Config) -> None:
        """Register this plugin before the first conftest."""
        config.workeroutput = {}  # type: ignore[attr-defined]
        plugins.keep_coverage_files(config)
        config.pluginmanager.register(self, "hotreload-host")

    def worker_for_good(self, config: pytest.Config) -> None:
        """Set ``config.workerinput`` for all readers until the end of the session.

        Before this call, ``workerinput`` was only watched for early readers.
        """
        config.workerinput = self.workerinput  # type: ignore[attr-defined]

    # -- hooks -----------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        self.xmlpath = config.option.xmlpath
        self_collecting.disable_session_plugins(config)
        if config.option.basetemp:
            config.option.basetemp = f"{config.option.basetemp}-host{self.begin.number}"
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self.xmlpath:
            pytest_output.stand_in_for_junit(config, self.xmlpath)
        config.stash[console.TOLD] = lambda text: self.send(Noticed(text, summary=False))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append((report.nodeid, str(report.longrepr)))

    def why_missing(self, nodeid: str) -> str:
        """The reason for which this item was not collected, in words."""
        above = (text for collector, text in self.errors if nodeid.startswith(collector))
        return "\n\n".join(above) or hosts_messages.not_found()


class Relay:
    """A :class:`replay.Receiver` that shows nothing: it sends an item's messages when the item is complete.

    Therefore neither a second try on this host nor its loss leaves an item with some of its messages sent.
    """

    done, stopping, interrupted, memo = False, False, False, None
    gathered: Merger | None = None

    def __init__(self, host: HostRole, items: int) -> None:
        self.host, self.head = host, items
        #: Index of an item here -> index in the user's controller.
        self.theirs: dict[int, int] = {}
        self._queues: dict[int, list[Any]] = {}
        self._complete: set[int] = set()

    def feed(self, index: int, message: Any) -> None:
        """Keep a message of the item. A message after the item's completion is sent at once."""
        if index in self._complete:
            self.host.send(Late(self.theirs[index], message))
        else:
            self._queues.setdefault(index, []).append(message)

    def complete(self, index: int) -> None:
        """Send the item's messages, because no more will come."""
        if index not in self._complete:
            self._complete.add(index)
            self.host.send(ItemMessages(self.theirs[index], tuple(self._queues.pop(index, ()))))

    def leave_out(self, index: int) -> None:
        """Report that the item has no result here.

        A run with hosts leaves out no item by itself, so the user's controller treats the item as missing.
        """
        self._queues.pop(index, None)
        if index not in self._complete:
            self._complete.add(index)
            self.host.send(Absent(self.theirs[index], hosts_messages.left_out()))

    def is_complete(self, index: int) -> bool:
        return index in self._complete

    def forget(self, index: int) -> None:
        """Drop the kept messages, because the item will run again."""
        self._queues.pop(index, None)

    def can_run_again(self, index: int) -> bool:
        """Whether no message of this item has been sent."""
        return index not in self._complete

    def again(self, index: int) -> None:
        """Note that this host received the item again."""
        self._complete.discard(index)

    def advance(self) -> None:
        """Do nothing: the user's controller shows the results."""

    def show(self, index: int, report: pytest.TestReport) -> None:  # noqa: ARG002 - the last item here
        """Send a report that belongs to no item; the user's controller shows it with the last item."""
        self.host.send(Late(-1, report))


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

    def again(self, group: Group) -> None:
        if group.exclusive:
            self._give_back(group)
        else:
            super().again(group)


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

    def _ended_well(self, running: RunningChild, ended: Ended) -> None:
        if not running.group.alone:
            self.sources.learn(ended.modules)

    def _finish(self, running: RunningChild) -> None:
        ended = running.ended if running.status == 0 else None
        if ended is not None:
            ended = ended._replace(observed=None)
        self.host.send(ChildEnded(running.slot.index, ended))
        super()._finish(running)

    def _give_back(self, group: Group) -> None:
        self.host.send(GivenBack(tuple(self.replay.theirs[index] for index in group.indices)))
