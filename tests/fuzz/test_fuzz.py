"""Random suites full of trouble are never silently green, never hang and lose no test (``HOTRELOAD_SUITES``, 60)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.suites import DEATHS, Case, File

ROOT = Path(__file__).parents[2]
SUITES = int(os.environ.get("HOTRELOAD_SUITES", "60"))
SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))
#: At the same time: as many as the smallest machine that this is run on has processors.
PROCESSES = 2
#: Small suites find as much for less: 0.42 s of CPU each, 25 s for all (Python 3.11).
SMALL = ("--files=3", "--tests=2")
#: The part of the suites that plain pytest has to survive, or the fuzzer would prove little: 0.78 did, of 60.
LEAST_STRICT = 0.4
#: The package that is installed comes first, the checkout only lends the fuzzer.
_START = f"import sys; sys.path.append({str(ROOT)!r}); from tests.fuzz.run import main; main()"


def fuzzer(seed: int, suites: int, folder: Path) -> subprocess.Popen[str]:
    """Start one; what went wrong stays in ``folder``."""
    options = [f"--seed={seed}", f"--suites={suites}", f"--keep={folder}", *SMALL]
    return subprocess.Popen(
        [sys.executable, "-c", _START, *options], cwd=folder.parent, stdout=subprocess.PIPE, text=True
    )


def test_no_suite_is_wrong(tmp_path: Path) -> None:
    share = -(-SUITES // PROCESSES)
    started = [fuzzer(SEED + n, share, tmp_path / f"seed-{SEED + n}") for n in range(PROCESSES)]
    results: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in started]
    assert [result["wrong"] for result in results] == [[]] * PROCESSES
    assert [result["suites"] for result in results] == [share] * PROCESSES
    strict = sum(result["strict"] for result in results)
    print(f"{share * PROCESSES} suites, every outcome compared in {strict}")
    assert strict >= share * PROCESSES * LEAST_STRICT


@pytest.mark.parametrize("death", DEATHS)
def test_what_plain_pytest_gets_in_place_of_a_death(death: str) -> None:
    """It fails, and can be compiled: otherwise plain pytest collects nothing, and little is compared."""
    file = File("test_a.py", [Case(f"def test_1():\n    {death}\n", {"test_1": "failed"}, dies=True)])
    assert death in file.text(deadly=True)
    found: dict[str, Any] = {}
    exec(compile(file.text(deadly=False), "test_a.py", "exec"), found)
    with pytest.raises(AssertionError, match="dies"):
        found["test_1"]()
