"""Stores which test files depend on others, and on which modules, as doctor found it.

The data is one JSON file beside the records. A missing or damaged file counts as empty: then each test file
is assumed to depend on itself alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_hotreload.process import atomic_write

#: Test file (relative to the root, with "/") -> modules that other files must import for its tests to pass.
#: None stands for a cause that is more than one module.
Couplings = Mapping[str, list[str | None]]

_NAME = "coupled-1.json"


def load(folder: Path) -> Couplings:
    """Load the couplings. ``folder``: our folder in pytest's cache."""
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {
            str(file): [None if name is None else str(name) for name in names]
            for file, names in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(folder: Path, examined: Iterable[str], found: Mapping[str, Iterable[str | None]]) -> None:
    """Replace the entries of the examined files by ``found``. Raises OSError."""
    kept = dict(load(folder))
    for file in examined:
        kept.pop(file, None)
    kept.update({file: sorted(set(names), key=lambda name: name or "") for file, names in found.items()})
    if not kept:
        (folder / _NAME).unlink(missing_ok=True)
        return
    atomic_write.write(folder / _NAME, json.dumps(kept, sort_keys=True).encode() + b"\n")
