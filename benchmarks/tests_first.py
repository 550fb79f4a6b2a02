"""Measures the time from the save of an edited function to the first answer of a watch, and to the last, in turns:

python -m benchmarks.tests_first                              five rounds, printed
python -m benchmarks.tests_first --before PYTHON --write      beside the release that PYTHON has, written to docs/

The edited function is one that about 20 of the heavy suite's 480 tests run. Each contender has its own copy of the
suite. Each round restarts the watches and edits the function twice: the first edit finds it imported, the second
finds it at the end of the chain.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import heavy, report
from benchmarks.contenders import outcomes
from benchmarks.edits import PLAIN
from benchmarks.experiments import say
from benchmarks.measure import MeasurementError, run
from benchmarks.suites import FOLDER, SUITES
from benchmarks.watching import READY, STATUS, SUMMARY, Running

PAGE = report.ROOT / "docs" / "benchmarks-tests-first.md"
#: The number of tests that the edited function should concern, and seconds to their answer.
WANTED, TARGET = 20, 0.3
OURS = ["-p", "no:xdist", "-p", "no:testmon", "--hotreload", "--watch", "--hotreload-slots=2"]
#: Prints the functions of the package, each with the tests that ran it.
RUNNERS = """
import json, pathlib
from pytest_hotreload._native import RecordStore, outline
store, found = RecordStore(".pytest_cache/d/hotreload", "."), []
for path in sorted(pathlib.Path("{package}").rglob("*.py")):
    for name, *_ in outline(path.read_bytes())[1]:
        ran = store.runners(str(path), name)
        if ran and all(tests is not None for _, tests in ran):
            found.append([str(path), name, [test for _, tests in ran for test, _ in tests]])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Function:
    """The edited function, and the tests that ran it."""

    file: str
    name: str
    tests: tuple[str, ...]

    def save(self, folder: Path, number: int) -> float:
        """Change a statement in the body. Returns the time of the save."""
        path = folder / self.file
        lines = [line for line in path.read_text().split("\n") if not line.lstrip().startswith("edited = ")]
        body = self._body(ast.parse("\n".join(lines)))
        lines.insert(body.lineno - 1, f"{' ' * body.col_offset}edited = {number}")
        saved = time.perf_counter()
        path.write_text("\n".join(lines))
        return saved

    def _body(self, tree: ast.AST) -> ast.stmt:
        for name in self.name.split("."):
            tree = next(one for one in ast.iter_child_nodes(tree) if getattr(one, "name", "") == name)
        assert isinstance(tree, ast.FunctionDef)
        return tree.body[0]


@dataclass
class Sample:
    """The measurement of one edit, in seconds from the save."""

    first: float
    last: float
    #: The numbers of tests in the first and in the last answer.
    passed: tuple[int, int]


Edit = Callable[[Function, int], Sample]


class Once:
    """A command that is run for each edit."""

    def __init__(self, name: str, options: list[str], arguments: Callable[[Function], list[str]]) -> None:
        self.name, self.options, self.arguments = name, options, arguments

    @contextmanager
    def started(self, python: str, folder: Path) -> Iterator[Edit]:
        def edit(function: Function, number: int) -> Sample:
            saved = function.save(folder, number)
            running = Running([python, "-m", "pytest", *self.options, *self.arguments(function)], folder)
            running.end()
            line = running.wait_for(SUMMARY)
            passed = outcomes(line.text).get("passed", 0)
            return Sample(line.at - saved, line.at - saved, (passed, passed))

        yield edit


class Watcher:
    """A watch."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def started(self, python: str, folder: Path) -> Iterator[Edit]:
        running = Running([python, "-m", "pytest", *OURS], folder)
        try:
            running.wait_for(re.compile(READY))
            yield lambda function, number: self._edit(running, folder, function, number)
        finally:
            running.stop()

    def _edit(self, running: Running, folder: Path, function: Function, number: int) -> Sample:
        running.settle()
        since = len(running.lines)
        saved = function.save(folder, number)
        first = running.wait_for(STATUS, since)
        last = running.wait_for(re.compile(READY), since)
        if not (first.text.startswith("PASS") and last.text.startswith("PASS")):
            raise MeasurementError(f"the edit changes no outcome, but: {first.text}, {last.text}")
        passed = [outcomes(line.text).get("passed", 0) for line in (first, last)]
        return Sample(first.at - saved, last.at - saved, (passed[0], passed[1]))


def prepare(source: Path, folder: Path, python: str) -> None:
    """Copy the suite, and run it once for its bytecode and its records."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns(".pytest_cache", "__pycache__", ".testmondata*")
    shutil.copytree(source, folder, ignore=ignored)
    for options in (["-p", "no:xdist", "-p", "no:testmon", "--hotreload"], [*PLAIN[:4], "--testmon"]):
        run([python, "-m", "pytest", *options], folder)


def function_of(folder: Path, python: str) -> Function:
    """The function whose number of tests is nearest to the wanted one."""
    found = json.loads(run([python, "-c", RUNNERS.format(package=heavy.PACKAGE)], folder)[1])
    if not found:
        raise MeasurementError("no function has a known set of tests (Python 3.12 is needed)")
    file, name, tests = min(found, key=lambda one: (abs(len(one[2]) - WANTED), one))
    return Function(file, name, tuple(tests))


