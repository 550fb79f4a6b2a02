"""Plans the chain of a watch: pure functions from loaded modules and edits to the contents of the fork points.

An edit makes every fork point stale that holds the edited file or a module that imports it. Therefore files that were
never edited come first in the chain, and the file that was edited last comes last, with all modules that import it:
the next edit of the same file finds a fork point that holds everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_hotreload.watch.protocol import Extend


class LoadedGraph(NamedTuple):
    """The import graph of the first-party modules that reruns loaded."""

    #: (dotted name, file), in the order of import.
    modules: Sequence[tuple[str, str]]
    #: File -> the files that it imports.
    edges: Mapping[str, Collection[str]]


def merged(
    old: LoadedGraph, modules: Iterable[tuple[str, str]], edges: Iterable[tuple[str, str]]
) -> LoadedGraph:
    """The old graph updated with what a rerun loaded; the rerun may have left files out."""
    found = dict.fromkeys([*old.modules, *modules])
    fresh: defaultdict[str, set[str]] = defaultdict(set)
    for importer, imported in edges:
        fresh[importer].add(imported)
    return LoadedGraph(list(found), {**old.edges, **fresh})


def without(graph: LoadedGraph, files: Collection[str]) -> LoadedGraph:
    """The graph without these files, which no longer exist."""
    kept = [(name, file) for name, file in graph.modules if file not in files]
    edges = {file: imported for file, imported in graph.edges.items() if file not in files}
    return LoadedGraph(kept, edges)


def ranks(graph: LoadedGraph, edits: Mapping[str, int]) -> dict[str, int]:
    """File -> the latest edit among the file and its direct and indirect imports.

    Files without such an edit are absent. ``edits``: file -> its place in the order of edits, from 1.
    """
    importers: defaultdict[str, list[str]] = defaultdict(list)
    for importer, imported in graph.edges.items():
        for file in imported:
            importers[file].append(importer)
    found: dict[str, int] = {}
    for edited, rank in sorted(edits.items(), key=lambda edit: -edit[1]):
        waiting = [edited]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found[file] = rank
                waiting += importers[file]
    return found


def plan(
    graph: LoadedGraph,
    edits: Mapping[str, int],
    tests: Collection[str],
    held: Collection[str],
    refused: Collection[str],
) -> list[Extend]:
    """The fork points to append to those that hold ``held``, in order, none of them empty.

    The order is: modules that no edit affects and that another module imports; modules that no edit affects and that
    no other module imports (an edit to one of these keeps the fork point with the imported ones); test files that no
    edit affects; modules that an edit affects, except the last edit; modules that the last edit affects. Test files
    that were edited, or that import an edited file, are in no fork point: they are likely to be edited again.
    ``refused``: files that could not be imported ahead.
    """
    rank = ranks(graph, edits)
    left = [
        (name, file)
        for name, file in graph.modules
        if file not in held and file not in refused and name.rpartition(".")[2] != "conftest"
    ]
    modules = [(name, file) for name, file in left if file not in tests]
    below = {imported for _, file in modules for imported in graph.edges.get(file, ()) if imported != file}
    last = max((rank.get(file, 0) for _, file in modules), default=0)
    groups = [
        Extend(modules=tuple(each for each in modules if each[1] not in rank and each[1] in below)),
        Extend(modules=tuple(each for each in modules if each[1] not in rank and each[1] not in below)),
        Extend(tests=tuple(dict.fromkeys(file for _, file in left if file in tests and file not in rank))),
        Extend(modules=tuple(each for each in modules if 0 < rank.get(each[1], 0) < last)),
        Extend(modules=tuple(each for each in modules if last and rank.get(each[1], 0) == last)),
    ]
    return [group for group in groups if group.modules or group.tests]
