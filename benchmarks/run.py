"""Runs the benchmarks, and writes docs/benchmarks.md:

python -m benchmarks.run                        everything
python -m benchmarks.run heavy trivial          only these; the page keeps the other figures
python -m benchmarks.run --path ../app --python ../app/.venv/bin/python -- -m "not slow"
                                                another suite, printed and not written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import experiments, report
from benchmarks.contenders import Contender, available
from benchmarks.experiments import Plan, say
from benchmarks.measure import MeasurementError, adopt_orphans, two_loops_at_once
from benchmarks.suites import SUITES

Experiment = Callable[[list[Contender], Plan], dict[str, Any]]


def experiment_of_suite(name: str) -> Experiment:
    return partial(experiments.compare_suite, SUITES[name])


EXPERIMENTS: dict[str, Experiment] = {
    **{name: experiment_of_suite(name) for name in SUITES},
    "trivial, one slot": partial(experiments.price_of_isolation, SUITES["trivial"]),
    "heavy, one slot": partial(experiments.price_of_isolation, SUITES["heavy"]),
    "trivial, each test isolated": partial(experiments.each_test, SUITES["trivial"]),
    "child-cost": experiments.child_cost,
    "growth": experiments.growth,
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure pytest-hotreload.")
    parser.add_argument(
        "what", nargs="*", metavar="experiment", help=f"of {', '.join(EXPERIMENTS)}; default: all"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="measured rounds after the warm-up (default: 5)"
    )
    parser.add_argument(
        "--slots", type=int, default=2, help="parallel places for xdist and ours (default: 2)"
    )
    parser.add_argument("--cold", action="store_true", help="remove the suite's bytecode before each run")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that sample memory")
    parser.add_argument("--no-write", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--path", type=Path, help="measure the suite in this folder instead")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the tests")
    place = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:place])
    options.pytest_arguments = arguments[place + 1 :]
    unknown = [name for name in options.what if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"no such experiment: {', '.join(unknown)} (hint: one of {', '.join(EXPERIMENTS)})")
    if options.repeats < 1 or options.slots < 1:
        parser.error("--repeats and --slots must be at least 1")
    return options


def measure_path(options: argparse.Namespace, contenders: list[Contender], plan: Plan) -> None:
    rows = experiments.compare(options.path.resolve(), contenders, plan, options.pytest_arguments)
    print(report.comparison([row.to_json() for row in rows]))


def measure_experiments(options: argparse.Namespace, contenders: list[Contender], plan: Plan) -> None:
    results: dict[str, Any] = {} if options.no_write else report.load()
    about = {"slots": options.slots, "machine": report.machine(plan.python)}
    results["about"] = {**about, "together": two_loops_at_once(plan.python)}
    for name in options.what or EXPERIMENTS:
        results[name] = EXPERIMENTS[name](contenders, plan)
        if not options.no_write:
            # Save after each experiment, so that an interruption does not lose an hour of measurements.
            report.save(results)
    ordered = {name: results[name] for name in ["about", *EXPERIMENTS] if name in results}
    if options.no_write:
        print(report.render(ordered))
    else:
        report.PAGE.write_text(report.render(ordered), encoding="utf-8")
        say(f"written: {report.PAGE.relative_to(report.ROOT)}")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    plan = Plan(options.python, options.repeats, options.cold, not options.no_memory)
    contenders, missing = available(options.python, options.slots)
    for name, reason in missing.items():
        say(f"skipped: {name} ({reason})")
    adopt_orphans()
    try:
        if options.path is not None:
            measure_path(options, contenders, plan)
        else:
            measure_experiments(options, contenders, plan)
    except MeasurementError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
