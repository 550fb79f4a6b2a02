"""Compares the inputs of a prepared process with the disk: by time and size, and by content where these differ.

A watch learns of edits from events, which arrive a moment later. An attached run may be asked for right after an edit,
so each input is looked at when the run is asked for: 1 ms for a thousand files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_hotreload.process.installed import is_installed, standard_folders
from pytest_hotreload.watch.protocol import Inputs

#: Nanoseconds by which an input must be older than the process that read it: longer than a step of the clock of file
#: times, which is 4 to 10 ms.
_SETTLED_NS = 20_000_000
#: Names of files that pytest or the interpreter look for in a folder, whether anything has asked for them or not.
_ALWAYS = frozenset({"conftest", "__init__"})
#: What the interpreter itself writes beside sources.
_BYTECODE = "__pycache__"

State = tuple[int, int, int, int] | None


class InputStates:
    """The inputs of a process, as they were when it read them.

    ``places``: folders in which a new file may be found instead of what the process found, besides those of its files.
    ``since_ns``: when the process began, in nanoseconds since 1970.
    """

    def __init__(self, inputs: Inputs, places: Iterable[str], since_ns: int) -> None:
        self._names = inputs.names | _ALWAYS
        self._files = {file: _state(file) for file in inputs.files}
        self._digests = {file: _digest(file) for file, state in self._files.items() if state is not None}
        folders = {os.path.dirname(file) for file in inputs.files}
        folders |= {place for place in places if not _is_foreign(place)}
        self._places = {folder: (_modified(folder), self._relevant(folder)) for folder in folders}
        self._listed = {folder: (_modified(folder), _entries(folder)) for folder in inputs.folders}
        #: The first input that is too young to be told from a later version, or "".
        self.unsettled = self._young(since_ns - _SETTLED_NS)

    def _young(self, limit_ns: int) -> str:
        for file, state in self._files.items():
            if _state(file) != state or (state is not None and state[1] > limit_ns):
                return file
        for folder, (modified, _) in {**self._places, **self._listed}.items():
            if modified > limit_ns or _modified(folder) != modified:
                return folder
        return ""

    def changed(self) -> list[str]:
        """The inputs that differ now. A file that was only written again, with the same content, does not."""
        found = [file for file, state in self._files.items() if _state(file) != state]
        found = [file for file in found if not self._is_same(file)]
        found += self._other(self._places, self._relevant) + self._other(self._listed, _entries)
        return found

    def _is_same(self, file: str) -> bool:
        before = _state(file)
        if before is None or file not in self._digests or _digest(file) != self._digests[file]:
            return False
        if _state(file) != before:
            return False
        self._files[file] = before
        return True

    def _other(
        self, folders: dict[str, tuple[int, frozenset[str]]], read: Callable[[str], frozenset[str]]
    ) -> list[str]:
        found = []
        for folder, (modified, names) in folders.items():
            now = _modified(folder)
            if now == modified:
                continue
            if read(folder) != names:
                found.append(folder)
            else:
                folders[folder] = now, names
        return found

    def _relevant(self, folder: str) -> frozenset[str]:
        """The entries of a folder that an import could find."""
        return frozenset(name for name in _entries(folder) if name.partition(".")[0] in self._names)


def _is_foreign(place: str) -> bool:
    """Whether a folder of the search path belongs to the interpreter: what is installed there has its own check."""
    return is_installed(place + os.sep) or place in standard_folders() or place.endswith(".zip")


def _state(file: str) -> State:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _modified(folder: str) -> int:
    """The time of the last change of a folder's entries; 0 if there is no such folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _entries(folder: str) -> frozenset[str]:
    try:
        return frozenset(name for name in os.listdir(folder) if name != _BYTECODE)
    except OSError:
        return frozenset()


def _digest(file: str) -> bytes:
    """The digest of a file's content; of what cannot be read, b""."""
    try:
        return hashlib.blake2b(Path(file).read_bytes()).digest()
    except OSError:
        return b""
