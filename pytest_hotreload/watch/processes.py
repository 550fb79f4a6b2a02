"""The watcher's processes: the template, the chain of fork points, and the reruns."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.fork_messages import Gone, Refused, Start, Started
from pytest_hotreload.process.heartbeat import Pulse
from pytest_hotreload.process.slots import anonymous_file
from pytest_hotreload.watch import asked_files, beginning
from pytest_hotreload.watch.pages import Written
from pytest_hotreload.watch.process import Process, ancestors, is_affected_by
from pytest_hotreload.watch.protocol import (
    Changed,
    Configure,
    Extend,
    Ready,
    Refresh,
    StandBy,
    Waiting,
)
from pytest_hotreload.watch.template_processes import TemplateProcesses

#: Seconds that the imports of one fork point may take. All first-party modules of a large project took 20.
_AHEAD_SECONDS = 60.0


class WatchProcesses(TemplateProcesses):
    """Starts, forks and ends the processes of a watch: its template, and the forks of that."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        register: Callable[[Process], object],
        unregister: Callable[[Process], object],
    ) -> None:
        super().__init__(arguments, folder, register, unregister, beginning.environment())
        #: The valid fork points, each a fork of the previous one.
        self.chain: list[Process] = []
        #: The fork point that is being built.
        self.building: Process | None = None
        #: Fork point -> the rerun that waits there.
        self.standby: dict[Process, Process] = {}
        #: Reruns that were handed out by :meth:`take`.
        self.taken: set[Process] = set()
        #: Stale fork points, which end with the last rerun that was forked from them or from a later fork point.
        self.retired: list[Process] = []
        #: The fork points to append to the chain.
        self.run_requests: list[Extend] = []
        #: File that could not be imported ahead -> the reason.
        self.refused: dict[str, str] = {}
        self._written = Written()
        #: Whether no fork point was dropped since the chain was planned.
        self.intact = True
        self._processes: dict[int, Process] = {}
        self._tokens = itertools.count(1)

    # -- starting ----------------------------------------------------------------------------------

    def _fork(self, kind: str, parent: Process, order: Any) -> Process:
        ours, theirs = pair()
        process = Process(kind, parent, ours, order, next(self._tokens))
        self._processes[process.token] = process
        pages = []
        if kind == "rerun":
            pages.append(anonymous_file("hotreload-pulse"))
            process.pulse = Pulse(pages[0])
        start = Start(process.token, 0, (), False, order, 1 + len(pages))
        with contextlib.suppress(OSError):  # the end of the parent is read next
            parent.channel.send_with(start, [theirs.fileno(), *pages])
        theirs.close()
        for page in pages:
            os.close(page)
        self.register(process)
        return process

    def build(self) -> None:
        """Start the next fork point of the chain, if one is missing and none is being built."""
        if self.building is not None or self.template is None or self.template.state != "ready":
            return
        if not self.chain:
            self.building = self._fork("point", self.template, Configure())
        elif self.run_requests:
            self.building = self._fork("point", self.chain[-1], self.run_requests.pop(0))

    def park(self, point: Process, tests: Collection[str]) -> Process:
        """Return the preforked rerun of this fork point, which is ready or starting. ``tests``: all test files."""
        if point not in self.standby:
            self.standby[point] = self._fork("rerun", point, StandBy(tuple(tests)))
        return self.standby[point]

    def park_all(self, tests: Collection[str]) -> None:
        """Prefork a rerun at each fork point that the next edit may need. ``tests``: all test files.

        These are the deepest fork point; the two before it, for the next edit of the last groups of modules (see
        ``chain_plan.py``); and the deepest one without test files, for the first edit of a test file.
        """
        for point in self.chain[:-4:-1]:
            self.park(point, tests)
        bare = [point for point in self.chain if not any(test in point.inputs.files for test in tests)]
        if bare:
            self.park(bare[-1], tests)

    def refresh(self, tests: Collection[str]) -> None:
        """Let waiting reruns load the records again, because new ones were written."""
        for rerun in self.standby.values():
            rerun.tell(Refresh(tuple(tests)))

    def learn(self, pages: bytes) -> None:
        """Note the pages that a rerun wrote to, and let waiting reruns write to them ahead of time."""
        if not pages:
            return
        self._written.learn(pages)
        for rerun in self.standby.values():
            if rerun.state == "ready":
                self._written.send(rerun)

    def return_process(self, rerun: Process) -> None:
        """Take back a rerun that had nothing to do. The rerun waits again, or ends if it is not needed there."""
        self.taken.discard(rerun)
        point = rerun.parent
        if point is not None and point in self.chain and point not in self.standby:
            self.standby[point] = rerun
        else:
            self.end(rerun)

    def take(self, point: Process, tests: Collection[str]) -> Process:
        """Like :meth:`park`, but hand the rerun over to the caller."""
        rerun = self.park(point, tests)
        del self.standby[point]
        self.taken.add(rerun)
        return rerun

    def run_request(self, orders: Sequence[Extend]) -> None:
        """Set the fork points to append to the chain, unless one is being built."""
        if self.building is None:
            self.run_requests = list(orders)
            self.intact = True

    # -- listening ---------------------------------------------------------------------------------

    def _of_child(self, message: Started | Gone | Refused) -> list[tuple[Process, Any]]:
        child = self._processes.get(message.token)
        if child is None:
            return []
        if isinstance(message, Started):
            child.pid = message.pid
            if child.state == "gone":
                self._kill(child)
            return []
        child.status = message.status if isinstance(message, Gone) else -message.errno
        last = self.hear(child) if child.state != "gone" else []
        return last + (self._lost(child) if child.state != "gone" else [])

    def _note(self, process: Process, message: Any) -> None:
        super()._note(process, message)
        if isinstance(message, Ready):
            process.refused = dict(message.refused)
            if process is self.building:
                self._built(process)
        elif isinstance(message, Waiting):
            process.state, process.waiting = "ready", message
            self._written.send(process)

    def _built(self, point: Process) -> None:
        self.building = None
        self.refused.update(point.refused)
        parent = point.parent
        behind_last = (
            not self.chain if parent is self.template else bool(self.chain) and parent is self.chain[-1]
        )
        if not behind_last or point.refused or is_affected_by(point.inputs, point.touched):
            self.end(point)
            return
        self.chain.append(point)

    # -- ending ------------------------------------------------------------------------------------

    def changed(self, changes: Changed) -> int:
        """Drop the processes that hold a changed input. Returns the number of fork points that are left."""
        for index, point in enumerate(self.chain):
            if is_affected_by(point.inputs, changes):
                self.cut(index)
                self.intact = False
                break
        for path in changes.paths:
            self.refused.pop(path, None)
        if self.building is not None:
            # Not joined: a file that was created and deleted again may have been loaded in between.
            touched = self.building.touched
            self.building.touched = Changed(*(a + b for a, b in zip(touched, changes, strict=True)))
            if self.building.is_late or any(path.endswith(".py") for path in changes.paths):
                # The fork point may be importing the old source, and write bytecode that passes for the new source's.
                # Or it hangs, perhaps because of a file that was edited now.
                order = self.building.order
                self.end(self.building)
                if isinstance(order, Extend):
                    self.run_requests.insert(0, order)
        return len(self.chain)

    def current_chain(self) -> list[Process]:
        """The chain, without fork points whose imports would get other answers about files that they did not open.

        Events do not name all of these files: not one in a folder that git ignores, and not its mode.
        """
        for index, point in enumerate(self.chain):
            if asked_files.changed(point.inputs.asked):
                self.cut(index)
                self.intact = False
                break
        return self.chain

    @property
    def is_stuck(self) -> bool:
        """Whether the template should be ready by now, or should have forked the fork point that is being built."""
        template, building = self.template, self.building
        if building is not None and building.parent is template and not building.pid and building.is_late:
            return True
        return template is not None and template.is_late

    def give_up(self) -> bool:
        """End a fork point whose imports hang, and refuse its files from then on. Returns whether that was done.

        The same imports did not hang in a rerun's collection.
        """
        building = self.building
        if building is None or not isinstance(building.order, Extend) or not building.is_late:
            return False
        if time.monotonic() - building.began < _AHEAD_SECONDS:
            return False
        files = [file for _, file in building.order.modules] + list(building.order.tests)
        self.refused.update(dict.fromkeys(files, "importing it ahead does not end"))
        self.end(building)
        return True

    def cut(self, index: int) -> None:
        """Drop the fork points from this index on, with their waiting reruns."""
        dropped = self.chain[index:]
        del self.chain[index:]
        if self.building is not None and (self.building.parent in dropped or not index):
            dropped.append(self.building)
        self.retired += dropped
        for point in dropped:
            if point in self.standby:
                self.end(self.standby[point])
        self._end_retired()
        self.run_requests.clear()

    def _end_retired(self) -> None:
        """End the retired fork points that no taken rerun needs: a rerun ends with any of its ancestors."""
        needed = {point for rerun in self.taken for point in ancestors(rerun)}
        done = [point for point in self.retired if point not in needed]
        self.retired = [point for point in self.retired if point in needed]
        for point in reversed(done):
            self.end(point)

    def end(self, process: Process) -> None:
        """End a process and, with it, its children."""
        if process.state == "gone":
            return
        super().end(process)
        for child in [each for each in self._processes.values() if each.parent is process]:
            if child.state == "gone":  # its parent can no longer report its end
                self._processes.pop(child.token, None)
        if process.pulse is not None:
            process.pulse.close()
        if process is self.building:
            self.building = None
        for point, rerun in list(self.standby.items()):
            if point is process or rerun is process:
                del self.standby[point]
                self.end(rerun)
        if process in self.taken:
            self.taken.discard(process)
            self._end_retired()

    def _kill(self, process: Process) -> None:
        """Kill the process and forget it: otherwise it would be kept, with the inputs of its fork points."""
        self._processes.pop(process.token, None)
        super()._kill(process)

    def close_template(self) -> None:
        """End all processes. A template with attached runs ends only with the last of them."""
        self.taken.clear()
        self.cut(0)
        self._end_retired()
        self.refused.clear()
        super().close_template()
        for process in list(self._processes.values()):
            self.end(process)
        self._processes.clear()

    # -- asking ------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether the chain is complete: no fork point is being built or left to build."""
        return self.building is None and not self.run_requests and bool(self.chain)

    @property
    def held(self) -> set[str]:
        """The files that the chain has loaded or read."""
        return set(self.chain[-1].inputs.files) if self.chain else set()
