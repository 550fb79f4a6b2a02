"""Messages of a watch: between the watcher, the template, its fork points and the reruns.

Messages are framed and pickled as in ``process/channel.py``, and sent over unnamed socket pairs. To start any of
these processes, the watcher sends the parent a :class:`~pytest_hotreload.process.messages.Start` that contains one
of the orders below, together with the new process's end of a socket pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# --------------------------------------------------------------------- orders: what a fork becomes


class Configure(NamedTuple):
    """Order to the template: fork the first fork point.

    The fork loads plugins, ini and initial conftests, and parks before ``pytest_configure``.
    """


class Extend(NamedTuple):
    """Order to a fork point: fork the next one, which imports these modules and test files and then parks."""

    #: (dotted name, file).
    modules: tuple[tuple[str, str], ...] = ()
    #: Test files, to be imported as pytest imports them.
    tests: tuple[str, ...] = ()
    #: Environment variables that ``pytest_configure`` will write: a file that reads one of them is refused.
    written: frozenset[str] = frozenset()


class StandBy(NamedTuple):
    """Order to a fork point: prefork a rerun, which waits for :class:`Select` and :class:`Go`."""

    #: All test files that have been collected so far.
    known: tuple[str, ...] = ()


# --------------------------------------------------------------------- from a new process to the watcher


class Unfit(NamedTuple):
    """From a fork of the template: the template's copy of this module does not suit the fork.

    The module cannot be imported a second time, so the process has ended or started over in a fresh interpreter.
    """

    module: str
    #: The reason, in words.
    why: str


#: What the system said of a file, in the form in which it is compared; None if it said nothing.
Answer = int | bool | tuple[int, ...] | None


class FileQuestion(NamedTuple):
    """A question about a file that was not opened: ``watch/asked_files.py``."""

    path: str
    question: str
    answer: Answer


class Consulted(NamedTuple):
    """From the template: what modules have read during their import there, and where they lie."""

    #: The environment variables so far, not only the new ones.
    variables: frozenset[str]
    #: The installed files: somebody may edit one, which no installer does.
    sources: frozenset[FileQuestion] = frozenset()


class Inputs(NamedTuple):
    """The inputs of a fork point: a change to any of them makes the point stale. Paths are absolute."""

    #: Files that the fork point read, or looked for in vain.
    files: frozenset[str] = frozenset()
    #: Folders that the fork point listed.
    folders: frozenset[str] = frozenset()
    #: Every part of every dotted name that the fork point imported or asked for in vain: a new file with such a
    #: name may be found instead.
    names: frozenset[str] = frozenset()
    #: What the process asked of files without opening them. No event names all of these: they are asked again.
    asked: frozenset[FileQuestion] = frozenset()


#: The inputs of a process that has read nothing.
NOTHING = Inputs()


class Ready(NamedTuple):
    """The template or a fork point is parked."""

    inputs: Inputs
    #: File that the process could not import -> the reason.
    refused: Mapping[str, str] = {}
    #: ``sys.path``, of a process that prepares a run.
    search_path: tuple[str, ...] = ()
    #: The environment variables that such a process has read; "*" stands for all.
    variables: frozenset[str] = frozenset()


class Waiting(NamedTuple):
    """A rerun is ready.

    The rerun judges the records after this message, so that a change to any path in ``outside`` is seen by the
    rerun or, as soon as that path is watched, by the watcher.
    """

    #: pytest's rootdir.
    root: str
    #: As in :class:`options.Options`.
    slots: int
    #: As in :class:`options.Options`.
    direct: bool
    #: pytest's settings, as one text.
    ini: str = ""
    #: Files and folders outside the root that records depend on.
    outside: tuple[str, ...] = ()


# --------------------------------------------------------------------- watcher -> rerun


class Changed(NamedTuple):
    """Absolute paths of the files that were changed, created and deleted."""

    changed: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths: changed, created and deleted."""
        return self.changed + self.created + self.deleted

    def without(self, paths: Iterable[str]) -> Changed:
        """The changes except those to the given paths."""
        left_out = set(paths)
        return Changed(*(tuple(path for path in each if path not in left_out) for each in self))

    def joined(self, other: Changed) -> Changed:
        """The net effect of these changes followed by ``other``."""
        created = (set(self.created) - set(other.deleted)) | (set(other.created) - set(self.deleted))
        deleted = (set(self.deleted) - set(other.created)) | (set(other.deleted) - set(self.created))
        back = set(self.deleted) & set(other.created)
        changed = (set(self.changed) | set(other.changed) | back) - created - deleted
        return Changed(tuple(sorted(changed)), tuple(sorted(created)), tuple(sorted(deleted)))


class Refresh(NamedTuple):
    """Order to a waiting rerun: load the records again, because records were written since it loaded them."""

    #: As in :class:`StandBy`.
    known: tuple[str, ...]


class Pages(NamedTuple):
    """Order to a waiting rerun: write to the memory pages that an earlier rerun wrote to."""

    #: The pages in the format of ``_native.own_pages``.
    pages: bytes


class Select(NamedTuple):
    """Request to determine the test files that the changes affect. The answer is :class:`Selected`."""

    changes: Changed


class AffectedPart(NamedTuple):
    """The tests of one affected test file that ran what changed, by its record."""

    file: str
    #: Node ids; None if any test of the file may be concerned.
    tests: tuple[str, ...] | None
    #: The recorded seconds of these tests.
    seconds: float
    #: The number of all tests of the file, and their recorded seconds.
    all: int
    all_seconds: float


