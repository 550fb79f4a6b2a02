"""Run requests, pending edits, and the state of the current rerun of a watch."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Alone, Began, Changed, Go, RerunInterrupted, Unconfirmed
from pytest_hotreload.watch.tests_first import FirstTests

#: Up to this number of files, a rerun first runs without collecting the other test files. The collection of all test
#: files takes less time than more files than these.
_FEW_FILES = 8


@dataclass
class RunRequest:
    """A request to run certain tests, from a key, an edit or the watch itself."""

    go: Go = field(default_factory=Go)
    #: The origin: "" (an edit), "first", "all", "again", "failing", "debug", "confirm", "rest" (of the files whose
    #: affected tests ran first) or "none".
    reason: str = ""

    @property
    def takes_edits(self) -> bool:
        """Whether the rerun also runs pending edits, because no files are named."""
        return self.go.files is None and self.reason != "none"


def order_for(
    files: tuple[str, ...], process: Process, known: Collection[str], failing: Collection[str]
) -> Go:
    """Return the order to run these files in this process. ``known``: all test files. ``failing``: those that failed.

    If the fork point holds all other test files, the rerun needs nothing else. Otherwise all test files are
    collected if one of these files is failing, if there are many, or if the tests run at the terminal. In the
    remaining case the rerun collects only these files, and holds back its output until it has passed.
    """
    wanted = set(files)
    if process.parent and process.parent.has_other_runs(known, wanted):
        return Go(files=files)
    alone = len(files) <= _FEW_FILES and wanted.isdisjoint(failing) and not process.is_direct
    return Go(files=files, collect_all=not alone, hold=alone)


@dataclass
class PendingEdit:
    """The changes that have not run yet, with their times."""

    changes: Changed = field(default_factory=Changed)
    burst: str = ""
    #: The time of the first event, in monotonic seconds.
    event: float = 0.0
    #: The time at which file contents were compared, in monotonic seconds.
    compared: float = 0.0
    #: Paths that changed while tests ran: tests and their tools may have written them.
    meanwhile: frozenset[str] = frozenset()


@dataclass
class RerunState:
    """The state of the current rerun."""

    process: Process
    run_request: RunRequest
    edit: PendingEdit
    #: "waiting" (for its process), "selecting" or "running".
    phase: str = "waiting"
    #: The time at which the rerun was requested, in monotonic seconds.
    asked: float = field(default_factory=time.monotonic)
    #: The time at which the process was ready, in monotonic seconds.
    ready: float = 0.0
    #: The duration of the selection, in seconds.
    select: float = 0.0
    #: The test files that run, as far as they are known.
    files: tuple[str, ...] = ()
    #: The fork point of the rerun and the reason for its choice, in words.
    how: str = ""
    #: Whether a test failed while not all test files were collected.
    unconfirmed: bool = False
    #: Whether the rerun repeats an unconfirmed one.
    confirming: bool = False
    #: Whether the user cancelled the rerun.
    cancelled: bool = False
    #: The test that the rerun runs itself, and the time of its start in monotonic seconds.
    test: tuple[str, float] | None = None
    #: Whether the rerun runs its only file itself, and therefore reads no messages.
    alone: bool = False
    #: The paths that changed since the rerun began.
    edited: set[str] = field(default_factory=set)
    #: Whether the rerun was told to stop because its inputs changed or because it hangs.
    stopped: bool = False
    #: The hanging test (or phase) for which the rerun was ended, and the seconds for which it had done nothing.
    hanging: tuple[str, float] | None = None
    collected: bool = False
    #: Set if the rerun runs the affected tests before the rest of their files.
    first: FirstTests | None = None
    #: The time at which a cancelled rerun is to be interrupted, in monotonic seconds; 0 if no interrupt is due.
    tell_at: float = 0.0

    @property
    def is_unknown(self) -> bool:
        """Whether the selection has to be repeated, since the rerun was ended as hung before it had collected."""
        hung = self.hanging is not None and not self.cancelled
        return hung and not self.collected and self.run_request.go.files is None

    def note(self, message: Began | RerunInterrupted | Alone | Unconfirmed) -> None:
        """Apply a message in which the rerun reports its own state."""
        if isinstance(message, Began):
            self.test = message.nodeid, time.monotonic()
        elif isinstance(message, RerunInterrupted):
            self.tell_at = 0.0
        elif isinstance(message, Alone):
            self.alone = True
        else:
            self.unconfirmed = True
