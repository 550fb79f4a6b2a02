"""Compares the inputs of a prepared process with the disk: by time and size, and by content where these differ.

A watch learns of edits from events, which arrive a moment later. An attached run may be asked for right after an edit,
so each input is looked at when the run is asked for: 1 ms for a thousand files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from pytest_hotreload.process.installed import is_installed, standard_folders
from pytest_hotreload.records.places import file_state
from pytest_hotreload.watch import asked_files
from pytest_hotreload.watch.protocol import Inputs

#: Nanoseconds by which an input must be older than the process that read it: longer than a step of the clock of file
#: times, which is 4 to 10 ms.
_SETTLED_NS = 20_000_000
#: Names, and begins of names, of what tools write beside sources, and no import looks for.
_OUTPUTS = ("__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache", ".coverage")


class InputStates:
    """The inputs of a process, as they were when it read them.

    ``places``: folders in which the process may have looked for a file, besides those of its files: a module that would
    be found first, or a file whose existence is asked for, which no event shows.
    ``since_ns``: when the process began, in nanoseconds since 1970.
    """

    def __init__(self, inputs: Inputs, places: Iterable[str], since_ns: int) -> None:
        self._files = {file: file_state(file) for file in inputs.files}
        self._digests = {file: _digest(file) for file, state in self._files.items() if state is not None}
        folders = {os.path.dirname(file) for file in inputs.files}
        folders |= {place for place in places if not _is_foreign(place)}
        folders |= inputs.folders
        self._folders = {folder: (_modified(folder), _entries(folder)) for folder in folders}
        #: Links on the way to one of these -> where they lead.
        self._links = {
            step: target for step in _steps({*inputs.files, *folders}) if (target := _target(step))
        }
        self._asked = inputs.asked
        #: The first input that is too young to be told from a later version, or "".
        self.unsettled = self._young(since_ns - _SETTLED_NS)

    def _young(self, limit_ns: int) -> str:
        for file, state in self._files.items():
            if file_state(file) != state or (state is not None and state[1] > limit_ns):
                return file
        for folder, (modified, _) in self._folders.items():
            if modified > limit_ns or _modified(folder) != modified:
                return folder
        for link in self._links:  # one that led elsewhere a moment ago may lead to something old
            if _linked(link) > limit_ns:
                return link
        return asked_files.young(self._asked, limit_ns)

    def changed(self) -> list[str]:
        """The inputs that differ now. A file that was only written again, with the same content, does not."""
        found = [file for file, state in self._files.items() if file_state(file) != state]
        found = [file for file in found if not self._is_same(file)]
        found += [folder for folder in self._folders if not self._has_same_entries(folder)]
        found += [link for link, target in self._links.items() if _target(link) != target]
        return list(dict.fromkeys(found + asked_files.changed(self._asked)))

    def _is_same(self, file: str) -> bool:
        before = file_state(file)
        if before is None or file not in self._digests or _digest(file) != self._digests[file]:
            return False
        if file_state(file) != before:
            return False
        if _is_settled(before[1]):
            self._files[file] = before
        return True

    def _has_same_entries(self, folder: str) -> bool:
        modified, names = self._folders[folder]
        now = _modified(folder)
        if now == modified:
            return True
        if _entries(folder) != names:
            return False
        if _is_settled(now):
            self._folders[folder] = now, names
        return True


def _is_settled(changed_ns: int) -> bool:
    """Whether a further change would have another time than this one."""
    return changed_ns < time.time_ns() - _SETTLED_NS


def _is_foreign(place: str) -> bool:
    """Whether a folder of the search path belongs to the interpreter: what is installed there has its own check."""
    return is_installed(place + os.sep) or place in standard_folders() or place.endswith(".zip")


def _steps(paths: Iterable[str]) -> set[str]:
    """These paths, and the folders above them."""
    found: set[str] = set()
    for path in paths:
        step = path
        while step and step not in found:
            found.add(step)
            step = os.path.dirname(step)
    return found


def _target(link: str) -> str:
    """Where a link leads; "" if it is none."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _linked(link: str) -> int:
    """When a link was last changed, in nanoseconds since 1970; 0 if it is gone."""
    try:
        return os.lstat(link).st_ctime_ns
    except OSError:
        return 0


def _modified(folder: str) -> int:
    """The time of the last change of a folder's entries; 0 if there is no such folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _entries(folder: str) -> frozenset[str]:
    try:
        return frozenset(name for name in os.listdir(folder) if not name.startswith(_OUTPUTS))
    except OSError:
        return frozenset()


def _digest(file: str) -> bytes:
    """The digest of a file's content; of what cannot be read, b""."""
    try:
        return hashlib.blake2b(Path(file).read_bytes()).digest()
    except OSError:
        return b""
