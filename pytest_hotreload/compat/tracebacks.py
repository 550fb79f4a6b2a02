"""Reads where a failure happened from the object that pytest shows for it.

Checked on pytest 8.4.2, 9.0 and 9.2.0 (``ReprFileLocation``, ``ReprEntry``, ``ExceptionChainRepr``,
``Report.longrepr`` of other kinds, and ``TerminalWriter``).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _pytest._io import TerminalWriter

from pytest_hotreload.compat.unpickling import is_installed
from pytest_hotreload.world import os


class SourceLine(NamedTuple):
    """A line of a source file."""

    file: str
    line: int
    #: The statement, if pytest shows it.
    code: str = ""


def crash_of(longrepr: Any) -> tuple[str, SourceLine | None]:
    """Return the message of a failure, and the line that raised it."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message), SourceLine(str(crash.path), int(crash.lineno))
    if type(longrepr) is tuple and len(longrepr) == 3:  # a skip
        return str(longrepr[2]), SourceLine(str(longrepr[0]), int(longrepr[1]))
    return str(getattr(longrepr, "longrepr", longrepr) or "").strip(), None


def places_of(longrepr: Any) -> list[SourceLine]:
    """Return the frames of a failure that pytest shows, the innermost last."""
    entries = getattr(getattr(longrepr, "reprtraceback", None), "reprentries", ())
    found = []
    for entry in entries:
        location = getattr(entry, "reprfileloc", None)
        if location is not None:
            found.append(SourceLine(str(location.path), int(location.lineno), _statement(entry)))
    return found


def own_place(places: Sequence[SourceLine], here: Path) -> SourceLine | None:
    """Return the innermost line that is not in installed code, with an absolute path; None if there is none.

    ``here``: the folder to which pytest's paths are relative, that in which it was called.
    """
    for place in reversed(places):
        path = os.path.normpath(here / place.file)
        if not is_installed(path):
            return place._replace(file=path)
    return None


def _statement(entry: Any) -> str:
    """Return the source line of the entry: with ``--tb=short`` the only one, otherwise the one after ``>``."""
    lines = [str(line) for line in getattr(entry, "lines", ())]
    marked = [line[1:].strip() for line in lines if line.startswith(">")]
    if marked:
        return marked[-1]
    code = [line.strip() for line in lines if line.strip() and not line.startswith(("E ", "    ^"))]
    return code[0] if code and getattr(entry, "style", "") == "short" else ""


def text_of(report: Any) -> str:
    """Return the text of a report as the terminal shows it, without colours.

    ``longreprtext`` is the same without the indentation of the first line.
    """
    file = io.StringIO()
    writer = TerminalWriter(file)
    writer.hasmarkup = False
    report.toterminal(writer)
    return file.getvalue().strip("\n")
