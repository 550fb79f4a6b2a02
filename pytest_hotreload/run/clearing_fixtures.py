"""Finds session fixtures whose setup removes files.

Each child that set up such a fixture would remove the files that other children wrote.

The search reads code objects before anything runs. The search looks for names of functions that remove files,
in the part before the first ``yield``, and in functions of the same module or package that the fixture calls
by name. A fixture that removes files in another way is not found.
"""

from __future__ import annotations

import dis
import inspect
import itertools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final

#: Functions and methods of ``shutil``, ``os``, ``pathlib`` and libraries that use the same names.
_REMOVING: Final = frozenset({"rmtree", "unlink", "rmdir", "removedirs", "remove_tree"})
#: Only ``os.remove`` removes a file; other objects, such as lists, have a method with the same name.
_REMOVING_OF: Final = {"os": frozenset({"remove"})}
#: Comprehensions have code objects of their own before Python 3.12, but run in place.
_COMPREHENSIONS: Final = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
#: The number of call levels that are followed.
_DEPTH: Final = 3


def clears(function: Callable[..., Any]) -> bool:
    """Whether the setup of a fixture with this function removes files, judged by its code."""
    try:
        plain = inspect.unwrap(function)
        return isinstance(plain, FunctionType) and _clears(plain, _DEPTH)
    except Exception:  # a test file replaced what `inspect` or `dis` needs: assume that it removes files
        return True


def _clears(function: FunctionType, depth: int) -> bool:
    names = list(_names_before_yield(function.__code__))
    if _removes(names):
        return True
    called = (function.__globals__.get(name) for name in names) if depth else ()
    return any(
        type(each) is FunctionType and _is_near(each, function) and _clears(each, depth - 1)
        for each in called
    )


def _removes(names: list[str]) -> bool:
    if not _REMOVING.isdisjoint(names):
        return True
    return any(name in _REMOVING_OF.get(owner, ()) for owner, name in itertools.pairwise(names))


def _names_before_yield(code: CodeType) -> Iterator[str]:
    """Yield the names that are looked up in the body, without the names in nested functions.

    Nested functions usually run at the teardown.

    A generator's first ``yield`` ends its setup.
    """
    for instruction in dis.get_instructions(code):
        value = instruction.argval
        if instruction.opname == "YIELD_VALUE" and code.co_name != "<genexpr>":
            return
        if isinstance(value, CodeType) and value.co_name in _COMPREHENSIONS:
            yield from _names_before_yield(value)
        elif isinstance(value, str) and instruction.opname.startswith(("LOAD_", "IMPORT_FROM")):
            yield value


def _is_near(function: FunctionType, caller: FunctionType) -> bool:
    """Whether both functions belong to one top-level package: files that a library removes are its own."""
    top = str(caller.__globals__.get("__name__", "")).partition(".")[0]
    return str(function.__module__).partition(".")[0] == top
