"""What the report looks at of a run under way. For type checkers; nothing imports it in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_hotreload.process.fork_server import ForkPoint
    from pytest_hotreload.process.messages import Ended
    from pytest_hotreload.process.slots import Slot


class FileGroup(Protocol):
    """The tests that one child runs. ``alone``: why it collects for itself, or ""."""

    path: str
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
    """Shows what children did."""

    def advance(self) -> None: ...
