"""Measures the time from the save of a file to the result, for a watch and its alternatives, in turns:

python -m benchmarks.edits                      five rounds, printed
python -m benchmarks.edits --repeats 1 --write  one round, written to docs/benchmarks-edits.md

Each contender has its own copy of the suite, so that two watchers never see each other's edits. Each round
restarts the watchers, so that the first edit of a file in a round is its first edit for the watcher, too.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import edits_report, heavy, report
from benchmarks.contenders import outcomes
from benchmarks.experiments import say
from benchmarks.measure import MeasurementError, run
from benchmarks.suites import FOLDER, SUITES
from benchmarks.watching import READY, STATUS, SUMMARY, Running

#: The only test file that imports the leaf, and a test file without imports and work.
TEST_FILE, TRIVIAL = "tests/test_0000.py", "tests/test_trivial.py"
LEAF = f"services_{heavy.MODULES_PER_LAYER}"
LEAF_FILE = f"{heavy.PACKAGE}/services/{LEAF}.py"
IMPORTS_REPEATS = 5


@dataclass(frozen=True)
class Kind:
    """A kind of edit."""

    name: str
    #: The edited file.
    file: str
    #: The number of tests that must pass.
    tests: int
    #: The test file that a user would run by hand.
    target: str


@dataclass
class Sample:
    """The measurement of one edit."""

    #: Seconds from the save to pytest's summary.
    summary: float
    #: CPU seconds until all processes are idle.
    cpu: float
    passed: int
    #: Seconds from the save to the watch's status line.
    status: float | None = None
    #: The parts of the status line, in seconds.
    parts: dict[str, float] = field(default_factory=dict)


# ------------------------------------------------------------------------------------- the suite


def prepare(source: Path, folder: Path) -> None:
    """Copy the heavy suite, and add a leaf that one test file imports and a trivial test file."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        source, folder, ignore=shutil.ignore_patterns(".pytest_cache", "__pycache__", ".testmondata*")
    )
    first = folder / TEST_FILE
    text = first.read_text()
    used = re.search(r"services_(\d+)", text)
    if used is None:
        raise MeasurementError(f"{TEST_FILE} imports no service")
    module = (folder / heavy.PACKAGE / "services" / f"{used[0]}.py").read_text()
    number = LEAF.rpartition("_")[2]
    (folder / LEAF_FILE).write_text(module.replace(f"service-{used[1]}", f"service-{number}"))
    text = text.replace(used[0], LEAF).replace(f"service-{used[1]}/", f"service-{number}/")
    first.write_text(text)
    (folder / TRIVIAL).write_text("def test_trivial():\n    pass\n")
    for file in (TEST_FILE, TRIVIAL, LEAF_FILE, core_of(folder)):
        with (folder / file).open("a") as end:
            end.write("\n\nEDITED = 10_000\n")


def kinds_of(folder: Path) -> list[Kind]:
    return [
        Kind("trivial test file", TRIVIAL, 1, TRIVIAL),
        Kind("test file", TEST_FILE, 8, TEST_FILE),
        Kind("leaf module", LEAF_FILE, 8, TEST_FILE),
        Kind("the same module again", LEAF_FILE, 8, TEST_FILE),
        Kind("core module", core_of(folder), 480, TEST_FILE),
    ]


