"""The declarations in the ini: ``hotreload_depends``, ``hotreload_serial``, ``hotreload_no_reuse``.

The declarations state what no hook can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from pytest_hotreload._native import glob_matches
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import os


@dataclass(frozen=True)
class Rule:
    """One line of the ini: ``what`` holds for the test files that match ``files``, a glob below the root."""

    what: str
    files: str


class Declarations:
    """The rules of the three ini options, matched against test files."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = str(config.rootpath)
        #: Inputs that the audit hook cannot see.
        self._depends = _rules("hotreload_depends", config.getini("hotreload_depends"))
        #: Names that only one test file at a time may use.
        self._serial = _rules("hotreload_serial", config.getini("hotreload_serial"))
        #: Reasons for which a file runs whatever its record says, for example that it reads the clock.
        self._no_reuse = _rules("hotreload_no_reuse", config.getini("hotreload_no_reuse"))

    def depends(self, path: str) -> set[str]:
        """Globs below the root; this test file depends on the files that match them."""
        return self._matching(self._depends, path)

    def no_reuse(self, path: str) -> set[str]:
        """The reasons for which this test file is never reused."""
        return self._matching(self._no_reuse, path)

    def serial(self, items: Iterable[pytest.Item]) -> dict[str, set[str]]:
        """Test file -> names that it shares with other files, from the ini and from its marks."""
        found: dict[str, set[str]] = {}
        for item in items:
            path = str(item.path)
            if path not in found:
                found[path] = self._matching(self._serial, path)
            marks = item.iter_markers("hotreload")
            found[path] |= {str(mark.kwargs["serial"]) for mark in marks if "serial" in mark.kwargs}
        return found

    def _matching(self, rules: Sequence[Rule], path: str) -> set[str]:
        if not rules:  # as in most projects
            return set()
        inside = os.path.relpath(path, self._root).replace(os.sep, "/")
        return {rule.what for rule in rules if glob_matches(rule.files, inside)}


def _rules(name: str, lines: Iterable[str]) -> list[Rule]:
    """Parses lines of the form ``WHAT -> GLOB``. Raises :class:`pytest.UsageError`."""
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
