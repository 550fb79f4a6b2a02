"""Which test files are known to lean on others, and on which modules: what doctor found, kept for later runs.

One JSON file beside the records. Whatever is wrong with it, it says nothing: then a file depends on itself alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_hotreload.process import atomic_write

#: Test file (relative to the root, with "/") -> modules whose import by others its tests need; None: more than one.
Couplings = Mapping[str, list[str | None]]

_NAME = "coupled-1.json"


def load(folder: Path) -> Couplings:
    """``folder``: the one of our things in pytest's cache."""
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {
            str(file): [None if name is None else str(name) for name in names]
            for file, names in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(folder: Path, examined: Iterable[str], found: Mapping[str, Iterable[str | None]]) -> None:
    """Replace what is known of the examined files by what was found. Raises OSError."""
    kept = dict(load(folder))
    for file in examined:
        kept.pop(file, None)
    kept.update({file: sorted(set(names), key=lambda name: name or "") for file, names in found.items()})
    if not kept:
        (folder / _NAME).unlink(missing_ok=True)
        return
    atomic_write.write(folder / _NAME, json.dumps(kept, sort_keys=True).encode() + b"\n")
