"""The experiments: measurements of suites, and of the plugin's own costs."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import suites
from benchmarks.contenders import Contender, hotreload, hotreload_forking
from benchmarks.measure import Cost, MeasurementError
from benchmarks.suites import Suite

MEBIBYTE = 1024 * 1024
GROWTH_SIZES = (250, 500, 1000)
CHILD_FILES = 100


@dataclass(frozen=True)
class Plan:
    python: str
    repeats: int
    cold: bool = False
    memory: bool = True


@dataclass
class Row:
    """Medians of one contender, in seconds and bytes."""

    contender: str
    wall: float
    cpu: float
    peak: int | None
    # The wall seconds of each run in the order of the rounds, which the medians hide.
    walls: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def compare(
    folder: Path, contenders: list[Contender], plan: Plan, arguments: list[str], tests: int | None = None
) -> list[Row]:
    """Run all contenders in turn, round after round, so that other load affects them equally."""
    costs: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    expected: dict[str, int] | None = {"passed": tests} if tests is not None else None
    for round_ in range(1 + plan.repeats):
        for contender in contenders:
            if plan.cold:
                forget_bytecode(folder)
            cost, found = contender.run(plan.python, folder, arguments)
            expected = expected or found
            check(contender, found, expected)
            if round_ > 0:  # the first round warms bytecode and the disk cache
                costs[contender.name].append(cost)
                say(f"  {contender.name:<18} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU")
    peaks = {
        contender.name: contender.peak_memory(plan.python, folder, arguments) if plan.memory else None
        for contender in contenders
    }
    return [row(name, some, peaks[name]) for name, some in costs.items()]


def check(contender: Contender, found: dict[str, int], expected: dict[str, int]) -> None:
    """Raise MeasurementError if a run lost tests, because such a run is not fast."""
    if found != expected:
        raise MeasurementError(f"{contender.name}: {found}, not {expected}")


def row(name: str, costs: list[Cost], peak: int | None = None) -> Row:
    walls = [cost.wall for cost in costs]
    return Row(name, statistics.median(walls), statistics.median(cost.cpu for cost in costs), peak, walls)


def forget_bytecode(folder: Path) -> None:
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)


def compare_suite(suite: Suite, contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    say(f"{suite.name}: {suite.files} files, {suite.tests} tests")
    rows = compare(suite.generate(), contenders, plan, [], suite.tests)
    return {
        "what": suite.what,
        "files": suite.files,
        "tests": suite.tests,
        "repeats": plan.repeats,
        "cold": plan.cold,
        "rows": [one.to_json() for one in rows],
    }


def price_of_isolation(suite: Suite, contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    """One slot, where no second processor hides what isolation costs."""
    plain = [one for one in contenders if one.name == "plain"]
    return compare_suite(suite, [*plain, hotreload(1), hotreload_forking(1)], plan)


def each_test(suite: Suite, contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    """Each test in a state of its own, rewound or forked."""
    options = ("--hotreload-isolate=test",)
    isolating = [
        replace(one, options=(*one.options, *options))
        for one in contenders
        if one.name.startswith("hotreload")
    ]
    others = [one for one in contenders if not one.name.startswith("hotreload")]
    return compare_suite(suite, [*others, *(one for one in isolating if one.forgets)], plan)


def child_cost(contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    """The cost of a file beyond its tests: N files of one test minus one file of N tests, divided by N.

    pytest-hotreload uses one slot, so that the wall time is the time between two files, not half of it.
    """
    serial = [hotreload(1) if one.name == "hotreload" else one for one in contenders if one.forgets]
    results: dict[str, Any] = {}
    for process, wrap in PROCESSES.items():
        say(f"child cost, {process} process: {CHILD_FILES} files")
        apart = Suite(f"apart-{process}", "", CHILD_FILES, CHILD_FILES, wrap(suites.write_apart)).generate()
        together = Suite(
            f"together-{process}", "", CHILD_FILES, CHILD_FILES, wrap(suites.write_together)
        ).generate()
        results[process] = per_file(apart, together, serial, plan)
    return {"files": CHILD_FILES, "repeats": plan.repeats, "processes": results}


Write = Callable[[Path, int, int], None]
PROCESSES: dict[str, Callable[[Write], Write]] = {
    "small": lambda write: write,
    "heavy": suites.write_heavy_process,
}


def per_file(apart: Path, together: Path, contenders: list[Contender], plan: Plan) -> list[dict[str, Any]]:
    """The median over all rounds of the difference between two successive runs."""
    found: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    for round_ in range(1 + plan.repeats):
        for contender in contenders:
            many, _ = contender.run(plan.python, apart, [])
            one, _ = contender.run(plan.python, together, [])
            if round_ > 0:
                each = Cost((many.wall - one.wall) / CHILD_FILES, (many.cpu - one.cpu) / CHILD_FILES)
                found[contender.name].append(each)
                say(
                    f"  {contender.name:<18} {each.wall * 1e3:7.2f} ms wall {each.cpu * 1e3:7.2f} ms CPU a file"
                )
    return [row(name, costs).to_json() for name, costs in found.items()]


def growth(contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    """The growth of costs with the number of files in a directory, for all files and for one file of a large suite."""
    all_files: dict[str, list[float]] = {}
    one_file: dict[str, list[float]] = {}
    for files in GROWTH_SIZES:
        say(f"growth: {files} files")
        folder = suites.trivial(files).generate()
        for target, arguments in ((all_files, []), (one_file, ["tests/test_0000.py"])):
            without_memory = Plan(plan.python, plan.repeats, plan.cold, memory=False)
            for measured in compare(
                folder, [one for one in contenders if one.forgets], without_memory, arguments
            ):
                target.setdefault(measured.contender, []).append(measured.cpu)
    return {"sizes": list(GROWTH_SIZES), "all": all_files, "one": one_file, "repeats": plan.repeats}


def growth_factor(costs: list[float]) -> float:
    """The cost of a file in the second doubling over that in the first: 1 is linear, 2 is quadratic."""
    small, middle, large = costs
    return (large - middle) / (2 * (middle - small))
