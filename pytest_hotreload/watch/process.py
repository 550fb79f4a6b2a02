"""One process of a watch, as the watcher knows it, and whom an edit concerns."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_hotreload.process import heartbeat, proc
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.heartbeat import Pulse
from pytest_hotreload.watch.protocol import Changed, Inputs, Waiting

#: Of captured output, as much as a last line may take. A guess.
_LINE_BYTES = 4096


@dataclass(eq=False)
class Process:
    """One of the family. ``state``: "starting", "ready" (it can be forked, or told to go), "gone".

    ``touched``: what changed since it was asked for. ``began``: when that was, in monotonic seconds. ``pulse``: of a
    rerun.
    """

    kind: str
    parent: Process | None
    channel: Channel
    order: Any = None
    token: int = 0
    pid: int = 0
    state: str = "starting"
    inputs: Inputs = field(default_factory=Inputs)
    refused: dict[str, str] = field(default_factory=dict)
    touched: Changed = field(default_factory=Changed)
    waiting: Waiting | None = None
    status: int | None = None
    began: float = field(default_factory=time.monotonic)
    pulse: Pulse | None = None

    @property
    def is_late(self) -> bool:
        """Whether it should be ready by now: it hangs, for all that anybody knows."""
        return self.state == "starting" and time.monotonic() - self.began > heartbeat.COLLECTING_SECONDS

    @property
    def is_direct(self) -> bool:
        """Whether it is a rerun whose tests run at the terminal."""
        return self.waiting is not None and self.waiting.direct

    def has_other_runs(self, tests: Collection[str], wanted: Collection[str]) -> bool:
        """Whether it holds every test file but those."""
        return all(test in self.inputs.files for test in tests if test not in wanted)

    def tell(self, message: object) -> None:
        """Where it is gone, its end is read next."""
        with contextlib.suppress(OSError):
            self.channel.send(-1, message)

    def fileno(self) -> int:
        return self.channel.fileno()

    def last_line(self) -> str:
        """What it printed last, where its output is captured in a file, as pytest does it; "" elsewhere."""
        captured = proc.captured(self.pid, 1)
        with contextlib.suppress(OSError):
            if captured:
                lines = Path(captured).read_bytes()[-_LINE_BYTES:].decode("utf-8", "replace").split("\n")
                return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""


def is_affected_by(inputs: Inputs, changes: Changed) -> bool:
    """Whether any of this could make a difference to who holds these inputs."""
    if any(path in inputs.files for path in changes.paths):
        return True
    for path in changes.created + changes.deleted:
        folder, _, name = path.rpartition(os.sep)
        if folder in inputs.folders:
            return True
        stem = name.partition(".")[0]
        part = folder.rpartition(os.sep)[2] if stem == "__init__" else stem
        if name.endswith((".py", ".so", ".pyi")) and part in inputs.names and path in changes.created:
            return True
    return False


def ancestors(process: Process) -> Iterator[Process]:
    point = process.parent
    while point is not None:
        yield point
        point = point.parent
