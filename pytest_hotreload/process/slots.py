"""A slot: a parallel place with a worker id, and the files that the child in it writes to.

The files belong to the controller and outlive each child, so that what a child captured, printed
or dumped before it died can still be read. They have no name and die with the last process.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_hotreload._native import BOARD_BYTES
from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.messages import Progress
from pytest_hotreload.world import BUILTINS, fcntl, os, tempfile

__builtins__ = BUILTINS

#: The order in which the descriptors of a slot travel to a process that is no fork of ours.
FILES: Final = ("out", "err", "printed_out", "printed_err", "fault")
#: How many that are, with the page and the board.
TRAVELLING: Final = len(FILES) + 2


def anonymous_file(name: str) -> int:
    """A new file without a name, private to this user and not inherited by an exec."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(buffering=0) as file:  # macOS
        descriptor = os.dup(file.fileno())
    os.set_inheritable(descriptor, False)
    return descriptor


def new_board() -> int:
    """The memory that all children of a run share: which ports they bind, and which paths they write."""
    board = anonymous_file("hotreload-board")
    os.ftruncate(board, BOARD_BYTES)
    return board


def _new_files(one_stream: bool) -> dict[str, int]:
    files = {name: anonymous_file("hotreload-" + name) for name in FILES}
    if one_stream:
        os.dup2(files["printed_out"], files["printed_err"], inheritable=False)
    for name in ("printed_out", "printed_err"):
        flags = fcntl.fcntl(files[name], fcntl.F_GETFL)
        fcntl.fcntl(files[name], fcntl.F_SETFL, flags | os.O_APPEND)
    return files


class SlotFiles:
    """The capture files, what bypassed them, faulthandler's file and the progress page."""

    def __init__(
        self,
        descriptors: dict[str, int] | None = None,
        page: int | None = None,
        *,
        one_stream: bool = False,
        board: int = -1,
    ) -> None:
        self._owned = descriptors is None
        #: What all children of the run share (``_native.join_board``), or -1 where only one lives at a time.
        self.board = board
        self.fds = descriptors or _new_files(one_stream)
        #: Standard output and error, or output alone where both go to one place (``2>&1``, a
        #: terminal): their order is kept. O_APPEND, because these are truncated under open writers.
        self.printed: tuple[tuple[int, str], ...] = ((1, "printed_out"), (2, "printed_err"))
        if os.path.sameopenfile(self.fds["printed_out"], self.fds["printed_err"]):
            self.printed = self.printed[:1]
        #: How much of each was taken: in a child, into messages; in the controller, from messages.
        self.taken = {1: 0, 2: 0}
        self.page = anonymous_file("hotreload-progress") if page is None else page
        self.progress = Progress(self.page)

    def reset(self) -> None:
        """Empty, for the next child."""
        for descriptor in self.fds.values():
            if os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        self.taken = {1: 0, 2: 0}
        self.progress.clear()

    def sizes(self) -> tuple[int, ...]:
        """Bytes in each of the files."""
        return tuple(os.fstat(descriptor).st_size for descriptor in self.fds.values())

    def text(self, name: str) -> str:
        """All that is in one of the files."""
        return self._from(name, 0).decode("utf-8", "replace")

    def last_line(self) -> str:
        """The last line that was printed, captured or not."""
        lines = (self.text("out") + self.text("printed_out")).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def printed_rest(self) -> str:
        """What was printed past the capture and is in no message."""
        rest = (self._from(name, self.taken[fd]) for fd, name in self.printed)
        return b"".join(rest).decode("utf-8", "replace")

    def take_printed(self) -> list[tuple[int, bytes]]:
        """What was printed past the capture since the last time, as (1 or 2, data)."""
        found = []
        for fd, name in self.printed:
            data = self._from(name, self.taken[fd])
            if data:
                self.taken[fd] += len(data)
                found.append((fd, data))
        return found

    def _from(self, name: str, start: int) -> bytes:
        size = os.fstat(self.fds[name]).st_size
        return os.pread(self.fds[name], size - start, start) if size > start else b""

    def descriptors(self) -> list[int]:
        """Every descriptor, in the order of :data:`FILES`, then the page and the board (the page again without one)."""
        return [*self._own(), self.board if self.board >= 0 else self.page]

    def _own(self) -> list[int]:
        return [self.fds[name] for name in FILES] + [self.page]

    @classmethod
    def received(cls, descriptors: list[int]) -> SlotFiles:
        """The other end of :meth:`descriptors`."""
        *files, page, board = descriptors
        there_is_none = os.path.sameopenfile(page, board)
        return cls(dict(zip(FILES, files, strict=True)), page, board=-1 if there_is_none else board)

    def close(self) -> None:
        self.progress.close()
        for descriptor in self._own():
            os.close(descriptor)


class Slot:
    """One place. ``node`` is xdist's idea of it, or None with a single slot.

    ``channel`` and ``child_end`` serve one child after the other.
    """

    def __init__(self, index: int, *, alone: bool, one_stream: bool = False, board: int = -1) -> None:
        self.index = index
        self.worker_id = "master" if alone else f"gw{index}"
        self.files = SlotFiles(one_stream=one_stream, board=board)
        self.channel, self.child_end = pair()
        self.channel.tolerate()
        self.node: Any = None
        self.running: Any = None

    def reset(self) -> None:
        """Ready for the next child: nothing of the last one is left in files or channel, at either end.

        An answer that the last one did not wait for would be the next one's.
        """
        self.files.reset()
        for end in (self.channel, self.child_end):
            end.drain()
            end.renew()

    def descriptors(self) -> list[int]:
        """What a child needs that is no fork of ours: the files, the page, its end of the channel."""
        return [*self.files.descriptors(), self.child_end.fileno()]

    def close(self) -> None:
        self.files.close()
        self.channel.close()
        self.child_end.close()
