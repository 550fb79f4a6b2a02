"""Dispatches test files to hosts, receives their messages and replays them: the controller's run loop with hosts.

This process runs no child. The reports of hosts are mapped to the items collected here, so that all output comes from
these items, as in any run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.compat import console, plugins
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.compat.xdist import Nodes
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.hosts.protocol import (
    Absent,
    ChildEnded,
    ChildStarted,
    Closed,
    GivenBack,
    Idle,
    ItemMessages,
    Late,
    Noticed,
    RunFile,
    WantedItem,
    Wants,
)
from pytest_hotreload.process.messages import Ended
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.loop import RunLoop
from pytest_hotreload.run.schedule import Group
from pytest_hotreload.world import BUILTINS, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.hosts.hosts import Hosts, RemoteHost
    from pytest_hotreload.run.context import RunSetup

#: Seconds between two updates of the output while hosts send nothing.
_TICK = 0.5
#: The number of lost hosts after which a file's tests fail: a file that crashes its machine must not crash them all.
_MOST_LOSSES = 3


class DistributingLoop(RunLoop):
    """The run loop of a controller with hosts. The hosts are connected, and collect at the same time."""

    def __init__(self, session: pytest.Session, setup: RunSetup, hosts: Hosts) -> None:
        self.hosts = hosts
        super().__init__(session, setup)
        self.children.add_listener(hosts.channel, self._hear)
        self._wanted = self._number(self.items)
        self._hurries = False  # True after a second Ctrl-C
        self._handlers: dict[type, Callable[[RemoteHost, Any], None]] = {
            Wants: self._wants,
            ItemMessages: self._told,
            Late: self._late,
            Absent: self._absent,
            GivenBack: self._given_back,
            ChildStarted: self._child_started,
            ChildEnded: self._child_ended,
            Noticed: self._noticed,
            Idle: self._idle,
            Closed: self._closed,
        }

    def _make_slots(self) -> list[Slot]:
        return []

    def _make_nodes(self) -> Nodes:
        return self.hosts.nodes

    @staticmethod
    def _number(items: Iterable[pytest.Item]) -> list[WantedItem]:
        """Number the items that share a node id (``--keep-duplicates``); hosts collect these in the same order."""
        seen: dict[str, int] = {}
        wanted = []
        for index, item in enumerate(items):
            which = seen.get(item.nodeid, 0)
            seen[item.nodeid] = which + 1
            wanted.append(WantedItem(index, item.nodeid, which))
        return wanted

    # -- the loop --------------------------------------------------------------------------------

    def _before_first_fork(self) -> None:
        self.nodes.collected([item.nodeid for item in self.items])
        plugins.find_participants(self.config)
        if self.records is not None:
            self.records.selected(self.items)
            # A failure still invalidates a record, but a pass on another machine makes none.
            self.records.partial.update(group.path for group in self.groups)
            self.totals.notices.append(hosts_messages.no_records())
        self._keep_apart()

    def _fill_slots(self) -> None:
        """Give one file after the other to the host with the largest share of free slots.

        While there are more files than slots, each slot has one file ahead, so that it need not wait for a round trip
        to this process. At the end this does not pay: a file that waits for one slot while another is free costs more.
        """
        while self.schedule and not self.context.interrupted:
            ahead = 2 if len(self.schedule) > self.hosts.total else 1
            waiting = [host for host in self.hosts.alive if host.wants and len(host.out) < ahead * host.slots]
            group = self.schedule.next(self.hosts.running) if waiting else None
            if group is None:
                return
            self._give(group, min(waiting, key=lambda host: len(host.out) / host.slots))

    def _give(self, group: Group, host: RemoteHost) -> None:
        host.wants -= 1
        host.out.append(group)
        wanted = tuple(self._wanted[index] for index in group.indices)
        self.hosts.send(host, RunFile(wanted, self.session.testsfailed, group.exclusive))

    def _turn(self) -> None:
        self._fill_slots()
        list(self.children.events(_TICK))  # calls _hear
        self._show()
        if self.hosts.running:
            self.status.show(time.monotonic())
        if not self.hosts.alive and not self.replay.done:
            waiting = sum(not self.replay.is_complete(index) for index in range(len(self.items)))
            raise self.session.Interrupted(hosts_messages.none_left(waiting))

    def _what_runs(self, now: float) -> list[str]:  # noqa: ARG002 - hosts don't tell since when
        """The running test files, one line for each host."""
        return [
            hosts_messages.runs(
                host.name, list(dict.fromkeys(self.context.shown(group.path) for group in host.out))
            )
            for host in self.hosts.alive
            if host.out
        ]

    def _hear(self) -> None:
        for host, message in self.hosts.read():
            self._handlers[type(message)](host, message)

    # -- messages from hosts ---------------------------------------------------------------------

    def _wants(self, host: RemoteHost, message: Wants) -> None:
        host.collected = True
        host.wants += message.files

    def _told(self, host: RemoteHost, message: ItemMessages) -> None:
        if not self.replay.is_complete(message.item):
            for each in message.messages:
                self.replay.feed(message.item, each)
            self.replay.complete(message.item)
        self._completed(host)

    def _late(self, _: RemoteHost, message: Late) -> None:
        if message.item < 0:
            self.replay.show(len(self.items) - 1, message.message)
        else:
            self.replay.feed(message.item, message.message)

    def _absent(self, host: RemoteHost, message: Absent) -> None:
        if not self.replay.is_complete(message.item):
            self.crashes.missing(message.item, hosts_messages.from_host(host.name, message.reason))
        self._completed(host)

    def _completed(self, host: RemoteHost) -> None:
        host.out = [group for group in host.out if self._unfinished(group)]

    def _unfinished(self, group: Group) -> list[int]:
        return [index for index in group.indices if not self.replay.is_complete(index)]

    def _given_back(self, host: RemoteHost, message: GivenBack) -> None:
        back = set(message.indices)
        for group in host.out:
            if back.intersection(group.indices):
                rest = [index for index in group.indices if index in back]
                group.indices = [index for index in group.indices if index not in back]
                if not self.context.interrupted:
                    self.schedule.again(group.rest(rest, exclusive=True))
        self._completed(host)

    def _child_started(self, _: RemoteHost, __: ChildStarted) -> None:
        self.totals.children += 1

    def _child_ended(self, host: RemoteHost, message: ChildEnded) -> None:
        ended: Ended | None = message.ended
        if ended is None:
            return
        self.totals.ended(ended)
        self.nodes.child_ended(host.workers[message.slot], loads(ended.workeroutput, self.config))
        if ended.coverage is not None:
            plugins.add_coverage(ended.coverage)

    def _noticed(self, host: RemoteHost, message: Noticed) -> None:
        text = hosts_messages.from_host(host.name, message.text)
        if message.summary:
            self.totals.notices.append(text)
        else:
            console.notice(self.config, text)

    @staticmethod
    def _idle(host: RemoteHost, _: Idle) -> None:
        host.idle = True

    def _closed(self, host: RemoteHost, message: Closed) -> None:
        """Handle the loss of a host: its unfinished files go to the front of the queue, in their previous order."""
        host.gone, lost, host.out = True, host.out, []
        why = message.why or hosts_messages.ended(message.status, message.tail)
        console.notice(self.config, hosts_messages.lost(host.name, why, len(lost)))
        for group in [] if self.context.interrupted else reversed(lost):
            rest = self._unfinished(group)
            if group.tries + 1 < _MOST_LOSSES:
                self.schedule.again(group.rest(rest, tries=group.tries + 1))
                continue
            for index in rest:
                self.crashes.missing(index, hosts_messages.lost_too_often(_MOST_LOSSES))

    # -- the end ---------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """Handle a Ctrl-C: ask all hosts to stop, and wait until they have. A second Ctrl-C ends the wait."""
        self.schedule.close()
        self.replay.stopping = True
        self.hosts.interrupt()
        try:
            while any(not host.idle for host in self.hosts.alive):
                list(self.children.events(_TICK))
                self._show()
        except KeyboardInterrupt:
            self._hurries = True
            raise
        raise KeyboardInterrupt

    def _after_last_child(self) -> None:
        if not self._hurries:
            for host, message in self.hosts.finish():
                if not isinstance(message, Closed):
                    self._handlers[type(message)](host, message)
        self.hosts.close()
        super()._after_last_child()
