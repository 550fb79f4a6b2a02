"""When, and at which revision, did a test file run last? Words for the user: nothing is decided by them.

Records hold nothing of time. So this is one JSON file beside them, which may be missing, old, or short of what
another run wrote at the same moment; it is merged by the later time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_hotreload.process import atomic_write

_NAME = "ran-1.json"
#: As git shortens most of them.
_DIGITS = 7
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: A reference may name another one; git follows as many.
_MOST_STEPS = 5


class Last(NamedTuple):
    """``at``: seconds since 1970. ``revision``: its first digits, or "" where there is no git."""

    at: int
    revision: str


def name_of(path: str, root: Path) -> str:
    """As records name a test file: relative with "/", or absolute where it lies outside of the root."""
    return path.removeprefix(str(root).rstrip("/") + "/")


def load(folder: Path) -> dict[str, Last]:
    """``folder``: the one of our things in pytest's cache. Whatever is wrong with the file, it says nothing."""
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {str(file): Last(int(at), str(revision)) for file, (at, revision) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def merged(*known: Mapping[str, Last]) -> dict[str, Last]:
    """Of each file the latest."""
    result: dict[str, Last] = {}
    for each in known:
        for file, last in each.items():
            result[file] = max(last, result.get(file, last))
    return result


def save(folder: Path, ran: Mapping[str, Last], keep: Collection[str]) -> None:
    """Add what ran; of what was known before keep these files only. Raises OSError."""
    kept = set(keep)
    known = {file: last for file, last in load(folder).items() if file in kept}
    text = json.dumps(merged(known, ran), sort_keys=True, separators=(",", ":"))
    atomic_write.write(folder / _NAME, text.encode() + b"\n")


def revision(root: Path) -> str:
    """What is checked out, or "". Read from git's files: a process would take longer than all the rest."""
    for folder in (root, *root.parents):
        place = folder / ".git"
        if place.exists():
            try:
                return _checked_out(_git_folder(place))[:_DIGITS]
            except (OSError, ValueError):
                return ""
    return ""


def _git_folder(place: Path) -> Path:
    """A worktree and a submodule have a file that names it."""
    if place.is_dir():
        return place
    return place.parent / place.read_text(encoding="utf-8").strip().removeprefix("gitdir:").strip()


def _checked_out(git: Path) -> str:
    """A worktree has a HEAD of its own, and shares its branches with the others."""
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    found = (git / "HEAD").read_text(encoding="utf-8").strip()
    for _ in range(_MOST_STEPS):
        if not found.startswith("ref:"):
            break
        found = _reference(found.removeprefix("ref:").strip(), git, shared)
    return found if _HASH.fullmatch(found) else ""


def _reference(name: str, git: Path, shared: Path) -> str:
    """What a branch stands at: a file of its own, or a line in the packed ones."""
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
