"""What its parts ask of the watcher: keys, and reruns."""

from __future__ import annotations

import contextlib
from typing import Protocol

from pytest_hotreload.watch.protocol import Loaded, Waiting
from pytest_hotreload.watch.requests import RunRequest


class WatchActions(Protocol):
    """What keys can do. ``paused``: edits wait."""

    paused: bool

    def ask(self, run_request: RunRequest) -> None:
        """Run this next; what runs now is stopped."""

    def renew(self, reason: str) -> None:
        """A new template, as soon as what runs in the old one has torn down what it set up."""

    def quit(self) -> None:
        """By the key, or at the end of the input."""


class WatchContext(Protocol):
    """What reruns need to know, and to tell. ``paused``: edits wait. ``over``: the exit status, at the end."""

    paused: bool
    over: int | None

    @property
    def renews(self) -> bool:
        """Whether a new template is to come."""

    @property
    def told_of_all(self) -> bool:
        """Whether the system tells of each change."""

    def news(self) -> str:
        """Why the next rerun comes from new fork points, or a new template, in words; told once."""

    def greet(self, waiting: Waiting) -> None:
        """The header, once."""

    def loaded(self, message: Loaded) -> None:
        """What a rerun learned: of what the next fork points are made."""

    def broken(self, what: str) -> None:
        """Nothing can run until something changes."""


class TerminalContext(Protocol):
    """What a loan of the terminal needs."""

    def lend_terminal(self) -> contextlib.AbstractContextManager[None]:
        """Nobody reads keys meanwhile."""

    def hear_signals(self) -> None:
        """What came until now: a Ctrl-C is the debugger's as long as the terminal is lent."""
