"""What was edited and has not run yet, what of it does not parse, and whom it concerns."""

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
    """``pending``: what changed since the last rerun began. ``blocked``: file that does not parse -> the diagnostic."""

    def __init__(self, root: str, results: Results, shown: screen.Screen) -> None:
        self.root, self.results, self.screen = root, results, shown
        self.pending = PendingEdit()
        self.blocked: dict[str, str] = {}
        #: What fork points are made of, and file -> its place in the order of edits.
        self._graph, self._places = LoadedGraph([], {}), dict[str, int]()

    # -- what comes --------------------------------------------------------------------------------

    def changed(self, changes: Changed, burst: Changes, *, running: bool) -> None:
        """Edits, all at once; while a rerun is ``running`` its tests may have written them."""
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
        """These were edited before anybody looked at them."""
        joined = self.pending.changes.joined(changes)
        self.pending = PendingEdit(joined, self.pending.burst, self.pending.event or now, now)

    def leave_out(self, without: Callable[[Changed], Changed]) -> None:
        """Some were no edits."""
        self.pending = replace(self.pending, changes=without(self.pending.changes))

    def _remember(self, changes: Changed) -> None:
        """The last edit of a file decides which fork point may hold it."""
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

    # -- what goes ---------------------------------------------------------------------------------

    def runnable_changes(self) -> Changed:
        """What changed and does not wait to be mended."""
        return self.pending.changes.without(self.blocked)

    def take(self) -> PendingEdit:
        """A rerun runs what is ripe; the rest stays."""
        pending, ripe = self.pending, self.runnable_changes()
        self.pending = PendingEdit(pending.changes.without(ripe.paths))
        return replace(pending, changes=ripe)

    def put_back(self, edit: PendingEdit) -> None:
        """It did not run."""
        later = self.pending
        changes = edit.changes.joined(later.changes)
        compared = later.compared or edit.compared
        self.pending = PendingEdit(changes, edit.burst or later.burst, edit.event or later.event, compared)

    # -- whom it concerns --------------------------------------------------------------------------

    def tell_blocked(self, paths: Iterable[str]) -> None:
        """One line for each."""
        for path in paths:
            count = len(self.using([path], self.results.known))
            self.screen.line(messages.blocked(os.path.relpath(path, self.root), count), "red")

    def blocked_files(self, files: Iterable[str]) -> set[str]:
        """Those that import a file that does not parse: there is nothing to run."""
        if not self.blocked:
            return set()
        return self.using(self.blocked, files)

    def using(self, paths: Iterable[str], files: Iterable[str]) -> set[str]:
        """Those of the test files that import one of the paths, or lie beside or below one that is a conftest."""
        paths = list(paths)
        reached = ranks(self._graph, dict.fromkeys(paths, 1)).keys()
        scopes = tuple(
            path.removesuffix("conftest.py") for path in paths if path.endswith(os.sep + "conftest.py")
        )
        return {file for file in files if file in reached or file.startswith(scopes)}

    # -- fork points -------------------------------------------------------------------------------

    @property
    def knows_modules(self) -> bool:
        """Whether a rerun has told of some."""
        return bool(self._graph.modules)

    def learn(self, message: Loaded) -> None:
        """What a rerun imported."""
        self._graph = merged(self._graph, message.modules, message.edges)

    def forget_modules(self) -> None:
        """There is a new template."""
        self._graph = LoadedGraph([], {})

    def plan(self, held: Collection[str], refused: Mapping[str, str]) -> list[Extend]:
        """What a chain of fork points lacks that holds these."""
        return plan(self._graph, self._places, set(self.results.known), set(held), set(refused))
