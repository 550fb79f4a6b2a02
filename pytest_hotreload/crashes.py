"""A process that died in the middle of a test: that test fails by itself, the rest runs on.

Plain pytest dies with the test, without a summary, or is silently green after ``os._exit(0)``.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from . import compat, terminal
from .protocol import ItemFinished, ItemStarted
from .schedule import Group

if TYPE_CHECKING:
    from .children import Running
    from .controller import RunLoop

#: pytest-timeout's thread method prints this and leaves by ``os._exit(1)``: a time-out, not a crash.
_TIMEOUT_BANNER = "+++ Timeout +++"


class Crashes:
    """Makes the reports that a dead child could not make."""

    def __init__(self, loop: RunLoop) -> None:
        self.loop = loop

    def died(self, running: Running) -> None:
        """Fail the item that was running; run what is left of the group in a new child."""
        replay = self.loop.replay
        index, phase, since = running.over or running.slot.files.progress.read()
        unfinished = [i for i in running.assigned if not replay.is_complete(i)]
        if index not in running.assigned:
            index, phase = (unfinished or running.assigned)[0], "start"
        if phase == "finish" and index != running.assigned[-1]:
            # It died between two tests: the next one is the one that never began.
            index, phase = unfinished[0], "start"
        if self._is_innocent(running, phase):
            self._run_again(running, index, unfinished)
            return
        if self._may_be_the_forks_fault(running, phase):
            self._run_apart(running, index)
        else:
            self._fail(running, index, phase, since)
        rest = [i for i in unfinished if i != index]
        if rest and not self.loop.interrupts:
            self.loop.schedule.again(Group(running.group.path, rest, alone=running.group.alone))

    def _may_be_the_forks_fault(self, running: Running, phase: str) -> bool:
        """A forked child that a signal ended, or that hung, gets one more try in a fresh process.

        Only if nothing of the test is shown yet, and not where we ended it for its own time.
        """
        return (running.hung or (killed_by_signal(running.status) and not running.because)) and not (
            running.group.alone
            or running.group.tries
            or self.loop.options.direct
            or self.loop.interrupts
            or phase not in ("start", "setup", "call")
        )

    def _run_apart(self, running: Running, index: int) -> None:
        loop, group = self.loop, running.group
        loop.replay.forget(index)
        loop.schedule.again(Group(group.path, [index], alone="again", tries=1))
        what = running.because or terminal.status_text(running.status or 0)
        path = os.path.relpath(group.path, loop.config.rootpath)
        loop.totals.notices.append(terminal.again_after_signal(path, loop.items[index].name, what))

    def shared_teardown_failed(self, error: BaseException) -> None:
        """The teardown of a fixture that was set up once: an error of the last test, as in plain pytest."""
        item = self.loop.items[min(self.loop.replay.head, len(self.loop.items) - 1)]
        report = _new_report(item, "teardown", compat.internal_error_text(self.loop.config, error), [], 0.0)
        item.ihook.pytest_runtest_logreport(report=report)

    def _is_innocent(self, running: Running, phase: str) -> bool:
        """Whether the child only went with its fork point, and nothing of the test is shown yet.

        Once: a test that kills its parent would do so again.
        """
        return (
            running.point not in self.loop.children.points
            and not running.because
            and not running.group.tries
            and phase in ("start", "setup", "call")
        )

    def _run_again(self, running: Running, index: int, unfinished: list[int]) -> None:
        loop, group = self.loop, running.group
        if loop.interrupts:
            return
        loop.replay.forget(index)
        loop.schedule.again(Group(group.path, unfinished, alone=group.alone, tries=1))
        path = os.path.relpath(group.path, loop.config.rootpath)
        name = loop.items[index].name
        loop.totals.notices.append(terminal.again_after_signal(path, name, "lost its fork point"))

    def _fail(self, running: Running, index: int, phase: str, since: float) -> None:
        loop = self.loop
        item = loop.items[index]
        report = self._report(running, item, phase, since)
        if loop.interrupts:
            return
        if loop.nodes.crashed(item, report):
            loop.replay.forget(index)
            loop.schedule.again(Group(running.group.path, [index], alone=running.group.alone))
            return
        if phase == "start":
            loop.replay.feed(index, ItemStarted())
        loop.replay.feed(index, report)
        if phase not in ("finish", "end"):
            loop.replay.feed(index, ItemFinished())
        loop.replay.complete(index)

    def missing(self, index: int, reason: str) -> None:
        """An item that a child which collects for itself did not find: an error of that item."""
        replay, item = self.loop.replay, self.loop.items[index]
        replay.feed(index, ItemStarted())
        replay.feed(index, _new_report(item, "setup", reason, [], 0.0))
        replay.feed(index, ItemFinished())
        replay.complete(index)

    def _report(self, running: Running, item: pytest.Item, phase: str, since: float) -> pytest.TestReport:
        files = running.slot.files
        when = {"setup": "setup", "teardown": "teardown", "finish": "teardown", "end": "teardown"}
        shown = when.get(phase, "call")
        because = running.because
        sections = [
            (f"Captured {name} {shown}", text)
            for name, text in (("stdout", files.text("out")), ("stderr", files.text("err")))
            if text
        ]
        printed = files.printed_rest()
        if not because and _TIMEOUT_BANNER in printed + files.text("err"):
            because = "was ended by pytest-timeout (thread method)"
        if printed:
            sections.append((f"Printed past the capture {shown}", printed))
        text = terminal.died(phase, running.status if running.status is not None else -1, because)
        stacks = files.text("fault").strip()
        if stacks:
            text += "\n\n" + stacks
        seconds = max(0.0, time.monotonic() - since) if since else 0.0
        return _new_report(item, shown, text, sections, seconds)


def _new_report(
    item: pytest.Item, when: Any, text: str, sections: list[tuple[str, str]], seconds: float
) -> pytest.TestReport:
    now = time.time()
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=text,
        when=when,
        sections=sections,
        duration=seconds,
        start=now - seconds,
        stop=now,
    )


def killed_by_signal(status: int | None) -> bool:
    """Whether a wait status tells of a signal."""
    return status is not None and status >= 0 and os.WIFSIGNALED(status)
