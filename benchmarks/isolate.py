"""From a call to its result, for `isolate_imports`, a bare `os.fork` and firehot, in turns:

python -m benchmarks.isolate                      printed
python -m benchmarks.isolate --rounds 5 --write   written to docs/benchmarks-isolate.md

Each contender is a process of its own that calls a function of one package, which imports NumPy and pandas. The bare
loop holds both, forks, imports the package in the child, pickles the result into a pipe, and waits for the child:
the least that such a call can be.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import pickle
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import MeasurementError

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-isolate.md"
PACKAGE, WORK = "warm_package", "import numpy\nimport pandas\n\ndef answer(number):\n    return number + 1\n"
#: The number of calls in one turn. Few must suffice for firehot, whose calls take long.
CALLS = {"fork": 40, "isolate_imports": 40, "firehot": 4, "firehot-1": 4}
WARM_UP = 5
#: The number of measured saves in the example.
SAVES = 20
EXAMPLE = Path(__file__).parent.parent / "examples" / "hot_server"
NAMES = {
    "fork": "bare `os.fork`",
    "isolate_imports": "`isolate_imports`",
    "firehot": "firehot, as it comes",
    "firehot-1": "firehot, `OPENBLAS_NUM_THREADS=1`",
}

HEAD = """# Benchmarks of isolated calls

`python -m benchmarks.isolate --write` writes this page: do not edit.
The benchmark calls a function of a package that imports NumPy and pandas, and waits for its result.
The contenders take turns, in {rounds} rounds.
The bare loop forks a process that has imported both, and imports the package in the child.
The child pickles the result into a pipe, and the loop waits for the child's end: such a call cannot do less.
Start is the time from the import of the library to the first result.
Figures are medians of the calls, with the tenth and the ninetieth percentile in brackets.
The seconds apply only to this machine.
See [how isolated calls work](design/isolation.md).

firehot {firehot} uses the first `python` on PATH, which the benchmark sets.
By default, firehot imports no module ahead whose import leaves a native thread behind.
These modules include NumPy and pandas, because OpenBLAS has a thread pool.
With this pool switched off, firehot imports both ahead.
Its calls are then fast at first, and become slower with their number, which explains the range in that row.

Machine: {machine}.

| | start, s | call, ms | to bare fork | firehot to it |
| --- | ---: | ---: | ---: | ---: |
"""


# ------------------------------------------------------------------------------------- contenders


def by_fork() -> Iterator[Callable[[], Any]]:
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401

    gc.collect()
    gc.freeze()

    def call() -> Any:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            from warm_package import work

            with os.fdopen(write, "wb") as result:
                pickle.dump(work.answer(1), result, 5)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as result:
            told = pickle.load(result)
        os.waitpid(pid, 0)
        return told

    yield call


def by_isolate_imports() -> Iterator[Callable[[], Any]]:
    from pytest_hotreload import isolate_imports

    with isolate_imports(PACKAGE) as environment:
        from warm_package import work

        yield lambda: environment.communicate_isolated(environment.exec(work.answer, 1))


def by_firehot() -> Iterator[Callable[[], Any]]:
    from firehot import isolate_imports

    with isolate_imports(PACKAGE) as environment:
        from warm_package import work

        yield lambda: int(environment.communicate_isolated(environment.exec(work.answer, 1)))


CONTENDERS = {
    "fork": by_fork,
    "isolate_imports": by_isolate_imports,
    "firehot": by_firehot,
    "firehot-1": by_firehot,
}


def serve(name: str, answers: int) -> None:
    """Run a contender's process: for each requested number of calls, write their seconds."""
    began = time.perf_counter()
    with os.fdopen(answers, "w") as said, contextmanager(CONTENDERS[name])() as call:
        if call() != 2:
            raise MeasurementError(f"{name} gave another result")
        print(json.dumps([time.perf_counter() - began]), file=said, flush=True)
        for line in sys.stdin:
            seconds = []
            for _ in range(int(line)):
                before = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - before)
            print(json.dumps(seconds), file=said, flush=True)