class Selected(NamedTuple):
    """The answer to :class:`Select`."""

    #: Affected test file -> the reason, in words.
    reasons: Mapping[str, str]
    #: A line for each changed file of which no test file ran what changed.
    without_effect: tuple[str, ...] = ()
    #: The parts of affected test files; none if the affected tests cannot run before the others here.
    parts: tuple[AffectedPart, ...] = ()
    #: Changed file, relative to the root -> the changed functions that tests ran.
    functions: Mapping[str, tuple[str, ...]] = {}


class Go(NamedTuple):
    """Order to a rerun: run tests.

    ``keyword``, ``marker`` and ``path`` are filters that the user set by keys. They are added to the filters of
    the command line; "" stands for no filter.
    """

    #: The test files to run; None for all.
    files: tuple[str, ...] | None = None
    #: In the first run: "affected" (by the records) or "all".
    first: str = ""
    #: Whether all test files are collected, although only ``files`` run.
    collect_all: bool = False
    #: Whether output is held back until the run has ended without a failure.
    hold: bool = False
    #: The only tests to run; empty for all tests in ``files``.
    nodeids: tuple[str, ...] = ()
    keyword: str = ""
    marker: str = ""
    path: str = ""
    debug: bool = False
    #: Whether even a single file runs in a child.
    apart: bool = False
    #: Whether the tests of several files run in the process of the rerun.
    together: bool = False
    #: Whether nothing is stored for later runs but what records learn from a part of a file's tests.
    preview: bool = False
    #: Whether an edit that affects any test file stops all files of this rerun.
    yields: bool = False
    #: Seconds without a sign of life after which a test counts as hung, once a file has been edited.
    patience: float = 0.0
    #: Whether the operating system notifies the watcher of each change.
    told: bool = False


def both(given: str, added: str) -> str:
    """The conjunction of two ``-k`` or ``-m`` expressions, either of which may be ""."""
    return f"({given}) and ({added})" if given and added else given or added


class Lent(NamedTuple):
    """The answer to :class:`Lend`: the rerun owns the terminal now, and the watcher reads no keys."""


class WhatRuns(NamedTuple):
    """Request to list the running children. The answer is :class:`RunningTests`."""


# --------------------------------------------------------------------- rerun -> watcher


class Collected(NamedTuple):
    """The rerun has collected."""

    #: The test files that were found, in pytest's order.
    files: tuple[str, ...]
    #: Whether no test file was left out of the collection.
    everything: bool
    #: The test files that run.
    running: tuple[str, ...]
    #: Test files that should run, exist, and were not collected: a conftest, or the settings, ignore them.
    ignored: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """What a rerun learned about the project: its loaded modules, and the inputs and outputs of its tests."""

    #: First-party modules that are loaded after collection, in the order of import: (dotted name, file).
    modules: tuple[tuple[str, str], ...]
    #: (importing file, imported file).
    edges: tuple[tuple[str, str], ...]
    #: Installed modules that this process, or a child of an earlier run, had to import itself.
    third_party: tuple[str, ...]
    #: Files and folders outside the root that records depend on, or that collection or tests used. A path comes with
    #: its modification time in ns and its size at the time of use, if these are known.
    outside: tuple[tuple[str, tuple[int, int] | None], ...] = ()
    #: Files that collection or tests wrote; None if nothing was recorded.
    written: tuple[str, ...] | None = None
    #: Whether collection or tests started processes, whose writes are not seen.
    processes: bool = False
    #: Files that were collected from and no longer exist: to the records, such a file looks as if it had never existed.
    vanished: tuple[str, ...] = ()
    #: Environment variables that changed between the fork and collection.
    variables: frozenset[str] = frozenset()
    #: Whether ``sys.path`` changed between the fork and collection.
    search_path: bool = False
    #: The memory pages that the process had written to when it reported its end; b"" if it ran several files.
    pages: bytes = b""


class Began(NamedTuple):
    """A test begins in a rerun that runs its only file itself, and therefore answers no message meanwhile."""

    nodeid: str


class ItemOutcome(NamedTuple):
    """The outcome of a test: "passed", "failed", "error", "rerun", "skipped", "xfailed", "xpassed"."""

    file: str
    nodeid: str
    outcome: str
    text: str = ""
    """Of a failure, as pytest shows it."""


class CollectionFailed(NamedTuple):
    """A file could not be collected."""

    file: str
    nodeid: str
    text: str


class RerunInterrupted(NamedTuple):
    """A signal interrupted the rerun, which now tears down what it set up."""


class Unconfirmed(NamedTuple):
    """A test failed while not all test files were collected. The rerun has shown no output."""

    nodeid: str


class Stopped(NamedTuple):
    """Test files were stopped because their inputs changed, and have to run again."""

    #: Files whose inputs changed while they ran, or before their turn.
    files: tuple[str, ...]
    #: Whether the rerun has already told the user.
    told: bool
    #: The test that was ended because an edit may affect it, and the seconds for which it had done nothing.
    hanging: tuple[str, float] | None = None


class Alone(NamedTuple):
    """The rerun runs its only file itself, and reads no message until that is done."""


class RunningTests(NamedTuple):
    """The answer to :class:`WhatRuns`."""

    #: The running children: (name, process id, seconds, last output).
    children: tuple[tuple[str, int, float, str], ...]


class Lend(NamedTuple):
    """Request for the terminal, for a debugger. The answer is :class:`Lent`."""


class Returned(NamedTuple):
    """The debugger no longer needs the terminal that the watcher lent."""


class Finished(NamedTuple):
    """The session of the rerun is over."""

    #: pytest's exit status.
    status: int
    #: The duration of pytest's session, from its start to its end.
    seconds: float
    #: Test files in which at least one test has no outcome; None if nothing was collected.
    unfinished: tuple[str, ...] | None = None
