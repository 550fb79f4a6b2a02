"""Runs random suites with plain pytest and with ``--hotreload``, and prints the results as one JSON line.

Every run is a fork of this process, which has imported what pytest and the plugin load and nothing of a suite.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

import pytest_hotreload.plugin  # noqa: F401 - the forks find it imported
from tests.fuzz.suites import Suite, Writer

#: Seconds after which a run counts as hung; on two busy cores the slowest took 9 s.
HUNG = 60.0
#: The worst of the outcomes that a node id was given is its outcome.
_WORST = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")
#: What a run says of its rewinding, the first only with ``-v``.
_REWOUND = re.compile(r"rewound after (\d+) file")
_REWOUND_BADLY = "of memory differed after a child was rewound"

# Bound before any suite patches them: at the end of a run its world may still be a test's.
_write, _open, _dumps, _vars = os.write, os.open, json.dumps, vars


class Recorder:
    """Every report that reaches the process that a user would watch."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.reports: list[tuple[str, str, str]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if "wasxfail" in _vars(report):
            outcome = "xfailed" if report.skipped else "xpassed"
        self.reports.append((report.nodeid, type(report).__name__[:7] + report.when, outcome))


@dataclass
class Result:
    """What one run gave. ``status``: pytest's exit status, or how the process ended instead."""

    status: int | str
    items: list[str]
    reports: list[tuple[str, str, str]]
    log: str

    def outcomes(self) -> dict[str, str]:
        """node id -> outcome; only those that have one: a call or a setup that did not pass."""
        found: dict[str, str] = {}
        for nodeid, when, outcome in self.reports:
            phase = when[7:]
            if outcome == "rerun" or (phase != "call" and outcome == "passed"):
                continue
            worse = "error" if outcome == "failed" and phase != "call" else outcome
            found[nodeid] = min(found.get(nodeid, worse), worse, key=_WORST.index)
        return found


def run(root: Path, arguments: list[str]) -> Result:
    """One run of pytest, in a fork and in a session of its own."""
    log, answer = root.with_suffix(".log"), root.with_suffix(".json")
    pid = os.fork()
    if pid == 0:
        _run_here(root, arguments, log, answer)
    status = _wait(pid)
    answered = answer.read_text() if answer.exists() else ""
    told = json.loads(answered) if answered else None
    text = log.read_text(errors="replace")
    if told is None or status:
        return Result(status or "said nothing", [], [], text)
    return Result(told["status"], told["items"], [tuple(each) for each in told["reports"]], text)


def _run_here(root: Path, arguments: list[str], log: Path, answer: Path) -> None:
    status = 70
    try:
        os.setsid()
        os.chdir(root)
        out = _open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        told = _open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        recorder, leave = Recorder(), os._exit
        code: int | str = "raised"  # what was reported before counts all the same
        with contextlib.suppress(BaseException):
            code = int(
                pytest.main(["-p", "no:cacheprovider", "-p", "no:randomly", *arguments], plugins=[recorder])
            )
        text = _dumps({"status": code, "items": recorder.items, "reports": recorder.reports})
        _write(told, text.encode())
        status = 0
    finally:
        leave(status)


def _wait(pid: int) -> str:
    """How the process ended, or "" where it did so as it should."""
    end = time.monotonic() + HUNG
    pause = 0.001
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return f"ended with {status}" if status else ""
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def judge(suite: Suite, plain: Result, ours: Result) -> list[str]:
    """What is wrong with ``ours``; nothing for a right run."""
    if isinstance(ours.status, str):
        return [] if isinstance(plain.status, str) else [f"our run {ours.status}"]
    wrong = _silent(suite, plain, ours)
    if _REWOUND_BADLY in ours.log:
        wrong.append("memory differed after a rewind")
    if wrong or isinstance(plain.status, str) or plain.outcomes() != suite.outcomes:
        return wrong  # the suite breaks plain pytest, too: no more can be asked
    wrong = _differing(suite, ours)
    if ours.status != plain.status:
        wrong.append(f"exit status {plain.status}, ours {ours.status}")
    return wrong or ([] if suite.dying or suite.isolates else _reports(plain, ours))


