"""The time and the revision of each test file's last run, for messages only: no decision depends on them.

Records contain no times. This data is one JSON file beside them, which may be missing, old, or lack what
another run wrote at the same moment. Two such files are merged by the later time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_hotreload.process import atomic_write

_NAME = "ran-1.json"
#: git abbreviates most hashes to this length.
_DIGITS = 7
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: A reference may name another reference; git follows as many steps.
_MOST_STEPS = 5


class Last(NamedTuple):
    """The last run of one test file."""

    #: Seconds since 1970.
    at: int
    #: The first digits of the revision, or "" without git.
    revision: str


def name_of(path: str, root: Path) -> str:
    """A test file's name as in records: relative to the root with "/", or absolute if it is outside the root."""
    return path.removeprefix(str(root).rstrip("/") + "/")


def load(folder: Path) -> dict[str, Last]:
    """Load the last runs.

    ``folder``: our folder in pytest's cache. A missing or damaged file counts as empty.
    """
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {str(file): Last(int(at), str(revision)) for file, (at, revision) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def merged(*known: Mapping[str, Last]) -> dict[str, Last]:
    """The latest run of each file."""
    result: dict[str, Last] = {}
    for each in known:
        for file, last in each.items():
            result[file] = max(last, result.get(file, last))
    return result


def save(folder: Path, ran: Mapping[str, Last], keep: Collection[str]) -> None:
    """Add the runs in ``ran``, and keep older entries only of the files in ``keep``. Raises OSError."""
    kept = set(keep)
    known = {file: last for file, last in load(folder).items() if file in kept}
    text = json.dumps(merged(known, ran), sort_keys=True, separators=(",", ":"))
    atomic_write.write(folder / _NAME, text.encode() + b"\n")


def revision(root: Path) -> str:
    """The first digits of the checked-out revision, or "".

    Reads git's files, because a git process would take longer than everything else here.
    """
    for folder in (root, *root.parents):
        place = folder / ".git"
        if place.exists():
            try:
                return _checked_out(_git_folder(place))[:_DIGITS]
            except (OSError, ValueError):
                return ""
    return ""


def _git_folder(place: Path) -> Path:
    """The git folder; in a worktree or submodule, ``.git`` is a file that names it."""
    if place.is_dir():
        return place
    return place.parent / place.read_text(encoding="utf-8").strip().removeprefix("gitdir:").strip()


def _checked_out(git: Path) -> str:
    """The hash of the checked-out revision.

    A worktree has its own HEAD and shares branches with the others.
    """
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    found = (git / "HEAD").read_text(encoding="utf-8").strip()
    for _ in range(_MOST_STEPS):
        if not found.startswith("ref:"):
            break
        found = _reference(found.removeprefix("ref:").strip(), git, shared)
    return found if _HASH.fullmatch(found) else ""


def _reference(name: str, git: Path, shared: Path) -> str:
    """The hash of a branch, from its own file or from a line in ``packed-refs``."""
    for folder in (git, shared):
        loose = folder / name
        if loose.is_file():
            return loose.read_text(encoding="utf-8").strip()
    packed = shared / "packed-refs"
    for line in packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else ():
        digits, _, packed_name = line.partition(" ")
        if packed_name == name:
            return digits
    return ""
