"""The measurements from which shards are planned: written by whole runs and merges, and by nothing else.

Records cannot serve: each shard replaces those of its own files, so the shard that runs next in the same
checkout would have another plan. See docs/design/shards.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hotreload.process import atomic_write
from pytest_hotreload.records.totals import MOST_SECONDS
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

_NAME = "plan-durations-1.json"


class Measured(NamedTuple):
    """The measurements of one test file in one run."""

    #: Seconds of its tests and of its collection. Fixtures are part of the tests, imports of the collection.
    seconds: float
    #: Seconds of its imports.
    imports: float
    #: Distributions that the file imports.
    needs: tuple[str, ...]


def of_record(record: Mapping[str, Any]) -> Measured:
    """The measurements in a record, in the form that the store takes and returns."""
    costs = record["costs"]
    seconds = math.fsum(test[2] for test in record["tests"]) + costs["collection"]
    return Measured(seconds, costs["imports"], tuple(sorted(record["distributions"])))


def load(folder: Path) -> dict[str, Measured]:
    """Test file (named as in records) -> its measurements.

    ``folder``: our folder in pytest's cache. A missing or damaged file counts as empty.
    """
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {str(file): _measured(*row) for file, row in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _measured(seconds: Any, imports: Any, needs: Any) -> Measured:
    numbers = float(seconds), float(imports)
    if not all(0 <= number < MOST_SECONDS for number in numbers):
        raise ValueError("not a number of seconds")
    return Measured(*numbers, tuple(map(str, needs)))


def save(folder: Path, measured: Mapping[str, Measured], keep: Collection[str]) -> None:
    """Add measurements, and keep older ones only of the files in ``keep``. Raises OSError."""
    kept = set(keep)
    known = {file: each for file, each in load(folder).items() if file in kept}
    rows = {
        file: [round(each.seconds, 6), round(each.imports, 6), each.needs]
        for file, each in {**known, **measured}.items()
    }
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    atomic_write.write(folder / _NAME, text.encode() + b"\n")
