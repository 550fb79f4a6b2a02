"""The reruns of a watch, one after the other: which process, which files, and what came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_hotreload.process import heartbeat
from pytest_hotreload.process.heartbeat import Patience, Quiet, written
from pytest_hotreload.process.proc import is_traced
from pytest_hotreload.run import messages
from pytest_hotreload.watch import screen
from pytest_hotreload.watch.environment import discard_bytecode
from pytest_hotreload.watch.processes import Process
from pytest_hotreload.watch.protocol import (
    Alone,
    Began,
    Changed,
    Collected,
    CollectionFailed,
    Finished,
    Go,
    Interrupted,
    Lend,
    Lent,
    Loaded,
    Returned,
    Running,
    Select,
    Selected,
    Stopped,
    Told,
    Unconfirmed,
    Waiting,
    WhatRuns,
)
from pytest_hotreload.watch.requests import Edit, Rerun, Wish

if TYPE_CHECKING:
    from pytest_hotreload.watch.watcher import Watch

#: So many files are tried without their company first; the collection of all takes less than more of them.
_FEW_FILES = 8
#: pytest's exit statuses of a session that found nothing wrong, or says so of tests: passed, failed, none collected.
_ORDERLY = (0, 1, 5)
#: pytest's exit status for what it can't be asked for.
_REFUSED = 4
#: Seconds for the teardown of a test that was told to stop. A guess, not measured.
GRACE_SECONDS = 5.0
#: Seconds in which a rerun says that it was interrupted, unless a test keeps it from that. A guess.
_HEARD_SECONDS = 0.5


class Reruns:
    """``current``: the rerun under way. ``ending``: one that has told its end, and not yet what it learned.

    ``reasons``: test file -> why it ran last. ``filters``: the user's.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch, self.family, self.results, self.screen = watch, watch.family, watch.results, watch.screen
        self.current: Rerun | None = None
        self.ending: Process | None = None
        self.wish: Wish | None = None
        self.last: Wish | None = None
        self.reasons: dict[str, str] = {}
        self.filters = self._filters_before = Go()
        self._latest: tuple[str, ...] = ()
        self._resumed: Rerun | None = None
        self.deadline = 0.0
        self._quiet, self._patience = Quiet(), Patience()
        #: Files that hung when they ran last; of those, the ones that run behind the current rerun.
        self._hung: set[str] = set()
        self._behind: set[str] = set()
        self._ini: str | None = None
        self._lent: contextlib.ExitStack | None = None
        self._handlers: dict[type, Callable[[Rerun, Any], None]] = {
            Waiting: lambda _, __: self.pursue(),
            Selected: self._selected,
            Collected: self._collected,
            Began: self._began,
            Interrupted: self._interrupted,
            Told: lambda _, message: self.results.told(message),
            CollectionFailed: lambda _, message: self.results.failed_collection(message),
            Stopped: self._stopped,
            Alone: lambda current, _: setattr(current, "alone", True),
            Unconfirmed: self._unconfirmed,
            Running: lambda _, message: self.screen.lines(screen.running(message.children)),
            Lend: self._lend_and_say,
            Returned: lambda _, __: self._take_back(),
            Finished: self._finished,
        }

    @property
    def idle(self) -> bool:
        """Whether another may begin."""
        return self.current is None and self.ending is None

    @property
    def busy(self) -> bool:
        """Whether a rerun is at work, or saves what it learned."""
        return self.running or self.ending is not None

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.phase == "running"

    @property
    def lent(self) -> bool:
        """Whether the terminal is the rerun's."""
        return self._lent is not None

    def try_filters(self, filters: Go) -> None:
        """From the next rerun on, unless pytest refuses them: then those of before count again."""
        self._filters_before, self.filters = self.filters, filters

    # -- beginning -----------------------------------------------------------------------------------

    def begin(self, edit: Edit) -> None:
        """Take the process that stands deepest; it is told what to do when it can hear."""
        # Again: who was at work when it was edited may have compiled what it read before.
        discard_bytecode(edit.changes.paths)
        point = self.family.chain[-1]
        process = self.family.take(point, self.results.known)
        wish, self.wish = self.wish or Wish(), None
        how = screen.LEAF if self.family.intact else screen.from_point(len(self.family.chain))
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            self.current = replace(
                resumed, process=process, wish=wish, phase="waiting", unconfirmed=False, confirming=True
            )
        else:
            self.current = Rerun(process, wish, edit, how=self.watch.news() or how)
        self.pursue()

    @property
    def takes_edits(self) -> bool:
        """Whether the next one runs what was edited; one that is asked for certain files leaves that to another."""
        return self.wish is None or (self.wish.go.files is None and self.wish.why != "none")

    def put_back(self) -> None:
        """What is prepared begins again: its process is stale, or gone."""
        current, self.current = self.current, None
        if current is None:
            return
        self.family.end(current.process)
        if current.confirming:
            self.results.owe(current.files)
        elif current.wish.why:
            self.wish = self.wish or current.wish
        edit, later = current.edit, self.watch.edit
        changes = edit.changes.joined(later.changes)
        compared = later.compared or edit.compared
        self.watch.edit = Edit(changes, edit.burst or later.burst, edit.event or later.event, compared)

    def begin_again(self, process: Process) -> None:
        """This one has to be done again by another process, whether it has begun or not."""
        current = self.current
        if current is None or current.process is not process:
            return
        if current.phase == "running":
            self._take_back()
            self.results.owe(current.files)
            self.wish = self.wish or current.wish
        self.put_back()

    def pursue(self) -> None:
        """Go on with the current one if its process is ready."""
        current = self.current
        if current is None or current.phase != "waiting" or current.process.state != "ready":
            return
        current.ready = current.ready or time.monotonic()
        if current.process.waiting is not None:
            self.watch.greet(current.process.waiting)
        if current.wish.why:
            self._go(current, current.wish.go)
        elif current.process.waiting is not None and current.process.waiting.ini != self._ini:
            self.results.forget(current.edit.changes.deleted)
            self._go(current, Go())  # other settings: other files may be found, and each may end otherwise
        else:
            current.phase = "selecting"
            self._send(current, Select(current.edit.changes))

    def _selected(self, current: Rerun, message: Selected) -> None:
        current.select = time.monotonic() - current.ready
        self.results.forget(current.edit.changes.deleted)
        files = dict(message.reasons)
        for path in sorted(self.results.owed):
            files.setdefault(path, screen.owed(os.path.relpath(path, self.watch.root)))
        waiting = self.watch.blocked_files(files)
        files = {path: why for path, why in files.items() if path not in waiting}
        self.results.owe(waiting)
        if not files:
            self.current = None
            self.family.give_back(current.process)
            if current.edit.changes.deleted:
                self.family.refresh(self.results.known)
            if waiting:
                self.watch.tell_blocked(self.watch.blocked)
            elif not current.edit.meanwhile.issuperset(current.edit.changes.paths):
                self.screen.line(screen.unaffected(current.edit.changes, self.watch.root))
            return
        self._behind = self._hung.intersection(files) if not self._hung.issuperset(files) else set()
        files = {path: why for path, why in files.items() if path not in self._behind}
        self.results.owe(self._behind)
        self.reasons = files
        self._go(current, self._how(current, tuple(files)))

    def _how(self, current: Rerun, files: tuple[str, ...]) -> Go:
        """In company where it stands; else without and held back, but where a failure is likely or the run long."""
        point = current.process.parent
        wanted = set(files)
        if point is not None and self.family.has_company(point, self.results.known, wanted):
            return Go(files=files)
        direct = current.process.waiting is not None and current.process.waiting.direct
        red = wanted & set(self.results.red.values())
        alone = len(files) <= _FEW_FILES and not red and not direct
        return Go(files=files, company=not alone, hold=alone)

    def _go(self, current: Rerun, go: Go) -> None:
        filters = self.filters
        go = go._replace(
            keyword=filters.keyword,
            marker=filters.marker,
            path=filters.path,
            patience=self._patience.seconds,
            told=not self.watch.watcher.polling,
        )
        self._quiet.forget()
        filtered = bool(go.keyword or go.marker or go.path)
        current.phase = "running"
        current.wish = Wish(go, current.wish.why)
        current.files = go.files or ()
        if current.process.waiting is not None:
            self._ini = current.process.waiting.ini
        if not current.confirming and current.wish.why != "none":
            if current.wish.why != "first":  # the header, or why there is a new template, stays
                self.screen.clear()
            self._announce(current)
            self.last = Wish(go._replace(first="", hold=False, company=go.files is not None), "again")
        owing = () if go.nodeids else current.files  # some tests of a file: it owes no more than before
        self.results.begin(owing, some=filtered or bool(go.nodeids))
        if filtered and not go.nodeids:
            self._leave_out(current)
        if go.debug or (current.process.waiting is not None and current.process.waiting.direct):
            self._lend()
        self._send(current, go)

    def _leave_out(self, current: Rerun) -> None:
        """What an edit asks for and the filters perhaps don't: it is owed as soon as they are gone."""
        everything = current.wish.go.first or current.edit.changes.paths
        self.results.left_out.update(current.files or (self.results.known if everything else ()))

    def _announce(self, current: Rerun) -> None:
        go = current.wish.go
        if current.wish.why == "first":
            self.screen.line(screen.first(go.first, current.how), "bold")
            return
        known = len({*self.results.known, *current.files})
        count = None if go.files is None else len(current.files)
        self.screen.line(screen.rerun(current.edit, count, known, current.how, self.watch.root), "bold")

    # -- listening -----------------------------------------------------------------------------------

    def hear(self, process: Process, message: Any) -> None:
        """A message of a rerun."""
        current = self.current
        if isinstance(message, Loaded):
            if process is self.ending:
                self.ending = None
            self.watch.loaded(message)
            if message.vanished and current is None:
                self.results.owe(self.watch.using(message.vanished, self._latest))
        elif current is not None and process is current.process:
            self._handlers[type(message)](current, message)

    def gone(self, process: Process) -> None:
        """A rerun's process has ended."""
        if process is self.ending:
            self.ending = None
        current = self.current
        if current is None or process is not current.process:
            return
        if current.phase != "running":
            self.put_back()
            if process.parent in self.family.chain:
                self.watch.broken(screen.died(process.status))
            return
        self.current = None
        self._take_back()
        self._say_stopped(current)
        self._ask_again(current)
        if current.cancelled or current.stopped or current.wish.go.apart or len(current.files) != 1:
            self.results.owe(current.files)
            if not current.cancelled and not current.stopped:
                self.watch.broken(screen.died(process.status))
            return
        self.screen.notice(screen.died_in_place(process.status))
        self.wish = Wish(current.wish.go._replace(apart=True, hold=False), "again")

    def _collected(self, current: Rerun, message: Collected) -> None:
        current.collected = True
        running = () if current.wish.why == "none" or current.wish.go.nodeids else message.running
        self.results.collected(message.files, everything=message.everything, running=running)
        if current.wish.go.files is None:
            current.files = (*message.running, *self.results.broken)
            self.results.owed.intersection_update(
                message.running
            )  # what else was owed has a record that holds
            if not current.wish.why:
                shown = (os.path.relpath(path, self.watch.root) for path in message.running)
                self.reasons = {path: screen.settings_changed(path) for path in shown}
        if not (self.results.some or current.wish.why == "none"):
            self.results.left_out -= set(current.files)

    def _began(self, current: Rerun, message: Began) -> None:
        current.test = message.nodeid, time.monotonic()

    def _stopped(self, current: Rerun, message: Stopped) -> None:
        self.results.owe(message.files)
        current.files = tuple(file for file in current.files if file not in message.files)
        if message.hanging is not None:
            self._patience.ended(current.edited)
            self._hung.update(message.files)
            current.hanging = message.hanging
        if not message.told and message.hanging is not None:
            self.screen.notice(messages.hangs(*message.hanging))
        elif not message.told:
            self.screen.notice(messages.changed_meanwhile(len(message.files)))

    def _unconfirmed(self, current: Rerun, _: Unconfirmed) -> None:
        current.unconfirmed = True

    # -- the end ---------------------------------------------------------------------------------------

    def _finished(self, current: Rerun, message: Finished) -> None:
        self.current, self.ending = None, current.process
        self._latest = current.files
        self._take_back()
        self._say_stopped(current)
        self._ask_again(current)
        if current.hanging is None:
            self._patience.done()
            self._hung.difference_update(current.files)
        if current.unconfirmed and not current.cancelled:
            self._confirm(current)
            return
        owing = () if current.wish.go.nodeids else current.files
        self.results.end(owing, message.unfinished)
        if current.wish.why == "none":
            self.screen.line(screen.WATCHING)
        elif current.cancelled:
            self.screen.line(screen.CANCELLED, "yellow")
        elif message.status == _REFUSED and message.unfinished is None:
            self._refused(current)
        else:
            self._filters_before = self.filters
            self._tell(current, message)
            self._run_behind()

    def _run_behind(self) -> None:
        """What hung does so after the others, whose results nobody should have to wait for."""
        behind, self._behind = self._behind & self.results.owed, set()
        if behind and self.wish is None:
            self.wish = Wish(Go(files=tuple(sorted(behind)), company=True), "again")

    def _refused(self, current: Rerun) -> None:
        """pytest has said why: it can't be used so. Who gave it such arguments has to start it again."""
        if self.filters != self._filters_before:
            self.filters = self._filters_before
            self.screen.line(screen.filter_refused(screen.REFUSED), "red")
        elif current.wish.why == "first" and not self.results.known:
            self.watch.over = _REFUSED
        else:
            self.watch.broken(screen.REFUSED)

    def _tell(self, current: Rerun, message: Finished) -> None:
        edit, now = current.edit, time.monotonic()
        start = edit.compared or current.asked
        times = screen.Times(
            watch=max(edit.compared - edit.event, 0.0),
            select=current.select,
            fork=current.ready - start,
            run=now - current.ready - current.select,
            pytest=message.seconds,
        )
        notes = [screen.CONFIRMED] if current.confirming else []
        filters = self.filters
        notes += [text] if (text := screen.filters(filters.keyword, filters.marker, filters.path)) else []
        elsewhere = self.results.red_elsewhere(current.files)
        red = bool(self.results.red) or message.status not in _ORDERLY
        line, colour = screen.status(self.results.ran, times, red, elsewhere, len(self.results.owed), notes)
        self.screen.line(line, colour)

    def _confirm(self, current: Rerun) -> None:
        """A failure without company: the same files with it, and this time it is shown."""
        if self.watch.ripe().paths:  # it runs with the next edit, which was seen already
            self.results.owe(current.files)
            return
        go = current.wish.go._replace(company=True, hold=False)
        self.wish, self._resumed = Wish(go, current.wish.why or "confirm"), current
        if self.family.chain:
            self.begin(current.edit)

    def cancel(self, *, has_heard: bool = False) -> None:
        """Stop the one under way: it tears down what it set up, and says when it has.

        ``has_heard``: a terminal's Ctrl-C reaches it, too, and a second signal would cut its teardown short.
        """
        current = self.current
        if current is None or current.cancelled:
            return
        if current.phase != "running":
            self.put_back()
            return
        current.cancelled = True
        current.tell_at = time.monotonic() + (_HEARD_SECONDS if has_heard else 0.0)

    def patience(self, most: float) -> float:
        """Seconds, up to ``most``, that the loop may wait. Tells a cancelled rerun that has not heard it."""
        current = self.current
        left = current.tell_at - time.monotonic() if current is not None and current.tell_at else most
        if left <= 0 and current is not None:
            current.tell_at = 0.0
            self._signal(current, signal.SIGINT)
            return most
        return min(left, most)

    def _interrupted(self, current: Rerun, _: Interrupted) -> None:
        current.tell_at = 0.0

    def changed(self, changes: Changed) -> None:
        """While tests run: those whose inputs these are stop, and run again."""
        if self._resumed is not None:
            self.results.owe(self._resumed.files)
            self._resumed = self.wish = None
        if self.current is not None and self.current.phase != "running":
            self.put_back()
        elif self.current is not None and self.current.alone:
            self._stop_alone(self.current, changes)
        elif self.current is not None:
            self._send(self.current, changes)

    def _stop_alone(self, current: Rerun, changes: Changed) -> None:
        """It tears down what it set up, as at Ctrl-C; a debugger is left alone."""
        if current.stopped or self.lent or not self.watch.using(changes.paths, current.files):
            return
        current.stopped = True
        self.results.owe(current.files)
        self.deadline = time.monotonic() + GRACE_SECONDS
        self._signal(current, signal.SIGINT)

    def _say_stopped(self, current: Rerun) -> None:
        """When it has said all: before, its line may be one that is not complete."""
        if current.cancelled:
            return
        if current.stopped and current.hanging is not None:
            self.screen.notice(messages.hangs(*current.hanging))
        elif current.stopped:
            self.screen.notice(messages.changed_meanwhile(len(current.files)))

    def mind_deadline(self) -> float | None:
        """Kill what was told to stop and does not; in how many seconds to ask again."""
        current = self.current
        if current is None or not current.stopped:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            self._signal(current, signal.SIGKILL)
            return GRACE_SECONDS
        return left

    def mind_hang(self) -> float | None:
        """End the rerun if it has done nothing for long, and something was edited; in how many seconds to look again.

        What its children do it judges itself, as long as its own loop goes round.
        """
        current = self.current
        if current is None or current.phase != "running" or current.stopped:
            return None
        assert current.process.pulse is not None
        count, seconds, what = current.process.pulse.read()
        sign = count, written(current.process.pid)
        quiet = self._quiet.look(current.process.token, sign, time.monotonic())
        most = max(seconds, self._patience.seconds)
        if quiet <= most or self.lent or not self._is_waited_for(current) or is_traced(current.process.pid):
            return heartbeat.LOOK_SECONDS
        self._end_hang(current, what, quiet)
        return self.mind_deadline()

    def _is_waited_for(self, current: Rerun) -> bool:
        """Whether something is to run behind it: what was edited since, or asked for by a key that cancelled it."""
        edited = current.edited.difference(self.watch.blocked) and not self.watch.paused
        return bool(edited) or (current.cancelled and (self.wish is not None or self.watch.renews))

    def _end_hang(self, current: Rerun, what: str, quiet: float) -> None:
        """As an edit of its inputs does; one that was told to stop before, and does not, is killed."""
        current.hanging = what, quiet
        self._hung.update(current.files if len(current.files) == 1 else ())
        self._patience.ended(current.edited)
        current.stopped = True
        self.results.owe(current.files)
        self.deadline = time.monotonic() + (0.0 if current.cancelled else GRACE_SECONDS)
        self._signal(current, signal.SIGINT)

    def _ask_again(self, current: Rerun) -> None:
        """Nobody knows what a rerun would have run that was ended before it had found that out."""
        unknown = current.hanging is not None and not current.collected and current.wish.go.files is None
        if unknown and not current.cancelled:
            self.wish = self.wish or current.wish

    def _signal(self, current: Rerun, number: int) -> None:
        if current.process.pid:
            with contextlib.suppress(OSError):
                os.kill(current.process.pid, number)

    def ask_what_runs(self) -> None:
        current = self.current
        if current is None or current.phase != "running":
            self.screen.line(screen.NOTHING_RUNS)
        elif current.test is None:
            self._send(current, WhatRuns())
        else:
            name, since = current.test
            pid = current.process.pid
            row = (name, pid, time.monotonic() - since, current.process.last_line())
            self.screen.lines(screen.running([row]))

    # -- the terminal ----------------------------------------------------------------------------------

    def _lend_and_say(self, current: Rerun, _: Lend) -> None:
        self._lend()
        self._send(current, Lent())

    def _lend(self) -> None:
        if self._lent is None:
            self._lent = contextlib.ExitStack()
            self._lent.enter_context(self.watch.keyboard.lend())

    def _take_back(self) -> None:
        if self._lent is not None:
            self.watch.hear_signals()
            lent, self._lent = self._lent, None
            lent.close()

    def _send(self, rerun: Rerun, message: Any) -> None:
        with contextlib.suppress(OSError):  # its end is read next
            rerun.process.channel.send(-1, message)
