"""What a watch is asked to run, by whom, and what of it is under way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Alone, Began, Changed, Go, RerunInterrupted, Unconfirmed


@dataclass
class RunRequest:
    """What is to run. ``why``: who asks: "" (an edit), "first", "all", "again", "red", "debug", "confirm", "none"."""

    go: Go = field(default_factory=Go)
    why: str = ""


@dataclass
class PendingEdit:
    """What was changed, and when: monotonic seconds of the first event and of the comparison.

    ``meanwhile``: those that came while tests ran: tests and their tools may have written them.
    """

    changes: Changed = field(default_factory=Changed)
    burst: str = ""
    event: float = 0.0
    compared: float = 0.0
    meanwhile: frozenset[str] = frozenset()


@dataclass
class RerunState:
    """One under way. ``phase``: "waiting" (for its process), "selecting", "running".

    ``asked``, ``ready``: monotonic seconds; ``select``: seconds. ``files``: what it runs, as far as it
    is known. ``how``: where it was forked, and why there, in words. ``cancelled``: by the user. ``alone``: it hears
    nothing, and runs ``test`` itself, since then. ``edited``: what changed since it began. ``stopped``: since it was
    edited. ``hanging``: as it has done nothing, for so many seconds. ``unconfirmed``: failed without
    its company. ``confirming``: runs for that.
    """

    process: Process
    run_request: RunRequest
    edit: PendingEdit
    phase: str = "waiting"
    asked: float = field(default_factory=time.monotonic)
    ready: float = 0.0
    select: float = 0.0
    files: tuple[str, ...] = ()
    how: str = ""
    unconfirmed: bool = False
    confirming: bool = False
    cancelled: bool = False
    test: tuple[str, float] | None = None
    alone: bool = False
    edited: set[str] = field(default_factory=set)
    stopped: bool = False
    hanging: tuple[str, float] | None = None
    collected: bool = False
    tell_at: float = 0.0

    @property
    def is_unknown(self) -> bool:
        """Whether what it would have run has to be found out again: it was ended, as it hung, before it knew that."""
        hung = self.hanging is not None and not self.cancelled
        return hung and not self.collected and self.run_request.go.files is None

    def note(self, message: Began | RerunInterrupted | Alone | Unconfirmed) -> None:
        """What it says of itself."""
        if isinstance(message, Began):
            self.test = message.nodeid, time.monotonic()
        elif isinstance(message, RerunInterrupted):
            self.tell_at = 0.0
        elif isinstance(message, Alone):
            self.alone = True
        else:
            self.unconfirmed = True
