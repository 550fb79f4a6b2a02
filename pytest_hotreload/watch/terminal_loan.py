"""The terminal of a watch, lent to a rerun: to its debugger, or for all of its tests."""

from __future__ import annotations

import contextlib

from pytest_hotreload.watch.interfaces import TerminalContext


class TerminalLoan:
    """``held``: whether the terminal is the rerun's."""

    def __init__(self, watch: TerminalContext) -> None:
        self._watch = watch
        self._lent: contextlib.ExitStack | None = None

    @property
    def held(self) -> bool:
        return self._lent is not None

    def begin(self) -> None:
        """Nobody else reads keys until :meth:`end`. More than once does no harm."""
        if self._lent is None:
            self._lent = contextlib.ExitStack()
            self._lent.enter_context(self._watch.lend_terminal())

    def end(self) -> None:
        """Where it was lent: it is the watcher's again, and a Ctrl-C that came before was not meant for it."""
        if self._lent is not None:
            self._watch.hear_signals()
            lent, self._lent = self._lent, None
            lent.close()
