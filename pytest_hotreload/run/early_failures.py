"""Names failures that are known but not yet shown, because an earlier test file is still running.

Results are shown in pytest's order. On a terminal, a line shows what is running; a program or a CI log would
otherwise learn nothing for as long as the first file takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hotreload.compat import console, pytest_output
from pytest_hotreload.process import fork_state
from pytest_hotreload.run import messages
from pytest_hotreload.world import BUILTINS, os, pytest, time

__builtins__ = BUILTINS

#: Seconds for which a failure waits before it is named. Most are shown within this time, and a file that used
#: what another one used runs again alone.
_PATIENCE = 1.0

#: So many failures are named in a run. Where a broken helper fails a hundred tests, a line for each would bury the
#: output of pytest, which shows all of them.
_NAMED_AT_MOST = 10


class EarlyFailures:
    """The failures that wait. Each is named once, on standard error."""

    def __init__(self, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
        self._config, self._items = config, items
        self._since: dict[int, float] = {}
        self._named: set[int] = set()
        self._enabled = not (
            console.is_quiet(config)
            or console.TOLD in config.stash
            or pytest_output.terminal_reporter(config) is None
            or os.isatty(1)
            or not pytest_output.stderr_is_real()
        )

    def note(self, index: int) -> None:
        """Note that a test has failed whose results can't be shown yet."""
        if self._enabled and index not in self._named:
            self._since.setdefault(index, time.monotonic())

    def forget(self, index: int) -> None:
        """Forget a failure, because the test runs again."""
        self._since.pop(index, None)

    def tell(self, head: int) -> None:
        """Name the failures that have waited long enough for the head."""
        if not self._enabled or not self._since:
            return
        now = time.monotonic()
        for index, since in list(self._since.items()):
            if index <= head:
                del self._since[index]
            elif now - since >= _PATIENCE:
                del self._since[index]
                if len(self._named) == _NAMED_AT_MOST:
                    self._enabled = False
                    self._say(messages.more_known_failures(self._items[head].nodeid))
                    return
                self._named.add(index)
                self._say(messages.known_failure(self._items[index].nodeid, self._items[head].nodeid))

    def _say(self, text: str) -> None:
        if os.path.sameopenfile(1, 2):  # pytest's line of dots must end first
            console.notice(self._config, text)
        else:
            fork_state.write_all([(2, f"{console.PREFIX}{text}\n".encode("utf-8", "replace"))])
