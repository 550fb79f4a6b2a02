"""Measures a command with all processes that it starts: wall time, CPU time and peak memory."""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.05
# Processes that a command left behind are killed after this time, and make the measurement fail.
LEFT_BEHIND_SECONDS = 5.0
TAIL_CHARACTERS = 2_000


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float


class MeasurementError(Exception):
    """The command did not do what should be measured."""


def adopt_orphans() -> None:
    """Become the parent of all processes that a command leaves behind, so that their CPU time is counted."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def environment() -> dict[str, str]:
    """This process's variables, without those that would make the run differ from a user's."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    # Thread pools as large as the machine would make plain pytest a parallel run.
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path) -> tuple[Cost, str]:
    """Run a command.

    Returns its cost and standard output. Raises MeasurementError if the exit status is not 0.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + reap_orphans()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise MeasurementError(
            f"{' '.join(command)} ended with status {process.returncode}:\n{text[-TAIL_CHARACTERS:]}"
        )
    return Cost(wall, cpu), text


def reap_orphans() -> float:
    """CPU time of all processes that outlived the command; kills those that keep running."""
    cpu = 0.0
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu
        if pid:
            cpu += usage.ru_utime + usage.ru_stime
        elif time.monotonic() > deadline:
            left = sorted(tree(os.getpid()) - {os.getpid()})
            for orphan in left:
                os.kill(orphan, signal.SIGKILL)
            raise MeasurementError(f"processes outlived the command: {left}")
        else:
            time.sleep(0.01)


def peak_memory(command: list[str], folder: Path) -> int:
    """The largest sum, in bytes, of the proportional set sizes of all processes at one time.

    Sampling costs time, so memory is measured in another run than time.
    """
    peak = 0
    ended = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_SECONDS):
            peak = max(peak, sum(map(proportional_size, tree(os.getpid()) - {os.getpid()})))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        run(command, folder)
    finally:
        ended.set()
        sampler.join()
    return peak


def tree(root: int) -> set[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
    found, waiting = {root}, [root]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting.extend(new)
    return found


def parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The name, in parentheses, may contain anything; state and parent follow it.
    return int(stat.rpartition(")")[2].split()[1])


def proportional_size(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def two_loops_at_once(python: str, repeats: int = 3) -> float:
    """How long two busy loops at once take, as a multiple of one: the median of ``repeats`` measurements."""
    command = [python, "-c", "for _ in range(20_000_000): pass"]

    def seconds(count: int) -> float:
        began = time.monotonic()
        running = [subprocess.Popen(command) for _ in range(count)]
        for process in running:
            process.wait()
        return time.monotonic() - began

    return statistics.median(seconds(2) / seconds(1) for _ in range(repeats))
