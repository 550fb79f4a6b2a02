"""Interfaces of a run in progress, as the report uses them.

Only type checkers import this module during a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_hotreload.process.fork_server import ForkPoint
    from pytest_hotreload.process.messages import Ended
    from pytest_hotreload.process.slots import Slot


class FileGroup(Protocol):
    """The tests that one child runs."""

    path: str
    #: The reason for which the child is self-collecting, or "".
    alone: str

    @property
    def indices(self) -> Sequence[int]: ...


class RunningChild(Protocol):
    """A child, as :class:`run.children.RunningChild` describes it."""

    token: int
    slot: Slot
    point: ForkPoint
    began: float
    spent: float
    status: int | None
    because: str
    collided: int | None
    ended: Ended | None

    @property
    def group(self) -> FileGroup: ...


class Shows(Protocol):
    """Shows the results of children."""

    def advance(self) -> None: ...
