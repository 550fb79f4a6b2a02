"""Runs examples/shop with plain pytest and with pytest --hotreload, and compares outcomes and times.

Requires the Python of an environment with the shop's requirements and the plugin (`make demo`). Fails if any
test's outcome differs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SHOP = Path(__file__).parent.parent / "examples" / "shop"
COMMANDS = {"pytest": ["-p", "no:hotreload"], "pytest --hotreload": ["--hotreload"]}
REPEATS = 3
# Children of a <testcase> in pytest's XML; without any of them the test passed.
MARKS = ("failure", "error", "skipped")

Outcomes = dict[str, str]


@dataclass
class Result:
    outcomes: Outcomes
    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class DemoError(Exception):
    """A run failed, or the two commands gave different outcomes."""


def run_once(options: list[str], xml: Path) -> float:
    """Run pytest once, and return the wall time in seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={xml}", *options]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=SHOP, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 1):
        raise DemoError(
            f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return seconds


def read_outcomes(xml: Path) -> Outcomes:
    cases = ET.parse(xml).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": outcome(case) for case in cases}


def outcome(case: ET.Element) -> str:
    return next((mark for mark in MARKS if case.find(mark) is not None), "passed")


def measure() -> dict[str, Result]:
    """Run all commands in turn, so that a busy machine affects them equally.

    The first round warms the bytecode.
    """
    results = {name: Result({}, []) for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1 + REPEATS):
            for name, options in COMMANDS.items():
                xml = Path(folder) / "outcomes.xml"
                seconds = run_once(options, xml)
                results[name].outcomes = read_outcomes(xml)
                if repeat > 0:
                    results[name].seconds.append(seconds)
    return results


def show(results: dict[str, Result]) -> None:
    plain = results["pytest"]
    print(f"{'examples/shop':<20} {'tests':>6} {'outcomes':<24} {'seconds':>8} {'ratio':>6}")
    for name, result in results.items():
        counts = Counter(result.outcomes.values())
        words = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        ratio = result.median / plain.median
        print(f"{name:<20} {len(result.outcomes):>6} {words:<24} {result.median:>8.2f} {ratio:>6.2f}")


def differences(results: dict[str, Result]) -> list[str]:
    plain, ours = (result.outcomes for result in results.values())
    return [
        f"{test}: {plain.get(test, 'not run')} plain, {ours.get(test, 'not run')} with --hotreload"
        for test in sorted(plain.keys() | ours.keys())
        if plain.get(test) != ours.get(test)
    ]


def main() -> int:
    try:
        results = measure()
        show(results)
        different = differences(results)
        if different:
            raise DemoError("\n".join(["outcomes differ:", *different]))
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"The same {len(next(iter(results.values())).outcomes)} outcomes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
