"""Measures whether the costs of a watch grow over many reruns, both idle and running:

python -m benchmarks.endurance                  500 reruns: figures as CSV, a plot, and the slopes printed
python -m benchmarks.endurance --reruns 60 --idle 10 --plot /tmp/endurance.svg

A test file and a module that some test files import are edited in turns; samples are taken while nothing
runs.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import statistics
import sys
import time
from pathlib import Path

from benchmarks import plot, report
from benchmarks.experiments import MEBIBYTE, say
from benchmarks.measure import MeasurementError, parent_of, proportional_size
from benchmarks.suites import FOLDER, SUITES
from benchmarks.watching import READY, STATUS, Running, cpu_of, descriptors_of, is_alive

EVERY = 10
IDLE_SECONDS = 60
CSV = FOLDER.parent / "endurance.csv"
PLOT = report.ROOT / "docs" / "pictures" / "endurance.svg"
TEST_FILE, MODULE = "tests/test_0000.py", "layers/layer_9_0.py"

#: Slopes are given per this many reruns.
PER = 100
#: The plotted figures. Times are only in the CSV, because they depend on other load of the machine.
PANELS = {
    "memory (PSS), MiB": ("watcher MiB", "template MiB", "fork points MiB", "reruns MiB", "all MiB"),
    "open descriptors": ("watcher descriptors", "all descriptors"),
    "processes": ("processes", "zombies"),
}

Row = dict[str, float]


def roles(family: set[int], root: int) -> dict[int, str]:
    """The role of each living process in an idle watch. A process without a child waits for an edit."""
    parents = {pid: parent_of(pid) for pid in family}
    have_children = set(parents.values())
    found = {}
    for pid in family:
        if pid == root:
            found[pid] = "watcher"
        elif parents[pid] == root:
            found[pid] = "template"
        else:
            found[pid] = "fork points" if pid in have_children else "reruns"
    return found


def sample(running: Running, reruns: int, latencies: dict[str, list[float]]) -> Row:
    running.settle()
    family = running.family()
    alive = {pid for pid in family if is_alive(pid)}
    row: Row = {"reruns": reruns, "processes": len(alive), "zombies": len(family - alive)}
    kinds = roles(alive, running.process.pid)
    for kind in ("watcher", "template", "fork points", "reruns"):
        pids = [pid for pid, name in kinds.items() if name == kind]
        row[f"{kind} MiB"] = sum(map(proportional_size, pids)) / MEBIBYTE
        row[f"{kind} descriptors"] = sum(map(descriptors_of, pids))
        row[f"{kind} processes"] = len(pids)
    row["all MiB"] = sum(map(proportional_size, alive)) / MEBIBYTE
    row["all descriptors"] = sum(map(descriptors_of, alive))
    for name, seconds in latencies.items():
        row[f"{name} ms"] = statistics.median(seconds) * 1000 if seconds else float("nan")
        seconds.clear()
    return row


def edit(running: Running, path: Path, number: int) -> float:
    """Edit a file. Returns the seconds from the save to the status line."""
    since = len(running.lines)
    text = re.sub(r"\n+EDITED = .*\n", "", path.read_text())
    start = time.perf_counter()
    path.write_text(f"{text}\n\nEDITED = {10_000 + number:06_}\n")
    return running.wait_for(STATUS, since).at - start


def idle_cpu(running: Running, seconds: float) -> float:
    """Milliseconds of CPU per second while nothing happens."""
    before, start = running.settle(), time.monotonic()
    time.sleep(seconds)
    used = sum(map(cpu_of, running.family())) - before
    return used * 1000 / (time.monotonic() - start)


def endure(python: str, reruns: int, idle: float) -> tuple[list[Row], tuple[float, float]]:
    """Run the reruns. Returns the samples, and the idle CPU before and after."""
    folder = FOLDER.parent / "endurance"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SUITES["layered"].generate(), folder, ignore=shutil.ignore_patterns(".pytest_cache"))
    command = [python, "-m", "pytest", "-p", "no:xdist", "-p", "no:testmon", "--hotreload", "--watch", "-v"]
    running = Running([*command, "--hotreload-slots=2"], folder)
    try:
        running.wait_for(re.compile(READY))
        before = idle_cpu(running, idle)
        latencies: dict[str, list[float]] = {"test file": [], "module": []}
        rows = []
        for number in range(1, reruns + 1):
            name, file = ("test file", TEST_FILE) if number % 2 else ("module", MODULE)
            latencies[name].append(edit(running, folder / file, number))
            if number % EVERY == 0:
                rows.append(sample(running, number, latencies))
                say(
                    f"  {number:4} reruns: {rows[-1]['all MiB']:6.1f} MiB, {rows[-1]['processes']:.0f} processes, "
                    f"{rows[-1]['all descriptors']:.0f} descriptors, {rows[-1]['test file ms']:.0f} and "
                    f"{rows[-1]['module ms']:.0f} ms"
                )
        return rows, (before, idle_cpu(running, idle))
    finally:
        running.stop()


def slope(rows: list[Row], name: str) -> float:
    """The slope by least squares, per 100 reruns."""
    return statistics.linear_regression([row["reruns"] for row in rows], [row[name] for row in rows])[0] * PER


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description="Does a watch grow?")
    parser.add_argument("--reruns", type=int, default=500, help="edits, one after the other (default: 500)")
    parser.add_argument(
        "--idle", type=float, default=IDLE_SECONDS, help="seconds of idleness, before and after"
    )
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the tests")
    parser.add_argument("--csv", type=Path, default=CSV)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args(arguments)
    if options.reruns < 2 * EVERY:
        parser.error(f"--reruns must be at least {2 * EVERY}: a slope needs two samples")
    try:
        rows, idle = endure(options.python, options.reruns, options.idle)
    except MeasurementError as error:
        say(f"error: {error}")
        return 1
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: round(value, 3) for name, value in row.items()} for row in rows)
    machine = report.machine(options.python)
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    places = [row["reruns"] for row in rows]
    panels = {title: {name: [row[name] for row in rows] for name in names} for title, names in PANELS.items()}
    options.plot.write_text(plot.lines(panels, places, f"{options.reruns} reruns · {machine}"))
    print(f"{options.reruns} reruns; {machine}")
    print(f"  idle: {idle[0]:.2f} ms of CPU a second before, {idle[1]:.2f} after")
    for name in rows[0]:
        if name != "reruns":
            print(
                f"  {name:<24} {rows[0][name]:9.1f} → {rows[-1][name]:9.1f}   {slope(rows, name):+8.2f} per {PER}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