def contenders(before: str) -> dict[str, tuple[Once | Watcher, str]]:
    """Name -> contender and interpreter, "" for that of this release."""
    older: dict[str, tuple[Once | Watcher, str]] = {"watch before": (Watcher("watch before"), before)}
    return {
        "watch": (Watcher("watch"), ""),
        **(older if before else {}),
        "pytest TESTS": (Once("pytest TESTS", PLAIN, lambda function: list(function.tests)), ""),
        "pytest-testmon": (Once("pytest-testmon", [*PLAIN[:4], "--testmon"], lambda _: []), ""),
        "pytest": (Once("pytest", PLAIN, lambda _: []), ""),
    }


Samples = dict[str, dict[str, list[Sample]]]


def compare(source: Path, python: str, before: str, repeats: int) -> tuple[Samples, Function]:
    """Kind of edit -> contender -> samples; the first round is a warm-up."""
    chosen = {name: (one, own or python) for name, (one, own) in contenders(before).items()}
    folders = {name: FOLDER.parent / "tests-first" / name.replace(" ", "-") for name in chosen}
    for name, (_, own) in chosen.items():
        prepare(source, folders[name], own)
        say(f"prepared: {name}")
    function = function_of(folders["watch"], python)
    say(f"{function.file}: {function.name}, {len(function.tests)} tests")
    found: Samples = {}
    for round_ in range(repeats + 1):
        _one_round(chosen, folders, function, round_, found)
    return found, function


def _one_round(
    chosen: dict[str, tuple[Once | Watcher, str]],
    folders: dict[str, Path],
    function: Function,
    round_: int,
    found: Samples,
) -> None:
    started = {}
    try:
        for name, (one, own) in chosen.items():
            context = one.started(own, folders[name])
            started[name] = (context, context.__enter__())
        for place, kind in enumerate(("first edit", "second edit")):
            for name, (_, edit) in started.items():
                sample = edit(function, 10 * round_ + place + 1)
                if round_:
                    found.setdefault(kind, {}).setdefault(name, []).append(sample)
                say(f"  {kind:<12} {name:<16} {sample.first:7.3f} {sample.last:7.3f} s  {sample.passed}")
    finally:
        for context, _ in started.values():
            context.__exit__(None, None, None)


HEAD = """# Tests first

`python -m benchmarks.tests_first --write` writes this page: do not edit.
The suite is the heavy suite ([benchmarks](benchmarks.md)).
The edited function is `{name}` in `{file}`, which {tests} of 480 tests run, in {files} test files.
All contenders took turns on one machine.
Figures are medians of {repeats} rounds after one warm-up round, with the lowest and highest in brackets.
The seconds apply only to this machine; the ratios are the result.

- **watch**: `pytest --hotreload --watch --hotreload-slots=2`, with [tests first](design/tests-first.md)
- **watch before**: the same without tests first
- **pytest TESTS**: plain pytest of the {tests} tests, by their node ids
- **pytest-testmon**: `pytest --testmon`
- **pytest**: plain pytest of everything

Machine: {machine}.
"""


def render(found: Samples, function: Function, repeats: int, machine: str) -> str:
    files = len({test.partition("::")[0] for test in function.tests})
    parts = [
        HEAD.format(
            name=function.name,
            file=function.file,
            tests=len(function.tests),
            files=files,
            repeats=repeats,
            machine=machine,
        )
    ]
    for kind, by_name in found.items():
        parts.append(
            f"\n## {kind.capitalize()}\n\n| | tests | first answer, ms | tests | last answer, ms "
            "| first answer / watch |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
        )
        ours = statistics.median(one.first for one in by_name["watch"])
        for name, samples in by_name.items():
            tests = ["/".join(map(str, sorted({one.passed[at] for one in samples}))) for at in (0, 1)]
            first, last = [one.first for one in samples], [one.last for one in samples]
            ratio = statistics.median(first) / ours
            parts.append(
                f"| {name} | {tests[0]} | {_spread(first)} | {tests[1]} | {_spread(last)} | {ratio:.1f} |\n"
            )
    reached = {kind: statistics.median(one.first for one in rows["watch"]) for kind, rows in found.items()}
    told = ", ".join(f"{seconds * 1000:.0f} ms for the {kind}" for kind, seconds in reached.items())
    parts.append(f"\nThe target for the first answer is {TARGET * 1000:.0f} ms; it took {told}.\n")
    return "".join(parts)


def _spread(seconds: list[float]) -> str:
    low, middle, high = (one * 1000 for one in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tests_first", description="Measure the first answer of a watch."
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="measured rounds after the warm-up (default: 5)"
    )
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the tests")
    parser.add_argument("--before", default="", help="a Python with a release before tests first")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}, too")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    try:
        source = SUITES["heavy"].generate()
        found, function = compare(source, options.python, options.before, options.repeats)
    except MeasurementError as error:
        say(f"error: {error}")
        return 1
    page = render(found, function, options.repeats, report.machine(options.python))
    print(page)
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
