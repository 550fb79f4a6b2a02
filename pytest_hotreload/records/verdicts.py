"""The verdict on a record: whether it holds now, or why the test file runs again."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.imports.analysis import open_project, scan
from pytest_hotreload.records.places import canonical, on_path
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: Kinds of verdicts for which no input is compared, or none differs.
WITHOUT_INPUTS = ("fresh", "unknown", "epoch", "unsettled", "failed")


class Verdict(NamedTuple):
    """Whether a test file's record holds now."""

    file: str
    #: A kind that ``_native.RecordStore.check`` returns ("fresh" if the record holds), or the kind of a
    #: reason for which the file may not be reused.
    kind: str
    #: The subject of ``kind``; for a file that may not be reused, the reason in words.
    detail: str = ""

    @property
    def fresh(self) -> bool:
        return self.kind == "fresh"


def still_lead_there(config: pytest.Config, root: str, store: RecordStore, files: Sequence[str]) -> set[str]:
    """The files whose imports still resolve to the recorded files, although modules near them came or went.

    ``root``: the folder to which the paths in records are relative.
    """
    project = open_project(config)
    known: dict[str, set[str]] = {}
    dynamic: dict[str, dict[str, str | None]] = {}
    starts: dict[str, set[str]] = {}
    for file in files:
        record = json.loads(store.get(file) or "{}")
        known[file] = {str(Path(root, path)) for path, _ in record.get("closure", ())}
        names = record.get("dynamic", {}).items()
        dynamic[file] = {name: path and str(Path(root, path)) for name, path in names}
        coupled = {str(Path(root, path)) for path in record.get("coupled_with", ())}
        starts[file] = {file, *coupled, *filter(None, dynamic[file].values())}
    # Done first, so that a module that appears while names are resolved shows as a change.
    store.look_at_layouts(list(files))
    scan(project, sorted(set().union(*starts.values())))
    still, on_path = set(), functools.cache(_beside)
    for file in files:
        reached = {path for start in starts[file] for path in project.closure(start)}
        same = all((project.locate(file, n) or on_path(n)) == path for n, path in dynamic[file].items())
        # A closure that is smaller than the recorded one is a difference, too.
        if reached == known[file] and same:
            still.add(file)
    store.confirm(sorted(still))
    return still


def _beside(name: str) -> str | None:
    """The file of a module that ``sys.path`` contains but the project does not. Imports nothing."""
    file = on_path(name)
    return None if file is None else canonical(file)
