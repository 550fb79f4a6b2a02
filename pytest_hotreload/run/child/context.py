"""What a child is given, and what it needs of who reports for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.process.channel import Channel
    from pytest_hotreload.process.slots import SlotFiles
    from pytest_hotreload.records.observer import Observer
    from pytest_hotreload.world import pytest

    class Speaker(Protocol):
        """Who reports for a child, as far as a debugger has to do with it. ``index``: of the test that runs."""

        config: pytest.Config
        index: int

        def collect_printed(self) -> None:
            """Move what bypassed the capture into the stream."""


@dataclass
class ChildContext:
    """What a child is given besides its items.

    ``real``: duplicates of the controller's fd 1 and 2, for a debugger. ``lifeline``: the read end
    of a pipe that closes when the controller dies. ``direct``: this child owns the terminal.
    """

    channel: Channel
    files: SlotFiles
    worker_id: str
    slot: int
    lifeline: int
    real: tuple[int, int]
    direct: bool = False
    own_group: bool = True
    workerinput: dict[str, Any] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    name: str = ""
    first: bool = True
    observer: Observer | None = None