def core_of(folder: Path) -> str:
    """The first module in the lowest layer that every test file needs."""
    pattern = re.compile(rf"from {heavy.PACKAGE}\.(\w+) import (\w+)")
    paths = {path.stem: path for path in (folder / heavy.PACKAGE).glob("*/*_*.py")}
    imported = {
        name: {found[1] for found in pattern.findall(path.read_text())} for name, path in paths.items()
    }

    def closure(names: set[str]) -> set[str]:
        found, waiting = set(names), list(names)
        while waiting:
            new = imported[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    tests = sorted((folder / "tests").glob("test_0*.py"))
    needed = [closure({found[1] for found in pattern.findall(path.read_text())}) for path in tests]
    core = sorted(name for name in set.intersection(*needed) if name.startswith("units_"))
    if not core:
        raise MeasurementError("no module is used by all test files")
    return str(paths[core[0]].relative_to(folder))


def save(folder: Path, kind: Kind, number: int) -> float:
    """Change the value of an unused name to another of the same length. Returns the time of the save."""
    path = folder / kind.file
    text = re.sub(r"^EDITED = .*$", f"EDITED = {number:06_}", path.read_text(), flags=re.MULTILINE)
    saved = time.perf_counter()
    path.write_text(text)
    return saved


# ------------------------------------------------------------------------------------- contenders


class Once:
    """A contender that runs a command for each edit.

    ``arguments`` returns the command's arguments for a kind.
    """

    def __init__(self, name: str, options: list[str], arguments: Callable[[Kind], list[str]]) -> None:
        self.name, self.options, self.arguments = name, options, arguments

    def prepare(self, python: str, folder: Path) -> None:
        """Write the bytecode and whatever the contender stores for its next run."""
        run(self._command(python, []), folder)

    @contextmanager
    def started(self, python: str, folder: Path) -> Iterator[Callable[[Kind, int], Sample]]:
        def edit(kind: Kind, number: int) -> Sample:
            saved = save(folder, kind, number)
            running = Running(self._command(python, self.arguments(kind)), folder)
            cpu = running.end()
            line = running.wait_for(SUMMARY)
            return Sample(line.at - saved, cpu, outcomes(line.text).get("passed", 0))

        yield edit

    def _command(self, python: str, arguments: list[str]) -> list[str]:
        return [python, "-m", "pytest", *self.options, *arguments]


class Watcher:
    """A contender that keeps running while files are saved.

    ``ours``: the contender prints a status line, and runs only affected tests.
    """

    def __init__(self, name: str, command: Callable[[str], list[str]], *, ours: bool) -> None:
        self.name, self.command, self.ours = name, command, ours

    def prepare(self, python: str, folder: Path) -> None:
        options = ["--hotreload"] if self.ours else []
        if not self.ours:  # pytest-watcher takes "-p" as its own --patterns
            with (folder / "pytest.ini").open("a") as ini:
                ini.write(f"addopts = {' '.join(PLAIN)}\n")
        run([python, "-m", "pytest", *options], folder)

    @contextmanager
    def started(self, python: str, folder: Path) -> Iterator[Callable[[Kind, int], Sample]]:
        running = Running(self.command(python), folder)
        try:
            running.wait_for(re.compile(READY if self.ours else "Waiting for file changes"))
            running.settle()
            yield lambda kind, number: self._edit(running, folder, kind, number)
        finally:
            running.stop()

    def _edit(self, running: Running, folder: Path, kind: Kind, number: int) -> Sample:
        before, since = running.settle(), len(running.lines)
        saved = save(folder, kind, number)
        line = running.wait_for(SUMMARY, since)
        sample = Sample(line.at - saved, 0.0, outcomes(line.text).get("passed", 0))
        if self.ours:
            status = running.wait_for(STATUS, since)
            sample.status = status.at - saved
            found = STATUS.search(status.text)
            assert found is not None
            sample.parts = {name: float(text) / 1000 for name, text in found.groupdict().items()}
            sample.parts["pytest"] *= 1000  # this part is in seconds already
            if sample.passed != kind.tests:
                raise MeasurementError(f"{kind.name}: {line.text}, not {kind.tests} passed")
        sample.cpu = running.settle() - before
        return sample


PLAIN = ["-p", "no:hotreload", "-p", "no:xdist", "-p", "no:testmon"]
OURS = ["-p", "no:xdist", "-p", "no:testmon", "--hotreload", "--watch", "-v", "--hotreload-slots=2"]
CONTENDERS: list[Once | Watcher] = [
    Watcher("watch", lambda python: [python, "-m", "pytest", *OURS], ours=True),
    Once("pytest FILE", PLAIN, lambda kind: [kind.target]),
    Once("pytest-testmon", [*PLAIN[:4], "--testmon"], lambda _: []),
    Watcher(
        "pytest-watcher",
        lambda python: [
            python,
            "-m",
            "pytest_watcher",
            ".",
            f"--runner={Path(python).with_name('pytest')}",
        ],
        ours=False,
    ),
    Once("pytest", PLAIN, lambda _: []),
]
Samples = dict[str, dict[str, list[Sample]]]


# ------------------------------------------------------------------------------------- the measurement


def compare(source: Path, python: str, repeats: int) -> tuple[Samples, dict[str, str]]:
    """Kind -> contender -> samples; and the contenders that cannot run, each with the reason."""
    found: Samples = {}
    missing: dict[str, str] = {}
    folders = {one.name: FOLDER.parent / "edits" / one.name.replace(" ", "-") for one in CONTENDERS}
    for one in CONTENDERS:
        prepare(source, folders[one.name])
        say(f"prepared: {one.name}")
        try:
            one.prepare(python, folders[one.name])
        except MeasurementError as error:
            missing[one.name] = str(error).strip().splitlines()[-1]
    able = [one for one in CONTENDERS if one.name not in missing]
    for round_ in range(repeats + 1):
        one_round(able, folders, python, round_, found)
    return found, missing


def one_round(
    able: list[Once | Watcher],
    folders: dict[str, Path],
    python: str,
    round_: int,
    found: Samples,
) -> None:
    """Run all kinds with all contenders in turns; the first round is a warm-up."""
    started = {}
    try:
        for one in able:
            context = one.started(python, folders[one.name])
            started[one.name] = (context, context.__enter__())
        for place, kind in enumerate(kinds_of(folders["watch"])):
            for name, (_, edit) in started.items():
                sample = edit(kind, 10_001 + 100 * round_ + place)
                if round_ > 0:
                    found.setdefault(kind.name, {}).setdefault(name, []).append(sample)
                say(f"  {kind.name:<22} {name:<16} {sample.summary:7.3f} s  {sample.cpu:6.2f} s CPU")
    finally:
        for context, _ in started.values():
            context.__exit__(None, None, None)


IMPORTS = """
import importlib, runpy, sys, time
sys.path[:0] = [".", "tests"]
import test_0000
def again(names):
    for name in names:
        sys.modules.pop(name, None)
    start = time.perf_counter()
    importlib.import_module(names[0])
    return time.perf_counter() - start
leaf = "{leaf}"
first_party = [name for name in sys.modules if name.partition(".")[0] == "{package}"]
own = again([leaf])
print(own, again([leaf, *first_party]))
"""
DURATIONS = re.compile(r"^(\d+\.\d+)s (?:setup|call|teardown)", re.MULTILINE)


def subtracted(python: str, folder: Path) -> dict[str, float]:
    """Times in seconds that are not costs of a watch.

    These are the bodies of the test file's tests, the leaf's own import, and the import of all first-party
    modules that the leaf needs.
    """
    code = IMPORTS.format(leaf=LEAF_FILE.removesuffix(".py").replace("/", "."), package=heavy.PACKAGE)
    rows = []
    for _ in range(IMPORTS_REPEATS):
        own, every = run([python, "-c", code], folder)[1].split()[-2:]
        text = run([python, "-m", "pytest", *PLAIN, "--durations=0", "-vv", TEST_FILE], folder)[1]
        rows.append((sum(map(float, DURATIONS.findall(text))), float(own), float(every)))
    bodies, owns, everys = zip(*rows, strict=True)
    return {
        "bodies": statistics.median(bodies),
        "own import": statistics.median(owns),
        "first-party imports": statistics.median(everys),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description="Measure the edit loop.")
    parser.add_argument(
        "--repeats", type=int, default=5, help="measured rounds after the warm-up (default: 5)"
    )
    parser.add_argument("--suite", choices=["heavy"], default="heavy")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the tests")
    parser.add_argument("--write", action="store_true", help=f"write {edits_report.PAGE.name}, too")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    try:
        found, missing = compare(SUITES[options.suite].generate(), options.python, options.repeats)
        less = subtracted(options.python, FOLDER.parent / "edits" / "pytest")
    except MeasurementError as error:
        say(f"error: {error}")
        return 1
    page = edits_report.render(found, missing, less, options.repeats, report.machine(options.python))
    print(page)
    if options.write:
        edits_report.PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
