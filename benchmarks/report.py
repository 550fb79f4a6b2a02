"""Stores results as JSON beside the suites, and renders them as tables in docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.experiments import MEBIBYTE, growth_factor

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "build" / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

`make bench` (`python -m benchmarks.run`) writes this page: do not edit.
Every figure compares runs that took turns on one machine.
Figures are medians of {repeats} rounds after one round that warmed bytecode and disk.
All contenders that run in parallel use {slots} processes at a time.
The seconds apply only to this machine; the ratios are the result.

- **plain**: `pytest`
- **xdist**: `pytest -n{slots} --dist=loadfile`
- **hotreload**: `pytest --hotreload --hotreload-slots={slots}` without any data from earlier runs
- **hotreload, forking**: the same with `--hotreload-rewind=off`: a fork for each file
- **hotreload, again**: as **hotreload**, with the data that earlier runs left in pytest's cache

Wall is the time that the user waits.
CPU is the CPU time of all processes.
Memory is the largest sum of the proportional set sizes (PSS) of all processes at one time, sampled in a separate run.

Machine: {machine}.
Two busy loops at once take {together:.2f} times as long as one: 1 would be two whole cores, 2 two threads of one core.
This limits what a second slot can gain.
"""

CHILD_HEAD = """
## What a child costs

The figures are milliseconds per file with one slot: {files} files of one trivial test each, minus one file with the \
same tests, divided by {files}.
Plain pytest's time per file is shown for comparison.
The heavy process has all imports of the heavy suite in its conftest.

| process | | wall, ms | CPU, ms |
| --- | --- | ---: | ---: |
"""

GROWTH_HEAD = """
## Growth

The figures are CPU seconds of suites of trivial files, all in one directory.
The growth factor is the cost of a file of the second doubling over the cost of a file of the first.
A factor of 1 is linear, and 2 would be quadratic.

| | {sizes} | factor |
| --- | {rules} | ---: |
"""


def machine(python: str) -> str:
    """The properties of the machine on which the figures depend, without its name."""
    code = "import platform, pytest; print(platform.python_version(), pytest.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    version, pytest = done.stdout.split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = ".".join(platform.release().split("-")[0].split(".")[:2])
    return (
        f"{len(os.sched_getaffinity(0))} cores of {cpu_model()}, {memory:.0f} GiB, {platform.system()} {release}, "
        f"Python {version}, pytest {pytest}"
    )


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load() -> dict[str, Any]:
    if not RESULTS.exists():
        return {}
    loaded: dict[str, Any] = json.loads(RESULTS.read_text())
    return loaded


def save(results: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))


def render(results: dict[str, Any]) -> str:
    repeats = sorted({one["repeats"] for name, one in results.items() if name != "about"})
    head = HEAD.format(
        repeats=" or ".join(map(str, repeats)),
        slots=results["about"]["slots"],
        machine=results["about"]["machine"],
        together=results["about"]["together"],
    )
    parts = [head]
    parts += [suite_table(name, one) for name, one in results.items() if "rows" in one]
    if "child-cost" in results:
        parts.append(child_table(results["child-cost"]))
    if "growth" in results:
        parts.append(growth_table(results["growth"]))
    return "".join(parts)


def suite_table(name: str, result: dict[str, Any]) -> str:
    cold = "; bytecode removed before each run" if result["cold"] else ""
    title = (
        f"\n## {name}\n\n{result['files']:,} files, {result['tests']:,} tests: {result['what']}{cold}.\n\n"
    )
    return title + comparison(result["rows"])


def comparison(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| | wall, s | CPU, s | memory, MiB | wall / plain | CPU / plain | CPU / xdist | memory / xdist |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    plain = find(rows, "plain")
    xdist = find(rows, "xdist")
    for row in rows:
        peak = "–" if row["peak"] is None else f"{row['peak'] / MEBIBYTE:.0f}"
        cells = [
            row["contender"],
            f"{row['wall']:.2f}",
            f"{row['cpu']:.2f}",
            peak,
            ratio(row, plain, "wall"),
            ratio(row, plain, "cpu"),
            ratio(row, xdist, "cpu"),
            ratio(row, xdist, "peak"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def find(rows: list[dict[str, Any]], contender: str) -> dict[str, Any] | None:
    return next((row for row in rows if row["contender"] == contender), None)


def ratio(row: dict[str, Any], other: dict[str, Any] | None, key: str) -> str:
    if other is None or not other[key] or row[key] is None:
        return "–"
    return f"{row[key] / other[key]:.2f}"


def child_table(result: dict[str, Any]) -> str:
    lines = [
        f"| {process} | {row['contender']} | {row['wall'] * 1e3:.1f} | {row['cpu'] * 1e3:.1f} |"
        for process, rows in result["processes"].items()
        for row in rows
    ]
    return CHILD_HEAD.format(files=result["files"]) + "\n".join(lines) + "\n"


def growth_table(result: dict[str, Any]) -> str:
    sizes = " | ".join(f"{size:,} files" for size in result["sizes"])
    head = GROWTH_HEAD.format(sizes=sizes, rules=" | ".join("---:" for _ in result["sizes"]))
    lines = []
    for what, costs in (("all files", result["all"]), ("the first file alone", result["one"])):
        for contender, seconds in costs.items():
            cells = " | ".join(f"{one:.2f}" for one in seconds)
            # The cost of one file hardly grows, so a ratio of two growths would mean nothing.
            factor = f"{growth_factor(seconds):.2f}" if what == "all files" else "–"
            lines.append(f"| {contender}, {what} | {cells} | {factor} |")
    return head + "\n".join(lines) + "\n"
