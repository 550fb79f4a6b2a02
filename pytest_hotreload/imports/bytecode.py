"""Detects bytecode that may be stale because its source was edited in the same second and kept its size.

The interpreter distinguishes sources by whole seconds and sizes (``importlib``: the header of a ``.pyc``),
and pytest's rewritten test files do the same, so they import such bytecode. A run that may have used it
proves nothing. Therefore its records do not count, and the bytecode is removed, so that the next run compiles
the source on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path

from pytest_hotreload.world import contextlib, os, struct

#: The age difference in nanoseconds from which a source is safely older than its bytecode: the resolution of
#: the header's time (1 s), and of file systems with whole or even seconds (FAT: 2 s).
YOUNG_NS = 2_000_000_000

#: The text that may follow the interpreter's tag ("cpython-312") in a name.
_TAG_END = re.compile(r"(?<=\d)[-.]|\.pyc$")

#: PEP 552: magic, flags (0: by time), mtime, size.
HEADER = struct.Struct("<4sIII")


def discard_doubtful(sources: Iterable[str], *, keep: bool) -> set[str]:
    """Remove bytecode that may be stale, and return its sources. ``keep``: only return the sources."""
    folders: dict[str, dict[str, list[str]]] = {}
    doubtful = set()
    for source in sources:
        if source.endswith(".py") and _discard(source, folders, keep):
            doubtful.add(source)
    return doubtful


def recompile_doubtful() -> None:
    """Make this process compile the source instead of reading bytecode that may be stale.

    The process that wrote the bytecode does not matter.
    """
    plain = SourceFileLoader.get_data

    def get_data(self: SourceFileLoader, path: str) -> bytes:
        if path.endswith(".pyc") and is_doubtful(str(self.path), path):
            raise OSError(f"{path} may be stale")  # importlib then compiles the source
        return plain(self, path)

    SourceFileLoader.get_data = get_data  # type: ignore[method-assign,assignment]


def _discard(source: str, folders: dict[str, dict[str, list[str]]], keep: bool) -> bool:
    folder, compiled = os.path.split(cache_from_source(source, optimization=""))
    if folder not in folders:
        folders[folder] = by_module(folder)
    mine = folders[folder].get(compiled.removesuffix(".pyc"), ())
    stale = [name for name in mine if is_doubtful(source, os.path.join(folder, name))]
    for name in stale if not keep else ():
        with contextlib.suppress(OSError):
            Path(folder, name).unlink()
    return bool(stale)


def by_module(folder: str) -> dict[str, list[str]]:
    """Return module and tag -> names of bytecode files.

    pytest and the optimiser append to the tag (``a.cpython-312-pytest-9.2.0.pyc``).
    """
    found: dict[str, list[str]] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            module, _, tag = entry.name.partition(".")
            found.setdefault(f"{module}.{_TAG_END.split(tag)[0]}", []).append(entry.name)
    return found


def is_doubtful(source: str, compiled: str) -> bool:
    """Return whether the bytecode's header matches a source that may have changed since it was compiled."""
    try:
        of_source, of_compiled = os.stat(source), os.stat(compiled)  # thousands of files: no Path objects
        changed = max(of_source.st_mtime_ns, of_source.st_ctime_ns)
        if changed + YOUNG_NS < of_compiled.st_mtime_ns:
            return False
        with open(compiled, "rb") as file:  # noqa: PTH123 - nothing else of it is read
            _, flags, seconds, size = HEADER.unpack(file.read(HEADER.size))
    except (OSError, struct.error):
        return False
    same_time = seconds == int(of_source.st_mtime) & 0xFFFFFFFF
    return bool(flags == 0 and same_time and size == of_source.st_size & 0xFFFFFFFF)
