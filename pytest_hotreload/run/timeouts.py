"""Checks time limits from outside the child: slow tests, files without progress, and hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import console
from pytest_hotreload.process import proc
from pytest_hotreload.run import messages
from pytest_hotreload.run.child.reset import STACKS_SIGNAL
from pytest_hotreload.world import BUILTINS, os, suppress, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_hotreload.process.job_control import Suspension
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.context import RunContext
    from pytest_hotreload.run.crashes import Crashes
    from pytest_hotreload.run.launcher import Launcher
    from pytest_hotreload.run.terminal_lease import Lease

#: Seconds without progress after which a file is named on the terminal.
SILENT_SECONDS = 60.0
#: Seconds without CPU time after which a fork with threads counts as hung. The limit equals the silent time.
#: A guess on the safe side: a wrong guess only runs a test twice.
HANG_SECONDS = 60.0
#: Seconds between two checks of a child's CPU time (a read of one file).
_LOOK = 1.0
#: Seconds that a child has to tear down its fixtures, if its tests will run again alone.
STOP_SECONDS = 5.0
#: Seconds that a child has to write its stacks. A dump of 100 threads took 12 ms.
STACKS_SECONDS = 1.0


class Deadlines:
    """Checks each living child once a tick. ``listen`` handles the messages of a child."""

    def __init__(
        self,
        context: RunContext,
        crashes: Crashes,
        sources: Launcher,
        lease: Lease,
        suspension: Suspension,
        listen: Callable[[RunningChild, list[tuple[int, Any]]], None],
    ) -> None:
        self.context, self.crashes, self.sources, self.lease = context, crashes, sources, lease
        self._listen = listen
        self._last = 0.0
        self._elapsed = suspension.elapsed
        suspension.on_resume = self._go_on

    def look(self) -> bool:
        """Act on every child that exceeds a limit. Returns whether it was time to check."""
        now = time.monotonic()
        if now - self._last < 0.1:
            return False
        self._last = now
        if self.sources.fixtures is not None:
            self.sources.fixtures.look(now, self.context.options.timeout)
        for running in list(self.context.children.living):
            at_a_prompt = running.waiting or self.context.options.direct or self.lease.holder
            if running.pid and not at_a_prompt:
                self._one(running, now)
        return True

    def _go_on(self) -> None:
        """Restart the CPU-time limits after Ctrl-Z, during which children stood still."""
        now = time.monotonic()
        for running in self.context.children.living:
            used, at = running.cpu
            running.cpu = used, now if at else 0.0

    def _one(self, running: RunningChild, now: float) -> None:
        if self.crashes.contends(running):
            if self._elapsed(running.collided_at, now) > STOP_SECONDS:
                self.context.children.kill(running, messages.does_not_stop(STOP_SECONDS))
            return
        index, phase, since = running.slot.files.progress.read()
        if index < 0 or not since:
            since = running.began
        limit = self.context.options.timeout
        if limit is not None and self._elapsed(since, now) > limit and phase in ("setup", "call", "teardown"):
            self._end(running, limit)
        elif self._hangs(running, now):
            running.hung = True
            self.context.children.kill(running, messages.hung(HANG_SECONDS))
        elif self._elapsed(max(since, running.warned), now) > SILENT_SECONDS:
            self._name(running, index, phase, self._elapsed(since, now))
            running.warned = now

    def _hangs(self, running: RunningChild, now: float) -> bool:
        """Whether a fork of a process with threads has used no CPU time for a long time.

        Such a child may wait for a thread that does not exist in the fork. Other children wait for good
        reasons, and may do so forever, as in plain pytest.
        """
        if not self.sources.had_threads or running.group.alone or running.group.tries:
            return False
        used, at = running.cpu
        if not at or now - at > _LOOK:
            spent = proc.cpu_seconds(running.pid)
            if spent > used:
                running.cpu = spent, now
        return bool(running.cpu[1]) and now - running.cpu[1] > HANG_SECONDS

    def _end(self, running: RunningChild, limit: float) -> None:
        """Request the stacks of all threads, then kill the child.

        The signal interrupts a system call, so the test may end well after all. Later messages from this
        child are ignored.
        """
        progress = running.slot.files.progress.read()
        self._listen(running, running.slot.channel.drain()[0])
        if running.slot.files.progress.read() != progress:
            return
        running.over = progress
        fault = running.slot.files.fds["fault"]
        with suppress(OSError):
            os.kill(running.pid, STACKS_SIGNAL)
        deadline, size = time.monotonic() + STACKS_SECONDS, -1
        while time.monotonic() < deadline:
            time.sleep(0.02)
            grown = os.fstat(fault).st_size
            if grown and grown == size:
                break
            size = grown
        self.context.children.kill(running, messages.over_time(limit))

    def _name(self, running: RunningChild, index: int, phase: str, seconds: float) -> None:
        item = self.context.items[index if index >= 0 else running.assigned[0]]
        path = self.context.shown(running.group_of(index).path)
        console.notice(self.context.config, messages.silent_file(path, item.nodeid, phase, seconds))
