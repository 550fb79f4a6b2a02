"""Finds what each test file depends on: dependencies known before a run, joined with those observed in it.

The union errs on the side of too many. Known before: the first-party files that the test file imports,
transitively. Observed in the controller: what the bodies of these files and the collection did; that concerns
every test file whose closure contains them, whichever imported them first. Observed in the children: what the
tests did.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_hotreload._native import Project
from pytest_hotreload.imports.analysis import scan
from pytest_hotreload.records import functions
from pytest_hotreload.records.observer import UNSEEN, Module, Observation, Observed, Observer
from pytest_hotreload.records.places import canonical
from pytest_hotreload.world import os

#: Kinds of observations that make a file depend on a path's content, or on its absence.
_INPUTS = ("read", "update")
#: Kinds of observations that may conflict with another child.
_OUTPUTS = ("write", "update")


@dataclass
class Discovery:
    """Everything found about one test file. Paths are absolute, and everything is sorted."""

    closure: list[str] = field(default_factory=list)
    dynamic: dict[str, str | None] = field(default_factory=dict)
    coupled_with: list[str] = field(default_factory=list)
    reads: dict[str, tuple[int, int, int, int] | None] = field(default_factory=dict)
    listings: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    #: Files whose source, or whose code, was looked at.
    sources: list[str] = field(default_factory=list)
    #: Whether no process was started, or it is known of each which test started it, and one may read the project.
    is_divisible: bool = True


class Dependencies:
    """The dependencies of the test files of one run. One scan of the project serves all of them."""

    def __init__(
        self, observer: Observer, project: Project, collected: Observed, test_files: Sequence[str]
    ) -> None:
        self.observer, self.project = observer, project
        self._rows: defaultdict[str, list[Observation]] = defaultdict(list)
        self._modules: defaultdict[str, list[Module]] = defaultdict(list)
        for row in collected.rows:
            self._rows[row.owner].append(row)
        for module in collected.modules:
            self._modules[module.owner].append(module)
        # What was looked at once may be kept by anybody.
        self._sources = {row.subject for row in collected.rows if row.kind == "source"}
        self._tests = set(test_files)
        self._scanned: set[str] = set()

    def read_all(self, files: Iterable[str]) -> None:
        """Scan these files and the test files, so that their closures are known."""
        wanted = {file for file in (*self._tests, *files) if os.path.isfile(file)}
        if not wanted <= self._scanned:
            self._scanned |= wanted
            scan(self.project, sorted(self._scanned))

    def has_read(self, path: str) -> bool:
        """Whether the file existed when the files were scanned."""
        return path in self._scanned

    def loaded_files(self, children: Iterable[Observed]) -> set[str]:
        """All first-party files that were imported by name and must be scanned besides the test files."""
        modules = [module for owner in self._modules.values() for module in owner]
        modules += [module for observed in children for module in observed.modules]
        return {module.file for module in modules if module.file}

    def importers(self, files: Iterable[str], imported: str) -> list[str]:
        """The files that import ``imported``, by their sources or as observed in the collection."""
        return [file for file in files if imported in self._close([file], ())[0]]

    def of(self, path: str, observed: Sequence[Observed], coupled_with: Iterable[str] = ()) -> Discovery:
        """Everything known about ``path``.

        ``observed``: the observations of its children. ``coupled_with``: other test files on which it depends.
        """
        found = Discovery(coupled_with=sorted(coupled_with))
        closure, dynamic = self._close([path, *found.coupled_with], observed)
        rows = [*self._rows[""], *self._rows[path]]
        rows += [row for file in sorted(closure) if file != path for row in self._rows[file]]
        early = _starts_process(rows)
        rows += [row for each in observed for row in each.rows]
        self._sort_out(rows, closure, found)
        are_known = found.started and not early and all(map(_knows_starters, observed))
        found.is_divisible = bool("subprocess" not in found.flags or are_known)
        found.sources = sorted(self._sources.union(row.subject for row in rows if row.kind == "source"))
        # Of the tests only: collected files write just once.
        outputs = [row for each in observed for row in each.rows]
        found.ports = sorted({row.subject for row in outputs if row.kind == "bind"})
        found.writes = sorted({row.subject for row in outputs if self._is_output(row)})
        found.closure = sorted(closure)
        found.dynamic = dict(sorted(dynamic.items()))
        return found

    def _close(
        self, paths: Sequence[str], observed: Sequence[Observed]
    ) -> tuple[set[str], dict[str, str | None]]:
        """The first-party files, and the imports that no source states."""
        closure: set[str] = set()
        dynamic: dict[str, str | None] = {}
        waiting = list(paths)
        modules = [*self._modules[""], *(module for each in observed for module in each.modules)]
        while True:
            while waiting:
                for file in self._closure_of(waiting.pop()):
                    if file not in closure:
                        closure.add(file)
                        modules += self._modules[file]
            if not modules:
                return closure, dynamic
            module = modules.pop()
            if module.file is None or module.file not in closure:
                dynamic[module.name] = module.file
                if module.file is not None:
                    waiting.append(module.file)

    def _closure_of(self, file: str) -> list[str]:
        if file in self._scanned:
            return self.project.closure(file)
        return [file]

    def _sort_out(self, rows: Iterable[Observation], closure: set[str], found: Discovery) -> None:
        lists: dict[str, set[str]] = {kind: set() for kind in ("list", "environ", "start", "flag")}
        for row in rows:
            if row.kind in _INPUTS and row.subject not in closure:
                found.reads.setdefault(row.subject, row.state)
            if row.kind == "subprocess":
                lists["flag"].add("subprocess")
            elif row.kind == "connect":
                lists["flag"].add("network")
            elif row.kind in lists:
                lists[row.kind].add(row.subject)
        found.listings = sorted(lists["list"])
        found.environment = sorted(lists["environ"])
        found.started = sorted(lists["start"])
        found.flags = sorted(lists["flag"])

    def _is_output(self, row: Observation) -> bool:
        """Whether a write counts as output.

        Hidden folders hold the state of tools, in which no test seeks output.
        """
        path = row.subject
        inside = os.path.relpath(path, self.observer.root) if path.startswith(self.observer.root) else path
        return row.kind in _OUTPUTS and not any(
            part.startswith(".") and part != ".." for part in Path(inside).parts
        )


def _starts_process(rows: Iterable[Observation]) -> bool:
    return any(row.kind == "subprocess" for row in rows)


def _knows_starters(child: Observed) -> bool:
    """Whether the child started no process, or it is known which of its tests did."""
    if not _starts_process(child.rows):
        return True
    starters = child.functions.starters if child.functions is not None else ()
    are_seen = any(row.kind == "subprocess" and row.subject != UNSEEN for row in child.rows)
    return are_seen and bool(starters) and functions.NO_TEST not in starters


def first_party_roots(observer: Observer) -> list[str]:
    """Folders of ``sys.path`` except installed packages and the standard library: a module may appear in them."""
    folders = {canonical(entry or os.curdir) for entry in sys.path}
    return sorted(f for f in folders if observer.is_first_party(f) and Path(f).is_dir())


def project_folders(observer: Observer, roots: Sequence[str]) -> list[str]:
    """Folders in which a process may find project files: the root, and the search path of a fresh interpreter."""
    places = {observer.root, *roots}
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__") and isinstance(mapping := getattr(module, "MAPPING", None), dict):
            places |= {folder for folder in map(str, mapping.values()) if observer.is_first_party(folder)}
    return sorted(place for place in places if not _is_inside(place, places - {place}))


def _is_inside(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


class Searched:
    """The folders in which a test file's names are looked up: the roots, and in each root the package folders.

    ``project``: all folders in which a process may find project files.

    A namespace package has several folders, and a missing module may appear in any of them. A folder that does not
    exist needs no entry: its appearance shows in the folder above.
    """

    def __init__(self, roots: Sequence[str], project: Sequence[str]) -> None:
        self.roots = list(roots)
        self.project = list(project)
        self._exists: dict[str, bool] = {}
        self._known: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}

    def folders(self, found: Discovery) -> list[str]:
        """Return the folders for this test file. Most files of a suite look in the same ones."""
        missing = frozenset(name for name, file in found.dynamic.items() if file is None)
        places = frozenset(file.rpartition(os.sep)[0] for file in found.closure)
        known = self._known.get((missing, places))
        if known is None:
            known = self._known[missing, places] = self._find(missing, places)
        return known

    def _find(self, missing: Iterable[str], places: Iterable[str]) -> list[str]:
        packages: set[str] = set()
        for name in missing:
            packages.update(_with_parents(name.replace(".", os.sep)))
        for folder in places:
            for root in self.roots:
                if folder.startswith(root + os.sep):
                    packages.update(_with_parents(folder[len(root) + 1 :]))
        parts = {root + os.sep + package for root in self.roots for package in packages}
        return [*self.roots, *sorted(part for part in parts if self._is_folder(part))]

    def _is_folder(self, path: str) -> bool:
        if path not in self._exists:
            self._exists[path] = Path(path).is_dir()
        return self._exists[path]


def _with_parents(package: str) -> Iterator[str]:
    while package:
        yield package
        package = package.rpartition(os.sep)[0]


def as_draft(found: Discovery, searched: Searched) -> dict[str, Any]:
    """The part of a record's draft that states what the file depends on.

    Nothing observes what a started process reads, so it may have read every environment variable and project
    file.
    """
    return {
        "closure": found.closure,
        "dynamic": found.dynamic,
        "coupled_with": found.coupled_with,
        "roots": searched.folders(found),
        "reads": [[path, state] for path, state in sorted(found.reads.items())],
        "listings": found.listings,
        "environment": sorted({*found.environment, *(["*"] if found.started else [])}),
        "started": found.started,
        "project": searched.project if found.started else [],
        "flags": found.flags,
        "ports": found.ports,
        "writes": found.writes,
    }
