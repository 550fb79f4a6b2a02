"""The inputs of a child, and the interface of the object that reports for the child."""

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
        """Reports for a child, as far as a debugger needs that. ``index`` is that of the running test."""

        config: pytest.Config
        index: int

        def collect_printed(self) -> None:
            """Queue the output that bypassed the capture as messages."""


@dataclass
class ChildContext:
    """The inputs of a child besides its items."""

    channel: Channel
    files: SlotFiles
    worker_id: str
    slot: int
    #: The read end of a pipe that closes when the controller dies.
    lifeline: int
    #: Duplicates of the controller's file descriptors 1 and 2, for a debugger.
    real: tuple[int, int]
    #: This child owns the terminal.
    direct: bool = False
    own_group: bool = True
    workerinput: dict[str, Any] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    name: str = ""
    #: The first item that the child runs.
    item: int = 0
    first: bool = True
    #: Whether the child may run another file after this one. A debugger changes what can't be restored.
    rewindable: bool = True
    observer: Observer | None = None


@dataclass
class SlotEnd:
    """A slot as its children use it."""

    socket: Any
    files: SlotFiles
    worker_id: str
    workerinput: dict[str, Any] | None
    environ: dict[str, str]
