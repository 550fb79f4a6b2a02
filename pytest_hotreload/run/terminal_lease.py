"""Lends the terminal to the debugger of one child.

During the lease nothing is shown, and Ctrl-C belongs to the debugger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.compat import pytest_output
from pytest_hotreload.process.fork_messages import Answer
from pytest_hotreload.world import BUILTINS, os, signal

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.interfaces import TerminalOwner


class Lease:
    """Holds the terminal lease.

    ``holder`` is the child that has the terminal. The owner reads keys when no child has the terminal.
    """

    def __init__(self, config: pytest.Config, owner: TerminalOwner | None) -> None:
        self._config, self._owner = config, owner
        self.holder: RunningChild | None = None
        self._handler: Any = None

    def grant(self, running: RunningChild) -> None:
        """Give the terminal to a child that asked for it and waits."""
        asked, running.waiting = running.waiting, None
        assert asked is not None
        self.holder = running
        if self._owner is not None:
            self._owner.borrow()
        pytest_output.flush_terminal(self._config)
        self._handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        running.slot.channel.send(-1, Answer(asked.number, os.getpgrp()))

    def end_of(self, running: RunningChild) -> None:
        """Take the terminal back if this child has it, because the child continues or is gone."""
        if running is self.holder:
            self.end()

    def end(self) -> None:
        """Take the terminal back, whichever child has it."""
        if self.holder is not None:
            self.holder = None
            if self._owner is not None:
                self._owner.give_back()
            signal.signal(signal.SIGINT, self._handler)
