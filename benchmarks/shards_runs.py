"""How even shards are when they run: `python -m benchmarks.shards_runs [--write] [--python=PYTHON]`.

A generated suite of log-normal durations, whose tests compute, runs once for its records; then each plan's shards run
one after the other, each as a CI job would: one slot, a results file. A shard's time is what its results file says of
its files (tests, fixtures, collection), which is what a plan deals; its wall time also has the start of the
interpreter and of pytest, the same for every shard. With `--write` the figures go to docs/benchmarks-shards-runs.md.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import measure, report
from .shards import suite

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-shards-runs.md"
#: Number of files -> mean seconds of a file.
SUITES = {500: 0.04, 2000: 0.015}
SHARDS = (4, 8, 20)
#: The number of plans that are made and run. The first run of a suite is a warm-up that writes bytecode and
#: records.
REPEATS = 3

TEST = """import time


def test_computes():
    end = time.thread_time() + {seconds:.5f}
    while time.thread_time() < end:
        sum(range(100))
"""

HEAD = """# How even shards are when they run

`python -m benchmarks.shards_runs --write` writes this page: do not edit.

Machine: {machine}.

The suites are generated, with log-normal durations: {suites}; their tests compute.
Each suite ran once for its records.
Each suite then ran {repeats} times in shards, one shard after the other, with one slot each.
Each of these runs used a new plan from the records at that time.
Figures are medians, with the worst in brackets.

- **planned**: the longest shard of the plan's prediction over the least possible
- **achieved**: the same ratio for the measured time that the shards took for their files
- **wall**: the longest shard, including the start of interpreter and pytest, over the mean of all shards

The least possible is the larger of the mean and the longest file.

| files | shards | planned | achieved | wall |
| ---: | ---: | ---: | ---: | ---: |
"""


def write_suite(root: Path, count: int, mean: float) -> None:
    (root / "pytest.ini").write_text("[pytest]\n")
    for name, seconds in suite(1, count).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEST.format(seconds=seconds * mean))


def run(python: str, root: Path, *arguments: str) -> float:
    """Run pytest, and return the wall seconds."""
    command = [python, "-m", "pytest", "-q", "--hotreload", *arguments]
    return measure.run(command, root)[0].wall


def over_least(loads: list[float], longest: float) -> float:
    return max(loads) / max(math.fsum(loads) / len(loads), longest)


def once(python: str, root: Path, of: int) -> tuple[float, float, float]:
    """Run all shards of a new plan once. Returns the planned, achieved and wall ratios."""
    run_plan = [python, "-m", "pytest", "-q", f"--shard=1/{of}", "--shard-plan=plan.json"]
    measure.run(run_plan, root)
    took, walls, predicted, longest = [], [], [], 0.0
    for shard in range(1, of + 1):
        slots = "--hotreload-slots=1"
        wall = run(
            python, root, slots, f"--shard={shard}/{of}", "--shard-from=plan.json", "--hotreload-json=r.json"
        )
        said: dict[str, Any] = json.loads((root / "r.json").read_text())
        files = [file["seconds"] + file.get("collection", 0.0) for file in said["files"]]
        took.append(math.fsum(files))
        longest = max(longest, *files)
        predicted.append(said["plan"]["predicted"])
        walls.append(wall)
    return over_least(predicted, longest), over_least(took, longest), max(walls) / statistics.fmean(walls)


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


def rows(python: str, count: int, mean: float, shards: Sequence[int]) -> str:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_suite(root, count, mean)
        run(python, root)
        for of in shards:
            columns = zip(*(once(python, root, of) for _ in range(REPEATS)), strict=True)
            lines.append(
                f"| {count} | {of} | " + " | ".join(shown(list(column)) for column in columns) + " |\n"
            )
            print(lines[-1], end="", flush=True)
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--python", default=sys.executable, help="of an environment with pytest-hotreload")
    parser.add_argument(
        "--files", type=int, choices=SUITES, nargs="*", default=list(SUITES), help="of which suites"
    )
    parser.add_argument("--shards", type=int, nargs="*", default=SHARDS, help="how many, each in turn")
    chosen = parser.parse_args()
    if chosen.write and (chosen.files, tuple(chosen.shards)) != (list(SUITES), SHARDS):
        parser.error("--write: the page has all suites and shards; hint: leave --files and --shards out")
    measure.adopt_orphans()
    measured = {count: SUITES[count] for count in chosen.files}
    found = "".join(rows(chosen.python, count, mean, chosen.shards) for count, mean in measured.items())
    sizes = " and ".join(
        f"{count} files of {mean * 1000:.0f} ms in the mean" for count, mean in measured.items()
    )
    head = HEAD.format(machine=report.machine(chosen.python), suites=sizes, repeats=REPEATS)
    if chosen.write:
        PAGE.write_text(head + found, encoding="utf-8")


if __name__ == "__main__":
    main()
