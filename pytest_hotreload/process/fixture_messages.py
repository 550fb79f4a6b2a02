"""Messages between the controller and a fixture process (docs/design/session-fixtures.md)."""

from __future__ import annotations

from typing import Any, NamedTuple

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


class WantedFixture(NamedTuple):
    """A fixture that a fixture process sets up."""

    #: The base id and the name: two fixtures may have one name.
    key: str
    name: str
    #: The index of the first item, in pytest's order, that uses the fixture.
    first: int


class SetUp(NamedTuple):
    """In a :class:`process.messages.Start`: become a fixture process, and set these fixtures up, in this order."""

    wanted: tuple[WantedFixture, ...]
    #: The process belongs to one slot, and has this slot's worker id.
    of_slot: bool
    #: A fixture that reads the worker id is refused.
    watch_worker_id: bool
    #: The base temporary directory, or "" if no fixture needs it.
    basetemp: str
    #: The index of the item that the teardown belongs to.
    last: int


class FixturesBegin(NamedTuple):
    """From a fixture process: the setups begin."""

    pid: int


class FixturesReady(NamedTuple):
    """From a fixture process: the setups have ended, and children can be forked."""

    #: (key, seconds) of the fixtures that children inherit.
    inherited: tuple[tuple[str, float], ...]
    #: (key, reason) of the fixtures that each child sets up for itself.
    refused: tuple[tuple[str, str], ...]
    #: The keys of the fixtures that read the worker id.
    per_slot: tuple[str, ...]
    coverage: bytes | None


class FixturesEnded(NamedTuple):
    """From a fixture process: everything is torn down."""

    #: The packed report of a teardown that failed, as of the test that it belongs to.
    report: bytes | None
    #: The output and the warnings of the teardowns, as messages of a child.
    shown: tuple[Any, ...]
    coverage: bytes | None
    #: Output of exit handlers: (1 or 2, data). In plain pytest it follows the last line.
    at_exit: tuple[tuple[int, bytes], ...] = ()
