"""What a watch knows of every test: the latest outcomes, which of them are red, and what has no result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.watch.protocol import CollectionFailed, ItemOutcome


@dataclass
class Results:
    """``known``: all test files, as far as they were collected. ``owed``: those that were to run, and did not.

    ``ran``: outcomes of the latest rerun. ``broken``: what it could not collect. ``texts``: failures as pytest
    shows them. ``left_out``: files that were to run, of which the user's filters left out some or all. ``some``:
    the latest rerun ran only some tests of its files.
    """

    known: tuple[str, ...] = ()
    pending: set[str] = field(default_factory=set)
    ran: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    some: bool = False
    _owed_before: set[str] = field(default_factory=set)
    _outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    _renewed: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def begin(self, files: Iterable[str], *, some: bool = False) -> None:
        """A rerun of these files starts: until they have results, they are owed.

        ``some``: only some tests of them run; what is known of the others stays.
        """
        self.ran = Counter()
        self._renewed, self._told, self.broken = set(), set(), []
        self.some, self._owed_before = some, set(self.pending)
        self.pending.update(files)

    def collected(self, files: Iterable[str], *, everything: bool, running: Iterable[str]) -> None:
        """What was found. ``running``: what of it will run."""
        files = tuple(files)
        if everything:
            files = tuple(dict.fromkeys([*files, *self.broken]))
            self.forget(set(self.known).difference(files))
            self.known = files
        else:
            self.known = tuple(dict.fromkeys([*self.known, *files]))
        self.pending.update(running)

    def told(self, message: ItemOutcome) -> None:
        """A test has an outcome. The first of its file renews the file."""
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
        """The file itself is red. Told before what was found."""
        if message.file not in self.known:
            self.known = (*self.known, message.file)
        self.broken.append(message.file)
        self._renew(message.file)
        self._outcomes[message.file] = {message.nodeid: "error"}
        self.texts[message.nodeid] = message.text
        self.ran["error"] += 1

    def end(self, files: Iterable[str], unfinished: Iterable[str] | None) -> None:
        """The rerun is over. ``unfinished``: files that are not done, None for all.

        Files without any test left have no result to show.
        """
        if unfinished is None:
            return
        for file in set(files).difference(unfinished):
            if file not in self._renewed and not self.some:
                self._renew(file)
            if not (self.some and file in self._owed_before):
                self.pending.discard(file)

    def mark_pending(self, files: Iterable[str]) -> None:
        """These were stopped: they run again."""
        self.pending.update(files)

    def leave_out(self, files: Iterable[str]) -> None:
        """What an edit asks for and the filters perhaps don't: it is owed as soon as they are gone."""
        self.left_out.update(files)

    def forget(self, files: Iterable[str]) -> None:
        """These are gone, and their results with them."""
        gone = set(files)
        for file in gone:
            self._renew(file)
            self._renewed.discard(file)
        self.known = tuple(file for file in self.known if file not in gone)
        self.pending -= gone
        self.left_out -= gone

    @property
    def failing(self) -> dict[str, str]:
        """Node id -> file, of what failed and was not mended since."""
        return {
            nodeid: file
            for file, outcomes in self._outcomes.items()
            for nodeid, outcome in outcomes.items()
            if outcome in FAILED
        }

    def failing_elsewhere(self, files: Iterable[str]) -> list[str]:
        """Node ids that are red, and no test of the latest rerun, which ran these files."""
        inside = set(files)
        return [
            nodeid
            for nodeid, file in self.failing.items()
            if (nodeid not in self._told if self.some else file not in inside)
        ]
