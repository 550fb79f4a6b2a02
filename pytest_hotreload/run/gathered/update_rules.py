"""Infers from source text how a number or a text is updated.

With these rules, the updates of several files can be combined:
``COUNT += 1`` adds, ``PEAK = max(PEAK, x)`` keeps the larger value, ``if FIRST is None: FIRST = x`` keeps the
first, ``LAST = x`` the last. If two files gave one name two values, the source decides which of these rules
applies.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

ADD, LARGEST, SMALLEST, FIRST, LAST, UNKNOWN = "add", "largest", "smallest", "first", "last", ""


def rule_of(files: Iterable[str], name: str) -> str:
    """How these files update the variable, attribute or key ``name``; ``UNKNOWN`` if they do not agree."""
    found = {
        rule for file in files for rule in (*_rules(file).get(name, ()), *_rules(file).get(_ANY_KEY, ()))
    }
    named = {rule for file in files for rule in _rules(file).get(name, ())}
    found = named or found
    if len(found - {LAST}) == 1 and LAST in found and found - {LAST} == {ADD}:
        return ADD  # besides an initial value
    return found.pop() if len(found) == 1 else UNKNOWN


#: The name for keys that are not constants.
_ANY_KEY = "[]"


@functools.lru_cache(maxsize=256)
def _rules(file: str) -> dict[str, set[str]]:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, set[str]] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            _visit(function, [], found)
    return found


def _visit(node: ast.AST, tests: list[ast.expr], found: dict[str, set[str]]) -> None:
    if isinstance(node, ast.AugAssign):
        rule = ADD if isinstance(node.op, ast.Add | ast.Sub) else UNKNOWN
        found.setdefault(_name(node.target), set()).add(rule)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            found.setdefault(_name(target), set()).add(_of_assignment(target, node.value, tests))
    for child in ast.iter_child_nodes(node):
        guards = [*tests, node.test] if isinstance(node, ast.If) and child in node.body else tests
        _visit(child, guards, found)


def _name(target: ast.AST) -> str:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute):
        return target.attr
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return _ANY_KEY if isinstance(target, ast.Subscript) else ""


def _of_assignment(target: ast.expr, value: ast.expr, tests: list[ast.expr]) -> str:
    if any(_is_read_of(operand, target) for operand in _summands(value)[1:]):
        return ADD
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and _mentions(value, target):
        return {"max": LARGEST, "min": SMALLEST}.get(value.func.id, UNKNOWN)
    if _mentions(value, target):
        return UNKNOWN
    guards = [test for test in tests if _mentions(test, target)]
    return _of_guard(guards[-1], target) if guards else LAST


def _of_guard(test: ast.expr, target: ast.expr) -> str:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return FIRST
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return UNKNOWN
    if isinstance(test.ops[0], ast.Is | ast.Eq | ast.NotIn):
        return FIRST
    larger = isinstance(test.ops[0], ast.Gt | ast.GtE)
    smaller = isinstance(test.ops[0], ast.Lt | ast.LtE)
    if not larger and not smaller:
        return UNKNOWN
    return LARGEST if larger != _mentions(test.left, target) else SMALLEST


def _summands(value: ast.expr) -> list[ast.expr]:
    """Return a sum or difference, followed by its parts."""
    found = [value]
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub):
        found += [*_summands(value.left), *_summands(value.right)]
    return found


def _is_read_of(operand: ast.expr, target: ast.expr) -> bool:
    """Whether the operand reads the target's old value, directly, by ``get(key, 0)`` or by ``getattr(x, name, 0)``."""
    if isinstance(operand, ast.Call) and isinstance(operand.func, ast.Attribute):
        return operand.func.attr in ("get", "setdefault", "pop") and _mentions(operand.func.value, target)
    return _dump(operand) == _dump(target) or _is_named_read(operand, target)


def _is_named_read(tree: ast.AST, target: ast.expr) -> bool:
    """Whether the tree is ``getattr(x, name, …)`` or ``hasattr(x, name)`` for the target ``x.name``."""
    if not isinstance(tree, ast.Call) or not isinstance(target, ast.Attribute) or len(tree.args) < 2:
        return False
    function, (owner, name) = tree.func, tree.args[:2]
    asks = isinstance(function, ast.Name) and function.id in ("getattr", "hasattr")
    is_name = isinstance(name, ast.Constant) and name.value == target.attr
    return asks and is_name and _dump(owner) == _dump(target.value)


def _dump(tree: ast.AST) -> str:
    return ast.dump(tree).replace("Store()", "Load()")


def _mentions(tree: ast.AST, target: ast.expr) -> bool:
    """Whether the tree reads the target (for ``x[key]``: reads ``x``)."""
    base = target.value if isinstance(target, ast.Subscript) else target
    wanted = _dump(base)
    return any(_dump(node) == wanted or _is_named_read(node, target) for node in ast.walk(tree))
