"""Runs a command, waits for lines of its output, and measures its process tree: CPU, memory, descriptors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import MeasurementError

#: pytest's last line with any outcome. Our status line does not match: it has a space between the seconds and
#: "s".
SUMMARY = re.compile(r"\b\d+ (?:passed|failed|errors?|skipped|deselected)\b.* in \d+\.\d+s\b")
#: The answer to an edit. ``-v`` adds the parts of its time; the other groups are None without it.
STATUS = re.compile(
    r"(?:PASS|FAIL) .* in (?P<pytest>[\d.]+) s"
    r"(?: \(watch (?P<watch>\d+) \+ select (?P<select>\d+) \+ fork (?P<fork>\d+) \+ run (?P<run>\d+) ms\))?"
)
READY = "watching, h for help"
#: The time limit of each wait. Nothing here takes a tenth of it.
PATIENCE_SECONDS = 300.0
#: A process tree that used no clock tick of CPU for this long has finished its work for an edit.
QUIET_SECONDS = 0.4
LOOK_SECONDS = 0.05
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Line:
    """One line of output."""

    #: When the line was read, in seconds of ``time.perf_counter``.
    at: float
    text: str


class Running:
    """One running command with its output as lines, in a process group of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.lines: list[Line] = []
        self._news = threading.Condition()
        # Unbuffered for all contenders: otherwise a line is read when a buffer is full, not when the line was
        # written.
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**measure.environment(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self._news:
                self.lines.append(Line(time.perf_counter(), text.rstrip("\n")))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, pattern: re.Pattern[str], since: int = 0) -> Line:
        """The first line from number ``since`` that matches the pattern. Raises MeasurementError."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._news:
            while True:
                for line in self.lines[since:]:
                    if pattern.search(line.text):
                        return line
                if not self._reader.is_alive() or not self._news.wait(deadline - time.monotonic()):
                    shown = "\n".join(line.text for line in self.lines[since:][-40:])
                    raise MeasurementError(f"{self.command}: no line has {pattern.pattern!r}:\n{shown}")

    def cpu(self) -> float:
        """CPU seconds of the command and all its descendants, including ended ones, in steps of a clock tick."""
        return sum(map(cpu_of, self.family()))

    def family(self) -> set[int]:
        return measure.tree(self.process.pid)

    def settle(self) -> float:
        """Wait until the process tree is idle. Returns its CPU seconds so far."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        used, since = self.cpu(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            if time.monotonic() > deadline:
                raise MeasurementError(f"{self.command} does not come to rest")
            time.sleep(LOOK_SECONDS)
            now = self.cpu()
            if now > used + TICK / 2:
                used, since = now, time.monotonic()
        return used

    def end(self) -> float:
        """Wait for a command that ends by itself. Returns the CPU seconds of all its processes."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._reader.join(PATIENCE_SECONDS)
        return usage.ru_utime + usage.ru_stime

    def stop(self) -> None:
        """Close the command's input, at which some commands end; end others by signals."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        for number in (0, signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(measure.LEFT_BEHIND_SECONDS)
                return


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of the children that it has waited for; 0 if the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) * TICK  # utime, stime, cutime, cstime


def descriptors_of(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count, no paths
    except OSError:
        return 0


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
