"""Compares the built module with `_native.pyi`: the same names with the same signatures."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native

STUB = ast.parse((Path(__file__).parents[2] / "pytest_hotreload" / "_native.pyi").read_text(encoding="utf-8"))


def parameters(node: ast.FunctionDef) -> list[tuple[str, str, Any]]:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = [inspect.Parameter.empty] * (len(positional) - len(arguments.defaults))
    defaults = [*missing, *(ast.literal_eval(default) for default in arguments.defaults)]
    found = [
        (argument.arg, "POSITIONAL_OR_KEYWORD", default)
        for argument, default in zip(positional, defaults, strict=True)
        if argument.arg not in ("self", "cls")
    ]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        found.append((argument.arg, "KEYWORD_ONLY", value))
    return found


def signature(function: Any) -> list[tuple[str, str, Any]]:
    real = inspect.signature(function).parameters.values()
    return [(one.name, one.kind.name, one.default) for one in real if one.name != "self"]


def contract() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, node))
        elif isinstance(node, ast.ClassDef):
            inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            found += [
                (node.name if one.name == "__new__" else f"{node.name}.{one.name}", one) for one in inner
            ]
    return found


@pytest.mark.parametrize(("name", "node"), contract(), ids=[name for name, _ in contract()])
def test_signatures(name: str, node: ast.FunctionDef) -> None:
    target: Any = _native
    for part in name.split("."):
        target = getattr(target, part)
    assert ast.get_docstring(node)
    if not node.decorator_list:
        assert signature(target) == parameters(node)


def test_nothing_is_left_out() -> None:
    def public(owner: Any) -> set[str]:
        return {name for name in vars(owner) if not name.startswith("_")}

    named = [name for name, _ in contract()]
    # A class that is only handed out has no constructor.
    handed_out = {"Changes", "RewindRefused"}
    constants = {"BOARD_BYTES", "SNAPSHOT_NAME"}
    assert public(_native) == {name for name in named if "." not in name} | handed_out | constants
    for owner in ("Changes", "Project", "RecordStore", "Rewinder", "Watcher"):
        methods = {name.partition(".")[2] for name in named if name.startswith(f"{owner}.")}
        assert public(getattr(_native, owner)) == methods
