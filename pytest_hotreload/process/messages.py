"""Messages exchanged between our processes. See ``process/channel.py`` for framing and transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pytest_hotreload.world import BUILTINS, mmap, os, struct

__builtins__ = BUILTINS

#: Increased with each change of a message; a spawned child compares it before anything else.
VERSION = 9

#: The variable that names the inherited descriptors of a spawned child; removed before any user code runs.
ENVIRONMENT = "PYTEST_HOTRELOAD_APART"


# --------------------------------------------------------------------- child -> controller


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


# --------------------------------------------------------------------- controller -> child


class Answer(NamedTuple):
    """The answer to the :class:`Asked` with the same number."""

    number: int
    value: Any


class RewindMode:
    """What a child does after its file. Integers, because an enum's members would be looked up in a patched module."""

    #: Exit.
    NO: ClassVar[int] = 0
    #: Restore its memory, then wait for the next file.
    YES: ClassVar[int] = 1
    #: The same, and compare all memory with the snapshot.
    VERIFY: ClassVar[int] = 2


class Start(NamedTuple):
    """To a fork point: fork a child for these items in this slot. To a rewound child: run these items."""

    #: Returned with all reports about this child.
    token: int
    slot: int
    indices: tuple[int, ...]
    own_group: bool = True
    assignment: Assignment | None = None
    descriptors: int = 0
    #: The number of tests that failed before: the test that reaches ``--maxfail`` tears everything down.
    failed: int = 0
    #: A :class:`RewindMode`.
    rewind: int = RewindMode.NO
    #: A :class:`process.fixture_messages.SetUp`: become a fixture process, instead of running the items.
    set_up: Any = None
    #: The keys (base id and name) of fixtures that other processes set up: a child that requests one is started
    #: again from there. Each with whether a process holds it, so that two setups could get into each other's way.
    elsewhere: tuple[tuple[str, bool], ...] = ()


class Started(NamedTuple):
    """From a fork point: the child was started, with this process id."""

    token: int
    pid: int


class Gone(NamedTuple):
    """From a fork point: the child has ended."""

    token: int
    #: The wait status.
    status: int
    #: The names of the processes that the child left behind.
    leftovers: tuple[str, ...]
    #: CPU seconds of the child and of the processes that it waited for; -1 if unknown.
    cpu: float = -1.0


class Refused(NamedTuple):
    """From a fork point: the system refused to fork."""

    token: int
    errno: int


class Kill(NamedTuple):
    """To a fork point: kill this child now. Ignored if the child has already ended."""

    token: int


class Warm(NamedTuple):
    """To the template: import these modules, in this order."""

    modules: tuple[str, ...]
    #: Modules that must not be imported, whichever module requests them.
    barred: tuple[str, ...] = ()


class Warmed(NamedTuple):
    """The template's answer to :class:`Warm`."""

    #: The number of modules that the template now holds.
    modules: int
    seconds: float
    #: Module -> seconds that its import took.
    costs: Mapping[str, float]
    #: Module -> the reason why it was kept out.
    quarantine: Mapping[str, str]


class Probe(NamedTuple):
    """To the template: report how many native threads remain after these modules are imported."""

    modules: tuple[str, ...]


class Probed(NamedTuple):
    """The template's answer to :class:`Probe`; -1 if the import failed."""

    threads: int


class Assignment(NamedTuple):
    """The task of a self-collecting child."""

    #: The positional arguments of the child's own collection, or None for the controller's.
    args: tuple[str, ...] | None
    #: (index in the controller's items, node id) of the items that the child runs or serves.
    wanted: tuple[tuple[int, str], ...]
    worker_id: str
    workerinput: Mapping[str, Any] | None
    environ: Mapping[str, str]
    randomness: bytes
    name: str
    log_file: bool
    observe: bool = False
    #: Collect, then become the fork point of the slot, instead of running the items.
    serve: bool = False
    #: With the controller's arguments: the part that the controller itself collected.
    shard: object = None  # a ci.plan.Shard, which this module does not know
    #: (base id, name) of fixtures that were set up once, and that the child leaves out.
    cleared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Collision:
    """A resource that two living children can't both use."""

    #: The kind of resource: ``BIND``, ``CONNECT`` or ``PATH``.
    what: int
    #: The item that ran.
    index: int
    #: An item of the other child's file, or -1 if that child is unknown.
    holder: int
    #: The address or path.
    subject: str

    BIND: ClassVar[int] = 1
    CONNECT: ClassVar[int] = 2
    PATH: ClassVar[int] = 3


class Progress:
    """A page of memory that the controller shares with one child, for the current item and the first collision.

    The child writes the page without a system call before each phase, so that a death or a hang can be
    attributed to the exact item and phase. The controller can read the page at any time.
    """

    PHASES = ("start", "setup", "call", "teardown", "finish", "end")
    _LAYOUT = struct.Struct("=iBd")
    #: The collision, which ``_native.join_board`` lets this child write: a state (2: complete), the kind of
    #: use, the item, the first item of the other child plus 1, and the length of the text that follows.
    _COLLISION, _COLLISION_AT = struct.Struct("=QIIQQ"), 16
    _COMPLETE = 2

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < mmap.PAGESIZE:
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    def clear(self) -> None:
        """Reset the page: no item runs, and there is no collision."""
        self._LAYOUT.pack_into(self._page, 0, -1, 0, 0.0)
        self._COLLISION.pack_into(self._page, self._COLLISION_AT, 0, 0, 0, 0, 0)

    def write(self, index: int, phase: int, at: float) -> None:
        """Note the item and the phase.

        ``at``: seconds of the monotonic clock, which all processes of a machine share.
        """
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def begin_again(self, at: float) -> None:
        """Restart the clock of the current phase: the time before was not the test's own."""
        index, phase, _ = self._LAYOUT.unpack_from(self._page, 0)
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def read(self) -> tuple[int, str, float]:
        """Return (item index or -1, name of the phase, monotonic second at which it began)."""
        index, phase, at = self._LAYOUT.unpack_from(self._page, 0)
        return index, self.PHASES[phase], at

    def collision(self) -> Collision | None:
        """Return the first resource that this child used while another child held it, or None."""
        state, what, index, holder, length = self._COLLISION.unpack_from(self._page, self._COLLISION_AT)
        if state != self._COMPLETE:
            return None
        start = self._COLLISION_AT + self._COLLISION.size
        return Collision(what, index, holder - 1, os.fsdecode(self._page[start : start + length]))

    def close(self) -> None:
        self._page.close()
