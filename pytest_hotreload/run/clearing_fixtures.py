"""Finds session fixtures whose setup removes files: each child that ran one would remove what others had written.

Found by the code, before anything runs: names of functions that remove, in the part before the first ``yield``, and in
functions of the same module or package that the fixture calls by name. What is removed in another way is not found.
"""

from __future__ import annotations

import dis
import inspect
import itertools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, Final

#: Of ``shutil``, ``os``, ``pathlib`` and those that have such a method.
_REMOVING: Final = frozenset({"rmtree", "unlink", "rmdir", "removedirs", "remove_tree"})
#: ``os.remove``: other objects have a method of that name, a list for one.
_REMOVING_OF: Final = {"os": frozenset({"remove"})}
#: Code of their own before Python 3.12, run where they stand.
_COMPREHENSIONS: Final = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
#: Functions of functions that are followed.
_DEPTH: Final = 3


def clears(function: Callable[..., Any]) -> bool:
    """Whether the setup of a fixture with this function removes files, as its code says."""
    try:
        plain = inspect.unwrap(function)
        return isinstance(plain, FunctionType) and _clears(plain, _DEPTH)
    except Exception:  # a test file replaced what `inspect` and `dis` go by: perhaps it does
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
    """Names that are looked up in the body, without those of nested functions, which run at the teardown as a rule.

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
    """Of one package: what a library's functions remove, besides, is their own."""
    top = str(caller.__globals__.get("__name__", "")).partition(".")[0]
    return str(function.__module__).partition(".")[0] == top
