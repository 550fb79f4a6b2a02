"""Answers a watch's requests to a run in progress: stop files, list running tests, report hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_hotreload.process import heartbeat
from pytest_hotreload.world import BUILTINS, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_hotreload.process.heartbeat import Quiet
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.context import RunContext
    from pytest_hotreload.run.schedule import Group
    from pytest_hotreload.run.terminal_lease import Lease


class WatchedRun:
    """A :class:`interfaces.RunControl`."""

    def __init__(self, context: RunContext, lease: Lease) -> None:
        self.context, self.lease = context, lease
        self.direct = context.options.direct
        self._hanging: set[str] = set()

    def stop_files(self, paths: set[str], *, hanging: bool = False) -> list[str]:
        """End the children of these files, which hang or whose inputs changed, and start no more of these files.

        A child in a debugger keeps running. Returns the stopped files.
        """
        context = self.context
        if hanging:
            self._hanging |= paths
        stopped = context.schedule.drop(paths)
        for group in stopped:
            self.leave_out(group)
        for running in context.children.living:
            if (
                any(group.path in paths for group in running.groups)
                and running is not self.lease.holder
                and not running.waiting
            ):
                running.stopped = True
                stopped += running.groups
                context.children.kill(running, "its inputs changed")
        return sorted({group.path for group in stopped})

    def leave_out(self, group: Group) -> None:
        """Leave out the unfinished items of a group: no further result will come for these items."""
        context = self.context
        left_out = [index for index in group.indices if not context.replay.is_complete(index)]
        for index in left_out:
            context.replay.leave_out(index)
        if context.records is not None:
            if group.path in self._hanging:
                context.records.spoiled(group.path)
            else:
                context.records.stopped(group.path)
        context.config.hook.pytest_deselected(items=[context.items[index] for index in left_out])

    def hanging(self, quiet: Quiet, limit: Callable[[str, str], float]) -> Iterator[tuple[str, str, float]]:
        """Yield children without a sign of life: (test, its file, seconds).

        ``limit`` returns the number of seconds for a test and its file.
        """
        now = time.monotonic()
        for running in list(self.context.children.living):
            files = running.slot.files
            progress = files.progress.read()
            seconds = quiet.look(running.token, (progress, files.sizes()), now)
            if running.waiting or self.lease.holder is not None or running.stopped or not running.pid:
                continue
            name = self._name(running, progress[0])
            is_test = 0 <= progress[0] < len(self.context.items)
            most = limit(name, running.group.path) if is_test else heartbeat.COLLECTING_SECONDS
            if seconds > most:
                yield name, running.group.path, seconds

    def what_runs(self) -> list[tuple[str, int, float, str]]:
        """Return each child's test, process id, seconds, and the last line that the child printed."""
        found = []
        now = time.monotonic()
        for running in self.context.children.living:
            index, _, since = running.slot.files.progress.read()
            seconds = now - (since or running.began)
            found.append((self._name(running, index), running.pid, seconds, running.slot.files.last_line()))
        return found

    def _name(self, running: RunningChild, index: int) -> str:
        """Return the test, or the file before its first test."""
        items = self.context.items
        return items[index].nodeid if 0 <= index < len(items) else self.context.shown(running.group.path)
