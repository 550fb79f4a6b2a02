"""Everything that crosses a process border. How it does, says ``process/channel.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pytest_hotreload.world import BUILTINS, mmap, os, struct

__builtins__ = BUILTINS

#: Bumped with each change of a message; a spawned child compares it before anything else.
VERSION = 5

#: Names the inherited descriptors of a spawned child; removed before any user code runs.
ENVIRONMENT = "PYTEST_HOTRELOAD_APART"


# --------------------------------------------------------------------- child -> controller


class ItemStarted(NamedTuple):
    """``pytest_runtest_logstart`` was called."""


class ItemFinished(NamedTuple):
    """``pytest_runtest_logfinish`` was called; with a plugin that runs a test again, more than once."""


class ItemRan(NamedTuple):
    """The item's protocol has returned. Sent past pytest's hooks, with what these were to have told by then.

    ``reports``: how many were logged. ``called``: its call began.
    """

    reports: int
    called: bool


class Reported(NamedTuple):
    """One report, pickled on its own so that a bad one costs only itself."""

    payload: bytes
    failed_subtests: int = 0


#: What tells a report from others in every process: node id, phase, begin and end of it.
ReportKey = tuple[str, str | None, float, float]


class StatsChanged(NamedTuple):
    """What a plugin took out of, or put into the terminal reporter's ``stats``, by category.

    ``failed``: what it added to ``session.testsfailed``, or took away.
    """

    removed: tuple[tuple[str, ReportKey | None], ...]
    added: tuple[tuple[str, ReportKey | None, bytes], ...]
    failed: int


class Unreadable(NamedTuple):
    """Made where frames are read: one that could not be."""

    why: str


class Warned(NamedTuple):
    """``pytest_warning_recorded``, without what can't be pickled."""

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
    """Bytes that passed by the capture, meant for file descriptor 1 or 2."""

    fd: int
    data: bytes


class Logged(NamedTuple):
    """Text for ``--log-file``."""

    text: str


class LoggedLive(NamedTuple):
    """A formatted record for live logging (``log_cli``), and the phase in which it was made."""

    text: str
    when: str | None


class NewlineEnsured(NamedTuple):
    """The terminal's line must end here, if anything stands in it."""


class Junit(NamedTuple):
    """A call on junit's node reporter, or on LogXML itself where ``on_node`` is false. ``args``: pickled, a tuple."""

    on_node: bool
    method: str
    args: bytes


class Collided(NamedTuple):
    """The report that follows fails because an address is in use (``EADDRINUSE``)."""

    address: str


class Amended(NamedTuple):
    """The last report again: ``pytest_exception_interact`` changed it after it was sent."""

    payload: bytes


class PdbShown(NamedTuple):
    """The debugger has shown the last report's traceback: FAILURES must not repeat it."""


class StopAsked(NamedTuple):
    """``session.shouldstop`` was set in the child, or (``failed``) ``session.shouldfail``."""

    reason: str
    failed: bool = False


class Exited(NamedTuple):
    """``pytest.exit()``."""

    reason: str
    returncode: int | None
    memo: bytes | None


class ChildInterrupted(NamedTuple):
    """``KeyboardInterrupt`` in the child, with the place where it struck."""

    memo: bytes | None


class InternalError(NamedTuple):
    """An internal error of pytest in the child."""

    text: str


class Asked(NamedTuple):
    """A question; the controller answers with :class:`Answer`."""

    number: int
    """Of this channel's questions: an interrupt may leave one without its answer read, before the next one."""
    what: str
    """``basetemp`` · ``terminal`` (a lease) · ``release`` (of the lease) · ``files`` (what to run next) · ``shown``"""


class Gathered(NamedTuple):
    """What plugins gathered in the child since the last such message, for their session-end hooks."""

    payload: bytes


class Missing(NamedTuple):
    """An item that a child which collects for itself did not find."""

    reason: str


class Ended(NamedTuple):
    """The last message of a child: all its items have run.

    ``workeroutput``: pickled, a dict, or b"". ``frames``: how many it sent, with this one. ``notices``: for the user.
    """

    workeroutput: bytes
    fixtures: tuple[FixtureCost, ...]
    modules: tuple[str, ...]
    coverage: bytes | None
    observed: Any = None
    """``observation.Observed``, where records are kept."""
    at_exit: tuple[tuple[int, bytes], ...] = ()
    """(1 or 2, data) that exit handlers and threads printed: plain pytest's come after its last line."""
    frames: int = -1
    notices: tuple[str, ...] = ()
    started_over: str = ""
    """Why a fresh interpreter took the place of a fork of the template."""


class FixtureCost(NamedTuple):
    """What one session- or package-scoped fixture cost in a child.

    ``setups``: (when, seconds) of each; when is on the monotonic clock, which all processes of a machine share.
    """

    name: str
    scope: str
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
    | PdbShown
    | StopAsked
    | Exited
    | ChildInterrupted
    | InternalError
    | Asked
    | Gathered
    | Missing
    | Ended
)


