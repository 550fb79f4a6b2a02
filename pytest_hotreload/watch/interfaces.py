"""Protocols that the watcher implements for key bindings, reruns and the terminal loan."""

from __future__ import annotations

import contextlib
from typing import Protocol

from pytest_hotreload.watch.protocol import Loaded, Waiting
from pytest_hotreload.watch.requests import RunRequest


class WatchActions(Protocol):
    """The watcher's actions for key bindings."""

    #: Whether edits wait.
    paused: bool

    def ask(self, run_request: RunRequest) -> None:
        """Run this request next, and cancel the current rerun."""

    def renew(self, reason: str) -> None:
        """Start a new template, as soon as the current rerun has finished its teardown."""

    def quit(self) -> None:
        """End the watch, after the key or at the end of the input."""


class WatchContext(Protocol):
    """The part of the watcher that the rerun queue uses."""

    #: Whether edits wait.
    paused: bool
    #: The exit status as soon as the watch is to end; None before.
    over: int | None

    @property
    def renews(self) -> bool:
        """Whether a new template is about to be started."""

    @property
    def told_of_all(self) -> bool:
        """Whether the operating system notifies the watcher of each change."""

    def news(self) -> str:
        """The reason for new fork points or a new template, in words.

        The reason is returned once, then "" until there is another one.
        """

    def greet(self, waiting: Waiting) -> None:
        """Show the header, once."""

    def loaded(self, message: Loaded) -> None:
        """Take in what a rerun learned, from which the next fork points are planned."""

    def broken(self, what: str) -> None:
        """Report a problem because of which nothing can run before the next change."""


class TerminalContext(Protocol):
    """The part of the watcher that a terminal loan uses."""

    def lend_terminal(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the watcher reads no keys."""

    def hear_signals(self) -> None:
        """Handle the signals received so far. While the terminal is lent, a Ctrl-C belongs to the debugger."""
