"""The loan of a watch's terminal to a rerun: for its debugger, or for all of its tests."""

from __future__ import annotations

import contextlib

from pytest_hotreload.watch.interfaces import TerminalContext


class TerminalLoan:
    """Lends the terminal to a rerun; ``held`` says whether the rerun owns it now."""

    def __init__(self, watch: TerminalContext) -> None:
        self._watch = watch
        self._lent: contextlib.ExitStack | None = None

    @property
    def held(self) -> bool:
        return self._lent is not None

    def begin(self) -> None:
        """Lend the terminal: the watcher reads no keys until :meth:`end`. Idempotent."""
        if self._lent is None:
            self._lent = contextlib.ExitStack()
            self._lent.enter_context(self._watch.lend_terminal())

    def end(self) -> None:
        """Return the terminal to the watcher, if it was lent.

        A Ctrl-C that came before was meant for the rerun, and the watcher discards it.
        """
        if self._lent is not None:
            self._watch.hear_signals()
            lent, self._lent = self._lent, None
            lent.close()
