"""The page of memory that the controller shares with a child: the current item, and the first collision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pytest_hotreload.world import BUILTINS, mmap, os, struct

__builtins__ = BUILTINS


@dataclass(frozen=True)
class Collision:
    """A resource that two living children can't both use."""

    #: The kind of resource: ``BIND``, ``CONNECT`` or ``PATH``.
    what: int
    #: The item that ran.
    index: int
    #: An item of the other child's file, or -1 if that child is unknown.
    holder: int
    #: The address or path.
    subject: str

    BIND: ClassVar[int] = 1
    CONNECT: ClassVar[int] = 2
    PATH: ClassVar[int] = 3


class Progress:
    """A page of memory that the controller shares with one child, for the current item and the first collision.

    The child writes the page without a system call before each phase, so that a death or a hang can be
    attributed to the exact item and phase. The controller can read the page at any time.
    """

    PHASES = ("start", "setup", "call", "teardown", "finish", "end")
    _LAYOUT = struct.Struct("=iBd")
    #: The collision, which ``_native.join_board`` lets this child write: a state (2: complete), the kind of
    #: use, the item, the first item of the other child plus 1, and the length of the text that follows.
    _COLLISION, _COLLISION_AT = struct.Struct("=QIIQQ"), 16
    _COMPLETE = 2

    def __init__(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size < mmap.PAGESIZE:
            os.ftruncate(descriptor, mmap.PAGESIZE)
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    def clear(self) -> None:
        """Reset the page: no item runs, and there is no collision."""
        self._LAYOUT.pack_into(self._page, 0, -1, 0, 0.0)
        self._COLLISION.pack_into(self._page, self._COLLISION_AT, 0, 0, 0, 0, 0)

    def write(self, index: int, phase: int, at: float) -> None:
        """Note the item and the phase.

        ``at``: seconds of the monotonic clock, which all processes of a machine share.
        """
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def begin_again(self, at: float) -> None:
        """Restart the clock of the current phase: the time before was not the test's own."""
        index, phase, _ = self._LAYOUT.unpack_from(self._page, 0)
        self._LAYOUT.pack_into(self._page, 0, index, phase, at)

    def read(self) -> tuple[int, str, float]:
        """Return (item index or -1, name of the phase, monotonic second at which it began)."""
        index, phase, at = self._LAYOUT.unpack_from(self._page, 0)
        return index, self.PHASES[phase], at

    def collision(self) -> Collision | None:
        """Return the first resource that this child used while another child held it, or None."""
        state, what, index, holder, length = self._COLLISION.unpack_from(self._page, self._COLLISION_AT)
        if state != self._COMPLETE:
            return None
        start = self._COLLISION_AT + self._COLLISION.size
        return Collision(what, index, holder - 1, os.fsdecode(self._page[start : start + length]))

    def close(self) -> None:
        self._page.close()
