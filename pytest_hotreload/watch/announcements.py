"""The lines that a watch shows about a rerun: its start, its stop and its results."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pytest_hotreload.watch import messages as watch_messages
from pytest_hotreload.watch import screen
from pytest_hotreload.watch.protocol import Finished, Go
from pytest_hotreload.watch.requests import RerunState
from pytest_hotreload.watch.results import Results

#: pytest's exit statuses for sessions whose outcome is that of their tests: passed, failed, none collected.
_ORDERLY = (0, 1, 5)


class Announcements:
    """Writes the lines about reruns to the screen of a watch."""

    def __init__(self, shown: screen.Screen, results: Results, root: str) -> None:
        self.screen, self.results, self.root = shown, results, root

    def begins(self, current: RerunState) -> None:
        """Show that a rerun starts, with the number of its test files and the reason."""
        go = current.run_request.go
        if current.run_request.reason == "first":
            self.screen.line(watch_messages.first(go.first, current.how), "bold")
            return
        if current.first is not None:
            first = current.first
            line = watch_messages.tests_first(first.functions, len(first.nodeids), current.how)
            self.screen.line(line, "bold")
            return
        known = len({*self.results.known, *current.files})
        count = None if go.files is None else len(current.files)
        self.screen.line(watch_messages.rerun(current.edit, count, known, current.how, self.root), "bold")

    def unaffected(self, current: RerunState, without_effect: Sequence[str]) -> None:
        """Show that no test file is affected by the edit."""
        self.screen.line(watch_messages.unaffected(current.edit.changes, self.root, without_effect))

    def stopped(self, current: RerunState) -> None:
        """Show why a rerun was stopped. To be called after its last output, so that no incomplete line is split."""
        if current.cancelled:
            return
        if current.stopped and current.hanging is not None:
            self.screen.notice(watch_messages.hangs(*current.hanging))
        elif current.stopped:
            self.files_stopped(current, len(current.files), None)

    def files_stopped(self, current: RerunState, count: int, hanging: tuple[str, float] | None) -> None:
        """Show that a rerun stopped ``count`` of its files, and goes on with the others."""
        meanwhile = (
            watch_messages.yielded if current.run_request.go.yields else watch_messages.changed_meanwhile
        )
        self.screen.notice(watch_messages.hangs(*hanging) if hanging is not None else meanwhile(count))

    def running_alone(self, current: RerunState, test: tuple[str, float]) -> None:
        """Show the test that the rerun runs in its own process, and the last line that the test printed."""
        name, since = test
        process = current.process
        self.screen.lines(
            watch_messages.running([(name, process.pid, time.monotonic() - since, process.last_line())])
        )

    def ended(self, current: RerunState, message: Finished, filters: Go, follow: str = "") -> None:
        """Show the outcomes of a rerun, and the failing tests elsewhere. ``follow``: what runs next, or ""."""
        edit, now = current.edit, time.monotonic()
        start = edit.compared or current.asked
        times = watch_messages.Times(
            watch=max(edit.compared - edit.event, 0.0),
            select=current.select,
            fork=current.ready - start,
            run=now - current.ready - current.select,
            pytest=message.seconds,
        )
        notes = [watch_messages.CONFIRMED] if current.confirming else []
        notes += (
            [text] if (text := watch_messages.filters(filters.keyword, filters.marker, filters.path)) else []
        )
        elsewhere = self.results.failing_elsewhere(current.files)
        red = bool(self.results.failing) or message.status not in _ORDERLY
        line, colour = watch_messages.status(
            self.results.ran,
            times,
            red,
            elsewhere,
            len(self.results.pending),
            notes,
            follow,
            phases=self.screen.verbose,
        )
        self.screen.line(line, colour)
