"""Code of a run calls no function of the standard library that is written in Python: docs/design/worlds.md.

Such a function looks up its names in its own module and in the builtins, which tests may have replaced.
"""

from __future__ import annotations

import ast
import importlib
import sys
from types import FunctionType, ModuleType
from typing import Any

import pytest

from pytest_hotreload import world
from tests.unit import test_worlds as worlds

#: What may be used nevertheless: (module of the standard library, or "module.name"), and why that is safe.
ALLOWED = {
    "ast": "analysis of fixtures; a failure there means that a fixture is not shared",
    "collections.Counter": "counting is native",
    "copyreg.__newobj__": "compared, not called",
    "functools.cache": "native",
    "functools.wraps": "at the definition of functions",
    "importlib": "imports run through whatever tests have replaced, as those of tests do",
    "inspect": "analysis of fixtures",
    "json": "under the original names",
    "logging.disable": "under the original names",
    "logging.makeLogRecord": "for a log that is pytest's",
    "pathlib": "before tests run, under the original names, or in a child's own words about a failure",
    "platform": "cached before tests run",
    "queue.Queue": "only compared",
    "re.search": "analysis of fixtures",
    "shlex.split": "under the original names",
    "signal.Signals": "a name for the text about a death",
    "site": "before tests run",
    "sysconfig": "before tests run",
    "tempfile": "before tests run",
    "textwrap.dedent": "analysis of fixtures",
    "threading": "what it knows of threads stands in that module; each of its names was replaced in turn",
    "traceback.print_exc": "an exception of ours, in a child that ends with it",
    "typing.Any": "for annotations of local names",
    "warnings": "before tests run",
    "weakref": "as classes only",
}


#: What our copies of modules are imported from.
_WORLD = "pytest_hotreload.world."


def _names(tree: ast.Module) -> dict[str, str]:
    """Name in the module -> what it stands for in the standard library."""
    found = {}
    within = (node for top in worlds._run_time(tree.body) for node in ast.walk(top))
    for node in within:
        if isinstance(node, ast.Import):
            plain = (alias.name.split(".")[0] for alias in node.names if not alias.asname)
            found.update({each: each for each in plain})
            found.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return {name: full for name, full in found.items() if _module(full) in sys.stdlib_module_names}


def _module(full: str) -> str:
    return full.removeprefix(_WORLD).split(".")[0]


def _is_python(thing: Any) -> bool:
    """Whether a call of this runs Python code of the standard library."""
    called = (
        [vars(thing).get(name) for name in ("__init__", "__new__")] if isinstance(thing, type) else [thing]
    )
    functions = [getattr(each, "__func__", each) for each in called]
    return any(type(each) is FunctionType and _is_of_standard_library(each) for each in functions)


def _is_of_standard_library(function: FunctionType) -> bool:
    """Whether this looks names up in a module that tests find; our own copies of modules have globals of their own."""
    module = sys.modules.get(function.__module__)
    return (
        module is not None
        and function.__globals__ is vars(module)
        and _module(module.__name__) in sys.stdlib_module_names
    )


def used(module: str) -> set[str]:
    """Names of what a module's functions use of the standard library's Python code."""
    tree = worlds._tree(module)
    names, found = _names(tree), set()
    for node in worlds._in_functions(tree):
        full, part = "", node
        attributes: list[str] = []
        while isinstance(part, ast.Attribute):
            attributes.insert(0, part.attr)
            part = part.value
        if isinstance(part, ast.Name) and part.id in names:
            full = ".".join([names[part.id], *attributes])
        if full and _is_python(_find(full)):
            found.add(full.removeprefix(_WORLD))
    return found


def _find(name: str) -> object:
    head, *rest = name.removeprefix(_WORLD).split(".")
    thing: Any = getattr(world, head) if name.startswith(_WORLD) else importlib.import_module(head)
    for part in rest:
        if isinstance(thing, ModuleType) and not hasattr(thing, part):
            importlib.import_module(f"{thing.__name__}.{part}")
        thing = getattr(thing, part)
    return thing


def _is_allowed(name: str) -> bool:
    return name in ALLOWED or name.split(".", maxsplit=1)[0] in ALLOWED


@pytest.mark.parametrize("name", [*worlds.IN_CHILDREN, *worlds.OF_THE_LOOP])
def test_code_of_a_run_calls_no_python_code_of_the_standard_library(name: str) -> None:
    assert [each for each in sorted(used(name)) if not _is_allowed(each)] == []


def test_each_exception_is_needed() -> None:
    found = set().union(*map(used, [*worlds.IN_CHILDREN, *worlds.OF_THE_LOOP]))
    assert ALLOWED.keys() <= found | {each.split(".")[0] for each in found}


@pytest.mark.parametrize(
    "name", ["dataclasses.replace", "contextlib.suppress", "inspect.unwrap", "json.dumps"]
)
def test_what_is_written_in_python_is_recognised(name: str) -> None:
    assert _is_python(_find(name))


@pytest.mark.parametrize("name", ["itertools.chain", "functools.partial", "collections.deque", "errno.EPERM"])
def test_what_is_native_is_recognised(name: str) -> None:
    assert not _is_python(_find(name))
