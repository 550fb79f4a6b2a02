"""What the ini declares and no hook can see: ``hotreload_depends``, ``hotreload_serial``, ``hotreload_no_reuse``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from pytest_hotreload._native import glob_matches
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import os


@dataclass(frozen=True)
class Rule:
    """``what`` holds for the test files that match ``files``, a glob below the root."""

    what: str
    files: str


class Declarations:
    """``depends``: inputs that the audit hook can't see. ``serial``: names of which one file runs at a time.

    ``no_reuse``: why a file runs whatever its record says: it reads the clock, say.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = str(config.rootpath)
        self._depends = _rules("hotreload_depends", config.getini("hotreload_depends"))
        self._serial = _rules("hotreload_serial", config.getini("hotreload_serial"))
        self._no_reuse = _rules("hotreload_no_reuse", config.getini("hotreload_no_reuse"))

    def depends(self, path: str) -> set[str]:
        """Globs below the root whose matches this test file depends on."""
        return self._matching(self._depends, path)

    def no_reuse(self, path: str) -> set[str]:
        """Why this test file is never reused."""
        return self._matching(self._no_reuse, path)

    def serial(self, items: Iterable[pytest.Item]) -> dict[str, set[str]]:
        """Test file -> names that it shares with others, by the ini and by its marks."""
        found: dict[str, set[str]] = {}
        for item in items:
            path = str(item.path)
            if path not in found:
                found[path] = self._matching(self._serial, path)
            marks = item.iter_markers("hotreload")
            found[path] |= {str(mark.kwargs["serial"]) for mark in marks if "serial" in mark.kwargs}
        return found

    def _matching(self, rules: Iterable[Rule], path: str) -> set[str]:
        inside = os.path.relpath(path, self._root).replace(os.sep, "/")
        return {rule.what for rule in rules if glob_matches(rule.files, inside)}


def _rules(name: str, lines: Iterable[str]) -> list[Rule]:
    """``WHAT -> GLOB`` a line. Raises :class:`pytest.UsageError`."""
    rules = []
    for line in lines:
        what, arrow, files = (part.strip() for part in line.partition("->"))
        if not (arrow and what and files):
            raise usage_error(
                f"{name} has the line {line!r}, which is not 'WHAT -> TEST FILES'",
                hint="for example schema/*.sql -> tests/db/**",
            )
        rules.append(Rule(what, files))
    return rules
