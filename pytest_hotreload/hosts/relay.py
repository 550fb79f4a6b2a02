"""The receiver of a host's results: sends them to the user's controller instead of showing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.hosts.protocol import Absent, ItemMessages, Late
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.hosts.role import HostRole
    from pytest_hotreload.run.gathered.merge import Merger


class Relay:
    """A :class:`interfaces.Receiver` that shows nothing: it sends an item's messages when the item is complete.

    Therefore neither a second try on this host nor its loss leaves an item with some of its messages sent.
    """

    done, stopping, interrupted, memo = False, False, False, None
    gathered: Merger | None = None

    def __init__(self, host: HostRole, items: int) -> None:
        self.host, self.head = host, items
        #: Index of an item here -> index in the user's controller.
        self.theirs: dict[int, int] = {}
        self._queues: dict[int, list[Any]] = {}
        self._complete: set[int] = set()

    def feed(self, index: int, message: Any) -> None:
        """Keep a message of the item. A message after the item's completion is sent at once."""
        if index in self._complete:
            self.host.send(Late(self.theirs[index], message))
        else:
            self._queues.setdefault(index, []).append(message)

    def complete(self, index: int) -> None:
        """Send the item's messages, because no more will come."""
        if index not in self._complete:
            self._complete.add(index)
            self.host.send(ItemMessages(self.theirs[index], tuple(self._queues.pop(index, ()))))

    def leave_out(self, index: int) -> None:
        """Report that the item has no result here.

        A run with hosts leaves out no item by itself, so the user's controller treats the item as missing.
        """
        self._queues.pop(index, None)
        if index not in self._complete:
            self._complete.add(index)
            self.host.send(Absent(self.theirs[index], hosts_messages.left_out()))

    def is_complete(self, index: int) -> bool:
        return index in self._complete

    def forget(self, index: int) -> None:
        """Drop the kept messages, because the item will run again."""
        self._queues.pop(index, None)

    def can_run_again(self, index: int) -> bool:
        """Whether no message of this item has been sent."""
        return index not in self._complete

    def again(self, index: int) -> None:
        """Note that this host received the item again."""
        self._complete.discard(index)

    def advance(self) -> None:
        """Do nothing: the user's controller shows the results."""

    def hold(self, index: int) -> None:
        """Do nothing: a host has no fixture processes."""

    def release(self, index: int, shown: Sequence[Any], failed: Sequence[pytest.TestReport]) -> None:
        """Do nothing: a host has no fixture processes."""

    def show_rest(self) -> None:
        """Do nothing: a host has no fixture processes."""

    def show(self, index: int, report: pytest.TestReport) -> None:  # noqa: ARG002 - the last item here
        """Send a report that belongs to no item; the user's controller shows it with the last item."""
        self.host.send(Late(-1, report))
