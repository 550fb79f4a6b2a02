"""No test whose outcome an edit changes is left out, or reused: random edits, more by ``HOTRELOAD_EDITS`` (2,000) and
``HOTRELOAD_REUSE_EDITS`` (20), in projects whose tests start processes by
``HOTRELOAD_PROCESS_EDITS`` (12), and edits of single functions by ``HOTRELOAD_FUNCTION_EDITS`` (120).

``--affected=tests`` may miss tests; these are counted, and docs/design/functions.md publishes their kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EDITS = int(os.environ.get("HOTRELOAD_EDITS", "2000"))
REUSE_EDITS = int(os.environ.get("HOTRELOAD_REUSE_EDITS", "20"))
#: Edits of single functions; each takes about 0.3 s.
FUNCTION_EDITS = int(os.environ.get("HOTRELOAD_FUNCTION_EDITS", "120"))
#: Edits after which single tests are counted; each takes about 0.6 s.
TEST_EDITS = int(os.environ.get("HOTRELOAD_TEST_EDITS", "60"))
#: The part of all changed tests that ``--affected=tests`` may miss.
MOST_MISSED = 0.2
PROCESS_EDITS = int(os.environ.get("HOTRELOAD_PROCESS_EDITS", "12"))
SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))
#: The part of all possible reuse that must be taken, or the harness would prove nothing: 0.56 and 0.87 were, in 40
#: and 60 edits.
LEAST_TAKEN = 0.4
#: A sample of fewer edits says nothing about such parts: of 20 edits, 0.29 to 0.87 of the possible reuse was taken.
ENOUGH_EDITS = 40
#: In one test, which has to end within two minutes where `make check` runs beside other work; 300 took longer.
MOST_EDITS = 100
#: At the same time: as many as the smallest machine that this is run on has processors.
PROCESSES = 2
#: The package that is installed comes first, the checkout only lends the harness.
_START = f"import sys; sys.path.append({str(ROOT)!r}); from tests.mutation.run import main; main()"


def harness(
    seed: int, edits: int, folder: Path, mode: str = "affected", project: str = "imports"
) -> subprocess.Popen[str]:
    """Start it; of a failing run the project stays in ``folder``."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            _START,
            f"--seed={seed}",
            f"--edits={edits}",
            f"--keep={folder}",
            f"--mode={mode}",
            f"--project={project}",
        ],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_all(
    edits: int, mode: str, folder: Path, project: str = "imports", seed: int = SEED
) -> list[dict[str, Any]]:
    """The results of all processes, none of which missed anything, but for single tests."""
    share = -(-edits // PROCESSES)
    started = [harness(seed + n, share, folder / f"seed-{seed + n}", mode, project) for n in range(PROCESSES)]
    results: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    assert mode == "tests" or [result["missed"] for result in results] == [[]] * PROCESSES
    assert [result["edits"] for result in results] == [share] * PROCESSES
    return results


@pytest.mark.parametrize("begin", range(0, EDITS, MOST_EDITS))
def test_nothing_is_missed(tmp_path: Path, begin: int) -> None:
    edits = min(MOST_EDITS, EDITS - begin)
    results = run_all(edits, "affected", tmp_path, seed=SEED + begin)
    files = sum(result["files"] for result in results)
    selected = sum(result["selected"] for result in results)
    changed = sum(result["changed"] for result in results)
    print(f"{files} file states: {changed} changed, {selected} selected")
    # A harness that selects everything, or changes nothing, would prove nothing.
    # Of 100 edits, up to 0.83 were selected.
    assert edits < ENOUGH_EDITS or changed < selected < files


def test_no_reuse_is_wrong(tmp_path: Path) -> None:
    results = run_all(REUSE_EDITS, "reuse", tmp_path)
    files, possible, taken = (
        sum(result[name] for result in results) for name in ("files", "possible", "taken")
    )
    print(
        f"{files} file states: reuse was possible for {possible}, and taken for {taken} ({taken / possible:.0%})"
    )
    assert 0 < taken <= possible
    assert taken > possible * LEAST_TAKEN or REUSE_EDITS < ENOUGH_EDITS


def test_nothing_that_a_process_reads_is_missed(tmp_path: Path) -> None:
    results = run_all(PROCESS_EDITS, "affected", tmp_path, "processes")
    files, selected, changed = (
        sum(result[name] for result in results) for name in ("files", "selected", "changed")
    )
    print(f"{files} file states: {changed} changed, {selected} selected")
    assert changed < selected < files or PROCESS_EDITS < ENOUGH_EDITS


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
@pytest.mark.parametrize("mode", ["affected", "reuse"])
def test_nothing_that_a_function_changes_is_missed(tmp_path: Path, mode: str) -> None:
    results = run_all(FUNCTION_EDITS // 2, mode, tmp_path, "functions")
    files, possible, taken, changed = (
        sum(result[name] for result in results) for name in ("files", "possible", "taken", "changed")
    )
    print(f"{files} file states: {changed} changed, of {possible} others {taken} did not run")
    # 0.58 and 0.70 were, in 145 and 40 edits; all of these files import all modules, so before it was next to none.
    assert changed > 0
    assert taken > possible * LEAST_TAKEN or FUNCTION_EDITS // 2 < ENOUGH_EDITS


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
def test_few_tests_are_missed_by_themselves(tmp_path: Path) -> None:
    results = run_all(TEST_EDITS, "tests", tmp_path, "functions")
    tests, changed, possible, taken = (
        sum(result[name] for result in results) for name in ("files", "changed", "possible", "taken")
    )
    missed, alone = (sum(len(result[name]) for result in results) for name in ("missed", "alone"))
    print(
        f"{tests} tests: {changed} changed, {missed} missed, {alone} differ alone; {taken}/{possible} left out"
    )
    assert [result["unsound"] for result in results] == [[]] * PROCESSES
    assert changed > 0
    assert TEST_EDITS < ENOUGH_EDITS or (missed <= changed * MOST_MISSED and taken > possible * LEAST_TAKEN)
