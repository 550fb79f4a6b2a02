"""What the file system tells of a project and of what its tests use elsewhere, without what reruns write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping

from pytest_hotreload._native import Changes, Watcher
from pytest_hotreload.watch import messages, screen
from pytest_hotreload.watch.edits import Edits
from pytest_hotreload.watch.environment import Outputs, is_output
from pytest_hotreload.watch.protocol import Changed, Loaded, Ready, Waiting
from pytest_hotreload.watch.standby.affected import time_and_size


class FileEvents:
    """Listens from its making to :meth:`close`."""

    def __init__(self, root: str, edits: Edits, shown: screen.Screen) -> None:
        self.root, self.edits, self.screen = root, edits, shown
        self._watcher = Watcher([root])
        self._followed: set[str] = set()
        self._outputs = Outputs()

    def fileno(self) -> int:
        return self._watcher.fileno()

    def close(self) -> None:
        self._watcher.close()

    @property
    def told_of_all(self) -> bool:
        """Whether the system tells of each change, so that nothing has to be looked at."""
        return not self._watcher.polling

    def read(self, is_busy: Callable[[], bool]) -> Iterator[tuple[Changed, Changes]]:
        """All that came until now: (edits, what was told). ``is_busy``: whether a rerun is under way."""
        for text in self._watcher.notices():
            self.screen.notice(text)
        for burst in self._watcher.take():
            told = Changed(tuple(burst.changed), tuple(burst.created), tuple(burst.deleted))
            when = None if is_busy() else burst.first_ns / 1e9
            changes = self._outputs.left_out(told, when)
            changes = changes.without(path for path in changes.paths if is_output(path))
            self._outputs.meanwhile(changes.paths, when)
            yield changes, burst

    def learn(self, message: Loaded) -> None:
        """A rerun is over: what it wrote is no edit."""
        for path in self._outputs.learn(message.written, message.processes, time.monotonic()):
            self.screen.notice(messages.written(path, self.root))
        self.edits.leave_out(lambda changes: self._outputs.left_out(changes, None))

    def follow(self, outside: Mapping[str, tuple[int, int] | None]) -> None:
        """Watch these, too. What changed since it was read and before this counts as edited now."""
        fresh = sorted(outside.keys() - self._followed)
        if not fresh:
            return
        self._followed.update(fresh)
        self._watcher.watch(fresh, deep=False)
        changed = tuple(path for path in fresh if (seen := outside[path]) and seen != time_and_size(path))
        if changed:
            self.edits.found(self._outputs.left_out(Changed(changed), None), time.monotonic())

    def follow_used(self, message: object) -> None:
        """What a process names as inputs, where it lies outside of the root."""
        if isinstance(message, Ready):
            below = self.root + os.sep
            named = [*message.inputs.files, *message.inputs.folders]
            self.follow(dict.fromkeys(path for path in named if not path.startswith(below)))
        elif isinstance(message, Waiting):
            self.follow(dict.fromkeys(message.outside))
