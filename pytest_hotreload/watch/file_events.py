"""File-system events for a project and for files that its tests use elsewhere, without the outputs of reruns."""

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
    """Listens to the file system from its construction until :meth:`close`."""

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
        """Whether the operating system notifies us of each change, so that no polling is needed."""
        return not self._watcher.polling

    def read(self, is_busy: Callable[[], bool]) -> Iterator[tuple[Changed, Changes]]:
        """All bursts received so far, each as (edits, unfiltered burst). ``is_busy``: whether a rerun is at work."""
        for text in self._watcher.notices():
            self.screen.notice(text)
        for burst in self._watcher.take():
            told = Changed(tuple(burst.changed), tuple(burst.created), tuple(burst.deleted))
            when = None if is_busy() else burst.first_ns / 1e9
            changes = self._outputs.left_out(told, when)
            changes = changes.without(path for path in changes.paths if self._is_output(path))
            self._outputs.meanwhile(changes.paths, when)
            yield changes, burst

    def _is_output(self, path: str) -> bool:
        """Whether the change is an output of a tool, or of this watch."""
        return is_output(path) or (not path.endswith(".py") and self.screen.is_copied_to(path))

    def learn(self, message: Loaded) -> None:
        """Note what a finished rerun wrote, and remove that from the pending edits."""
        for path in self._outputs.learn(message.written, message.processes, time.monotonic()):
            self.screen.notice(messages.written(path, self.root))
        self.edits.leave_out(lambda changes: self._outputs.left_out(changes, None))

    def follow(self, outside: Mapping[str, tuple[int, int] | None]) -> None:
        """Watch further files and folders: path -> its time in ns and size when it was read, if known.

        A path that has changed since then counts as edited now.
        """
        fresh = sorted(outside.keys() - self._followed)
        if not fresh:
            return
        self._followed.update(fresh)
        self._watcher.watch(fresh, deep=False)
        changed = tuple(path for path in fresh if (seen := outside[path]) and seen != time_and_size(path))
        if changed:
            self.edits.found(self._outputs.left_out(Changed(changed), None), time.monotonic())

    def follow_used(self, message: object) -> None:
        """Watch the inputs that a process reports, as far as they lie outside the root."""
        if isinstance(message, Ready):
            below = self.root + os.sep
            named = [*message.inputs.files, *message.inputs.folders]
            self.follow(dict.fromkeys(path for path in named if not path.startswith(below)))
        elif isinstance(message, Waiting):
            self.follow(dict.fromkeys(message.outside))
