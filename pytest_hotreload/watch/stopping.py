"""Stops a rerun: when the user cancels it, when its inputs change, or when it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from pytest_hotreload.process import heartbeat
from pytest_hotreload.process.heartbeat import Patience, Quiet, written
from pytest_hotreload.process.proc import is_traced
from pytest_hotreload.watch.edits import Edits
from pytest_hotreload.watch.protocol import Changed
from pytest_hotreload.watch.requests import RerunState
from pytest_hotreload.watch.results import Results
from pytest_hotreload.watch.terminal_loan import TerminalLoan

#: Seconds for the teardown of a test that was told to stop. A guess, not measured.
GRACE_SECONDS = 5.0
#: Seconds within which a rerun reports that it was interrupted, unless a test prevents that. A guess.
_HEARD_SECONDS = 0.5


class Stopping:
    """Interrupts and kills the current rerun, and remembers files that hung."""

    def __init__(self, results: Results, edits: Edits, loan: TerminalLoan) -> None:
        self.results, self._edits, self._loan = results, edits, loan
        #: Test files that hung in their last run.
        self.hung: set[str] = set()
        #: Hung files that were selected, but run only after the current rerun.
        self.behind: set[str] = set()
        self._deadline = 0.0
        self._quiet, self._patience = Quiet(), Patience()

    @property
    def patience(self) -> float:
        """Seconds without a sign of life after which a rerun counts as hung, unless its tests take longer."""
        return self._patience.seconds

    # -- reports from the rerun --------------------------------------------------------------------

    def begins(self) -> None:
        """Note that a rerun starts its tests."""
        self._quiet.forget()

    def hang_told(self, current: RerunState, files: Iterable[str]) -> None:
        """Note files that the rerun itself ended because they had done nothing for too long."""
        self._patience.ended(current.edited)
        self.hung.update(files)

    def ended(self, current: RerunState) -> None:
        """Note that the rerun reached its end, with or without results."""
        if current.hanging is None:
            self._patience.done()
            self.hung.difference_update(current.files)

    def choose(self, files: Iterable[str]) -> set[str]:
        """The files that run after the others because they hung in their last run.

        If all files hung, none of them has to wait and the set is empty.
        """
        files = set(files)
        self.behind = self.hung & files if not self.hung.issuperset(files) else set()
        return self.behind

    # -- stopping ----------------------------------------------------------------------------------

    def stop_alone(self, current: RerunState, changes: Changed) -> None:
        """Stop a rerun that reads no messages, if its inputs changed, or if it yields and those of any test file did.

        A rerun that owns the terminal is not stopped.
        """
        files = self.results.known if current.run_request.go.yields else current.files
        if current.stopped or self._loan.held or not self._edits.using(changes.paths, files):
            return
        self._stop(current, GRACE_SECONDS)

    @staticmethod
    def cancel(current: RerunState, *, has_heard: bool) -> None:
        """Cancel the rerun for the user. ``has_heard``: the terminal's Ctrl-C also reached the rerun."""
        current.cancelled = True
        current.tell_at = time.monotonic() + (_HEARD_SECONDS if has_heard else 0.0)

    def tell(self, current: RerunState | None, most: float) -> float:
        """Interrupt a cancelled rerun that has not been interrupted yet, if that is due.

        Returns the seconds, up to ``most``, until it is due.
        """
        left = current.tell_at - time.monotonic() if current is not None and current.tell_at else most
        if left <= 0 and current is not None:
            current.tell_at = 0.0
            self._signal(current, signal.SIGINT)
            return most
        return min(left, most)

    def _stop(self, current: RerunState, grace: float) -> None:
        """Interrupt the rerun; its files will run again.

        The rerun has ``grace`` seconds for its teardown, as after a Ctrl-C.
        """
        current.stopped = True
        self.results.mark_pending(current.files)
        self._deadline = time.monotonic() + grace
        self._signal(current, signal.SIGINT)

    def mind(self, current: RerunState | None, *, requested: bool, paused: bool) -> list[float | None]:
        """End the rerun if it hangs or does not stop. Returns the seconds until the next checks; None for no check.

        ``requested``: whether a key has requested another run. ``paused``: whether edits wait.
        """

        def may_end(current: RerunState) -> bool:
            edited = bool(current.edited.difference(self._edits.blocked)) and not paused
            return not self._loan.held and (edited or (current.cancelled and requested))

        return [self.mind_hang(current, may_end), self.mind_deadline(current)]

    def mind_deadline(self, current: RerunState | None) -> float | None:
        """Kill a rerun that was told to stop and has not. Returns the seconds until the next check, or None."""
        if current is None or not current.stopped:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._signal(current, signal.SIGKILL)
            return GRACE_SECONDS
        return left

    def mind_hang(self, current: RerunState | None, may_end: Callable[[RerunState], bool]) -> float | None:
        """End the rerun if it hangs and ``may_end`` allows it. Returns the seconds until the next check, or None.

        Whether a child hangs is judged by the rerun itself, as long as its own run loop turns.
        """
        if current is None or current.phase != "running" or current.stopped:
            return None
        assert current.process.pulse is not None
        count, seconds, what = current.process.pulse.read()
        sign = count, written(current.process.pid)
        quiet = self._quiet.look(current.process.token, sign, time.monotonic())
        most = max(seconds, self.patience)
        if quiet <= most or not may_end(current) or is_traced(current.process.pid):
            return heartbeat.LOOK_SECONDS
        self._end_hang(current, what, quiet)
        return self.mind_deadline(current)

    def _end_hang(self, current: RerunState, what: str, quiet: float) -> None:
        """Stop a hanging rerun as if its inputs had changed; a cancelled rerun is killed at once."""
        current.hanging = what, quiet
        self.hung.update(current.files if len(current.files) == 1 else ())
        self._patience.ended(current.edited)
        self._stop(current, 0.0 if current.cancelled else GRACE_SECONDS)

    @staticmethod
    def _signal(current: RerunState, number: int) -> None:
        if current.process.pid:
            with contextlib.suppress(OSError):
                os.kill(current.process.pid, number)
