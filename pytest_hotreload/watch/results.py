"""The results of a watch: the latest outcome of every test, failing tests, and test files without a result."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.watch.protocol import CollectionFailed, ItemOutcome


@dataclass
class Results:
    """The latest outcomes of a watch, by test file."""

    #: All test files that have been collected so far.
    known: tuple[str, ...] = ()
    #: Test files that have to run and have no result yet.
    pending: set[str] = field(default_factory=set)
    #: Outcome -> its count in the latest rerun.
    ran: Counter[str] = field(default_factory=Counter)
    #: Node id -> the failure as pytest shows it.
    texts: dict[str, str] = field(default_factory=dict)
    #: Test files that were to run, but from which the user's filters left out some or all tests.
    left_out: set[str] = field(default_factory=set)
    #: Test files that were to run and that pytest ignored: they run when it no longer does.
    ignored: set[str] = field(default_factory=set)
    #: Whether the latest rerun ran only some tests of its files.
    some: bool = False
    #: The pending files at the start of the latest rerun.
    _pending_before: set[str] = field(default_factory=set)
    #: Test file -> node id -> outcome.
    _outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Test files whose earlier outcomes the latest rerun has replaced.
    _renewed: set[str] = field(default_factory=set)
    #: Node ids that have an outcome from the latest rerun.
    _told: set[str] = field(default_factory=set)
    #: Whether the settings selected no test at all when everything was last collected.
    _selects_nothing: bool = False
    #: Test files that the latest rerun could not collect.
    broken: list[str] = field(default_factory=list)

    def begin(self, files: Iterable[str], *, some: bool = False) -> None:
        """Start a rerun of these files, which are pending until they have results.

        ``some``: only some tests in the files run, and the outcomes of the other tests are kept.
        """
        self.ran = Counter()
        self._renewed, self._told, self.broken = set(), set(), []
        self.some, self._pending_before = some, set(self.pending)
        self.pending.update(files)

    def collected(self, files: Iterable[str], *, everything: bool, running: Iterable[str]) -> None:
        """Note the collected test files. ``everything``: none was left out. ``running``: those that will run."""
        files = tuple(files)
        if everything:
            files = tuple(dict.fromkeys([*files, *self.broken]))
            self._selects_nothing = not files
            if self._selects_nothing:
                # The settings select no test: a failure is not mended by that, as long as its file is there.
                files = tuple(file for file in self.known if os.path.exists(file))  # noqa: PTH110 - a text
            self.forget(set(self.known).difference(files))
            self.known = files
        else:
            self.known = tuple(dict.fromkeys([*self.known, *files]))
        self.pending.update(running)

    def told(self, message: ItemOutcome) -> None:
        """Note the outcome of a test. The first outcome in a test file discards the file's earlier outcomes."""
        if message.file not in self._renewed and not self.some:
            self._renew(message.file)
        self.texts.pop(message.nodeid, None)
        self._outcomes.setdefault(message.file, {})[message.nodeid] = message.outcome
        self._told.add(message.nodeid)
        self.ran[message.outcome] += 1
        if message.outcome in FAILED:
            self.texts[message.nodeid] = message.text

    def _renew(self, file: str) -> None:
        self._renewed.add(file)
        for nodeid in self._outcomes.pop(file, {}):
            self.texts.pop(nodeid, None)

    def failed_collection(self, message: CollectionFailed) -> None:
        """Note that a test file could not be collected. The rerun sends this before the collected files."""
        if message.file not in self.known:
            self.known = (*self.known, message.file)
        self.broken.append(message.file)
        self._renew(message.file)
        self._outcomes[message.file] = {message.nodeid: "error"}
        self.texts[message.nodeid] = message.text
        self.ran["error"] += 1

    def end(self, files: Iterable[str], unfinished: Iterable[str] | None) -> None:
        """End the rerun of these files. ``unfinished``: files without a complete result; None for all files.

        The earlier outcomes of a file that no longer contains any test are discarded.
        """
        if unfinished is None:
            return
        for file in set(files).difference(unfinished):
            if file not in self._renewed and not self.some and not self._selects_nothing:
                self._renew(file)
            if not (self.some and file in self._pending_before):
                self.pending.discard(file)

    def mark_pending(self, files: Iterable[str]) -> None:
        """Note that these files have to run, for example again after they were stopped."""
        self.pending.update(files)

    def leave_out(self, files: Iterable[str]) -> None:
        """Note files that an edit affects but filters may exclude: they run as soon as the filters are cleared."""
        self.left_out.update(files)

    def forget(self, files: Iterable[str]) -> None:
        """Discard test files that no longer exist, with their results."""
        gone = set(files)
        for file in gone:
            self._renew(file)
            self._renewed.discard(file)
        self.known = tuple(file for file in self.known if file not in gone)
        self.pending -= gone
        self.left_out -= gone
        self.ignored -= gone

    @property
    def uncollectable(self) -> set[str]:
        """The test files that could not be collected when they ran last."""
        return {
            file for file, outcomes in self._outcomes.items() if any("::" not in each for each in outcomes)
        }

    @property
    def failing(self) -> dict[str, str]:
        """Node id -> file, for each test whose last outcome is failed or error."""
        return {
            nodeid: file
            for file, outcomes in self._outcomes.items()
            for nodeid, outcome in outcomes.items()
            if outcome in FAILED
        }

    def failing_elsewhere(self, files: Iterable[str]) -> list[str]:
        """Node ids of failing tests that the latest rerun, which ran these files, did not run."""
        inside = set(files)
        return [
            nodeid
            for nodeid, file in self.failing.items()
            if (nodeid not in self._told if self.some or self._selects_nothing else file not in inside)
        ]
