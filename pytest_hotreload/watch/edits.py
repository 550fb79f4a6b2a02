"""Edits that have not run yet, files that do not parse, and the test files that these affect."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from pytest_hotreload._native import Changes
from pytest_hotreload.watch import messages, screen
from pytest_hotreload.watch.chain_plan import LoadedGraph, merged, plan, ranks, without
from pytest_hotreload.watch.environment import syntax_error
from pytest_hotreload.watch.protocol import Changed, Extend, Loaded
from pytest_hotreload.watch.requests import PendingEdit
from pytest_hotreload.watch.results import Results


class Edits:
    """The edits of a watch: collected here until a rerun takes them."""

    def __init__(self, root: str, results: Results, shown: screen.Screen) -> None:
        self.root, self.results, self.screen = root, results, shown
        #: The changes since the last rerun began.
        self.pending = PendingEdit()
        #: File that does not parse -> the diagnostic.
        self.blocked: dict[str, str] = {}
        #: The modules that fork points can import; and file -> its place in the order of edits.
        self._graph, self._places = LoadedGraph([], {}), dict[str, int]()

    # -- input -------------------------------------------------------------------------------------

    def changed(self, changes: Changed, burst: Changes, *, running: bool) -> None:
        """Add the changes of one burst. If a rerun is ``running``, its tests may have written them."""
        pending = self.pending
        event = pending.event if pending.event and self.runnable_changes().paths else burst.first_ns / 1e9
        joined = pending.changes.joined(changes)
        meanwhile = pending.meanwhile | (frozenset(changes.paths) if running else frozenset())
        self.pending = PendingEdit(
            joined, burst.burst or pending.burst, event, burst.ready_ns / 1e9, meanwhile
        )
        self._remember(changes)
        self._check_syntax(changes)

    def found(self, changes: Changed, now: float) -> None:
        """Add changes that were made before their files were watched. ``now``: monotonic seconds."""
        joined = self.pending.changes.joined(changes)
        self.pending = PendingEdit(joined, self.pending.burst, self.pending.event or now, now)

    def leave_out(self, without: Callable[[Changed], Changed]) -> None:
        """Remove pending changes that turned out not to be edits. ``without`` returns those that remain."""
        self.pending = replace(self.pending, changes=without(self.pending.changes))

    def _remember(self, changes: Changed) -> None:
        """Note the order of edits: the last edit of a file decides which fork point may hold it."""
        for path in changes.changed + changes.created:
            if path.endswith(".py"):
                self._places.pop(path, None)
                self._places[path] = 0
        self._places = {path: place for place, path in enumerate(self._places, 1)}
        if changes.deleted:
            self._graph = without(self._graph, changes.deleted)

    def _check_syntax(self, changes: Changed) -> None:
        for path in changes.paths:
            error = syntax_error(path) if path.endswith(".py") else ""
            if error:
                self.blocked[path] = error
                self.screen.lines(error.split("\n"))
                self.tell_blocked([path])
            else:
                self.blocked.pop(path, None)

    # -- output ------------------------------------------------------------------------------------

    def runnable_changes(self) -> Changed:
        """The pending changes except those to files that do not parse."""
        return self.pending.changes.without(self.blocked)

    def take(self) -> PendingEdit:
        """Return the runnable changes for a rerun; the other changes stay pending."""
        pending, runnable = self.pending, self.runnable_changes()
        self.pending = PendingEdit(pending.changes.without(runnable.paths))
        return replace(pending, changes=runnable)

    def put_back(self, edit: PendingEdit) -> None:
        """Make an edit pending again whose rerun did not run."""
        later = self.pending
        changes = edit.changes.joined(later.changes)
        compared = later.compared or edit.compared
        self.pending = PendingEdit(changes, edit.burst or later.burst, edit.event or later.event, compared)

    # -- affected test files -----------------------------------------------------------------------

    def tell_blocked(self, paths: Iterable[str]) -> None:
        """Show one line for each of these files, which do not parse."""
        for path in paths:
            count = len(self.using([path], self.results.known))
            self.screen.line(messages.blocked(os.path.relpath(path, self.root), count), "red")

    def blocked_files(self, files: Iterable[str]) -> set[str]:
        """The test files that import a file that does not parse, and therefore cannot run."""
        if not self.blocked:
            return set()
        return self.using(self.blocked, files)

    def using(self, paths: Iterable[str], files: Iterable[str]) -> set[str]:
        """The test files that import one of the paths, or lie beside or below a conftest among the paths."""
        paths = list(paths)
        reached = ranks(self._graph, dict.fromkeys(paths, 1)).keys()
        scopes = tuple(
            path.removesuffix("conftest.py") for path in paths if path.endswith(os.sep + "conftest.py")
        )
        return {file for file in files if file in reached or file.startswith(scopes)}

    # -- fork points -------------------------------------------------------------------------------

    @property
    def knows_modules(self) -> bool:
        """Whether a rerun has reported loaded modules."""
        return bool(self._graph.modules)

    def learn(self, message: Loaded) -> None:
        """Add the modules that a rerun imported."""
        self._graph = merged(self._graph, message.modules, message.edges)

    def forget_modules(self) -> None:
        """Forget the loaded modules, because there is a new template."""
        self._graph = LoadedGraph([], {})

    def plan(self, held: Collection[str], refused: Mapping[str, str]) -> list[Extend]:
        """The fork points that are missing in a chain that holds the files in ``held``.

        ``refused``: files that could not be imported ahead -> the reason.
        """
        return plan(self._graph, self._places, set(self.results.known), set(held), set(refused))
