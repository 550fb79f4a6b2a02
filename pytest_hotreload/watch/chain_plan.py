"""What the fork points of a watch hold, one behind the other: pure functions of what was loaded and edited.

An edit makes every fork point stale that holds the file or something that imports it. So what was never edited comes
first, and what was edited last comes last, with all that imports it: the next edit of the same file finds a fork
point that holds everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pytest_hotreload.watch.protocol import Extend


class LoadedGraph(NamedTuple):
    """``modules``: (dotted name, file), in the order of import. ``edges``: file -> files that it imports."""

    modules: Sequence[tuple[str, str]]
    edges: Mapping[str, Collection[str]]


def merged(
    old: LoadedGraph, modules: Iterable[tuple[str, str]], edges: Iterable[tuple[str, str]]
) -> LoadedGraph:
    """What a rerun loaded, laid over what was known: it may have left files out."""
    found = dict.fromkeys([*old.modules, *modules])
    fresh: defaultdict[str, set[str]] = defaultdict(set)
    for importer, imported in edges:
        fresh[importer].add(imported)
    return LoadedGraph(list(found), {**old.edges, **fresh})


def without(graph: LoadedGraph, files: Collection[str]) -> LoadedGraph:
    """These are gone."""
    kept = [(name, file) for name, file in graph.modules if file not in files]
    edges = {file: imported for file, imported in graph.edges.items() if file not in files}
    return LoadedGraph(kept, edges)


def ranks(graph: LoadedGraph, edits: Mapping[str, int]) -> dict[str, int]:
    """File -> the latest edit among it and all that it imports; only files that have one.

    ``edits``: file -> its place in the order of edits, from 1.
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
    """The fork points to add behind those that hold ``held``, in order, none of them empty.

    First the modules that no edit concerns, those that no other module imports apart: an edit of one leaves the
    others. Then the test files that no edit concerns; then modules by their last edit, the last one apart. Test files
    that were edited, or import what was, are in none: they are what is edited again.
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
