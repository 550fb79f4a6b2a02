"""Messages of the controller to fork points, to the template and to waiting children, and what these answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


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


class SlotCollected(NamedTuple):
    """From a slot process, before its first child: what it observed while it collected."""

    observed: Any  # a records.observer.Observed, which this module does not know


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
