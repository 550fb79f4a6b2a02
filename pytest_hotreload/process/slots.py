"""Slots: each runs one child at a time under a worker id, and owns the files that the child writes to.

The files belong to the controller and outlive each child, so that the output that a child captured, printed
or dumped before it died can still be read. The files have no name and vanish with the last process that holds
them.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_hotreload._native import BOARD_BYTES
from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.progress import Progress
from pytest_hotreload.world import BUILTINS, fcntl, os, tempfile

__builtins__ = BUILTINS

#: The order in which the descriptors of a slot are passed to a process that is not a fork of the controller.
FILES: Final = ("out", "err", "printed_out", "printed_err", "fault")
#: The number of passed descriptors, including the progress page and the board.
TRAVELLING: Final = len(FILES) + 2


def anonymous_file(name: str) -> int:
    """Create a file without a name, private to this user and not inherited across an exec."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(buffering=0) as file:  # macOS
        descriptor = os.dup(file.fileno())
    os.set_inheritable(descriptor, False)
    return descriptor


def new_board() -> int:
    """Create the memory in which all children of a run note the ports that they bind and the paths that they write."""
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
    """The files of a slot.

    These are the captured output, the output that bypassed the capture, faulthandler's file and the progress
    page.
    """

    def __init__(
        self,
        descriptors: dict[str, int] | None = None,
        page: int | None = None,
        *,
        one_stream: bool = False,
        board: int = -1,
    ) -> None:
        self._owned = descriptors is None
        #: The board that all children of the run share (``_native.join_board``), or -1 if only one child lives
        #: at a time.
        self.board = board
        self.fds = descriptors or _new_files(one_stream)
        #: Standard output and error, or output alone if both go to one place (``2>&1``, a terminal), so that
        #: their order is kept. The files use O_APPEND because they are truncated while writers hold them open.
        self.printed: tuple[tuple[int, str], ...] = ((1, "printed_out"), (2, "printed_err"))
        if os.path.sameopenfile(self.fds["printed_out"], self.fds["printed_err"]):
            self.printed = self.printed[:1]
        #: Bytes already taken from each file: in a child, into messages; in the controller, from messages.
        self.taken = {1: 0, 2: 0}
        self.page = anonymous_file("hotreload-progress") if page is None else page
        self.progress = Progress(self.page)

    def reset(self) -> None:
        """Empty all files for the next child."""
        for descriptor in self.fds.values():
            if os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        self.taken = {1: 0, 2: 0}
        self.progress.clear()

    def sizes(self) -> tuple[int, ...]:
        """Return the number of bytes in each of the files."""
        return tuple(os.fstat(descriptor).st_size for descriptor in self.fds.values())

    def text(self, name: str) -> str:
        """Return the whole content of one of the files."""
        return self._from(name, 0).decode("utf-8", "replace")

    def last_line(self) -> str:
        """Return the last line that was printed, captured or not."""
        lines = (self.text("out") + self.text("printed_out")).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def printed_rest(self) -> str:
        """Return the output that bypassed the capture and that no message contains."""
        rest = (self._from(name, self.taken[fd]) for fd, name in self.printed)
        return b"".join(rest).decode("utf-8", "replace")

    def take_printed(self) -> list[tuple[int, bytes]]:
        """Return the output that bypassed the capture since the last call, as (1 or 2, data)."""
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
        """Return every descriptor: those of :data:`FILES` in order, the page, and the board.

        Without a board, the page takes the board's place.
        """
        return [*self._own(), self.board if self.board >= 0 else self.page]

    def _own(self) -> list[int]:
        return [self.fds[name] for name in FILES] + [self.page]

    @classmethod
    def received(cls, descriptors: list[int]) -> SlotFiles:
        """Build the files from the descriptors that :meth:`descriptors` returned in another process."""
        *files, page, board = descriptors
        there_is_none = os.path.sameopenfile(page, board)
        return cls(dict(zip(FILES, files, strict=True)), page, board=-1 if there_is_none else board)

    def close(self) -> None:
        self.progress.close()
        for descriptor in self._own():
            os.close(descriptor)


class Slot:
    """A place in which one child runs at a time. ``channel`` and ``child_end`` serve one child after the other."""

    def __init__(self, index: int, *, alone: bool, one_stream: bool = False, board: int = -1) -> None:
        self.index = index
        self.worker_id = "master" if alone else f"gw{index}"
        self.files = SlotFiles(one_stream=one_stream, board=board)
        self.channel, self.child_end = pair()
        self.channel.tolerate()
        #: xdist's view of the slot, or None if there is only one slot.
        self.node: Any = None
        self.running: Any = None

    def reset(self) -> None:
        """Prepare for the next child: clear the files, and both ends of the channel.

        Otherwise the next child would receive an answer that the previous one did not wait for.
        """
        self.files.reset()
        for end in (self.channel, self.child_end):
            end.drain()
            end.renew()

    def descriptors(self) -> list[int]:
        """Return the descriptors for a child that is not a fork: the files, the page, and its end of the channel."""
        return [*self.files.descriptors(), self.child_end.fileno()]

    def close(self) -> None:
        self.files.close()
        self.channel.close()
        self.child_end.close()
