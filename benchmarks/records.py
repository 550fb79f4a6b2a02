"""Measures the cost of the record store on generated data: `python -m benchmarks.records [files]`.

Each figure is a median. Loading is measured in a fresh process each time, after the status of every file is
old enough to be trusted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_hotreload import _native

REPEATS = 9
STORES = 5
FILES_IN_FOLDER = 50
MODULES_IN_PACKAGE = 20
DEPENDENCIES = 10
# A status younger than two seconds is not trusted, and would cause every file to be read again.
SETTLING_SECONDS = 2.2
EPOCH = "0" * 32
STORE = ".pytest_cache/d/hotreload"


def names(count: int, in_folder: int = FILES_IN_FOLDER) -> tuple[list[str], list[str]]:
    """Names of test files, and of half as many modules."""
    tests = [f"tests/part{at // in_folder}/test_{at}.py" for at in range(count)]
    modules = [f"src/package{at // MODULES_IN_PACKAGE}/module{at}.py" for at in range(count // 2)]
    return tests, modules


def write(root: Path, files: list[str]) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NAME = {name!r}\n" * 40)


def draft(test: str, modules: list[str], at: int) -> str:
    closure = [modules[(at * 7 + step * 13) % len(modules)] for step in range(DEPENDENCIES - 2)]
    return json.dumps(
        {
            "epoch": EPOCH,
            "outcome": "passed",
            "tests": [[f"{test}::test_{number}", "passed", 0.01] for number in range(8)],
            "costs": {"collection": 0.01, "fixtures": 0.1, "imports": 0.2},
            "closure": closure,
            "dynamic": {},
            "roots": ["src"],
            "reads": [[f"data/missing{at}", None]],
            "listings": [],
            "environment": ["HOME"],
            "declared": [],
            "coupled_with": [],
            "distributions": {"pytest": "9"},
            "modules": {"pytest": "pytest"},
            "flags": [],
            "ports": [],
            "writes": [],
            "serial": [],
        }
    )


def generate(root: Path, count: int, in_folder: int = FILES_IN_FOLDER) -> dict[str, list[float]]:
    """Milliseconds per record, for a new record and for an unchanged one. The last store is kept."""
    tests, modules = names(count, in_folder)
    write(root, tests + modules)
    (root / "data").mkdir()
    time.sleep(SETTLING_SECONDS)
    started = time.time_ns() + 10**10  # all generated files count as older
    drafts = {test: draft(test, modules, at) for at, test in enumerate(tests)}
    costs: dict[str, list[float]] = {"new": [], "unchanged": []}
    for store in [*(f"{STORE}-{at}" for at in range(1, STORES)), STORE]:
        for name, changed in (("new", count), ("unchanged", 0)):
            records = _native.RecordStore(store, str(root))
            records.load()
            before = time.perf_counter()
            found = records.put_all(drafts, started_ns=started, environment={"HOME": "/"})
            costs[name].append((time.perf_counter() - before) * 1000 / count)
            records.save()
            if found != changed:
                raise SystemExit(f"{found} of {count} records changed where {changed} should")
    return costs


def measure(root: str, count: int) -> dict[str, float]:
    """Measure the store in this process, in milliseconds."""
    tests, _ = names(count)
    records = _native.RecordStore(STORE, root)
    start = time.perf_counter()
    loaded = records.load()
    middle = time.perf_counter()
    verdicts = records.check(tests, epochs=[EPOCH], environment={"HOME": "/"})
    checked = time.perf_counter()
    affected = records.affected(["src/package0/module3.py"])
    end = time.perf_counter()
    records.save()
    saved = time.perf_counter()
    other = [verdict for verdict in verdicts if verdict[1] != "fresh"]
    if loaded != count or other or not affected or records.notes():
        raise SystemExit(f"{loaded} records, {other[:3]}, {records.notes()}")
    return {
        "load": (middle - start) * 1000,
        "check": (checked - middle) * 1000,
        "load and check": (checked - start) * 1000,
        "affected": (end - checked) * 1000,
        "save": (saved - end) * 1000,
    }


def report(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        costs = generate(Path(folder), count)
        command = [sys.executable, "-m", "benchmarks.records", "--measure", folder, str(count)]
        rounds = []
        for _ in range(REPEATS):
            output = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
            rounds.append(json.loads(output.stdout))
        size = (Path(folder) / STORE / "records-5" / "index").stat().st_size
    print(f"{count} records, {DEPENDENCIES} files each; index {size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        flat = generate(Path(folder), count, in_folder=count)
    for place, found in ((f"{FILES_IN_FOLDER} in a folder", costs), ("all in one folder", flat)):
        for name, times in found.items():
            line(f"put one, {name}, {place}", times, digits=4)
    for name in rounds[0]:
        line(name, [one[name] for one in rounds])


def line(name: str, times: list[float], digits: int = 2) -> None:
    least, most = (f"{time:.{digits}f}" for time in (min(times), max(times)))
    print(f"  {name:<36} {statistics.median(times):9.{digits}f} ms (from {least} to {most})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        for size_of_suite in map(int, sys.argv[1:] or ["5000", "10000"]):
            report(size_of_suite)
