"""The messages of a host about its items, as the controller receives them."""

from __future__ import annotations

from typing import Any

from pytest_hotreload.hosts import messages
from pytest_hotreload.hosts.protocol import Absent, ItemMessages
from pytest_hotreload.hosts.relay import Relay
from pytest_hotreload.process.messages import ItemFinished, ItemStarted


class _Host:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def _relay(host: Any) -> Relay:
    relay = Relay(host, 2)
    relay.theirs = {0: 7, 1: 8}
    return relay


def test_an_item_that_is_left_out_is_missing_there() -> None:
    """No item may vanish: what has no result is told, once, and nothing half."""
    host = _Host()
    relay = _relay(host)
    relay.feed(0, ItemStarted())
    relay.leave_out(0)
    relay.leave_out(0)
    assert host.sent == [Absent(7, messages.left_out())]
    assert relay.is_complete(0)
    assert not relay.can_run_again(0)


def test_an_item_that_was_told_is_not_taken_back() -> None:
    host = _Host()
    relay = _relay(host)
    for message in (ItemStarted(), ItemFinished()):
        relay.feed(1, message)
    relay.complete(1)
    relay.leave_out(1)
    assert host.sent == [ItemMessages(8, (ItemStarted(), ItemFinished()))]


def test_an_item_that_was_left_out_may_be_given_anew() -> None:
    host = _Host()
    relay = _relay(host)
    relay.leave_out(0)
    relay.again(0)
    relay.feed(0, ItemFinished())
    relay.complete(0)
    assert host.sent[1:] == [ItemMessages(7, (ItemFinished(),))]
