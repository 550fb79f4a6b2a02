"""``pytest-hotreload graph``: the first-party files that a test file imports, and the imports among them."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_hotreload.commands import messages as commands_messages
from pytest_hotreload.commands.ask_pytest import ask
from pytest_hotreload.imports.analysis import open_project, scan, third_party
from pytest_hotreload.run import messages


@dataclass(frozen=True)
class ImportGraph:
    """The imports of one test file. Paths are relative to the root."""

    file: str
    #: In the order of import.
    files: list[str]
    #: (importer, imported), in the order of import.
    links: list[tuple[str, str]]
    #: Third-party modules that are imported with the test file.
    at_import: list[str]
    #: Third-party modules that are imported later.
    later: list[str]


def show_graph(path: str, form: str, arguments: Sequence[str]) -> int:
    """Print the graph as ``form``: "tree", "dot" or "json".

    Returns 2 if the path is no Python file, or else pytest's exit status.
    """
    if not (path.endswith(".py") and Path(path).is_file()):
        print(commands_messages.no_such_test_file(path), file=sys.stderr)
        return 2
    reader = _Reader(str(Path(path).absolute()))
    heard = ask(reader, [path, *arguments])
    if reader.graph is None:
        return heard.show()
    for note in reader.notes:
        print(note, file=sys.stderr)
    forms = {"tree": as_tree, "dot": as_dot, "json": as_json}
    print(*forms[form](reader.graph), sep="\n")
    return 0


class _Reader:
    """Reads the sources as soon as pytest knows where its modules are, and then ends pytest."""

    def __init__(self, file: str) -> None:
        self.file = os.path.normpath(file)
        self.graph: ImportGraph | None = None
        self.notes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        root = str(config.rootpath)
        project = open_project(config)
        scan(project, [self.file])
        at_import, later = project.third_party(self.file)
        self.graph = ImportGraph(
            short(root, self.file),
            [short(root, each) for each in project.closure(self.file)],
            [(short(root, one), short(root, other)) for one, other in project.links(self.file)],
            third_party(at_import),
            third_party(later),
        )
        self.notes = [
            messages.diagnostic(short(root, where), line, text) for where, line, text in project.diagnostics()
        ]
        return 0


def short(root: str, path: str) -> str:
    """A path relative to the root with "/"; a path outside the root stays as it is."""
    inside = path.removeprefix(root + os.sep)
    return inside.replace(os.sep, "/")


def as_json(graph: ImportGraph) -> Iterator[str]:
    """The graph as JSON, sorted."""
    yield json.dumps(
        {
            "file": graph.file,
            "files": sorted(graph.files),
            "links": sorted(graph.links),
            "third_party": {"at import": sorted(graph.at_import), "later": sorted(graph.later)},
        },
        indent=2,
    )


def as_dot(graph: ImportGraph) -> Iterator[str]:
    """The graph for Graphviz, sorted."""
    yield f"digraph {_quoted(graph.file)} {{"
    yield from (f"  {_quoted(file)};" for file in sorted(graph.files))
    yield from (f"  {_quoted(one)} -> {_quoted(other)};" for one, other in sorted(graph.links))
    yield "}"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_tree(graph: ImportGraph) -> Iterator[str]:
    """The graph as a tree: a file's imports are indented below its first occurrence.

    Files that pytest imports by itself (conftests) follow.
    """
    imported: defaultdict[str, list[str]] = defaultdict(list)
    for importer, file in graph.links:
        imported[importer].append(file)
    seen: set[str] = set()
    for top in (graph.file, *graph.files):
        waiting = [(top, 0)] if top not in seen else []
        while waiting:  # a chain of imports may be as long as the suite is large
            file, depth = waiting.pop()
            yield "  " * depth + commands_messages.in_tree(file, again=file in seen)
            if file not in seen:
                seen.add(file)
                waiting += [(each, depth + 1) for each in reversed(imported[file])]
