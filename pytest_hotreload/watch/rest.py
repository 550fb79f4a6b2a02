"""The rest behind tests first: the test files whose affected tests ran, until the files run whole.

All of them are pending in the watch's results, so a file that is dropped here runs with the next edit.
"""

from __future__ import annotations

from collections.abc import Collection

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.watch import messages
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import CollectionFailed, Go, ItemOutcome
from pytest_hotreload.watch.requests import RerunState, RunRequest, order_for
from pytest_hotreload.watch.results import Results
from pytest_hotreload.watch.tests_first import FirstTests


class Rest:
    """Test files that run whole behind their affected tests; those with an unconfirmed failure come first."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._waiting: set[str] = set()
        self._suspects: set[str] = set()

    def follows(self, first: FirstTests) -> None:
        """The tests of these files begin to run."""
        self._results.mark_pending(first.rest)
        self._waiting, self._suspects = set(first.rest), first.suspects

    def drop(self) -> None:
        """Forget what has not begun: an edit or a key comes first."""
        self._waiting = set()

    def told(self, current: RerunState, message: ItemOutcome | CollectionFailed) -> None:
        """Note an outcome. A failure of tests first counts only once the run of its whole file confirms it."""
        passed = isinstance(message, ItemOutcome) and message.outcome not in FAILED
        if current.first is not None and not passed:
            current.first.suspects.add(message.file)
        elif isinstance(message, CollectionFailed):
            self._results.failed_collection(message)
        else:
            self._results.told(message)

    def follow(self, first: FirstTests | None = None) -> str:
        """The rest that follows the rerun that has ended, in words; "" for nothing."""
        files = self.files
        return messages.follow(first.others if first is not None else 0, len(files)) if files else ""

    @property
    def files(self) -> set[str]:
        """The files that still have to run."""
        return self._waiting & self._results.pending

    def request(self) -> RunRequest | None:
        """The next rerun, of which each file is requested only once; None if nothing is left."""
        files = self.files & self._suspects or self.files
        self._waiting -= files
        return RunRequest(Go(files=tuple(sorted(files))), "rest") if files else None

    def order(self, request: RunRequest, process: Process, known: Collection[str], failing: set[str]) -> Go:
        """The order for a requested rerun in this process. A suspected failure needs no second confirmation."""
        go = order_for(request.go.files or (), process, known, failing | self._suspects)
        return go._replace(yields=True)
