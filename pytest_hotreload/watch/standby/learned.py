"""Collects what a rerun learned: modules for the next fork points, and paths that the watcher has to watch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import fork_state
from pytest_hotreload.records import totals
from pytest_hotreload.records.dependencies import first_party_roots, project_folders
from pytest_hotreload.records.records import report_files
from pytest_hotreload.watch.protocol import Loaded
from pytest_hotreload.watch.standby.affected import TimeAndSize, time_and_size
from pytest_hotreload.world import os

if TYPE_CHECKING:
    import pytest

    from pytest_hotreload.records.observer import Observation, Observer
    from pytest_hotreload.records.records import RunRecords

#: A time and size that no path has.
_CHANGED = (0, 0)


class LoadedBuilder:
    """Builds the :class:`Loaded` message of a rerun.

    ``inherited`` describes the state that the rerun inherited from its fork point.
    """

    def __init__(
        self,
        config: pytest.Config,
        records: RunRecords | None,
        observer: Observer,
        inherited: fork_state.Inherited,
    ) -> None:
        self.config, self.records, self.observer, self.inherited = config, records, observer, inherited

    def message(self, variables: frozenset[str], path_changed: bool, pages: bytes) -> Loaded:
        """The message to the watcher.

        ``variables``: environment variables that changed before collection. ``path_changed``: whether ``sys.path``
        changed before collection. ``pages``: the memory pages that the rerun wrote to.
        """
        collected = self.records.collected if self.records is not None else None
        edges = {(m.owner, m.file) for m in (collected.modules if collected else ()) if m.owner and m.file}
        return Loaded(
            tuple(self.observer.loaded()),
            tuple(sorted((owner, str(file)) for owner, file in edges)),
            (*fork_state.new_modules(self.inherited), *totals.learned(self.config)),
            self._outside(),
            None if self.records is None else (*self._touched("write", "update"), *report_files(self.config)),
            any(row.kind in ("start", "subprocess") for row in self._rows()),
            self._vanished(),
            variables,
            path_changed,
            pages,
        )

    def _outside(self) -> tuple[tuple[str, TimeAndSize | None], ...]:
        """Paths outside the root that were read, listed or imported, or that are in a record.

        A file, and a folder with an imported module, comes with its time and size at that moment, if these are known.
        """
        root = str(self.config.rootpath) + os.sep
        found: dict[str, TimeAndSize | None] = dict.fromkeys(self._recorded_outside())
        imported = [file for _, file in self.observer.loaded() if not file.startswith(root)]
        found.update((file, self._as_imported(file)) for file in imported)
        # Another module, which comes before one of these, may come into being beside them.
        found.update((folder, self._as_searched(folder)) for folder in set(map(os.path.dirname, imported)))
        for row in self._rows():
            if row.kind in ("read", "update", "list"):
                is_seen = row.kind == "read" and row.state is not None
                found[row.subject] = (row.state[0], row.state[2]) if is_seen and row.state else None
        folders: set[str] = set()
        if any(row.kind == "start" for row in self._rows()):
            observer = self.observer
            folders = {
                each
                for each in project_folders(observer, first_party_roots(observer))
                if each + os.sep != root
            }
        found.update(dict.fromkeys(folders))
        return tuple(
            sorted(
                (path, seen) for path, seen in found.items() if path in folders or not path.startswith(root)
            )
        )

    def _recorded_outside(self) -> list[str]:
        store = self.records.opened() if self.records is not None else None
        return store.outside() if store is not None else []

    def _as_imported(self, file: str) -> TimeAndSize | None:
        """The file's time and size, or :data:`_CHANGED` if it was changed since this rerun began."""
        seen = time_and_size(file)
        return _CHANGED if seen is None or seen[0] >= self._began > 0 else seen

    def _as_searched(self, folder: str) -> TimeAndSize | None:
        """The folder's time and size, or :data:`_CHANGED` if something came into it since this rerun began."""
        seen = time_and_size(folder)
        try:
            entries = [entry for entry in os.scandir(folder) if entry.name != "__pycache__"]
            newest = max((entry.stat(follow_symlinks=False).st_ctime_ns for entry in entries), default=0)
        except OSError:  # it, or a part of it, is just being removed
            return _CHANGED
        return _CHANGED if newest >= self._began > 0 else seen

    @property
    def _began(self) -> int:
        """The time in ns at which this rerun began; 0 if nothing is recorded."""
        return self.records.started_ns if self.records is not None else 0

    def _vanished(self) -> tuple[str, ...]:
        collected = self.records.collected.modules if self.records is not None else ()
        files = {
            *pytest_config.conftest_files(self.config),
            *(module.file for module in collected if module.file),
        }
        return tuple(sorted(file for file in files if not Path(file).exists()))

    def _touched(self, *kinds: str) -> tuple[str, ...]:
        """Paths that collection or tests accessed in one of these ways."""
        return tuple(sorted({row.subject for row in self._rows() if row.kind in kinds}))

    def _rows(self) -> Iterator[Observation]:
        if self.records is not None:
            yield from self.records.collected.rows
            for ran in self.records.files.values():
                for each in ran.observed:
                    yield from each.rows
