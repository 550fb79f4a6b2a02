"""Reads files that the Rust parser rejected, with the running interpreter's own `ast`.

The rules are those of `rust/src/imports/parse.rs`; `fallback_walk.py` and `fallback_effects.py` correspond to
`imports/ast_walk.rs` and `imports/effects.rs`. `tests/unit/test_native_imports.py` compares the two implementations.
"""

from __future__ import annotations

import ast
import sys
import threading
import tokenize
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_hotreload.imports.fallback_effects import Effect, Effects
from pytest_hotreload.imports.fallback_walk import argument, bodies, literal, own_calls

Import = tuple[int, "str | None", "str | None", str, int]

#: From "runs with the file" to "never": of two nested contexts, the later one in this order applies.
_CONTEXTS = ("module", "class", "try", "handler", "conditional", "function", "type_checking")
_DYNAMIC = {"import_module": "name", "__import__": "name", "importorskip": "modname"}


class Parsed(NamedTuple):
    """The arguments of `Project.supply`, after the path."""

    imports: list[Import]
    effects: list[Effect]
    diagnostic: str | None
    line: int | None


def imports_of(path: str) -> Parsed:
    """Return the imports and effects of a file.

    Never raises because of the content: a file that Python rejects, too, has no imports and a diagnostic.
    """
    try:
        tree = _parse(Path(path).read_bytes(), path)
        collector = _Imports()
        collector.body(tree.body, "module")
        return Parsed(collector.found + collector.plugins, Effects().of(tree.body), None, None)
    except SyntaxError as error:
        return Parsed([], [], f"{type(error).__name__}: {error.msg}", error.lineno)
    except (OSError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        return Parsed([], [], f"{type(error).__name__}: {error}", None)


def _parse(source: bytes, path: str) -> ast.Module:
    with warnings.catch_warnings():
        # An invalid escape already warns when pytest compiles the file.
        warnings.simplefilter("ignore")
        if sys.version_info >= (3, 11):
            return ast.parse(source, path)
        return _parse_on_a_large_stack(source, path)


def _parse_on_a_large_stack(source: bytes, path: str) -> ast.Module:
    """Parse in a thread with a large stack, as Python 3.10 does not limit the depth.

    `a+a+…` 250,000 times was a segmentation fault on 8 MB.
    """
    outcome: list[ast.Module | BaseException] = []

    def parse() -> None:
        try:
            outcome.append(ast.parse(source, path))
        except BaseException as error:  # raised again below
            outcome.append(error)

    before = threading.stack_size(max(64 << 20, 512 * len(source)))
    try:
        thread = threading.Thread(target=parse)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


class _Imports:
    def __init__(self) -> None:
        self.found: list[Import] = []
        self.plugins: list[Import] = []

    def body(self, body: Sequence[ast.stmt], context: str) -> None:
        for statement in body:
            self._statement(statement, context)
            for inner, statements in bodies(statement):
                self.body(statements, max(context, inner, key=_CONTEXTS.index))

    def _statement(self, statement: ast.stmt, context: str) -> None:
        line = statement.lineno
        if isinstance(statement, ast.Import):
            context = _of_import(statement, context)
            self.found += [(0, alias.name, None, context, line) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            context, module, level = _of_import(statement, context), statement.module, statement.level
            self.found += [(level, module, alias.name, context, line) for alias in statement.names]
        elif isinstance(statement, ast.Assign):
            if any(_is_plugins(target) for target in statement.targets):
                self._plugins(statement.value, context)
        elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)) and _is_plugins(statement.target):
            self._plugins(statement.value, context)
        for call, later in own_calls(statement):
            imported = _imported_by(call)
            if imported is not None:
                delayed = max(context, "function", key=_CONTEXTS.index) if later else context
                self.found.append((*imported, None, delayed, call.lineno))

    def _plugins(self, value: ast.expr | None, context: str) -> None:
        if value is None or context in ("function", "type_checking"):
            return
        elements = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        named = (literal(element) for element in elements)
        self.plugins += [(0, name, None, "plugin", value.lineno) for name in named if name is not None]


def _of_import(statement: ast.Import | ast.ImportFrom, context: str) -> str:
    """Return the context of an import: one that is declared lazy (PEP 810) runs when its name is used, if ever."""
    is_lazy = getattr(statement, "is_lazy", False)
    return max(context, "function", key=_CONTEXTS.index) if is_lazy else context


def _is_plugins(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "pytest_plugins"


def _imported_by(call: ast.Call) -> tuple[int, str] | None:
    """Return level and module of `import_module("a.b")`, `__import__("a")`, `importorskip("a")`, or None."""
    function = call.func.id if isinstance(call.func, ast.Name) else None
    if isinstance(call.func, ast.Attribute):
        function = call.func.attr
    if function not in _DYNAMIC:
        return None
    name = literal(argument(call, 0, _DYNAMIC[function]))
    if name is None:
        return None
    package = literal(argument(call, 1, "package")) if function == "import_module" else None
    return _relative_to(name, package)


def _relative_to(name: str, package: str | None) -> tuple[int, str] | None:
    module = name.lstrip(".")
    level = len(name) - len(module)
    is_package_itself = level > 0 and not module
    if not is_package_itself and not all(part and not set(part) & set("/\\ ") for part in module.split(".")):
        return None
    if package is None or level == 0:
        return level, module
    parts = package.split(".")
    if level > len(parts) + 1:
        return None
    return 0, ".".join(part for part in [*parts[: len(parts) + 1 - level], module] if part)
