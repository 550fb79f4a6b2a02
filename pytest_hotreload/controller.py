"""The run loop: forks a child for each group, listens, replays, and ends everything it began.

It replaces ``pytest_runtestloop`` and nothing else: what is collected, ordered, selected and shown
is pytest's own.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from . import child, compat, others, reset, terminal
from .children import Children, Running
from .crashes import Crashes
from .deadlines import Deadlines
from .errors import ChildInternalError, IncompleteRun
from .nodes import Nodes
from .options import Options
from .protocol import Answer, Asked, Channel, Ended, Missing
from .replay import Replay
from .schedule import Group, Schedule, make_groups
from .slots import Slot
from .status import Status
from .totals import Totals

#: Seconds between two looks at deadlines; none of them is shorter than this.
_TICK = 0.1


class RunLoop:
    """One run over the collected items. ``totals`` is filled for the closing lines."""

    def __init__(
        self,
        session: pytest.Session,
        options: Options,
        reporter: child.Reporter,
        totals: Totals,
        lifeline: tuple[int, int],
    ) -> None:
        self.session, self.config, self.options = session, session.config, options
        self.reporter, self.totals = reporter, totals
        self.items = session.items
        self.lifeline = lifeline
        self.alone = options.slots == 1
        groups = make_groups(self.items, options.isolate)
        self.totals.files = len({group.path for group in groups})
        self.schedule = Schedule(groups, totals.durations, options.slots)
        count = min(options.slots, max(len(groups), 1))
        self.slots = [Slot(index, alone=self.alone) for index in range(count)]
        self.children = Children()
        self.nodes = Nodes(self.config, self.slots)
        self.replay = Replay(session, totals.report)
        self.crashes = Crashes(self)
        self.deadlines = Deadlines(self)
        self.status = Status(self)
        self.real = (os.dup(1), os.dup(2)) if compat.stderr_is_real() else (os.dup(1), os.dup(1))
        self.children.private += [lifeline[1]]
        self.interrupts = 0
        self._lease: Running | None = None
        self._plain_sigint: Any = None

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Run everything. Raises what plain pytest's loop raises."""
        self._before_first_fork()
        try:
            while not self.replay.done:
                try:
                    self._turn()
                except KeyboardInterrupt:
                    self._interrupt()
            self._check_complete()
        finally:
            self._after_last_child()

    def _turn(self) -> None:
        self._fill_slots()
        for event in self.children.events(_TICK):
            self._listen(event)
        self.deadlines.look()
        self._show()
        if not self.children.living and not self.schedule and not self.replay.done:
            self._check_complete()

    def _show(self) -> None:
        if self._lease is None:
            self.replay.advance()
            self._grant_lease()

    def _before_first_fork(self) -> None:
        self.children.remember_own()
        self.nodes.configure()
        self.nodes.collected([item.nodeid for item in self.items])
        others.find_participants(self.config)
        others.flush_coverage()
        self.reporter.prepare(self.session)
        self.randomness = hashlib.blake2b(repr(random.getstate()).encode()).digest()
        self.inherited = reset.inventory()
        reset.freeze()

    def _after_last_child(self) -> None:
        self.schedule.clear()
        self._end_lease()
        self.status.close()
        self.children.close()
        reset.thaw()
        self.nodes.down()
        for slot in self.slots:
            slot.close()
        for descriptor in self.real:
            os.close(descriptor)

    def _check_complete(self) -> None:
        """executed + deselected = collected; anything else is an error, never a green run."""
        self.replay.advance()
        if not self.replay.done:
            item = self.items[self.replay.head]
            raise IncompleteRun(
                f"{item.nodeid} was collected and has no result",
                hint="report this as a bug; --no-hotreload runs the suite without children",
            )

    # -- starting ------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        for slot in self.slots:
            if not slot.busy and self.schedule and not self.interrupts:
                group = self.schedule.next()
                if group is not None:
                    self.start(group, slot)

    def start(self, group: Group, slot: Slot) -> None:
        """Start a child for ``group``."""
        self.totals.children += 1
        slot.files.reset()
        compat.flush_terminal(self.config)
        reset.flush_before_fork(self.inherited)
        self.children.fork(
            group,
            slot,
            lambda channel: self._live(group, slot, channel),
            own_group=not self.options.direct,
        )

    def _live(self, group: Group, slot: Slot, channel: Channel) -> None:
        """In the child."""
        seed = hashlib.blake2b(self.randomness + group.path.encode(), digest_size=8)
        place = child.Place(
            channel=channel,
            files=slot.files,
            worker_id=slot.worker_id,
            lifeline=self.lifeline[0],
            real=self.real,
            direct=self.options.direct,
            own_group=not self.options.direct,
            workerinput=self.nodes.workerinput(slot),
            environ=self.nodes.environ(slot),
            seed=int.from_bytes(seed.digest(), "big"),
            name=f"{slot.worker_id}-{group.indices[0]}",
            first=group.indices[0] == 0,
        )
        child.live(self.session, self.reporter, place, self._feed(group, place), self.inherited)

    def _feed(self, group: Group, place: child.Place) -> Iterator[Any]:
        """In the child: the items to run, and which one follows in this process."""
        items = self.items
        indices: list[int] | None = group.indices
        while indices:
            following = None
            if self.options.isolate == "worker":
                following = place.channel.ask(self.reporter.index, Asked("files"))
            after = items[following[0]] if following else None
            yield [(index, items[index]) for index in indices], after
            indices = following

    # -- listening -----------------------------------------------------------------------------

    def _listen(self, running: Running) -> None:
        frames, closed = running.channel.drain()
        for index, message in frames:
            self._take(running, index, message)
        if self.children.has_exited(running) or (closed and not running.forked):
            late, _ = running.channel.drain()
            for index, message in late:
                self._take(running, index, message)
            self._finish(running)
        elif closed:
            self._wait_for_exit(running)

    def _wait_for_exit(self, running: Running) -> None:
        """The channel is closed, the process not gone yet: it is on its last microseconds."""
        deadline = time.monotonic() + 2.0
        while not self.children.has_exited(running) and time.monotonic() < deadline:
            time.sleep(0.001)
        if running.status is None:
            self.children.kill(running, "closed its channel and went on")
        while not self.children.has_exited(running):
            time.sleep(0.001)
        self._finish(running)

    def _take(self, running: Running, index: int, message: Any) -> None:
        if isinstance(message, Asked):
            self._answer(running, message)
            return
        if running is self._lease:
            self._end_lease()
        if isinstance(message, Ended):
            running.ended = message
        elif isinstance(message, Missing):
            self.crashes.missing(index, message.reason)
        else:
            self.replay.feed(index, message)
            if type(message).__name__ == "ItemFinished" and index != running.assigned[-1]:
                self.replay.complete(index)

    def _answer(self, running: Running, asked: Asked) -> None:
        if asked.what == "basetemp":
            running.channel.send(-1, Answer(str(compat.temporary_factory(self.config).getbasetemp())))
        elif asked.what == "shown":
            self._show()
            running.channel.send(-1, Answer(None))
        elif asked.what == "files":
            following = self.schedule.next()
            if following is not None:
                running.group.indices = running.group.indices + following.indices
            running.channel.send(-1, Answer(following.indices if following else None))
        elif asked.what == "terminal":
            running.waiting = "terminal"
        elif asked.what == "release":
            self._end_lease()
            running.channel.send(-1, Answer(None))

    # -- the end of a child --------------------------------------------------------------------

    def _finish(self, running: Running) -> None:
        if running is self._lease:
            self._end_lease()
        left = self.children.release(running)
        if left:
            self.totals.notices.append(terminal.leftovers(self._shown(running.group.path), left))
        if running.ended is not None and running.status == 0:
            self._finish_well(running, running.ended)
        else:
            self.crashes.died(running)

    def _finish_well(self, running: Running, ended: Ended) -> None:
        for index in running.assigned:
            self.replay.complete(index)
        self.nodes.child_ended(running.slot, ended.workeroutput)
        self.totals.ended(running.group.path, ended)
        if ended.coverage is not None:
            others.add_coverage(ended.coverage)

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self.config.rootpath)

    # -- the terminal, lent to a debugger --------------------------------------------------------

    def _grant_lease(self) -> None:
        for running in self.children.living:
            if running.waiting == "terminal" and self.replay.head in running.assigned:
                running.waiting = ""
                self._lease = running
                compat.flush_terminal(self.config)
                self._plain_sigint = signal.signal(signal.SIGINT, signal.SIG_IGN)
                running.channel.send(-1, Answer(os.getpgrp()))
                return

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease = None
            signal.signal(signal.SIGINT, self._plain_sigint)

    # -- Ctrl-C ----------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """The first stops: children tear down what they set up. The second ends them now."""
        self.interrupts += 1
        if self.interrupts > 1:
            raise KeyboardInterrupt
        self.schedule.clear()
        self.children.signal_all(signal.SIGINT)
        try:
            while self.children.living:
                for event in self.children.events(_TICK):
                    self._listen(event)
                self._show()
        except ChildInternalError:
            raise
        raise KeyboardInterrupt
