"""One test of a file, again and again, as an agent runs it: pytest, `pytest-hotreload run` and cito's daemon, in turns.

python -m benchmarks.single_test                       12 rounds, printed
python -m benchmarks.single_test --rounds 3 --write    3 rounds, written to docs/benchmarks-single-test.md

Each contender has its own copy of each suite. Its server, if it has one, is started before the first round, and the
first round is a warm-up: no contender is measured while it imports what the suite needs for the first time.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.experiments import say
from benchmarks.measure import MeasurementError, environment
from benchmarks.suites import FOLDER, SUITES

PAGE = report.ROOT / "docs" / "benchmarks-single-test.md"
ROUNDS = 12
#: Suite -> the test that is run.
TESTS = {
    "heavy": "tests/test_0001.py::test_models_1",
    "light": "tests/test_0001.py::test_work_0",
    "trivial": "tests/test_0001.py::test_sum",
}
KINDS = ("nothing changed", "the test file edited just before")
#: Seconds within which a server must have imported the test file of the run before ahead.
READY = 60.0
#: Plugins that are installed for other benchmarks.
UNUSED = ("-p", "no:xdist", "-p", "no:testmon", "-p", "no:django")
OTHERS = (*UNUSED, "-p", "no:hotreload")

HEAD = """# Benchmarks of a single test

`python -m benchmarks.single_test --write` writes this page: do not edit.
One test of one file is run again and again, as an editor or an agent does.
The suites are those of the [benchmarks](benchmarks.md).
All contenders took turns on one machine, each in its own copy of the suite.
Figures are medians of {rounds} rounds after one warm-up round, with the lowest and highest in brackets.
The seconds apply only to this machine; the ratios are the result.

- **pytest**: `pytest FILE::TEST`
- **pytest-hotreload run**: `pytest-hotreload run FILE::TEST`, with `pytest-hotreload serve` beside it
- **cito**: `cito run --daemon -n 1 FILE::TEST`, cito {cito}

A run of pytest-hotreload is a fork in which no test has run; cito runs the tests in a worker that keeps what earlier \
runs left behind.
The time is that from the start of the command to its end.
Every run must report one passed test.

Machine: {machine}.
"""


@dataclass(frozen=True)
class Contender:
    name: str
    #: (the folder of the environment's programs, the test) -> the command.
    command: Callable[[Path, str], list[str]]
    passed: re.Pattern[str]
    server: Callable[[Path, Path], Iterator[None]] | None = None

    def run(self, programs: Path, folder: Path, test: str) -> float:
        """Return the seconds that the command took; raise MeasurementError unless the test passed."""
        started = time.perf_counter()
        done = _run(self.command(programs, test), folder)
        wall = time.perf_counter() - started
        if done.returncode != 0 or not self.passed.search(done.stdout):
            raise MeasurementError(f"{self.name}: status {done.returncode}:\n{done.stdout[-2_000:]}")
        return wall


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


# --------------------------------------------------------------------------------------- contenders


def _serve(programs: Path, folder: Path) -> Iterator[None]:
    client = str(programs / "pytest-hotreload")
    with subprocess.Popen(
        [client, "serve"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(lambda: _run([client, "status"], folder).returncode == 0, "pytest-hotreload serve")
            yield
        finally:
            _run([client, "stop"], folder)
            server.wait(READY)


def _daemon(programs: Path, folder: Path) -> Iterator[None]:
    cito = str(programs / "cito")
    _run([cito, "daemon", "start"], folder)
    try:
        yield
    finally:
        _run([cito, "daemon", "stop"], folder)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementError(f"{what} was not ready after {READY:g} s")
        time.sleep(0.1)


PYTEST = re.compile(r"^1 passed in ", re.MULTILINE)
CONTENDERS = [
    Contender(
        "pytest",
        lambda programs, test: [str(programs / "python"), "-m", "pytest", "-q", *OTHERS, test],
        PYTEST,
    ),
    Contender(
        "pytest-hotreload run",
        lambda programs, test: [str(programs / "pytest-hotreload"), "run", "-q", *UNUSED, test],
        PYTEST,
        _serve,
    ),
    Contender(
        "cito",
        lambda programs, test: [
            *(
                str(programs / "cito"),
                "run",
                "--daemon",
                "-n",
                "1",
                "--python",
                str(programs / "python"),
                test,
            ),
            *("--", *OTHERS),
        ],
        re.compile(r"^cito: 1 passed, 0 failed", re.MULTILINE),
        _daemon,
    ),
]


# ----------------------------------------------------------------------------------- the measurement

#: Kind -> contender -> seconds.
Times = dict[str, dict[str, list[float]]]


def compare(suite: str, programs: Path, rounds: int) -> Times:
    source, test = SUITES[suite].generate(), TESTS[suite]
    folders = {
        one.name: FOLDER.parent / "single-test" / f"{suite}-{one.name.replace(' ', '-')}"
        for one in CONTENDERS
    }
    for folder in folders.values():
        _copy(source, folder)
    found: Times = {kind: {one.name: [] for one in CONTENDERS} for kind in KINDS}
    with ExitStack() as servers:
        for one in CONTENDERS:
            if one.server is not None:
                servers.enter_context(contextmanager(one.server)(programs, folders[one.name]))
            # Twice: the first run of a file tells a server what to import ahead.
            one.run(programs, folders[one.name], test)
            one.run(programs, folders[one.name], test)
        for round_ in range(1 + rounds):
            for kind in KINDS:
                for one in CONTENDERS:
                    if kind != KINDS[0]:
                        _edit(folders[one.name] / test.partition("::")[0], round_)
                    wall = one.run(programs, folders[one.name], test)
                    if round_:
                        found[kind][one.name].append(wall)
                        say(f"  {suite} · {kind} · {one.name}: {wall * 1000:,.0f} ms")
    return found


def _copy(source: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".pytest_cache", "__pycache__"))


def _edit(file: Path, number: int) -> None:
    """Change the value of a name that nothing uses, without a change of the size."""
    text = re.sub(r"^EDITED = .*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(f"{text}EDITED = {10_000 + number}\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------ the page


def table(suite: str, found: Times) -> str:
    lines = [f"\n## The {suite} suite\n", f"The suite: {SUITES[suite].what}.\nThe test: `{TESTS[suite]}`.\n"]
    for kind, by_name in found.items():
        lines += [
            f"| {kind} | ms | of pytest | of cito |",
            "| --- | ---: | ---: | ---: |",
        ]
        medians = {name: statistics.median(walls) for name, walls in by_name.items()}
        for name, walls in by_name.items():
            ratios = [f"{medians[name] / medians[other]:.2f}" for other in ("pytest", "cito")]
            spread = f"{medians[name] * 1000:,.0f} ({min(walls) * 1000:,.0f} to {max(walls) * 1000:,.0f})"
            lines.append(f"| {name} | {spread} | {ratios[0]} | {ratios[1]} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("suites", nargs="*", default=list(TESTS), help=f"of {', '.join(TESTS)}")
    chosen = parser.parse_args()
    programs = Path(sys.executable).parent
    head = HEAD.format(
        rounds=chosen.rounds, machine=report.machine(sys.executable), cito=importlib.metadata.version("cito")
    )
    text = head + "".join(table(suite, compare(suite, programs, chosen.rounds)) for suite in chosen.suites)
    if chosen.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
