"""How even shards are, simulated: `python -m benchmarks.shards [--write]`.

Log-normal durations, as suites have them: most files are short, a few are long. The plan is made by what is known, and
judged by what is so; the figure is the longest shard over the least possible, the larger of the mean and the longest
file. No clock is involved, so the same figures come out anywhere. With `--write` they go to docs/benchmarks-shards.md.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Mapping
from pathlib import Path

from pytest_hotreload.ci.plan import by_hash, make
from pytest_hotreload.ci.timings import Cost, Timings

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-shards.md"
SIZES = (500, 2000)
SHARDS = (4, 8, 12, 16, 20)
#: The number of suites of each kind; the median and the worst of them are shown.
SUITES = 20
#: The spread of the logarithm: the longest of 500 files takes about 20 times as long as the median file.
SPREAD = 1.0
NOISE = 0.2
MISSING = 0.2
#: Distributions with costly imports: seconds (in mean files), and the share of files that need the import.
HEAVY = {"torch": (40.0, 0.10), "pandas": (10.0, 0.30), "django": (10.0, 0.30), "scipy": (5.0, 0.05)}

HEAD = """# Benchmarks of shards

`python -m benchmarks.shards --write` writes this page: do not edit.
The benchmark is a simulation, so no figure is a time.
The simulation uses generated suites of log-normal durations (spread {spread}), {suites} of each kind.
A figure is the longest shard over the least possible, which is the larger of the mean and the longest file.
No plan can be better than 1.00.
The first number is the median, and the number in brackets is the worst.
See [how shards work](design/shards.md).

- **planned**: the plan's own prediction
- **noise**: each file took up to {noise:.0%} more or less than its recorded duration
- **missing**: {missing:.0%} of the files have no recorded duration, and count as the median
- **hash**: files are assigned by the hash of their paths, without any durations
"""

HEAVY_HEAD = """
## With costly imports

The suites have {count} files, some of which need distributions with a costly first import.
Such an import takes as long as 5 to 40 files of average length, and a shard pays for each import once.
**blind** is the same algorithm without knowledge of the imports.
This algorithm distributes the seconds well, but every shard imports everything.
Work is the sum over all shards, divided by the least possible sum (each distribution imported once).

| shards | planned | blind | hash | work planned | work blind |
| ---: | ---: | ---: | ---: | ---: | ---: |
"""


def suite(seed: int, count: int) -> dict[str, float]:
    """File -> seconds, in units of the mean file."""
    drawn = random.Random(seed)
    middle = math.exp(-SPREAD * SPREAD / 2)
    return {
        f"tests/part_{n % 20}/test_{n}.py": middle * drawn.lognormvariate(0, SPREAD) for n in range(count)
    }


def over_least(owners: Mapping[str, int], seconds: Mapping[str, float], of: int) -> float:
    """The longest shard divided by the larger of the mean and the longest file."""
    loads = [0.0] * of
    for name, owner in owners.items():
        loads[owner - 1] += seconds[name]
    return max(loads) / max(math.fsum(seconds.values()) / of, *seconds.values())


def known(seconds: Mapping[str, float]) -> Timings:
    return Timings({name: Cost(each) for name, each in seconds.items()})


def dealt(seed: int, count: int, of: int) -> tuple[float, float, float, float]:
    """The ratios for one suite: planned, with noise, with missing durations, by hash."""
    seconds, drawn = suite(seed, count), random.Random(-seed)
    plan = make(seconds, known(seconds), of)
    noisy = {name: each * drawn.uniform(1 - NOISE, 1 + NOISE) for name, each in seconds.items()}
    partial = {name: each for name, each in seconds.items() if drawn.random() >= MISSING}
    return (
        over_least(plan.owners, seconds, of),
        over_least(plan.owners, noisy, of),
        over_least(make(seconds, known(partial), of).owners, seconds, of),
        over_least({name: by_hash(name, of) for name in seconds}, seconds, of),
    )


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


def table(count: int) -> str:
    lines = [
        f"\n## {count} files\n",
        "| shards | planned | noise | missing | hash |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for of in SHARDS:
        columns = zip(*(dealt(seed, count, of) for seed in range(1, SUITES + 1)), strict=True)
        lines.append(f"| {of} | " + " | ".join(shown(list(column)) for column in columns) + " |")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------- imports


def heavy_suite(seed: int, count: int) -> Timings:
    drawn = random.Random(seed)
    files = {
        name: Cost(
            each, frozenset(sorted(need for need, (_, share) in HEAVY.items() if drawn.random() < share))
        )
        for name, each in suite(seed, count).items()
    }
    return Timings(files, {name: cost for name, (cost, _) in HEAVY.items()})


def with_imports(owners: Mapping[str, int], timings: Timings, of: int) -> list[float]:
    """The seconds of each shard, including its imports."""
    loads, warmed = [0.0] * of, [set[str]() for _ in range(of)]
    for name, owner in owners.items():
        loads[owner - 1] += timings.files[name].seconds
        warmed[owner - 1] |= timings.files[name].needs
    return [
        load + sum(timings.warm[need] for need in needs) for load, needs in zip(loads, warmed, strict=True)
    ]


def heavy_table(count: int) -> str:
    rows = []
    for of in SHARDS:
        found: list[list[float]] = [[], [], [], [], []]
        for seed in range(1, SUITES + 1):
            timings = heavy_suite(seed, count)
            once = math.fsum(cost.seconds for cost in timings.files.values()) + sum(timings.warm.values())
            alone = max(
                cost.seconds + sum(timings.warm[n] for n in cost.needs) for cost in timings.files.values()
            )
            least = max(once / of, alone)
            plan = with_imports(make(timings.files, timings, of).owners, timings, of)
            blind = with_imports(make(timings.files, Timings(timings.files), of).owners, timings, of)
            hashed = with_imports({name: by_hash(name, of) for name in timings.files}, timings, of)
            values = (
                max(plan) / least,
                max(blind) / least,
                max(hashed) / least,
                sum(plan) / once,
                sum(blind) / once,
            )
            for column, value in zip(found, values, strict=True):
                column.append(value)
        rows.append(f"| {of} | " + " | ".join(map(shown, found)) + " |")
    return HEAVY_HEAD.format(count=count) + "\n".join(rows) + "\n"


def page() -> str:
    head = HEAD.format(spread=SPREAD, suites=SUITES, noise=NOISE, missing=MISSING)
    return head + "".join(map(table, SIZES)) + heavy_table(SIZES[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    text = page()
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
