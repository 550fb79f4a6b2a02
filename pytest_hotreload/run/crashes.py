"""Handles a process that died in the middle of a test: only that test fails, and all other tests run.

Plain pytest dies with the test, without a summary, or passes silently after ``os._exit(0)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_hotreload.compat import console, plugins
from pytest_hotreload.compat.reports import new_report, unpack_report
from pytest_hotreload.process.messages import Ended, ItemFinished, ItemStarted
from pytest_hotreload.process.progress import Collision
from pytest_hotreload.run import messages
from pytest_hotreload.world import BUILTINS, contextlib, os, signal, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.context import RunContext
    from pytest_hotreload.run.fixtures.ends import TornDown
    from pytest_hotreload.run.schedule import Group

#: pytest-timeout's thread method prints this and exits with ``os._exit(1)``: a timeout, not a crash.
_TIMEOUT_BANNER = "+++ Timeout +++"


class Crashes:
    """Makes the reports that a dead child could not make."""

    def __init__(self, context: RunContext) -> None:
        self.context = context

    def died(self, running: RunningChild) -> None:
        """Fail the item that was running, and run the rest of the group in a new child."""
        replay = self.context.replay
        index, phase, since = running.over or running.slot.files.progress.read()
        unfinished = [i for i in running.assigned if not replay.is_complete(i)]
        if index not in running.assigned:
            index, phase = (unfinished or running.assigned)[0], "start"
        if index in running.group.repeated or (phase == "finish" and index != running.assigned[-1]):
            # The child died between two tests: the next test is the one that never started.
            index, phase = unfinished[0], "start"
        # The report of the call may be shown before the next phase begins.
        unseen = self.context.replay.can_run_again(index)
        if unseen and self._is_innocent(running, phase):
            self._run_again(running, index, unfinished)
            return
        if unseen and self._may_be_the_forks_fault(running, phase):
            self._run_apart(running, index)
        else:
            self._fail(running, index, phase, since)
        rest = [i for i in unfinished if i != index]
        if rest and not self.context.interrupted:
            self.context.schedule.again(*running.rest(rest, tries=0))

    def _may_be_the_forks_fault(self, running: RunningChild, phase: str) -> bool:
        """Whether a forked child was ended by a signal, or hung, and so gets one more try in a fresh process.

        The answer is False if a part of the test is shown already, or if the controller ended the child for
        its timeout.
        """
        return (running.hung or (killed_by_signal(running.status) and not running.because)) and not (
            running.group.alone
            or running.group.tries
            or self.context.options.direct
            or self.context.interrupted
            or phase not in ("start", "setup", "call")
        )

    def _run_apart(self, running: RunningChild, index: int) -> None:
        context, group = self.context, running.group_of(index)
        context.replay.forget(index)
        context.schedule.again(group.rest([index], alone="again", tries=1))
        what = running.because or console.status_text(running.status or 0)
        path = context.shown(group.path)
        context.totals.notices.append(messages.again_after_signal(path, context.items[index].name, what))

    def collided(self, running: RunningChild, index: int, address: str) -> None:
        """Stop a child that found an address in use, so that its file runs again alone.

        Another living child may use the address. The rerun happens only once: an address that is
        still in use then is in use in plain pytest, too. The item's report has not been shown yet.
        """
        context, group = self.context, running.group_of(index)
        beside = [other for other in context.children.living if other is not running]
        if (
            group.exclusive
            or not (beside or running.accompanied)
            or context.interrupted
            or context.options.direct
        ):
            return
        self._stop(running, index)
        context.totals.notices.append(
            messages.collided(context.shown(group.path), context.items[index].name, address)
        )

    def contends(self, running: RunningChild) -> bool:
        """Whether the child has a conflict with another child, as its progress page shows; if so, stop it.

        The conflict is a resource that another child uses: an address or a path. Such a conflict does not
        happen in plain pytest. The file runs again alone, as in :meth:`collided`. The results are replaced
        from the item in which the conflict happened, or from the next one if the conflict was in a teardown
        after the outcome was shown.
        """
        if running.collided is not None or running.slot.files.board < 0:
            return running.collided is not None  # without a board, the page shows no conflict
        context = self.context
        found = running.slot.files.progress.collision()
        if found is None:
            return False
        if running.group.exclusive or context.interrupted or context.options.direct:
            return False
        unfinished = [index for index in running.assigned if not context.replay.is_complete(index)]
        index = found.index if found.index in unfinished else next(iter(unfinished), -1)
        if not context.replay.can_run_again(index):
            return False
        self._stop(running, index)
        path = running.group_of(index).path
        other = str(context.items[found.holder].path) if 0 <= found.holder < len(context.items) else ""
        if context.records is not None:
            kind = "write" if found.what == Collision.PATH else "bind"
            context.records.contended(filter(None, (path, other)), kind, found.subject)
        beside = context.shown(other) if other else "another file"
        text = messages.contended(context.shown(path), context.items[index].name, found, beside)
        context.totals.notices.append(text)
        return True

    def _stop(self, running: RunningChild, index: int) -> None:
        """Stop a child as Ctrl-C does, so that it tears down; its later messages about tests are ignored."""
        running.collided, running.collided_at = index, time.monotonic()
        self.context.replay.forget(index)
        if running.pid and running.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGINT)

    def run_alone(self, running: RunningChild) -> None:
        """Run a file again after :meth:`collided` or :meth:`contends`, while no other child is alive.

        All items of the file run, since a test may need state that earlier tests left behind. The outcomes of
        items that were complete already stay as they are. Files that the child had completed do not run again.
        """
        again: list[Group] = []
        for group in running.groups:
            done = frozenset(index for index in group.indices if self.context.replay.is_complete(index))
            if done == set(group.indices):
                continue
            for index in group.indices:
                if index not in done:
                    self.context.replay.forget(index)
            again.append(group.rest(group.indices, exclusive=True, repeated=done))
        if not self.context.interrupted:
            if self.context.records is not None:
                for group in again:
                    self.context.records.begins_anew(group.path)
            self.context.schedule.again(*again)

    def shared_teardown_failed(self, text: str) -> None:
        """Report a failed teardown of a shared fixture as an error of the last test, as in plain pytest."""
        index = min(self.context.replay.head, len(self.context.items) - 1)
        self.context.replay.show(index, new_report(self.context.items[index], "teardown", text))

    def torn_down(self, found: TornDown) -> None:
        """Report what fixture processes tore down after a test, as a part of this test's teardown.

        Each slot may have a process with the same fixtures, whose teardowns fail alike: that is one error.
        """
        item = self.context.items[found.last]
        reports = [unpack_report(self.context.config, each, item) for each in found.reports]
        different = {str(report.longrepr): report for report in reports}
        self.context.replay.release(found.last, found.shown, list(different.values()))

    def _is_innocent(self, running: RunningChild, phase: str) -> bool:
        """Whether the child died only because its fork point died, and no part of the test is shown yet.

        The answer is True only once per group: a test that kills its parent would do so again.
        """
        return (
            running.point not in self.context.children.points
            and not running.because
            and not running.group.tries
            and phase in ("start", "setup", "call")
        )

    def _run_again(self, running: RunningChild, index: int, unfinished: list[int]) -> None:
        context = self.context
        if context.interrupted:
            return
        context.replay.forget(index)
        context.schedule.again(*running.rest(unfinished, tries=1))
        path = context.shown(running.group_of(index).path)
        name = context.items[index].name
        context.totals.notices.append(messages.again_after_signal(path, name, "lost its fork point"))

    def _fail(self, running: RunningChild, index: int, phase: str, since: float) -> None:
        context = self.context
        item = context.items[index]
        report = self._report(running, item, phase, since)
        if context.interrupted:
            return
        if context.nodes.crashed(item, report):
            context.replay.forget(index)
            context.schedule.again(*running.rest([index], tries=0))
            return
        self._tell_plugins(item, report)
        if phase == "start":
            context.replay.feed(index, ItemStarted())
        context.replay.feed(index, report)
        if phase not in ("finish", "end"):
            context.replay.feed(index, ItemFinished())
        context.replay.complete(index)

    def _tell_plugins(self, item: pytest.Item, report: pytest.TestReport) -> None:
        try:
            plugins.tell_of_death(self.context.config, item, report)
        except Exception as error:  # unknown version of the plugin: a missing file must not end the run
            self.context.totals.notices.append(console.not_written("result of allure", item.nodeid, error))

    def lost(self, running: RunningChild, ended: Ended) -> None:
        """Report lost messages as an error of the child's last test: fewer arrived than the child sent."""
        index = running.assigned[-1]
        text = messages.unreported(messages.lost(ended.frames, running.heard))
        self.context.replay.feed(index, new_report(self.context.items[index], "teardown", text))

    def missing(self, index: int, reason: str) -> None:
        """Report an error of an item that a self-collecting child did not find."""
        replay, item = self.context.replay, self.context.items[index]
        replay.feed(index, ItemStarted())
        replay.feed(index, new_report(item, "setup", reason))
        replay.feed(index, ItemFinished())
        replay.complete(index)

    def _report(
        self, running: RunningChild, item: pytest.Item, phase: str, since: float
    ) -> pytest.TestReport:
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
            because = "was killed by pytest-timeout (thread method)"
        if printed:
            sections.append((f"Printed outside of the capture {shown}", printed))
        text = messages.died(phase, running.status if running.status is not None else -1, because)
        stacks = files.text("fault").strip()
        if stacks:
            text += "\n\n" + stacks
        seconds = max(0.0, time.monotonic() - since) if since else 0.0
        return new_report(item, shown, text, sections, seconds)


def killed_by_signal(status: int | None) -> bool:
    """Whether a wait status reports the death by a signal."""
    return status is not None and status >= 0 and os.WIFSIGNALED(status)