def _silent(suite: Suite, plain: Result, ours: Result) -> list[str]:
    """What no run may show, whatever a suite breaks: but a patch of its own may let a test pass that was to fail."""
    found, survived = ours.outcomes(), plain.outcomes()
    failing = {test for test, what in suite.outcomes.items() if what in ("failed", "error")}
    bad = {test for test in failing if survived.get(test) != "passed"}
    wrong = [f"{test}: written to fail, passed" for test in bad if found.get(test) == "passed"]
    if ours.status == 0:
        wrong += [f"{test}: no result, and exit status 0" for test in ours.items if test not in found]
        wrong += [f"{test}: written to fail, and exit status 0" for test in bad & set(ours.items)]
    return wrong


def _differing(suite: Suite, ours: Result) -> list[str]:
    """Tests with another outcome than they were written for, and than plain pytest gave."""
    found = ours.outcomes()
    right = {test: {what} for test, what in suite.outcomes.items()}
    right.update({test: {"failed", "error"} for test in suite.dying})
    return [
        f"{test}: {suite.outcomes[test]}, ours {found.get(test)}"
        for test in right
        if found.get(test) not in right[test]
    ]


def _reports(plain: Result, ours: Result) -> list[str]:
    if plain.reports == ours.reports:
        return []
    differing = [(a, b) for a, b in zip(plain.reports, ours.reports, strict=False) if a != b]
    counts = f"{len(plain.reports)} reports of plain pytest, {len(ours.reports)} of ours"
    return [f"{counts}; first difference: {differing[:1]}"]


class Fuzzer:
    """``strict``: suites that plain pytest survives, so that every outcome was compared.

    ``rewound``: files after which a child was rewound, of the runs with ``-v``, which alone say so.
    """

    def __init__(self, seed: int, work: Path, **most: int) -> None:
        self.random, self.work = Random(seed), work
        reruns = importlib.util.find_spec("pytest_rerunfailures") is not None
        self.writer = Writer(self.random, reruns=reruns, **most)
        self.base = ["-p", "pytest_rerunfailures"] if reruns else []
        self.strict = self.suites = self.tests = self.deaths = self.rewound = 0
        self.wrong: list[dict[str, Any]] = []
        self.kinds: Counter[str] = Counter()

    def run(self, count: int, most_wrong: int) -> None:
        _warm(self.work, self.base)
        for number in range(count):
            self._one(number)
            if len(self.wrong) >= most_wrong:
                return

    def _one(self, number: int) -> None:
        suite = self.writer.suite()
        top = self.work / f"suite-{number}"
        suite.write(top / "plain", deadly=False)
        suite.write(top / "ours", deadly=True)
        plain = run(top / "plain", [*self.base, *suite.arguments])
        ours = run(
            top / "ours",
            [*self.base, "-p", "pytest_hotreload.plugin", "--hotreload", *suite.ours, *suite.arguments],
        )
        self.suites += 1
        self.tests += len(suite.outcomes)
        self.deaths += len(suite.dying)
        self.strict += plain.outcomes() == suite.outcomes
        self.rewound += sum(map(int, _REWOUND.findall(ours.log)))
        wrong = judge(suite, plain, ours)
        if not wrong:
            shutil.rmtree(top)
            return
        (top / "arguments").write_text(" ".join([*suite.ours, *suite.arguments]) + "\n")
        self.wrong.append({"suite": number, "wrong": wrong[:5], "folder": str(top)})


def _warm(work: Path, base: list[str]) -> None:
    """Import what runs import, and let no collection of garbage look at it again."""
    root = work / "warm"
    root.mkdir(parents=True)
    (root / "test_nothing.py").write_text("def test_nothing(): pass\n")
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(root), str(root), *base])
    assert code == 0
    shutil.rmtree(root)
    gc.collect()
    gc.freeze()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--suites", type=int, required=True)
    parser.add_argument("--most-wrong", type=int, default=1)
    parser.add_argument("--files", type=int, default=4, choices=range(1, 5), help="in a suite, at most")
    parser.add_argument("--tests", type=int, default=5, help="in a file, at most")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    work = Path(tempfile.mkdtemp(prefix="hotreload-fuzz-"))
    real = os.dup(1)
    os.dup2(2, 1)
    fuzzer = Fuzzer(chosen.seed, work, files=chosen.files, tests=chosen.tests)
    fuzzer.run(chosen.suites, chosen.most_wrong)
    if fuzzer.wrong and chosen.keep is not None:
        shutil.copytree(work, chosen.keep, dirs_exist_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    told = {
        "seed": chosen.seed, "suites": fuzzer.suites, "tests": fuzzer.tests, "deaths": fuzzer.deaths,
        "strict": fuzzer.strict, "rewound": fuzzer.rewound, "wrong": fuzzer.wrong,
    }  # fmt: skip
    os.write(real, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
