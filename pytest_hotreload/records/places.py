"""Paths of modules and of folders that are no input of a test, in the one form in which paths are compared."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from itertools import accumulate
from pathlib import Path

from pytest_hotreload._native import canonical_path
from pytest_hotreload.process.installed import standard_folders
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

#: Folders in which tools keep state of their own in the project. They are no input of a test: hypothesis
#: replays only failures, and a file that failed runs anyway.
STATE_FOLDERS = (".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox")
#: Tools whose reads and listings are no input of a test.
_TOOLS = ("coverage", "pytest_cov")


def canonical(path: str) -> str:
    """The one form in which paths are compared. Most paths have it already and cost no native call."""
    return canonical_path(path) if "/." in path or "//" in path or not path.startswith("/") else path


def on_path(name: str) -> str | None:
    """The file of a module as found through ``sys.path``. Imports nothing."""
    spec, folders = None, None
    try:
        for part in accumulate(name.split("."), "{}.{}".format):
            spec = PathFinder.find_spec(part, folders)
            if spec is None:
                return None
            folders = list(spec.submodule_search_locations or ())
    except (KeyError, ImportError, ValueError):  # a part of a namespace package whose parent is not loaded
        return None
    return spec.origin if spec is not None and spec.has_location else None


def tool_folders() -> list[str]:
    """Folders of tools that measure a run: they search the project's root for the data of other processes."""
    specs = (PathFinder.find_spec(name) for name in _TOOLS)
    return [str(Path(spec.origin).parent) for spec in specs if spec is not None and spec.origin]


#: Modification and change time in ns, size, inode; None if there is no such file.
State = tuple[int, int, int, int] | None


def file_state(path: str) -> State:
    """The state of what the path leads to: a changed file has another one, except within a step of its clock."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def below(path: str, folders: Iterable[str]) -> bool:
    """Whether the path is one of the folders or lies in one."""
    return any(path.startswith(folder + os.sep) or path == folder for folder in folders)


def standard_library() -> set[str]:
    """The folders and archives of the standard library."""
    folders = standard_folders()
    beside = {os.path.dirname(folder) for folder in folders}
    archives = [entry for entry in sys.path if entry.endswith(".zip") and os.path.dirname(entry) in beside]
    return {*folders, *archives, *(os.path.realpath(path) for path in archives)}
