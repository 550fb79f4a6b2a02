"""The run loop: forks a child for each group, listens, replays, and ends everything it began.

It replaces ``pytest_runtestloop`` and nothing else: what is collected, ordered, selected and shown
is pytest's own.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from . import compat, fixtures, others, reset, terminal
from .child import Reporter
from .children import Children, Running
from .crashes import Crashes
from .deadlines import Deadlines
from .errors import ChildInternalError, IncompleteRunError
from .nodes import Nodes
from .protocol import Answer, Asked, Ended, ItemFinished, Missing, Printed
from .replay import Replay
from .schedule import Group, Schedule, make_groups
from .slots import Slot
from .sources import Sources
from .status import Status

if TYPE_CHECKING:
    from .plugin import Active

#: Seconds between two looks at deadlines; none of them is shorter than this.
_TICK = 0.1


class RunLoop:
    """One run over the collected items. ``totals`` is filled for the closing lines."""

    def __init__(
        self,
        session: pytest.Session,
        active: Active,
        reporter: Reporter,
    ) -> None:
        self.session, self.config, self.options = session, session.config, active.options
        self.reporter, self.totals, self.lifeline = reporter, active.totals, active.lifeline
        self.items = session.items
        options, totals = active.options, active.totals
        self.alone = options.slots == 1
        self.groups = make_groups(self.items, options.isolate)
        self.totals.files = len({group.path for group in self.groups})
        self.schedule = Schedule(self.groups, totals.durations, options.slots)
        count = min(options.slots, max(len(self.groups), 1))
        one_stream = compat.stderr_is_real() and os.path.sameopenfile(1, 2)
        self.slots = [Slot(i, alone=self.alone, one_stream=one_stream) for i in range(count)]
        self.children = Children()
        self.nodes = Nodes(self.config, self.slots)
        self.replay = Replay(session, totals.report)
        self.crashes = Crashes(self)
        self.deadlines = Deadlines(self)
        self.status = Status(self)
        self.sources = Sources(self, active)
        self.real = (os.dup(1), os.dup(2)) if compat.stderr_is_real() else (os.dup(1), os.dup(1))
        for slot in self.slots:
            self.children.add_slot(slot)
        self.shared = fixtures.Shared()
        self.interrupts = 0
        self._pid = os.getpid()
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
                except self.session.Interrupted:
                    raise  # a KeyboardInterrupt by class: shouldstop, not Ctrl-C
                except KeyboardInterrupt:
                    if self.replay.interrupted:
                        raise  # by a test, not by Ctrl-C: nothing after it is shown
                    self._interrupt()
            self._check_complete()
        finally:
            if os.getpid() == self._pid:  # a child unwinds through here
                self._after_last_child()

    def _turn(self) -> None:
        self._fill_slots()
        for running, frames in self.children.events(_TICK):
            self.listen(running, frames)
        self.deadlines.look()
        self._show()
        if not self.children.living and not self.schedule and not self.replay.done:
            self._check_complete()

    def _show(self) -> None:
        if self._lease is None:
            self.replay.advance()
            self._grant_lease()

    def _before_first_fork(self) -> None:
        self.nodes.configure()
        self.nodes.collected([item.nodeid for item in self.items])
        others.find_participants(self.config)
        others.flush_coverage()
        self.reporter.prepare(self.session)
        self.shared = fixtures.set_up(self.session, self.options.shared_fixtures)
        for text in self.shared.notices:
            terminal.notice(self.config, text)
        self.sources.prepare()
        unsafe = self.sources.unsafe()
        for path, what in unsafe.items():
            terminal.notice(self.config, terminal.threads_left(self._shown(path), what))
        if self.sources.own_slots:
            terminal.notice(self.config, terminal.own_slots(self.sources.own_slots))
        for group in self.groups:
            if self.options.isolate == "strict":
                group.alone = "strict"
            group.alone = group.alone or unsafe.get(group.path, "")

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self.config.rootpath)

    def _after_last_child(self) -> None:
        self.schedule.clear()
        self._end_lease()
        self.status.close()
        self.children.close()
        reset.thaw()
        for error in self.shared.tear_down(self.session):
            self.crashes.shared_teardown_failed(error)
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
            raise IncompleteRunError(
                f"{item.nodeid} was collected and has no result",
                hint="report this as a bug; --no-hotreload runs the suite without children",
            )

    # -- starting ------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        for slot in self.slots:
            if slot.running is None and self.schedule and not self.interrupts:
                group = self.schedule.next()
                if group is not None:
                    self._start(group, slot)

    def _start(self, group: Group, slot: Slot) -> None:
        self.totals.children += 1
        self.sources.start(group, slot)

    # -- listening -----------------------------------------------------------------------------

    def listen(self, running: Running, frames: list[tuple[int, Any]]) -> None:
        """Take in what a child says, and its end."""
        for index, message in [] if running.over else frames:
            self._take(running, index, message)
        if running.status is not None:
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
            if type(message) is Printed:
                running.slot.files.taken[message.fd] += len(message.data)
            self.replay.feed(index, message)
            if type(message) is ItemFinished and index != running.assigned[-1]:
                self.replay.complete(index)

    def _answer(self, running: Running, asked: Asked) -> None:
        if asked.what == "basetemp":
            running.slot.channel.send(-1, Answer(str(compat.temporary_factory(self.config).getbasetemp())))
        elif asked.what == "shown":
            self._show()
            running.slot.channel.send(-1, Answer(None))
        elif asked.what == "files":
            following = self.schedule.next()
            if following is not None:
                running.group.indices = running.group.indices + following.indices
            running.slot.channel.send(-1, Answer(following.indices if following else None))
        elif asked.what == "terminal":
            if running is self._lease:
                self._end_lease()
            running.waiting = "terminal"
        elif asked.what == "release":
            self._end_lease()
            running.slot.channel.send(-1, Answer(None))

    # -- the end of a child --------------------------------------------------------------------

    def _finish(self, running: Running) -> None:
        if running is self._lease:
            self._end_lease()
        if running.left:
            shown = self._shown(running.group.path)
            self.totals.notices.append(terminal.leftovers(shown, running.left))
        if running.ended is not None and running.status == 0:
            self._finish_well(running, running.ended)
        else:
            self.crashes.died(running)

    def _finish_well(self, running: Running, ended: Ended) -> None:
        for index in running.assigned:
            self.replay.complete(index)
        self.nodes.child_ended(running.slot, ended.workeroutput)
        self.totals.ended(ended)
        if not running.group.alone:
            self.sources.learn(ended.modules)
        if ended.coverage is not None:
            others.add_coverage(ended.coverage)

    # -- the terminal, lent to a debugger --------------------------------------------------------

    @property
    def leased(self) -> bool:
        """Whether the terminal is a child's now."""
        return self._lease is not None

    def _grant_lease(self) -> None:
        for running in self.children.living:
            if running.waiting == "terminal" and self.replay.head in running.assigned:
                running.waiting = ""
                self._lease = running
                compat.flush_terminal(self.config)
                self._plain_sigint = signal.signal(signal.SIGINT, signal.SIG_IGN)
                running.slot.channel.send(-1, Answer(os.getpgrp()))
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
                for running, frames in self.children.events(_TICK):
                    self.listen(running, frames)
                self._show()
        except ChildInternalError:
            raise
        raise KeyboardInterrupt
