"""Leaves out of a rerun the selected files whose sources cannot be read at the moment."""

from __future__ import annotations

import os

from pytest_hotreload.watch import messages
from pytest_hotreload.watch.edits import Edits
from pytest_hotreload.watch.protocol import Changed, Selected
from pytest_hotreload.watch.results import Results


def files(
    message: Selected, changes: Changed, results: Results, edits: Edits
) -> tuple[dict[str, str], set[str]]:
    """Return files to run with the reasons, those of earlier edits included, and files that wait for another edit."""
    found = dict(message.reasons)
    if changes.created or changes.deleted:
        # What an import did not find, or found instead of something else, is in no record.
        for path in sorted(results.uncollectable):
            found.setdefault(path, messages.uncollectable(os.path.relpath(path, edits.root)))
    may_be_collected = found or any(path.endswith("conftest.py") for path in changes.paths)
    for path in sorted(results.pending | (results.ignored if may_be_collected else set())):
        found.setdefault(path, messages.pending(os.path.relpath(path, edits.root)))
    waiting = edits.blocked_files(found)
    results.mark_pending(waiting)
    return {path: why for path, why in found.items() if path not in waiting}, waiting
