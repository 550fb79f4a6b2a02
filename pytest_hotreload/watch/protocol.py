"""What crosses the borders of a watch: between the watcher, the template, its fork points and reruns.

Framed and pickled as in ``process/channel.py``, over unnamed socket pairs. To start any of these processes the
watcher sends its parent a :class:`protocol.Start` with one of the orders below and, along with it, the end
of the socket pair that the new process talks over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# --------------------------------------------------------------------- orders: what a fork becomes


class Configure(NamedTuple):
    """Of the template: the first fork point. Load plugins, ini and initial conftests; park before
    ``pytest_configure``."""


class Extend(NamedTuple):
    """Of a fork point: the next one. Import these, and park.

    ``modules``: (dotted name, file). ``tests``: test files, to be imported as pytest imports them.
    ``written``: environment variables that ``pytest_configure`` will write: who reads one is refused.
    """

    modules: tuple[tuple[str, str], ...] = ()
    tests: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()


class StandBy(NamedTuple):
    """Of a fork point: a rerun, ready ahead of time. Waits for :class:`Select` and :class:`Go`.

    ``known``: all test files, as far as they were collected.
    """

    known: tuple[str, ...] = ()


class Attach(NamedTuple):
    """Of the template: an attached run, which is a pytest of its own. With it come the caller's three open files, and
    a channel for :class:`Learned`.

    ``root``: of the project. ``folder``: the caller's. ``umask``: a number.
    """

    root: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    umask: int


# --------------------------------------------------------------------- from a new process to the watcher


class Learned(NamedTuple):
    """An attached run, at its end: installed modules that it had to import itself, in order."""

    modules: tuple[str, ...]


class Unfit(NamedTuple):
    """A fork of the template: this module of it is none for this process, and can't be imported a second time.

    The process has ended, or gone on in a fresh interpreter.
    """

    module: str
    why: str


class Consulted(NamedTuple):
    """The template: variables that modules asked for while they were imported there, all of them so far."""

    variables: frozenset[str]


class Inputs(NamedTuple):
    """What a fork point holds; a change of any of it makes the point stale. Paths are absolute.

    ``files``: read, or looked for in vain. ``folders``: listed. ``names``: every part of every dotted name that
    it imported or asked for in vain: a new file of such a name may be found instead.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Ready(NamedTuple):
    """The template or a fork point is parked. ``refused``: files that it could not import -> why."""

    inputs: Inputs
    refused: Mapping[str, str] = {}


class Waiting(NamedTuple):
    """A rerun is ready. ``slots`` and ``direct`` as in :class:`options.Options`. ``root``: pytest's rootdir.

    ``ini``: what pytest's settings are, as one text. ``outside``: files and folders outside of the root that records
    depend on. The rerun judges the records after this message, so a change of any of them is seen by the rerun or, as
    soon as they are watched, by the watcher.
    """

    root: str
    slots: int
    direct: bool
    ini: str = ""
    outside: tuple[str, ...] = ()


# --------------------------------------------------------------------- watcher -> rerun


class Changed(NamedTuple):
    """Files by what became of them; absolute paths."""

    changed: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return self.changed + self.created + self.deleted

    def without(self, paths: Iterable[str]) -> Changed:
        """All but these."""
        left_out = set(paths)
        return Changed(*(tuple(path for path in each if path not in left_out) for each in self))

    def joined(self, other: Changed) -> Changed:
        """One after the other, as seen from before the first."""
        created = (set(self.created) - set(other.deleted)) | (set(other.created) - set(self.deleted))
        deleted = (set(self.deleted) - set(other.created)) | (set(other.deleted) - set(self.created))
        back = set(self.deleted) & set(other.created)
        changed = (set(self.changed) | set(other.changed) | back) - created - deleted
        return Changed(tuple(sorted(changed)), tuple(sorted(created)), tuple(sorted(deleted)))


class Refresh(NamedTuple):
    """Records were written since this rerun loaded them: load them again. ``known``: as in :class:`StandBy`."""

    known: tuple[str, ...]


class Pages(NamedTuple):
    """To a rerun that waits: what a rerun before wrote to, as ``_native.own_pages`` tells it."""

    pages: bytes


