"""Decides which children are rewound after their group, and counts them. See docs/design/rewind.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_hotreload.process.fork_messages import RewindMode
from pytest_hotreload.run import messages
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_hotreload.options import Options
    from pytest_hotreload.process.messages import NotRewound, Rewound
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.schedule import Group

#: The exit status of a child whose memory could be restored only in part (``REWIND_BROKEN`` in
#: ``rust/src/rewind``). Its results were complete by then.
BROKEN = 113


class Rewinding:
    """The rewinding of one run: on until a snapshot fails, or a comparison finds a difference."""

    def __init__(self, options: Options, items: Sequence[pytest.Item], totals: Totals) -> None:
        self._items, self._totals = items, totals
        self._always = options.rewind == "verify"
        self._is_on = options.rewind != "off" and options.isolate != "worker" and not options.direct
        self._verified = False
        self._refuses: dict[str, bool] = {}

    def mode(self, group: Group, waiting: int) -> int:
        """Return the :class:`RewindMode` of the child that runs this group.

        ``waiting``: how many more groups there are than free slots. Without any, the child would wait for nothing.
        """
        if waiting <= 0 or self.needs_fork(group):
            return RewindMode.NO
        return RewindMode.YES if self._verified and not self._always else RewindMode.VERIFY

    def needs_fork(self, group: Group) -> bool:
        """Whether this group must not run in a rewound process, even if one waits already.

        After a difference, what was rewound without a comparison is not trusted either.
        """
        return not self._is_on or self._refused_by(group)

    def _refused_by(self, group: Group) -> bool:
        """Whether the marker of a test in this file asks for a process of its own."""
        found = self._refuses.get(group.path)
        if found is None:
            marks = (mark for index in group.indices for mark in self._items[index].iter_markers("hotreload"))
            found = any(mark.kwargs.get("rewind", True) is not True for mark in marks)
            self._refuses[group.path] = found
        return found

    def done(self, message: Rewound) -> None:
        """Note a child that was rewound."""
        totals = self._totals
        if message.mismatched:
            self._is_on = False
            totals.notices.append(messages.rewind_differs(message.mismatched))
            return
        self._verified = True
        totals.rewound += 1
        totals.rewind_seconds += message.nanoseconds / 1e9

    def refused(self, message: NotRewound) -> None:
        """Note a child that could not be rewound."""
        self._is_on = self._is_on and not message.lasting
        refusals = self._totals.rewind_refusals
        refusals[message.reason] = refusals.get(message.reason, 0) + 1

    def broke(self, running: RunningChild) -> bool:
        """Whether a child ended well, and died only while its memory was restored."""
        status = running.status or 0
        if running.ended is None or not os.WIFEXITED(status) or os.WEXITSTATUS(status) != BROKEN:
            return False
        refusals, reason = self._totals.rewind_refusals, messages.REWIND_BROKE
        refusals[reason] = refusals.get(reason, 0) + 1
        return True
