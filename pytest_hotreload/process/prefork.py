"""Prefork: keeps one idle child ready so that the next request need not wait for ``fork()``.

Forking a large process takes as long as the rest of a short call. A fork point may therefore keep one child
ready, and fork the next one while this one works. The idle child has touched nothing that a child touches, so
it is equivalent to a freshly forked one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_messages import Start
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


class Prefork:
    """The idle child of a fork point, if there is one."""

    def __init__(self, begin: Callable[[], None]) -> None:
        #: The first steps of each child, which need no request. An idle child has already done them.
        self.begin = begin
        self.pid = 0
        self._ours: Channel | None = None
        self._theirs: Channel | None = None
        self._wanted = False

    def request(self) -> None:
        """Allow the next prefork, because a request arrived.

        A child that died before it was requested is not replaced until the next request.
        """
        self._wanted = True

    def is_due(self) -> bool:
        """Return whether another child should be forked now."""
        return self._wanted and not self.pid

    def prepare(self) -> None:
        """Create the channel to the child, before the fork. Raises OSError."""
        self._wanted = False
        self._ours, self._theirs = pair()

    def forked(self, pid: int) -> None:
        """Register the child, in the fork point; ``pid`` 0 means that the fork failed."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None
        self.pid = pid
        if not pid:
            self.abandon()

    def hand_over(self, start: Start, descriptors: Sequence[int]) -> int:
        """Pass the request to the idle child and return its process id, or 0 if there is no idle child any more."""
        pid, channel = self.pid, self._ours
        if not pid or channel is None:
            return 0
        try:
            channel.send_with(start, descriptors)
        except OSError:  # the child was killed; reaping it reports that
            pid = 0
        self.discard()
        return pid

    def discard(self) -> None:
        """Forget the idle child."""
        self.pid = 0
        self.abandon()

    def abandon(self) -> None:
        """Close the end of the channel that belongs to the fork point; another child must not hold it open."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    def wait(self) -> tuple[Start, list[int]]:
        """Wait for the request, in the idle child. Raises EOFError if no request can come any more."""
        assert self._theirs is not None
        channel = self._theirs
        channel.descriptors = []
        _, start = channel.receive()
        channel.close()
        return start, channel.descriptors
