"""The notes of a run about its test files while it collects and runs them, for their records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pytest

from pytest_hotreload.imports import bytecode
from pytest_hotreload.records.file_outcome import FileOutcome
from pytest_hotreload.records.observer import Observation, Observed
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


class RunNotes:
    """The outcomes, costs and declarations of the test files of one run."""

    def __init__(self) -> None:
        #: Test file (absolute) -> its outcome in this run.
        self.files: defaultdict[str, FileOutcome] = defaultdict(FileOutcome)
        #: Test files of which not all tests were selected.
        self.partial: set[str] = set()
        #: Those of them of which only ``-m``, ``-k`` and ``--deselect`` left tests out.
        self.narrowed_by_options: set[str] = set()
        #: What these options select in every run of this project, by ``addopts`` (records/options_selection.py).
        self.usual_selection = ""
        #: All collected test files.
        self.all_files: set[str] = set()
        #: ``partial_by_name``: single tests were requested by name. ``filtered``: whole files may be missing.
        self.partial_by_name = self.filtered = False
        #: Whether this run is a part of the suite: one of several shards, or narrowed to some tests or files.
        #: Such a run must not move the durations from which shards are planned.
        self.is_part = False
        #: Test file -> what its markers declare: inputs, and resources that it does not share.
        self.declared: defaultdict[str, set[str]] = defaultdict(set)
        self.serial: defaultdict[str, set[str]] = defaultdict(set)
        #: Test file -> the seconds of its collection, and of the imports in it.
        self.collection: dict[str, float] = {}
        self.imports: dict[str, float] = {}
        #: File that a fork point of a watch loaded or read -> the time since which it may have been held.
        self.held: Mapping[str, int] = {}
        #: How much older than the run an input must be, to be trusted. The margin covers the resolution of coarse
        #: file systems and files that an editor is still writing.
        self.margin_ns = bytecode.YOUNG_NS
        #: Whether this is a rerun in a watch.
        self.watched = False

    def selected(self, items: Sequence[pytest.Item]) -> None:
        """Note the items that will run."""
        for index, item in enumerate(items):
            self.files[str(item.path)].nodeids[index] = item.nodeid

    def report(self, item: pytest.Item, index: int, report: pytest.TestReport) -> None:
        """Note a report that was shown."""
        self.files[str(item.path)].report(index, report)

    def child_ended(self, path: str, observed: Observed | None, fixtures: float) -> None:
        """Note that a child of this file ended normally."""
        ran = self.files[path]
        ran.fixtures += fixtures
        if observed is None:
            ran.spoiled = True
        else:
            ran.observed.append(observed)

    def contended(self, paths: Iterable[str], kind: str, subject: str) -> None:
        """Note a conflict of these files that the run showed: "bind" for an address, "write" for a path."""
        for path in paths:
            self.files[path].observed.append(Observed((Observation("", kind, subject, None),)))

    def spoiled(self, path: str) -> None:
        """Note that a child of this file died, so that its observations are lost."""
        self.files[path].spoiled = True

    def stopped(self, path: str) -> None:
        """Note that this file was stopped because of an edit. That says nothing against its record."""
        self.files[path].stopped = True

    def begins_anew(self, path: str) -> None:
        """Note that the whole file runs once more.

        Only what is seen then counts, however the first child ended.
        """
        self.files[path].spoiled = False

    def left_processes(self, path: str) -> None:
        """Note that a child of this file left processes behind."""
        self.files[path].left = True
