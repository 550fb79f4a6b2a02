"""Lets one child run several files: its memory is restored after each file, instead of forking another child.

See docs/design/rewind.md. The snapshot is taken after the resets whose results only the kernel keeps (process
group, parent-death signal, files behind the capture), and before everything that depends on the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_hotreload._native import Rewinder, RewindRefused, leave_board
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.fork_messages import RewindMode, Start
from pytest_hotreload.process.messages import NotRewound, Rewound
from pytest_hotreload.records.saving import Usage
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.world import sockets

#: The files that one process runs at most. State that the checks can't see cannot accumulate longer than that.
MOST_FILES = 200
#: The memory for original pages, in bytes: a child that changed more than that is replaced by a fresh fork. A
#: heavy suite needs 47 MB (docs/design/rewind.md).
_MOST_STORED = 512 << 20


class ChildRewinding:
    """The rewinding of this process. Its fields are part of the restored memory, like everything else in Python."""

    def __init__(self, rewinder: Rewinder, end: sockets.socket) -> None:
        self._rewinder, self._end = rewinder, end

    def snapshot(self, start: Start) -> Start:
        """Take the snapshot. Returns once for each file that this process runs, with the request for that file.

        Raises RewindRefused if there can be no snapshot; then nothing has changed.
        """
        if not self._rewinder.snapshot():
            return start
        found = self._rewinder.statistics()
        channel = Channel(self._end)
        told = Rewound(Usage.now().cpu, found["mismatched_pages"], found["total_ns"])
        channel.send(-1, told)
        if told.mismatched:
            os._exit(0)
        while True:
            _, request = channel.receive()
            if type(request) is Start:
                return request

    def again(self, start: Start) -> None:
        """Restore the memory, and continue where :meth:`snapshot` returns; comes back only if that is refused."""
        if self._rewinder.statistics()["rewinds"] >= MOST_FILES - 1:
            return
        leave_board()
        try:
            self._rewinder.rewind(start.rewind == RewindMode.VERIFY)
        except RewindRefused as error:
            Channel(self._end).send(-1, NotRewound(str(error)))


def begin(start: Start, end: sockets.socket) -> tuple[Start, ChildRewinding | None]:
    """Take the snapshot if the request asks for it.

    Returns the request for the file to run, and None in place of the rewinding if this process runs one file only.
    """
    if start.rewind == RewindMode.NO:
        return start, None
    try:
        rewinding = ChildRewinding(Rewinder("auto", _MOST_STORED, True), end)
        start = rewinding.snapshot(start)
    except RewindRefused as error:
        Channel(end).send(-1, NotRewound(str(error), lasting=True))
        return start, None
    return start, rewinding if start.rewind != RewindMode.NO else None
