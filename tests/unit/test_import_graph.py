"""No circle of imports exists among files, including imports for type checkers; `lint-imports` checks the layers.

No name stands for two classes, either.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOTS = ("pytest_hotreload", "pytest_hotreload_client")

#: What everybody may import: the extension module, and the version.
EVERYBODYS = {"pytest_hotreload._native", "pytest_hotreload"}


def _files() -> dict[str, Path]:
    """By module name; without the public names, which are loaded on demand, and what is empty."""
    found = {}
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if path.stat().st_size:
                found[name] = path
    return found


def _imported(name: str, tree: ast.AST, files: Mapping[str, object]) -> Iterator[str]:
    """All modules of ours that a module names in imports, wherever these stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "the only relative imports are those of the client, which is one folder"
            origin = ".".join(filter(None, (name.partition(".")[0] if node.level else "", node.module)))
            for alias in node.names:
                module = f"{origin}.{alias.name}"
                if module in files:
                    yield module
                elif origin in files:
                    yield origin


def _graph() -> dict[str, set[str]]:
    files = _files()
    graph = {name: set(_imported(name, ast.parse(path.read_text()), files)) for name, path in files.items()}
    for name, imported in graph.items():
        imported -= {name, *EVERYBODYS}
    return graph


def _circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Files that reach themselves, by those that they reach together."""
    reached = {name: _reached(graph, name) for name in graph}
    inside = {
        name: tuple(sorted(each for each in found if name in reached[each]))
        for name, found in reached.items()
    }
    return [list(circle) for circle in sorted(set(inside.values()) - {()})]


def _reached(graph: Mapping[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        fresh = graph.get(todo.pop(), set()) - found
        found |= fresh
        todo += fresh
    return found


def test_no_file_reaches_itself() -> None:
    assert _circles(_graph()) == []


def test_the_command_that_must_start_fast_imports_nothing_of_the_plugin() -> None:
    """Any other command is found by its name, when it is asked for."""
    for name, found in _graph().items():
        if name.startswith("pytest_hotreload_client"):
            assert {each.split(".")[0] for each in found} <= {"pytest_hotreload_client"}


def test_no_name_stands_for_two_classes() -> None:
    """A protocol may have the name of the class that it describes for a package below."""
    names = Counter(
        node.name
        for path in _files().values()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and "Protocol" not in map(ast.unparse, node.bases)
    )
    assert [name for name, times in names.items() if times > 1] == []
