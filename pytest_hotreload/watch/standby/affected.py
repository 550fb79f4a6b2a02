"""Selects the test files that changes affect in a watch: by the records, and by the names of new files."""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.compat import plugins, pytest_config
from pytest_hotreload.records import affected_messages, options_selection
from pytest_hotreload.records.records import report_files
from pytest_hotreload.records.verdicts import still_lead_there
from pytest_hotreload.watch.protocol import AffectedPart, Changed, Select, Selected

if TYPE_CHECKING:
    from pytest_hotreload.records.records import RunRecords

#: A file's modification time in ns, and its size in bytes.
TimeAndSize = tuple[int, int]


class Affects:
    """Answers selection requests in a waiting rerun; the expensive steps are done in advance.

    ``known``: all test files.
    """

    def __init__(self, config: pytest.Config, records: RunRecords | None, known: Sequence[str]) -> None:
        self.config, self.records = config, records
        self.root = str(config.rootpath)
        self.patterns = [str(pattern) for pattern in config.getini("python_files")]
        self._store: RecordStore | None = None
        #: What the last selection's reasons are about.
        self._causes: set[str] = set()
        self.load(known)

    def load(self, known: Sequence[str]) -> None:
        """Load the current records. ``known``: all test files."""
        folder = pytest_config.cache_folder(self.config) / "d" / "hotreload"
        if self.records is not None and folder.is_dir():
            self._store = RecordStore(str(folder), self.root)
            self._store.leave_out(report_files(self.config))
            self._store.load()
            self._store.affected(())  # builds the index for later queries
        #: Files and folders outside the root that records depend on.
        self.outside = self._store.outside() if self._store is not None else []
        by_selection = options_selection.recorded(self._store) if self._store is not None else {}
        recorded = {
            file for each in ("", options_selection.of(self.config)) for file in by_selection.get(each, ())
        }
        self._known = set(known)
        self._kinds = {Path(path).suffix for path in known if not path.endswith(".py")}
        self._unknown = [path for path in known if self._named(path) not in recorded]

    def seconds(self, path: str) -> dict[str, float]:
        """Node id -> recorded duration, for the tests of one file."""
        record = json.loads((self._store.get(path) if self._store is not None else None) or "{}")
        return {nodeid: seconds for nodeid, _, seconds in record.get("tests", ())}

    def answer(self, asked: Select) -> Selected:
        """The affected test files, and the parts of them that can run first."""
        reasons = self.select(asked)
        parts, functions = self._parts(list(reasons))
        return Selected(reasons, self.without_effect(), parts, functions)

    def _parts(self, files: Sequence[str]) -> tuple[tuple[AffectedPart, ...], dict[str, tuple[str, ...]]]:
        """The tests of these files that ran what changed; and the changed functions, by file."""
        if self._store is None or not self._are_tests_first():
            return (), {}
        parts, functions = [], dict[str, dict[str, None]]()
        for file, (tests, seconds, number, all_seconds, changes) in zip(
            files, self._store.affected_parts(files), strict=True
        ):
            if number:
                parts.append(
                    AffectedPart(file, None if tests is None else tuple(tests), seconds, number, all_seconds)
                )
            for changed, names in changes if tests else ():
                functions.setdefault(changed, {}).update(dict.fromkeys(names or ()))
        return tuple(parts), {file: tuple(names) for file, names in sorted(functions.items())}

    def _are_tests_first(self) -> bool:
        """Whether a part of the tests may run before the rest.

        Not where a file would describe the part, or where pytest selects tests by their last outcome.
        """
        option = self.config.option
        selects = getattr(option, "lf", False) or getattr(option, "stepwise", False)
        return not (selects or report_files(self.config) or plugins.measures_coverage())

    def select(self, asked: Select) -> Mapping[str, str]:
        """Affected test file -> the reason, in words, sorted by path. Deleted files are left out."""
        if self._store is None or self._store.is_outdated():
            # The rerun before has saved its records since this process began to wait.
            self.load(sorted(self._known))
        changes = asked.changes
        found = {
            path: affected_messages.reason(self._shown(path), "new", "", []) for path in self._new(changes)
        }
        found.update(self.affected(changes))
        if changes.paths:
            for path in self._unknown:
                found.setdefault(path, affected_messages.reason(self._shown(path), "unknown", "", []))
        gone = set(changes.deleted)
        return {path: found[path] for path in sorted(found) if path not in gone}

    def affected(self, changes: Changed) -> dict[str, str]:
        """Affected test file -> the reason, by the records, and for new conftests and packages."""
        if self._store is None or not changes.paths:
            return {}
        rows = self._store.affected(
            list(changes.paths),
            names=list(changes.created + changes.deleted),
            added=list(changes.created),
        )
        moved = [self._path(file) for file, kind, _ in rows if kind == "layout"]
        still: Collection[str] = ()
        if moved and self.records is not None:
            still = still_lead_there(self.config, self.records.observer.root, self._store, moved)
        found = {}
        self._causes = {detail for _, _, detail in rows}
        for file, kind, detail in rows:
            if self._path(file) not in still:
                ran = self._store.changed_functions(file, detail) if kind == "content" else None
                found[self._path(file)] = affected_messages.reason(file, kind, detail, [], ran or ())
        for path in changes.created:
            if os.path.basename(path) in ("conftest.py", "__init__.py"):  # noqa: PTH119
                found.update(self._below(Path(path).parent))
        return found

    def without_effect(self) -> tuple[str, ...]:
        """By the last selection: a line for each changed file of which no test file ran what changed."""
        changes = self._store.content_changes() if self._store is not None else []
        return tuple(
            affected_messages.without_effect(file, names)
            for file, names in changes
            if names is not None and file not in self._causes
        )

    def concerns(self, changes: Changed) -> bool:
        """Whether changes affect any test file, by the records, or are changes of new or unrecorded test files."""
        unknown = set(self._unknown)
        return bool(
            self.affected(changes) or self._new(changes) or any(path in unknown for path in changes.paths)
        )

    def _below(self, folder: Path) -> dict[str, str]:
        """All recorded test files below the folder of a new conftest or package -> the reason."""
        assert self._store is not None
        inside = str(folder) + os.sep
        files = ((self._path(file), file) for file in self._store.files())
        why = f"{self._shown(str(folder))}/conftest.py is new"
        return {path: f"{file}: {why}" for path, file in files if path.startswith(inside)}

    def _new(self, changes: Changed) -> list[str]:
        """New files that pytest may collect: by its own patterns, or by the suffix of a test file collected before."""
        return [
            path
            for path in changes.created + changes.changed
            if path not in self._known
            and (
                any(fnmatch.fnmatch(os.path.basename(path), pattern) for pattern in self.patterns)  # noqa: PTH119
                or Path(path).suffix in self._kinds
            )
        ]

    def _path(self, file: str) -> str:
        return os.path.join(self.root, file)  # noqa: PTH118 - for each of 5,000 files

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _named(self, path: str) -> str:
        """The path as records name it: relative to the root."""
        inside = self.root + os.sep
        return path.removeprefix(inside)


def time_and_size(path: str) -> TimeAndSize | None:
    """A file's modification time in ns and its size in bytes; None if the file is gone."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size)
