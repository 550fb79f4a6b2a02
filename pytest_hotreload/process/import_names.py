"""Tells which names tests have replaced in modules that an import reads.

A module binds the names of other modules as they are while it is imported: under ``mock.patch("platform.system")`` an
import gives another module than one in the template. Therefore the names are noted when tests begin, and compared when
a test imports a module that waits to be adopted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from pytest_hotreload.world import BUILTINS, MODULES, os

__builtins__ = BUILTINS

#: The kinds of values that an import can depend on and that modules do not bind anew by themselves.
_KINDS = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, str, bool, tuple)
_OF_CLASSES = (FunctionType, classmethod, staticmethod, property)
#: What pytest and our own observer bind anew around each test, by module; None stands for all names.
_BOUND_ANEW: dict[str, frozenset[str] | None] = {
    "builtins": frozenset(["__import__", "_"]),
    "sys": frozenset(["excepthook", "unraisablehook", "displayhook", "breakpointhook"]),
    "threading": frozenset(["excepthook"]),
    "warnings": frozenset(["showwarning", "_showwarnmsg", "_showwarnmsg_impl"]),
    "importlib": None,
    "importlib.util": None,
    "_frozen_importlib": None,
    "_frozen_importlib_external": None,
}
#: Modules whose names matter to every import: what they offer is used through other modules, too.
_USED_BY_ALL = frozenset(
    ["builtins", "io", "locale", "os", "pathlib", "platform", "posix", "socket", "sys", "time"]
)
_GONE: Any = object()
#: The mapping of variables that ``os`` had before the first conftest; a test may bind another one.
_ENVIRON = os.environ
#: The id of a function of ours -> that function, and the one in whose place it stands for a while.
_INSTEAD: dict[int, tuple[Any, Any]] = {}


def stands_for(ours: Any, plain: Any) -> None:
    """Let a function of ours count as ``plain``: wherever it stands now, nobody has replaced the name."""
    _INSTEAD[id(ours)] = ours, plain


def _plain(value: Any) -> Any:
    return _INSTEAD.get(id(value), (value, value))[1]


class ModuleNames:
    """The names of some modules, and of the classes that they define, at one moment."""

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        used = {name: MODULES[name] for name in _USED_BY_ALL if name in MODULES}
        self._of: dict[str, list[tuple[Any, str, Any]]] = {
            name: list(_names_of(name, module))
            for name, module in {**modules, **used}.items()
            if type(module) is ModuleType and _BOUND_ANEW.get(name, _GONE) is not None
        }

    def replaced(self, imports: Mapping[str, Collection[str]]) -> dict[str, str]:
        """Return the modules that import a name which is bound to another object now -> that name.

        ``imports``: module -> the modules that it imports. Each of the latter is compared once: 15 ms for 60,000 names.
        """
        found = {
            name: f"{name}.{key}"
            for name in _USED_BY_ALL.union(*imports.values())
            if (key := next(self._differing(name), ""))
        }
        by_all = next((found[name] for name in _USED_BY_ALL if name in found), "")
        each = {
            name: by_all or next((found[one] for one in of if one in found), "")
            for name, of in imports.items()
        }
        return {name: what for name, what in each.items() if what}

    def _differing(self, name: str) -> Iterator[str]:
        for owner, key, value in self._of.get(name, ()):
            now = owner.__dict__.get(key, _GONE)
            if now is not value and _plain(now) is not _plain(value):
                yield key


def _names_of(name: str, module: ModuleType) -> Iterator[tuple[Any, str, Any]]:
    left_out = _BOUND_ANEW.get(name) or frozenset()
    for key, value in list(module.__dict__.items()):
        if key in left_out:
            continue
        kind = type(value)
        if kind in _KINDS or issubclass(kind, type) or value is _ENVIRON:
            yield module, key, value
        if kind is type and value.__module__ == name:
            own = list(value.__dict__.items())
            yield from ((value, each, found) for each, found in own if type(found) in _OF_CLASSES)
