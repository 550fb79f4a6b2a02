"""How a rerun is stopped: at the user's word, since it was edited, or since it does nothing any more."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from pytest_hotreload.process import heartbeat
from pytest_hotreload.process.heartbeat import Patience, Quiet, written
from pytest_hotreload.process.proc import is_traced
from pytest_hotreload.watch.requests import RerunState
from pytest_hotreload.watch.results import Results

#: Seconds for the teardown of a test that was told to stop. A guess, not measured.
GRACE_SECONDS = 5.0
#: Seconds in which a rerun says that it was interrupted, unless a test keeps it from that. A guess.
_HEARD_SECONDS = 0.5


class Stopping:
    """``hung``: files that hung when they ran last. ``behind``: those of them that run behind the current rerun."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.hung: set[str] = set()
        self.behind: set[str] = set()
        self._deadline = 0.0
        self._quiet, self._patience = Quiet(), Patience()

    @property
    def patience(self) -> float:
        """Seconds without a sign of life after which a rerun counts as hung, unless its tests take longer."""
        return self._patience.seconds

    # -- what a rerun tells ------------------------------------------------------------------------

    def begins(self) -> None:
        """A rerun starts its tests."""
        self._quiet.forget()

    def hang_told(self, current: RerunState, files: Iterable[str]) -> None:
        """By the rerun itself: these did nothing for long, and were ended."""
        self._patience.ended(current.edited)
        self.hung.update(files)

    def ended(self, current: RerunState) -> None:
        """It came to its end, whatever became of its tests."""
        if current.hanging is None:
            self._patience.done()
            self.hung.difference_update(current.files)

    def choose(self, files: Iterable[str]) -> set[str]:
        """Those of the files that shall run behind the others, as they hung."""
        files = set(files)
        self.behind = self.hung & files if not self.hung.issuperset(files) else set()
        return self.behind

    # -- stopping ----------------------------------------------------------------------------------

    def stop_edited(self, current: RerunState) -> None:
        """Its inputs changed."""
        self._stop(current, GRACE_SECONDS)

    @staticmethod
    def cancel(current: RerunState, *, has_heard: bool) -> None:
        """At the user's word. ``has_heard``: a terminal's Ctrl-C reaches it, too."""
        current.cancelled = True
        current.tell_at = time.monotonic() + (_HEARD_SECONDS if has_heard else 0.0)

    def tell(self, current: RerunState | None, most: float) -> float:
        """Interrupt a cancelled rerun that has not heard it. Seconds, up to ``most``, until that is due."""
        left = current.tell_at - time.monotonic() if current is not None and current.tell_at else most
        if left <= 0 and current is not None:
            current.tell_at = 0.0
            self._signal(current, signal.SIGINT)
            return most
        return min(left, most)

    def _stop(self, current: RerunState, grace: float) -> None:
        """It tears down what it set up, as at Ctrl-C, and runs again; it gets ``grace`` seconds."""
        current.stopped = True
        self.results.mark_pending(current.files)
        self._deadline = time.monotonic() + grace
        self._signal(current, signal.SIGINT)

    def mind_deadline(self, current: RerunState | None) -> float | None:
        """Kill what was told to stop and does not; in how many seconds to ask again."""
        if current is None or not current.stopped:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._signal(current, signal.SIGKILL)
            return GRACE_SECONDS
        return left

    def mind_hang(self, current: RerunState | None, may_end: Callable[[RerunState], bool]) -> float | None:
        """End the rerun if it has done nothing for long, and something was edited; in how many seconds to look again.

        What its children do it judges itself, as long as its own loop goes round.
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
        """As an edit of its inputs does; one that was told to stop before, and does not, is killed."""
        current.hanging = what, quiet
        self.hung.update(current.files if len(current.files) == 1 else ())
        self._patience.ended(current.edited)
        self._stop(current, 0.0 if current.cancelled else GRACE_SECONDS)

    @staticmethod
    def _signal(current: RerunState, number: int) -> None:
        if current.process.pid:
            with contextlib.suppress(OSError):
                os.kill(current.process.pid, number)
