"""No test whose outcome an edit changes is left out, or reused: random edits, more by ``HOTRELOAD_EDITS`` (2,000) and
``HOTRELOAD_REUSE_EDITS`` (20), in projects whose tests start processes by
``HOTRELOAD_PROCESS_EDITS`` (12), and edits of single functions by ``HOTRELOAD_FUNCTION_EDITS`` (120).

``--affected=tests`` may miss tests; these are counted, and docs/design/functions.md publishes their kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import run

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
#: In one test, which has to end within the 120 s of `make check`, beside other work; 300 took longer.
MOST_EDITS = 100
#: With this seed and the usual numbers of edits, the harness shows that it is at work. A few other edits may all be of
#: one kind: of 100 in ten projects, 0.28 to 0.69 of the possible reuse was taken.
USUAL_SEED = 1
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
    edits: int, mode: str, folder: Path, project: str = "imports", *, seed: int = SEED
) -> Counter[str]:
    """The sums of what all processes counted, none of which missed anything, but for single tests."""
    share = -(-edits // PROCESSES)
    started = [harness(seed + n, share, folder / f"seed-{seed + n}", mode, project) for n in range(PROCESSES)]
    results: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    assert mode == "tests" or [result["missed"] for result in results] == [[]] * PROCESSES
    assert [result["edits"] for result in results] == [share] * PROCESSES
    sums: Counter[str] = Counter()
    for result in results:
        assert result["unsound"] == []
        sums.update({name: value for name, value in result.items() if isinstance(value, int)})
        sums.update({name: len(result[name]) for name in ("missed", "alone")})
    return sums


def run_until(
    proves: Callable[[Counter[str]], bool],
    edits: int,
    usual: int,
    mode: str,
    folder: Path,
    project: str = "imports",
) -> None:
    """Make so many edits; and the usual ones, unless these show that the harness is at work."""
    sums = run_all(edits, mode, folder, project)
    if not proves(sums) and (SEED, edits) != (USUAL_SEED, usual):
        again = folder / "usual"
        again.mkdir()
        sums = run_all(usual, mode, again, project, seed=USUAL_SEED)
    print(dict(sums))
    assert proves(sums)


def takes_enough(sums: Counter[str]) -> bool:
    return sums["possible"] * LEAST_TAKEN < sums["taken"] <= sums["possible"]


def selects_some(sums: Counter[str]) -> bool:
    return sums["changed"] < sums["selected"] < sums["files"]


@pytest.fixture(scope="module")
def all_parts() -> Iterator[Counter[str]]:
    """The sums of all parts: a harness that selects everything, or changes nothing, would prove nothing."""
    sums: Counter[str] = Counter()
    yield sums
    if sums["edits"] >= EDITS:
        print(f"{sums['files']} file states: {sums['changed']} changed, {sums['selected']} selected")
        assert sums["changed"] < sums["selected"] < sums["files"] * run.MOST_SELECTED


@pytest.mark.parametrize("begin", range(0, EDITS, MOST_EDITS))
def test_nothing_is_missed(tmp_path: Path, all_parts: Counter[str], begin: int) -> None:
    all_parts.update(run_all(min(MOST_EDITS, EDITS - begin), "affected", tmp_path, seed=SEED + begin))


def test_no_reuse_is_wrong(tmp_path: Path) -> None:
    run_until(takes_enough, REUSE_EDITS, 20, "reuse", tmp_path)


def test_nothing_that_a_process_reads_is_missed(tmp_path: Path) -> None:
    run_until(selects_some, PROCESS_EDITS, 12, "affected", tmp_path, "processes")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
@pytest.mark.parametrize(
    ("mode", "project"), [("affected", "functions"), ("reuse", "functions"), ("affected", "slots")]
)
def test_nothing_that_a_function_changes_is_missed(tmp_path: Path, mode: str, project: str) -> None:
    # 0.58 and 0.70 were taken, in 145 and 40 edits; all of these files import all modules, so before it was next to
    # none.
    run_until(
        lambda sums: sums["changed"] > 0 and sums["taken"] > sums["possible"] * LEAST_TAKEN,
        FUNCTION_EDITS // 2,
        60,
        mode,
        tmp_path,
        project,
    )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
def test_few_tests_are_missed_by_themselves(tmp_path: Path) -> None:
    sums = run_all(TEST_EDITS, "tests", tmp_path, "functions")
    print(dict(sums))
    assert sums["changed"] > 0
    assert sums["missed"] <= sums["changed"] * MOST_MISSED
    assert sums["taken"] > sums["possible"] * LEAST_TAKEN