class Contender:
    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.seconds: list[float] = []
        read, write = os.pipe()
        binaries = Path(sys.executable).parent
        here = Path(__file__).parent.parent
        environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}{os.pathsep}{here}",
            **({"OPENBLAS_NUM_THREADS": "1"} if name == "firehot-1" else {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.isolate", "--serve", name, "--answers", str(write)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[write],
            text=True,
            start_new_session=True,
        )
        os.close(write)
        self._answers = os.fdopen(read)
        (self.start,) = self._hear()
        self._pause(True)

    def call(self, number: int) -> list[float]:
        """Call ``number`` times.

        All other contenders are stopped meanwhile, because some are busy even when idle.
        """
        assert self._process.stdin is not None
        self._pause(False)
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        heard = self._hear()
        self._pause(True)
        return heard

    def _pause(self, pause: bool) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP if pause else signal.SIGCONT)

    def _hear(self) -> list[float]:
        line = self._answers.readline()
        if not line:
            raise MeasurementError(f"{self.name} ended:\n{self._process.communicate()[1]}")
        found: list[float] = json.loads(line)
        return found

    def close(self) -> None:
        self._pause(False)
        self._process.communicate()
        self._answers.close()


# ------------------------------------------------------------------------------------- the example


def answers(rounds: int) -> list[float]:
    """Seconds from a save to the first answer of `examples/hot_server` with the new text, under constant requests."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "copy")
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        pages = folder / "guestbook" / "pages.py"
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        command = [sys.executable, "serve.py", "0"]
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                server.stdout.readline()
                return [answer(pages, url, f"Edit {number:04}") for number in range(rounds + 1)][1:]
            finally:
                server.terminate()


def answer(pages: Path, url: str, title: str) -> float:
    text = re.sub(r"^TITLE = .*$", f'TITLE = "{title}"', pages.read_text(), flags=re.MULTILINE)
    before = time.perf_counter()
    pages.write_text(text)
    while True:
        with urllib.request.urlopen(url) as page:
            if title in page.read().decode():
                return time.perf_counter() - before


# ------------------------------------------------------------------------------------- the measurement


def compare(rounds: int) -> tuple[list[Contender], dict[str, str]]:
    """Run all contenders. Returns those that ran, and the reasons of those that cannot run."""
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / PACKAGE).mkdir()
        (folder / PACKAGE / "__init__.py").touch()
        (folder / PACKAGE / "work.py").write_text(WORK)
        able: list[Contender] = []
        try:
            for name in CONTENDERS:
                try:
                    able.append(Contender(name, folder))
                except MeasurementError as error:
                    missing[name] = str(error).strip().splitlines()[-1]
            for one in able:
                one.call(WARM_UP)
            for _ in range(rounds):
                for one in able:
                    one.seconds += one.call(CALLS[one.name])
        finally:
            for one in able:
                one.close()
    return able, missing


def page(able: list[Contender], missing: dict[str, str], saves: list[float], rounds: int) -> str:
    middle = {one.name: statistics.median(one.seconds) for one in able}
    lines = []
    for one in able:
        ordered = sorted(one.seconds)
        low, high = ordered[len(ordered) // 10], ordered[len(ordered) * 9 // 10]
        shown = f"{middle[one.name] * 1000:,.1f} ({low * 1000:,.1f} to {high * 1000:,.1f})"
        other = f"{middle['firehot'] / middle[one.name]:.0f}" if "firehot" in middle else "–"
        lines.append(
            f"| {NAMES[one.name]} | {one.start:.2f} | {shown} | {middle[one.name] / middle['fork']:.2f} | {other} |"
        )
    lines += [f"\nNot run: {NAMES[name]}: {why}." for name, why in missing.items()]
    head = HEAD.format(rounds=rounds, firehot=_version(), machine=report.machine(sys.executable))
    return head + "\n".join(lines) + _example(saves)


def _example(saves: list[float]) -> str:
    ordered = sorted(saves)
    middle, worst = statistics.median(ordered) * 1000, ordered[-1] * 1000
    return f"""

## The web server of examples/hot_server

The time from a save to the first answer with the new code is {middle:.0f} ms in the median of {len(ordered)} saves.
The worst was {worst:.0f} ms.
Up to 20 ms of this time pass until the loop checks the sources.
"""


def _version() -> str:
    try:
        return importlib.metadata.version("firehot")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="after one that warms up (default: 5)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--answers", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve, chosen.answers)
        return
    text = page(*compare(chosen.rounds), answers(SAVES), chosen.rounds)
    if chosen.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
