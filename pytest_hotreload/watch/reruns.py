"""Runs the reruns of a watch one after the other: chooses process and files, and takes in the results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_hotreload.watch import messages, protocol, screen, selected, tests_first
from pytest_hotreload.watch.announcements import Announcements
from pytest_hotreload.watch.edits import Edits
from pytest_hotreload.watch.environment import discard_bytecode
from pytest_hotreload.watch.filters import Filters
from pytest_hotreload.watch.interfaces import WatchContext
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.processes import WatchProcesses
from pytest_hotreload.watch.requests import PendingEdit, RerunState, RunRequest, order_for
from pytest_hotreload.watch.rest import Rest
from pytest_hotreload.watch.results import Results
from pytest_hotreload.watch.stopping import Stopping
from pytest_hotreload.watch.terminal_loan import TerminalLoan

_REFUSED = 4  # pytest's exit status for a usage error


class RerunQueue:
    """Begins reruns, hears their messages and ends them."""

    def __init__(
        self,
        watch: WatchContext,
        edits: Edits,
        processes: WatchProcesses,
        results: Results,
        shown: screen.Screen,
        loan: TerminalLoan,
    ) -> None:
        self.watch, self.edits, self.processes = watch, edits, processes
        self.results, self.screen = results, shown
        self.stopping, self.rest, self.loan = Stopping(results, edits, loan), Rest(results), loan
        self._announcements = Announcements(shown, results, edits.root)
        #: The rerun that is prepared or runs.
        self.current: RerunState | None = None
        #: A rerun that has reported its end, and not yet what it learned.
        self.ending: Process | None = None
        self.run_request: RunRequest | None = None
        self.last: RunRequest | None = None
        #: Test file -> the reason for its last run.
        self.reasons: dict[str, str] = {}
        self.filters = Filters()
        self._latest: tuple[str, ...] = ()
        self._resumed: RerunState | None = None
        self._ini: str | None = None
        self._handlers: dict[type, Callable[[RerunState, Any], None]] = {
            protocol.Waiting: lambda _, __: self.pursue(),
            protocol.Selected: self._selected,
            protocol.Collected: self._collected,
            **dict.fromkeys(
                (protocol.Began, protocol.RerunInterrupted, protocol.Alone, protocol.Unconfirmed),
                RerunState.note,
            ),
            **dict.fromkeys((protocol.ItemOutcome, protocol.CollectionFailed), self.rest.told),
            protocol.Stopped: self._stopped,
            protocol.RunningTests: lambda _, message: self.screen.lines(messages.running(message.children)),
            protocol.Lend: self._lend_and_say,
            protocol.Returned: lambda _, __: self.loan.end(),
            protocol.Finished: self._finished,
        }

    @property
    def idle(self) -> bool:
        """Whether another rerun may begin."""
        return self.current is None and self.ending is None

    @property
    def busy(self) -> bool:
        """Whether a rerun is at work, or saves what it learned."""
        return self.running or self.ending is not None

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.phase == "running"

    # -- beginning -----------------------------------------------------------------------------------

    def begin(self, edit: PendingEdit) -> None:
        """Begin a rerun in a fork of the last fork point. The process gets its order as soon as it is ready."""
        # Once more: a process that was at work during the edit may have compiled the source that it read before.
        discard_bytecode(edit.changes.paths)
        point = self.processes.chain[-1]
        process = self.processes.take(point, self.results.known)
        run_request, self.run_request = self.run_request or RunRequest(), None
        how = messages.LEAF if self.processes.intact else messages.from_point(len(self.processes.chain))
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed = replace(resumed, process=process, run_request=run_request)
            self.current = replace(resumed, phase="waiting", unconfirmed=False, confirming=True)
        else:
            self.current = RerunState(process, run_request, edit, how=self.watch.news() or how)
        self.pursue()

    @property
    def takes_edits(self) -> bool:
        """Whether the next rerun runs pending edits; a rerun of requested files leaves them to a later one."""
        return self.run_request is None or self.run_request.takes_edits

    def put_back(self) -> None:
        """End the rerun that is being prepared and queue its work again, since its process is stale or gone."""
        current, self.current = self.current, None
        if current is None:
            return
        self.processes.end(current.process)
        if current.confirming:
            self.results.mark_pending(current.files)
        elif current.run_request.reason not in ("", "rest"):  # the files of a rest are pending
            self.run_request = self.run_request or current.run_request
        self.edits.put_back(current.edit)

    def begin_again(self, process: Process) -> None:
        """Queue the rerun of this process again for another process, whether its tests have begun or not."""
        current = self.current
        if current is None or current.process is not process:
            return
        if current.phase == "running":
            self.loan.end()
            self.results.mark_pending(current.files)
            self.run_request = self.run_request or current.run_request
        self.put_back()

    def pursue(self) -> None:
        """Send the current rerun its order or selection request, if its process is ready."""
        current = self.current
        if current is None or current.phase != "waiting" or current.process.state != "ready":
            return
        current.ready = current.ready or time.monotonic()
        if current.process.waiting is not None:
            self.watch.greet(current.process.waiting)
        request = current.run_request
        if request.reason == "rest" and not current.confirming:
            failing = set(self.results.failing.values())
            self._go(current, self.rest.order(request, current.process, self.results.known, failing))
        elif request.reason:
            self._go(current, request.go)
        elif current.process.waiting is not None and current.process.waiting.ini != self._ini:
            self.results.forget(current.edit.changes.deleted)
            self._go(
                current, protocol.Go()
            )  # with other settings, other files may be found and outcomes may differ
        else:
            current.phase = "selecting"
            current.process.tell(protocol.Select(current.edit.changes))

    def _selected(self, current: RerunState, message: protocol.Selected) -> None:
        current.select = time.monotonic() - current.ready
        gone = set(current.edit.changes.deleted).intersection(self.results.known)
        self.results.forget(gone)
        files, waiting = selected.files(message, current.edit.changes, self.results, self.edits)
        if not files:
            self.current = None
            self.processes.return_process(current.process)
            if current.edit.changes.deleted:
                self.processes.refresh(self.results.known)
            if waiting:
                self.edits.tell_blocked(self.edits.blocked)
            elif gone or not current.edit.meanwhile.issuperset(current.edit.changes.paths):
                self._announcements.unaffected(current, message.without_effect)
            return
        behind = self.stopping.choose(files)
        files = {path: why for path, why in files.items() if path not in behind}
        self.results.mark_pending(behind)
        self.reasons = files
        first = tests_first.of(message, files, current.process.waiting, self.filters.chosen)
        if first is not None:
            current.first = first
            self.rest.follows(first)
            self._go(current, first.go)
            return
        failing = set(self.results.failing.values())
        self._go(current, order_for(tuple(files), current.process, self.results.known, failing))

    def _go(self, current: RerunState, go: protocol.Go) -> None:
        go = self.filters.of(go)._replace(patience=self.stopping.patience, told=self.watch.told_of_all)
        self.stopping.begins()
        filtered = bool(go.keyword or go.marker or go.path)
        current.phase = "running"
        current.run_request = RunRequest(go, current.run_request.reason)
        current.files = go.files or ()
        if current.process.waiting is not None:
            self._ini = current.process.waiting.ini
        if not current.confirming and current.run_request.reason not in ("none", "rest"):
            if current.run_request.reason != "first":  # keep the header, or the reason for a new template
                self.screen.clear()
            self._announcements.begins(current)
            whole = go if current.first is None else protocol.Go(files=current.first.rest)
            self.last = RunRequest(
                whole._replace(first="", hold=False, collect_all=go.files is not None), "again"
            )
        owing = () if go.nodeids else current.files  # a run of some tests does not make their file pending
        self.results.begin(owing, some=filtered or bool(go.nodeids))
        if filtered and not go.nodeids:
            everything = current.run_request.go.first or current.edit.changes.paths
            self.results.leave_out(current.files or (self.results.known if everything else ()))
        if go.debug or current.process.is_direct:
            self.loan.begin()
        current.process.tell(go)

    # -- listening -----------------------------------------------------------------------------------

    def hear(self, process: Process, message: Any) -> None:
        """Handle a message from a rerun."""
        current = self.current
        if isinstance(message, protocol.Loaded):
            if process is self.ending:
                self.ending = None
            self.watch.loaded(message)
            if message.vanished and current is None:
                self.results.mark_pending(self.edits.using(message.vanished, self._latest))
        elif current is not None and process is current.process:
            self._handlers[type(message)](current, message)

    def gone(self, process: Process) -> None:
        """Handle the end of a rerun's process."""
        if process is self.ending:
            self.ending = None
        current = self.current
        if current is None or process is not current.process:
            return
        if current.phase != "running":
            self.put_back()
            if process.parent in self.processes.chain:
                self.watch.broken(messages.died(process.status))
            return
        self.current = None
        self.loan.end()
        self._announcements.stopped(current)
        if current.first is not None:
            self._first_ended(current, None)
            return
        if current.is_unknown:
            self.run_request = self.run_request or current.run_request
        if current.cancelled or current.stopped or current.run_request.go.apart or len(current.files) != 1:
            self.results.mark_pending(current.files)
            if not current.cancelled and not current.stopped:
                self.watch.broken(messages.died(process.status))
            return
        self.screen.notice(messages.died_in_place(process.status))
        self.run_request = RunRequest(current.run_request.go._replace(apart=True, hold=False), "again")

    def _collected(self, current: RerunState, message: protocol.Collected) -> None:
        current.collected = True
        running = (
            () if current.run_request.reason == "none" or current.run_request.go.nodeids else message.running
        )
        self.results.collected(message.files, everything=message.everything, running=running)
        self.results.ignored = (self.results.ignored - set(current.files)) | set(message.ignored)
        if current.run_request.go.files is None:
            current.files = (*message.running, *self.results.broken)
            # The other pending files have a record that holds.
            self.results.pending.intersection_update(message.running)
            if not current.run_request.reason:
                shown = (os.path.relpath(path, self.edits.root) for path in message.running)
                self.reasons = {path: messages.settings_changed(path) for path in shown}
        if not (self.results.some or current.run_request.reason == "none"):
            self.results.left_out -= set(current.files)

    def _stopped(self, current: RerunState, message: protocol.Stopped) -> None:
        self.results.mark_pending(message.files)
        current.files = tuple(file for file in current.files if file not in message.files)
        if message.hanging is not None:
            self.stopping.hang_told(current, message.files)
            current.hanging = message.hanging
        if not message.told:
            self._announcements.files_stopped(current, len(message.files), message.hanging)

    # -- the end ---------------------------------------------------------------------------------------

    def _finished(self, current: RerunState, message: protocol.Finished) -> None:
        self.current, self.ending = None, current.process
        self._latest = current.files
        self.loan.end()
        self._announcements.stopped(current)
        if current.first is not None:
            self._first_ended(current, message)
            return
        if current.is_unknown:
            self.run_request = self.run_request or current.run_request
        self.stopping.ended(current)
        if current.unconfirmed and not current.cancelled:
            self._confirm(current)
            return
        owing = () if current.run_request.go.nodeids else current.files
        self.results.end(owing, message.unfinished)
        if current.run_request.reason == "none":
            self.screen.line(messages.WATCHING)
        elif current.cancelled:
            self.rest.drop()
            self.screen.line(messages.CANCELLED, "yellow")
        elif message.status == _REFUSED and message.unfinished is None:
            self._refused(current)
        else:
            self.filters.accept()
            self._announcements.ended(current, message, self.filters.chosen, self.rest.follow())
            self._run_behind()

    def _first_ended(self, current: RerunState, message: protocol.Finished | None) -> None:
        """Show that all affected tests passed, or nothing, and request the rest. ``message``: None after a death."""
        if current.cancelled:
            self.rest.drop()
            self.screen.line(messages.CANCELLED, "yellow")
            return
        if message is not None and message.status == 0 and not current.unconfirmed and not current.stopped:
            follow = self.rest.follow(current.first)
            self._announcements.ended(current, message, self.filters.chosen, follow)
        self._run_behind()

    def _run_behind(self) -> None:
        """Request the rest behind tests first, and then the hung files that were held back.

        The results of the others need not wait for them.
        """
        self.run_request = self.run_request or self.rest.request()
        if self.run_request is not None:
            return
        behind, self.stopping.behind = self.stopping.behind & self.results.pending, set()
        if behind:
            self.run_request = RunRequest(protocol.Go(files=tuple(sorted(behind)), collect_all=True), "again")

    def _refused(self, current: RerunState) -> None:
        """Handle a usage error, which pytest has already explained.

        New filters are undone. If the first run is refused, the arguments are wrong and the watch ends.
        """
        if self.filters.refuse():
            self.screen.line(messages.filter_refused(messages.REFUSED), "red")
        elif current.run_request.reason == "first" and not self.results.known:
            self.watch.over = _REFUSED
        else:
            self.watch.broken(messages.REFUSED)

    def _confirm(self, current: RerunState) -> None:
        """Repeat a failed rerun with all test files collected, and show its output this time."""
        if self.edits.runnable_changes().paths:  # the files run with the next edit, which is already known
            self.results.mark_pending(current.files)
            return
        go = current.run_request.go._replace(collect_all=True, hold=False)
        self.run_request, self._resumed = RunRequest(go, current.run_request.reason or "confirm"), current
        if self.processes.chain:
            self.begin(current.edit)

    def cancel(self, *, has_heard: bool = False) -> None:
        """Cancel the current rerun, which tears down what it set up and then reports its end.

        ``has_heard``: the terminal's Ctrl-C also reached the rerun, and a second signal would cut its teardown short.
        """
        current = self.current
        if current is None or current.cancelled:
            return
        if current.phase != "running":
            self.put_back()
            return
        self.stopping.cancel(current, has_heard=has_heard)

    def timeout(self, most: float) -> float:
        """Interrupt a cancelled rerun if that is due. Returns the seconds, up to ``most``, that the loop may wait."""
        return self.stopping.tell(self.current, most)

    def changed(self, changes: protocol.Changed) -> None:
        """Handle changes: running tests whose inputs changed are stopped and run again."""
        self.rest.drop()
        if self.run_request is not None and self.run_request.reason == "rest" and self._resumed is None:
            self.run_request = None
        if self._resumed is not None:
            self.results.mark_pending(self._resumed.files)
            self._resumed = self.run_request = None
        if self.current is not None and self.current.phase != "running":
            self.put_back()
        elif self.current is not None and self.current.alone:
            self.stopping.stop_alone(self.current, changes)
        elif self.current is not None:
            self.current.process.tell(changes)

    def mind(self) -> list[float | None]:
        """End the rerun if it hangs or does not stop. Returns the seconds until the next checks; None for no check."""
        requested = self.run_request is not None or self.watch.renews
        return self.stopping.mind(self.current, requested=requested, paused=self.watch.paused)

    def ask_what_runs(self) -> None:
        current = self.current
        if current is None or current.phase != "running":
            self.screen.line(messages.NOTHING_RUNS)
        elif current.test is None:
            current.process.tell(protocol.WhatRuns())
        else:
            self._announcements.running_alone(current, current.test)

    def _lend_and_say(self, current: RerunState, _: protocol.Lend) -> None:
        self.loan.begin()
        current.process.tell(protocol.Lent())
