"""The same edits while a watch or a server lives on: each time it is to show what plain pytest would.

``HOTRELOAD_LIVE_EDITS`` (24) in each; ``HOTRELOAD_SEED`` for others."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from .test_mutations import LEAST_TAKEN, run_until

#: Edits in a watch, and in a server; each takes about a second.
LIVE_EDITS = int(os.environ.get("HOTRELOAD_LIVE_EDITS", "24"))


def changes_some(sums: Counter[str]) -> bool:
    return 0 < sums["changed"] < sums["files"]


@pytest.mark.parametrize("project", ["imports", "functions", "processes"])
def test_a_watch_shows_what_plain_pytest_would(tmp_path: Path, project: str) -> None:
    part = 1 if project == "imports" else 4
    run_until(changes_some, LIVE_EDITS // part, 24 // part, "watch", tmp_path, project)


def test_attached_runs_miss_nothing(tmp_path: Path) -> None:
    run_until(
        lambda sums: changes_some(sums) and sums["taken"] > sums["possible"] * LEAST_TAKEN,
        LIVE_EDITS,
        24,
        "server",
        tmp_path,
    )