class Select(NamedTuple):
    """Which test files do these changes affect? Answered by :class:`Selected`."""

    changes: Changed


class Selected(NamedTuple):
    """``reasons``: affected test file -> why, in words."""

    reasons: Mapping[str, str]


class Go(NamedTuple):
    """Run.

    ``files``: the test files to run; None for all. ``first``: the first run, "affected" by the records, or "all".
    ``company``: collect every file, and run those. ``hold``: show nothing until nothing failed. ``nodeids``: only
    these. ``apart``: one file gets a child, too. ``patience``: seconds without a sign of life after which a test hangs,
    once something was edited. ``told``: the system tells the watcher of each change. The filters are the user's, added
    to those of the command line; "" for none.
    """

    files: tuple[str, ...] | None = None
    first: str = ""
    company: bool = False
    hold: bool = False
    nodeids: tuple[str, ...] = ()
    keyword: str = ""
    marker: str = ""
    path: str = ""
    debug: bool = False
    apart: bool = False
    patience: float = 0.0
    told: bool = False


def both(given: str, added: str) -> str:
    """Two expressions of ``-k`` or ``-m``, joined."""
    return f"({given}) and ({added})" if given and added else given or added


class Lent(NamedTuple):
    """The terminal is the rerun's now: the watcher reads no keys."""


class WhatRuns(NamedTuple):
    """Answered by :class:`RunningChild`."""


# --------------------------------------------------------------------- rerun -> watcher


class Collected(NamedTuple):
    """``files``: the test files that were found, in pytest's order. ``everything``: none was left out.

    ``running``: those that run.
    """

    files: tuple[str, ...]
    everything: bool
    running: tuple[str, ...]


class Loaded(NamedTuple):
    """What first-party code stands after collection, in the order of import.

    ``modules``: (dotted name, file). ``edges``: (importing file, imported file).
    ``third_party``: installed modules that this process had to import itself, or children of earlier runs.
    ``outside``: files and folders outside of the root that records depend on, or that collection or tests used; of
    files with their time in ns and size when that was, as far as it is known. ``written``: files that collection or
    tests wrote; None where nobody looked. ``processes``: whether they started some, of which nobody sees that.
    ``vanished``: what was collected from and is gone: to the records it looks as if it had never been there.
    ``variables``: environment variables that changed between the fork and collection; ``search_path``: whether
    ``sys.path`` did. ``pages``: of memory, that it wrote to until its end was told; b"" if it ran several files.
    """

    modules: tuple[tuple[str, str], ...]
    edges: tuple[tuple[str, str], ...]
    third_party: tuple[str, ...]
    outside: tuple[tuple[str, tuple[int, int] | None], ...] = ()
    written: tuple[str, ...] | None = None
    processes: bool = False
    vanished: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()
    search_path: bool = False
    pages: bytes = b""


class Began(NamedTuple):
    """Of a rerun that runs its one file itself, and so answers nothing meanwhile: a test begins."""

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
    """A signal did so; what was set up is being torn down."""


class Unconfirmed(NamedTuple):
    """A test failed without full company; nothing was shown."""

    nodeid: str


class Stopped(NamedTuple):
    """Files that changed while they ran, or before their turn: they run again. ``told``: the user knows. ``hanging``:
    the test that was ended for an edit that may concern it, and the seconds that it had done nothing."""

    files: tuple[str, ...]
    told: bool
    hanging: tuple[str, float] | None = None


class Alone(NamedTuple):
    """It runs its one file itself, and hears nothing until that is done."""


class AttachedRunStarted(NamedTuple):
    """What runs now: (name, process id, seconds, last output)."""

    children: tuple[tuple[str, int, float, str], ...]


class Lend(NamedTuple):
    """A debugger wants the terminal."""


class Returned(NamedTuple):
    """It has done with it."""


class Finished(NamedTuple):
    """The session is over. ``seconds``: pytest's own, from its start to its end. ``unfinished``: test files of which
    not every test has an outcome; None where nothing was collected."""

    status: int
    seconds: float
    unfinished: tuple[str, ...] | None = None
