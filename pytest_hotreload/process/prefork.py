"""A child that was forked ahead, and waits for the request that it shall be.

To fork a large process takes as long as all the rest of a short call. So a fork point may have one child ready, and
fork the next while this one works. It has touched nothing that a child touches, so it is as a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.messages import Start
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


class Prefork:
    """In a fork point: the child that waits, if there is one.

    ``begin``: what each child does first, needing no request; one that waits has done it before.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin
        self.pid = 0
        self._ours: Channel | None = None
        self._theirs: Channel | None = None
        self._wanted = False

    def request(self) -> None:
        """One is worth it: there was a request. One that died unasked is not replaced before the next."""
        self._wanted = True

    def is_due(self) -> bool:
        """Whether another should be forked now."""
        return self._wanted and not self.pid

    def prepare(self) -> None:
        """Before the fork. Raises OSError."""
        self._wanted = False
        self._ours, self._theirs = pair()

    def forked(self, pid: int) -> None:
        """In the fork point; 0: it could not be done."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None
        self.pid = pid
        if not pid:
            self.abandon()

    def hand_over(self, start: Start, descriptors: Sequence[int]) -> int:
        """Let the one that waits be what ``start`` asks for. Its process id; 0 if there is none, or no longer."""
        pid, channel = self.pid, self._ours
        if not pid or channel is None:
            return 0
        try:
            channel.send_with(start, descriptors)
        except OSError:  # it was killed; who reaps it says so
            pid = 0
        self.discard()
        return pid

    def discard(self) -> None:
        """There is none."""
        self.pid = 0
        self.abandon()

    def abandon(self) -> None:
        """In another child, which must not keep the end from the one that waits."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    def wait(self) -> tuple[Start, list[int]]:
        """In the child. Raises EOFError if nobody will ask."""
        assert self._theirs is not None
        channel = self._theirs
        channel.descriptors = []
        _, start = channel.receive()
        channel.close()
        return start, channel.descriptors