# --------------------------------------------------------------------- controller -> child


class Answer(NamedTuple):
    """The answer to :class:`Asked` of that number."""

    number: int
    value: Any


class Start(NamedTuple):
    """To a fork point: fork a child for these items in this slot. ``token`` comes back with all
    that is said of it."""

    token: int
    slot: int
    indices: tuple[int, ...]
    own_group: bool = True
    assignment: Assignment | None = None
    descriptors: int = 0
    failed: int = 0
    """Tests that failed before: with ``--maxfail`` the test that reaches it tears everything down."""


class Started(NamedTuple):
    """From a fork point: the child's process id."""

    token: int
    pid: int


class Gone(NamedTuple):
    """From a fork point: the child has ended, with this wait status, and left these behind.

    ``cpu``: its CPU seconds, with those of processes that it waited for; -1 where nobody knows.
    """

    token: int
    status: int
    leftovers: tuple[str, ...]
    cpu: float = -1.0


class Refused(NamedTuple):
    """From a fork point: the system refused to fork."""

    token: int
    errno: int


class Kill(NamedTuple):
    """To a fork point: end this child now. One that has ended is nobody."""

    token: int


class Warm(NamedTuple):
    """To the template: import these modules, in this order, and none that is ``barred``, whoever asks for it."""

    modules: tuple[str, ...]
    barred: tuple[str, ...] = ()


class Warmed(NamedTuple):
    """The template's answer: what it holds now, what each cost in seconds, and what stayed out, why."""

    modules: int
    seconds: float
    costs: Mapping[str, float]
    quarantine: Mapping[str, str]


class Probe(NamedTuple):
    """To the template: how many native threads does importing these modules leave?"""

    modules: tuple[str, ...]


class Probed(NamedTuple):
    """The template's answer to :class:`Probe`; -1 where the import failed."""

    threads: int


class Assignment(NamedTuple):
    """What a child that collects for itself is to do.

    ``args``: the positional arguments of its own collection, or None for the controller's.
    ``wanted``: (index in the controller's items, node id) of what it is to run or to serve.
    ``serve``: collect, then become the fork point of its slot, instead of running.
    ``shard``: with the controller's arguments, what the controller itself collected of them.
    ``cleared``: (base id, name) of fixtures that were set up once, and are left out.
    """

    args: tuple[str, ...] | None
    wanted: tuple[tuple[int, str], ...]
    worker_id: str
    workerinput: Mapping[str, Any] | None
    environ: Mapping[str, str]
    randomness: bytes
    name: str
    log_file: bool
    observe: bool = False
    serve: bool = False
    shard: object = None  # a ci.plan.Shard, which this module does not know
    cleared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Collision:
    """Something that two living children can't both use.

    ``what``: one of the three below. ``index``: the item that ran. ``holder``: the process id of the other child.
    ``subject``: the address or path.
    """

    what: int
    index: int
    holder: int
    subject: str

    BIND: ClassVar[int] = 1
    CONNECT: ClassVar[int] = 2
    PATH: ClassVar[int] = 3


class Progress:
    """A page shared between the controller and one child: what it runs, since when; what it shares with another.

    Written without a system call before each phase, so that a death or a hang can be attributed
    to the very item and phase, and read by the controller at any time.
    """

    PHASES = ("start", "setup", "call", "teardown", "finish", "end")
    _LAYOUT = struct.Struct("=iBd")
    #: What ``_native.join_board`` lets this child write: a state (2: complete), what was done, the item, the process
    #: id of the other child, the length of the text behind it.
    _COLLISION, _COLLISION_AT = struct.Struct("=QIIQQ"), 16
    _COMPLETE = 2

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < mmap.PAGESIZE:
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    def clear(self) -> None:
        """No item yet."""
        self._LAYOUT.pack_into(self._page, 0, -1, 0, 0.0)
        self._COLLISION.pack_into(self._page, self._COLLISION_AT, 0, 0, 0, 0, 0)

    def write(self, index: int, phase: int, at: float) -> None:
        """``at``: seconds of the monotonic clock, which all processes of a machine share."""
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def begin_again(self, at: float) -> None:
        """The phase counts from now: what lay before was not the test's own time."""
        index, phase, _ = self._LAYOUT.unpack_from(self._page, 0)
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def read(self) -> tuple[int, str, float]:
        """(item index or -1, name of the phase, monotonic second at which it began)."""
        index, phase, at = self._LAYOUT.unpack_from(self._page, 0)
        return index, self.PHASES[phase], at

    def collision(self) -> Collision | None:
        """The first thing that this child used while another child had it."""
        state, what, index, holder, length = self._COLLISION.unpack_from(self._page, self._COLLISION_AT)
        if state != self._COMPLETE:
            return None
        start = self._COLLISION_AT + self._COLLISION.size
        return Collision(what, index, holder, os.fsdecode(self._page[start : start + length]))

    def close(self) -> None:
        self._page.close()
