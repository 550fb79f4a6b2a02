"""Renders the figures of the edit loop as a page: a table for each kind of edit, and targets beside results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from benchmarks.report import ROOT

if TYPE_CHECKING:
    from benchmarks.edits import Sample, Samples

PAGE = ROOT / "docs" / "benchmarks-edits.md"
#: The watch's debounce in milliseconds; pytest-watcher's default is ten times as long.
DEBOUNCE, PTW_DEBOUNCE = 20, 200
RATIO, BEYOND, CORE_CPU = 30, 50, 0.7

HEAD = """# The edit loop

`python -m benchmarks.edits --write` writes this page: do not edit.
The suite is the heavy suite ([benchmarks](benchmarks.md)), with two additional files.
One is a leaf module that one test file imports, the other is a test file without imports and work.
All contenders took turns on one machine.
Figures are medians of {repeats} rounds after one warm-up round, with the lowest and highest in brackets.
The seconds apply only to this machine; the ratios are the result.

- **watch**: `pytest --hotreload --watch --hotreload-slots=2`, debounce {ours} ms
- **pytest FILE**: plain pytest of the one test file that the edit concerns (for the core module: one of 60)
- **pytest-testmon**: `pytest --testmon`, started at the save
- **pytest-watcher**: `ptw` of everything, debounce {ptw} ms
- **pytest**: plain pytest of everything

Summary is the time from the save to pytest's "… passed in" line.
Status is the time from the save to the watch's own line after it.
CPU is the CPU time of all processes; for watchers, it is counted until they are idle again.
The preparation for the next edit therefore counts.

Machine: {machine}.
"""


def render(
    found: Samples, missing: Mapping[str, str], less: Mapping[str, float], repeats: int, machine: str
) -> str:
    parts = [HEAD.format(repeats=repeats, machine=machine, ours=DEBOUNCE, ptw=PTW_DEBOUNCE)]
    parts += [f"\n**{name}** did not run: {why}\n" for name, why in missing.items()]
    for kind, by_name in found.items():
        parts.append(table(kind, by_name))
    if found and all("watch" in one and "pytest FILE" in one for one in found.values()):
        parts.append(anatomy(found))
        parts.append(targets(found, less))
    return "".join(parts)


def table(kind: str, by_name: Mapping[str, list[Sample]]) -> str:
    lines = [
        f"\n## {kind.capitalize()}\n",
        "| | tests | summary, ms | status, ms | CPU, ms | summary / watch |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ours = median(by_name.get("watch", []), lambda one: one.summary)
    for name, samples in by_name.items():
        wall = median(samples, lambda one: one.summary)
        status = spread([one.status for one in samples if one.status is not None])
        cells = [
            name,
            "/".join(map(str, sorted({one.passed for one in samples}))),
            spread([one.summary for one in samples]),
            status,
            spread([one.cpu for one in samples]),
            f"{wall / ours:.1f}" if ours else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def anatomy(found: Samples) -> str:
    """The table with the parts of the status line; "run" includes pytest's own time."""
    names = ("watch", "select", "fork", "run", "pytest")
    lines = [
        "\n## Where the watch's time goes\n",
        (
            "The figures are the medians of four times in milliseconds: to compare the change, to select the test "
            "files, to obtain a rerun, and to run it.\n"
            "The last column is pytest's own time, which is part of the run.\n"
        ),
        f"| | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
    ]
    for kind, by_name in found.items():
        cells = [f"{median(by_name['watch'], part(name)) * 1000:.0f}" for name in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def part(name: str) -> Callable[[Sample], float]:
    return lambda one: one.parts[name]


def targets(found: Samples, less: Mapping[str, float]) -> str:
    """The table of targets and results."""

    def wall(kind: str, name: str = "watch") -> float:
        return median(found[kind][name], lambda one: one.summary) * 1000

    def beyond(kind: str, imports: str = "") -> float:
        status = median(found[kind]["watch"], lambda one: one.status or one.summary)
        taken = (less["bodies"] if kind != "trivial test file" else 0.0) + (less[imports] if imports else 0.0)
        return (status - taken) * 1000 - DEBOUNCE

    again, first = wall("the same module again"), wall("test file") + less["own import"] * 1000
    rows = [
        (f"{kind}: pytest FILE / watch", f"≥ {RATIO}", f"{wall(kind, 'pytest FILE') / wall(kind):.1f}")
        for kind in ("trivial test file", "test file", "leaf module")
    ]
    rows += [
        (
            "trivial test file: status line beyond the debounce, ms",
            f"≤ {BEYOND}",
            f"{beyond('trivial test file'):.0f}",
        ),
        ("test file: the same, without bodies, ms", f"≤ {BEYOND}", f"{beyond('test file'):.0f}"),
        (
            "leaf module: the same, without bodies and first-party imports, ms",
            f"≤ {BEYOND}",
            f"{beyond('leaf module', 'first-party imports'):.0f}",
        ),
        (
            "the same module again: the same, without bodies and its own import, ms",
            f"≤ {BEYOND}",
            f"{beyond('the same module again', 'own import'):.0f}",
        ),
        (
            "the same module again: summary, ms; test file and the module's own import",
            f"≤ {first:.0f}",
            f"{again:.0f}",
        ),
    ]
    if "pytest" in found["core module"]:
        cpu = [median(found["core module"][name], lambda one: one.cpu) for name in ("watch", "pytest")]
        rows.append(("core module: CPU of watch / pytest", f"≤ {CORE_CPU}", f"{cpu[0] / cpu[1]:.2f}"))
    lines = [
        "\n## Targets\n",
        (
            f"Bodies are the {less['bodies'] * 1000:.0f} ms that `--durations=0` reports for the test file.\n"
            f"The leaf's own import takes {less['own import'] * 1000:.0f} ms, and "
            f"{less['first-party imports'] * 1000:.0f} ms with all first-party modules below it, if third-party "
            "modules are already imported.\n"
        ),
        "| | target | measured |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {target} | {measured} |" for what, target, measured in rows),
    ]
    return "\n".join(lines) + "\n"


def median(samples: list[Sample], of: Callable[[Sample], float]) -> float:
    return statistics.median(map(of, samples)) if samples else 0.0


def spread(seconds: list[float]) -> str:
    """Median (lowest to highest), in milliseconds."""
    if not seconds:
        return "–"
    low, middle, high = (one * 1000 for one in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
