"""The same edits while a watch or a server lives on: each time it is to show what plain pytest would.

``HOTRELOAD_LIVE_EDITS`` (24) in each; ``HOTRELOAD_SEED`` for others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .test_mutations import ENOUGH_EDITS, LEAST_TAKEN, run_all

#: Edits in a watch, and in a server; each takes about a second.
LIVE_EDITS = int(os.environ.get("HOTRELOAD_LIVE_EDITS", "24"))


@pytest.mark.parametrize("project", ["imports", "functions", "processes"])
def test_a_watch_shows_what_plain_pytest_would(tmp_path: Path, project: str) -> None:
    edits = LIVE_EDITS if project == "imports" else LIVE_EDITS // 4
    results = run_all(edits, "watch", tmp_path, project)
    files, changed = (sum(result[name] for result in results) for name in ("files", "changed"))
    print(f"{files} file states: {changed} changed")
    assert files > 0
    # A harness that changes nothing, or all each time, would prove nothing.
    assert edits < ENOUGH_EDITS // 2 or 0 < changed < files


def test_attached_runs_miss_nothing(tmp_path: Path) -> None:
    results = run_all(LIVE_EDITS, "server", tmp_path)
    files, changed, possible, taken = (
        sum(result[name] for result in results) for name in ("files", "changed", "possible", "taken")
    )
    print(f"{files} file states: {changed} changed, of {possible} others {taken} did not run")
    assert files > 0
    assert LIVE_EDITS < ENOUGH_EDITS // 2 or (0 < changed < files and taken > possible * LEAST_TAKEN)
