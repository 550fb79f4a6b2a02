"""Messages of a child to the controller. See ``process/channel.py`` for framing and transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: Increased with each change of a message, also of ``fork_messages.py`` and ``fixture_messages.py``. A spawned
#: child compares it before anything else.
VERSION = 12

#: The variable that names the inherited descriptors of a spawned child; removed before any user code runs.
ENVIRONMENT = "PYTEST_HOTRELOAD_APART"


class ItemStarted(NamedTuple):
    """``pytest_runtest_logstart`` was called."""


class ItemFinished(NamedTuple):
    """``pytest_runtest_logfinish`` was called; a plugin that runs a test again calls it more than once."""


class ItemRan(NamedTuple):
    """The item's protocol has returned.

    This message does not depend on pytest's hooks, and states what these should have reported by then.
    """

    #: The number of reports that were logged.
    reports: int
    #: Whether the call phase began.
    called: bool


class Reported(NamedTuple):
    """One report, pickled by itself so that a report that can't be read affects no other message."""

    payload: bytes
    failed_subtests: int = 0
    failed: bool = False


#: Identifies a report in every process: node id, phase, begin and end.
ReportKey = tuple[str, str | None, float, float]


class StatsChanged(NamedTuple):
    """A plugin's changes to the terminal reporter's ``stats``, by category."""

    #: (category, key) of the reports that were removed.
    removed: tuple[tuple[str, ReportKey | None], ...]
    #: (category, key, pickled report) of the reports that were added.
    added: tuple[tuple[str, ReportKey | None, bytes], ...]
    #: The change of ``session.testsfailed``, positive or negative.
    failed: int


class Unreadable(NamedTuple):
    """A frame that could not be read; created by the receiver."""

    why: str


class Warned(NamedTuple):
    """A call of ``pytest_warning_recorded``, without the parts that can't be pickled."""

    message: bytes
    category: tuple[tuple[str, str, str], ...]
    filename: str
    lineno: int
    line: str | None
    when: str
    nodeid: str
    location: tuple[str, int, str] | None


class Wrote(NamedTuple):
    """Text for the terminal writer, with its markup."""

    text: str
    markup: Mapping[str, bool]


class Printed(NamedTuple):
    """Bytes that bypassed the capture, meant for file descriptor 1 or 2."""

    fd: int
    data: bytes


class Logged(NamedTuple):
    """Text for ``--log-file``."""

    text: str


class LoggedLive(NamedTuple):
    """A formatted record for live logging (``log_cli``), and the phase in which it was created."""

    text: str
    when: str | None


class NewlineEnsured(NamedTuple):
    """The terminal's current line must end here, unless it is empty."""


class Junit(NamedTuple):
    """A call of a method of JUnit's node reporter, or of LogXML itself."""

    #: Whether the method belongs to the node reporter.
    on_node: bool
    method: str
    #: A pickled tuple.
    args: bytes


class Collided(NamedTuple):
    """The next report fails because an address is in use (``EADDRINUSE``)."""

    address: str


class Amended(NamedTuple):
    """The last report again, because ``pytest_exception_interact`` changed it after it was sent."""

    payload: bytes


class Interacted(NamedTuple):
    """``pytest_exception_interact`` was called; sent if a plugin's implementation runs in the controller."""

    #: The pickled ``CallInfo``.
    call: bytes
    #: The pickled report if it is not the last one that was sent, else b"".
    report: bytes


class PdbShown(NamedTuple):
    """The debugger has shown the last report's traceback, so FAILURES must not repeat it."""


class StopAsked(NamedTuple):
    """``session.shouldstop`` was set in the child, or ``session.shouldfail`` if ``failed`` is true."""

    reason: str
    failed: bool = False


class Exited(NamedTuple):
    """``pytest.exit()`` was called."""

    reason: str
    returncode: int | None
    memo: bytes | None


class ChildInterrupted(NamedTuple):
    """``KeyboardInterrupt`` was raised in the child; ``memo`` names the place."""

    memo: bytes | None


class InternalError(NamedTuple):
    """An internal error of pytest in the child."""

    text: str


class Asked(NamedTuple):
    """A question, which the controller answers with :class:`Answer`."""

    #: Counts the questions of this channel: an interrupt may leave a question before its answer was read.
    number: int
    #: ``basetemp`` · ``terminal`` (a lease) · ``release`` (of the lease) · ``files`` (what to run next) ·
    #: ``shown``
    what: str


class Gathered(NamedTuple):
    """The data that plugins gathered in the child since the last such message, for their session-end hooks."""

    payload: bytes


class Missing(NamedTuple):
    """A self-collecting child did not find an item."""

    reason: str


class NeedsFixture(NamedTuple):
    """A test requested, while it ran, a fixture that another process holds; the child stops before this test."""

    name: str


class Ended(NamedTuple):
    """The last message of a child: all its items have run."""

    #: A pickled dict, or b"".
    workeroutput: bytes
    fixtures: tuple[FixtureCost, ...]
    modules: tuple[str, ...]
    coverage: bytes | None
    #: A ``records.observer.Observed`` if records are kept.
    observed: Any = None
    #: Output of exit handlers and threads: (1 or 2, data). In plain pytest it follows the last line.
    at_exit: tuple[tuple[int, bytes], ...] = ()
    #: The number of frames that the child sent, including this one.
    frames: int = -1
    #: Notices for the user.
    notices: tuple[str, ...] = ()
    #: The reason for which a fresh interpreter replaced a fork of the template.
    started_over: str = ""
    #: CPU seconds of the tests, without what isolation added to them (``records/saving.py``).
    tests_cpu: float = 0.0
    #: Session fixtures that tests requested in their call, with the most that each setup can have taken.
    requested: tuple[tuple[str, float], ...] = ()
    #: Files that were open before the fork and that the tests closed and replaced.
    replaced: tuple[str, ...] = ()


class Rewound(NamedTuple):
    """After :class:`Ended`: the child's memory is as it was before its first file; it waits for a :class:`Start`."""

    #: CPU seconds of this process until now.
    cpu: float
    #: Pages that differ from the snapshot, if they were compared; then the child exits.
    mismatched: int
    #: How long the rewind took.
    nanoseconds: int


class NotRewound(NamedTuple):
    """The child's memory can't be restored, or no snapshot could be taken; the child exits after its file."""

    reason: str
    #: Whether no child of this run can do it.
    lasting: bool = False


class FixtureCost(NamedTuple):
    """The cost of one session- or package-scoped fixture in a child."""

    name: str
    scope: str
    #: (when, seconds) of each setup; "when" is on the monotonic clock, which all processes of a machine
    #: share.
    setups: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.setups)


Message = (
    ItemStarted
    | ItemFinished
    | ItemRan
    | StatsChanged
    | Unreadable
    | Reported
    | Warned
    | Wrote
    | Printed
    | Logged
    | LoggedLive
    | NewlineEnsured
    | Junit
    | Collided
    | Amended
    | Interacted
    | PdbShown
    | StopAsked
    | Exited
    | ChildInterrupted
    | InternalError
    | Asked
    | Gathered
    | Missing
    | NeedsFixture
    | Ended
    | Rewound
    | NotRewound
)
