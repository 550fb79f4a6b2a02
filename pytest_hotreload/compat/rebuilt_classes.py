"""Names classes of warnings and exceptions, and makes them again in a process that may not have them.

A class is named together with its bases up to the first that other processes can import. The reader takes the
nearest class that exists there, and derives the missing ones from it, with their names.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pytest_hotreload.compat.pickling import can_be_found, is_own
from pytest_hotreload.compat.unpickling import find, mro_of
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: (module, qualified name, name) of a class and of some of its bases.
ClassNames = tuple[tuple[str, str, str], ...]
Kind = TypeVar("Kind", bound=BaseException)


def names_of(kind: type[BaseException]) -> ClassNames:
    """Return the names of the class and of its bases, up to the first that can be imported elsewhere."""
    names: list[tuple[str, str, str]] = []
    for base in mro_of(kind):
        names.append((base.__module__, base.__qualname__, base.__name__))
        if not is_own(base) and can_be_found(base):
            break
    return tuple(names)


def class_of(names: ClassNames, root: type[Kind], default: type[Kind]) -> type[Kind]:
    """Return the nearest class that exists here and is a ``root``; the classes derived from it are recreated."""
    made: list[tuple[str, str, str]] = []
    for module, qualname, name in names:
        found = find(module, qualname)
        if isinstance(found, type) and issubclass(found, root):
            return _derived(found, made)
        made.append((module, qualname, name))
    return _derived(default, made)


def _derived(kind: type[Kind], names: list[tuple[str, str, str]]) -> type[Kind]:
    for module, qualname, name in reversed(names):
        kind = type(name, (kind,), {"__qualname__": qualname, "__module__": module})
    return kind


def with_text(kind: type[Kind], text: str) -> Kind:
    """Create an instance of this class that shows ``text``, without calling its constructor."""
    made: Any = kind.__new__(kind)
    made.args = (text,)
    try:
        if str(made) == text:
            return made  # type: ignore[no-any-return]
    except Exception:  # its text depends on data that was not transferred
        pass
    named = {"__qualname__": kind.__qualname__, "__module__": kind.__module__}
    shows = type(kind.__name__, (kind,), {**named, "__str__": lambda self: str(self.args[0])})
    return with_text(shows, text)
