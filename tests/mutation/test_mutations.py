"""No test whose outcome an edit changes is left out: 2,000 random edits, more by ``HOTRELOAD_EDITS``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.mutation import run

ROOT = Path(__file__).parents[2]
EDITS = int(os.environ.get("HOTRELOAD_EDITS", "2000"))
SEED = int(os.environ.get("HOTRELOAD_SEED", "1"))
#: At the same time: as many as the smallest machine that this is run on has processors.
PROCESSES = 2
#: The package that is installed comes first, the checkout only lends the harness.
_START = f"import sys; sys.path.append({str(ROOT)!r}); from tests.mutation.run import main; main()"


def harness(seed: int, edits: int, folder: Path) -> subprocess.Popen[str]:
    """Start it; of a failing run the project stays in ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-c", _START, "--seed", str(seed), "--edits", str(edits), "--keep", str(folder)],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_nothing_is_missed(tmp_path: Path) -> None:
    share = -(-EDITS // PROCESSES)
    started = [harness(SEED + n, share, tmp_path / f"seed-{SEED + n}") for n in range(PROCESSES)]
    results: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES
    assert [result["missed"] for result in results] == [[]] * PROCESSES
    assert [result["edits"] for result in results] == [share] * PROCESSES
    files = sum(result["files"] for result in results)
    selected = sum(result["selected"] for result in results)
    changed = sum(result["changed"] for result in results)
    print(f"{files} file states: {changed} changed, {selected} selected")
    # A harness that selects everything, or changes nothing, would prove nothing.
    assert changed < selected < files * run.MOST_SELECTED
