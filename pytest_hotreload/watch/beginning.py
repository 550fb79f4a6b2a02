"""The environment variables and the search path with which this interpreter started.

The watcher has loaded the project's plugins and configuration once, and these may have changed both. A template starts
from what was there before, since an edit may take such a change back.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_hotreload.world import os

#: The names of pytest's own programs.
_PROGRAMS = ("pytest", "py.test")
#: Options of the interpreter that a value may follow.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def environment() -> dict[str, str]:
    """The variables at the start; the present ones where these are not known, or if a program has called pytest."""
    now = dict(os.environ)
    if not _program():
        return now
    try:
        entries = [entry for entry in Path("/proc/self/environ").read_bytes().split(b"\0") if entry]
    except OSError:
        return now
    if not all(
        b"=" in entry for entry in entries
    ):  # a program that changes its title writes into this memory
        return now
    pairs = (entry.split(b"=", 1) for entry in entries)
    return {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}


def search_path(folder: Path) -> str:
    """An expression for ``sys.path`` at the start, to be evaluated in an interpreter that was started with ``-c``.

    ``folder``: where pytest was started.
    """
    program = _program()
    if not program:  # what called pytest may have changed it before
        return repr(sys.path)
    if not entries_in_front():
        return "sys.path[:]"
    first = folder if program == "-m" else Path(program).resolve().parent
    return f"[{str(first)!r}, *sys.path[1:]]"


def entries_in_front() -> int:
    """How many folders the interpreter's start puts in front of ``sys.path``: none with ``-I`` and ``-P``."""
    return int(not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)))


def _program() -> str:
    """The path of the script ``pytest`` if this interpreter was started with it, ``-m`` for ``-m pytest``, else ""."""
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument in _WITH_VALUE:
            next(arguments, "")
        elif argument == "-m":
            return argument if next(arguments, "") == "pytest" else ""
        elif not argument.startswith("-"):
            return argument if Path(argument).name in _PROGRAMS else ""
        elif argument.startswith("-c"):
            return ""
    return ""
