"""The watcher's view of one process of a watch, and the test for whether changes affect the process."""

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

#: Bytes from the end of captured output in which the last line is looked for. A guess.
_LINE_BYTES = 4096


@dataclass(eq=False)
class Process:
    """The template, a fork point or a rerun, as the watcher sees it."""

    #: "template", "point" or "rerun".
    kind: str
    parent: Process | None
    channel: Channel
    order: Any = None
    token: int = 0
    pid: int = 0
    #: "starting", "ready" (the process can be forked, or told to go) or "gone".
    state: str = "starting"
    inputs: Inputs = field(default_factory=Inputs)
    refused: dict[str, str] = field(default_factory=dict)
    #: The changes since the process was requested.
    touched: Changed = field(default_factory=Changed)
    waiting: Waiting | None = None
    status: int | None = None
    #: The time at which the process was requested, in monotonic seconds.
    began: float = field(default_factory=time.monotonic)
    #: The pulse of a rerun; None for other processes.
    pulse: Pulse | None = None

    @property
    def is_late(self) -> bool:
        """Whether the process should be ready by now, and therefore probably hangs."""
        return self.state == "starting" and time.monotonic() - self.began > heartbeat.COLLECTING_SECONDS

    @property
    def is_direct(self) -> bool:
        """Whether the process is a rerun whose tests run at the terminal."""
        return self.waiting is not None and self.waiting.direct

    def has_other_runs(self, tests: Collection[str], wanted: Collection[str]) -> bool:
        """Whether the process holds every test file in ``tests`` that is not in ``wanted``."""
        return all(test in self.inputs.files for test in tests if test not in wanted)

    def tell(self, message: object) -> None:
        """Send a message. If the process has ended, nothing is raised: its end is read next."""
        with contextlib.suppress(OSError):
            self.channel.send(-1, message)

    def fileno(self) -> int:
        return self.channel.fileno()

    def last_line(self) -> str:
        """The last line of the process's output if a file captures it, as pytest's capture does; else ""."""
        captured = proc.captured(self.pid, 1)
        with contextlib.suppress(OSError):
            if captured:
                lines = Path(captured).read_bytes()[-_LINE_BYTES:].decode("utf-8", "replace").split("\n")
                return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""


def is_affected_by(inputs: Inputs, changes: Changed) -> bool:
    """Whether the changes can make a process with these inputs stale."""
    # A folder may be a link that leads elsewhere now.
    if any(path in inputs.files or path in inputs.folders for path in changes.paths):
        return True
    for path in changes.created + changes.deleted:
        # With it, each folder above may have come or gone, and with that a name in the folder above that one.
        if any(folder in inputs.folders or folder in inputs.files for folder in _above(path)):
            return True
        folder, _, name = path.rpartition(os.sep)
        stem = name.partition(".")[0]
        part = folder.rpartition(os.sep)[2] if stem == "__init__" else stem
        if name.endswith((".py", ".so", ".pyi")) and part in inputs.names and path in changes.created:
            return True
    return False


def _above(path: str) -> Iterator[str]:
    while (folder := path.rpartition(os.sep)[0]) and folder != path:
        yield folder
        path = folder


def ancestors(process: Process) -> Iterator[Process]:
    point = process.parent
    while point is not None:
        yield point
        point = point.parent
