"""The interpreter's import system: its functions, the names of modules, and empty modules.

The program of a watch's template executes this file before pytest is imported, so only the standard library is
imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from pytest_hotreload.world import BUILTINS, MODULES

__builtins__ = BUILTINS

#: The import system: ``importlib._bootstrap``.
bootstrap: Any = MODULES["_frozen_importlib"]
#: The file of the import system's code. The interpreter omits frames of this file from tracebacks by its name
#: (``remove_importlib_frames`` in CPython's ``Python/import.c``, 3.10 to 3.15).
_FILE = "<frozen importlib._bootstrap>"


def is_extension(module: Any) -> bool:
    """Return whether a module is native code, which can't be trusted to be loaded twice in one process."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return type(loader).__name__ in ("ExtensionFileLoader", "AppleFrameworkLoader")


def hidden(function: Any) -> Any:
    """Make a function look like a part of the import system, whose frames the interpreter omits from tracebacks."""
    function.__code__ = function.__code__.replace(co_filename=_FILE)
    return function


def parents(name: str) -> Iterator[str]:
    """Yield the packages that contain a module, the nearest first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def absolute(name: str, namespace: Any, level: int) -> str:
    """Return the full name of a module that code with these globals imports, as ``__import__`` resolves it."""
    if not level:
        return name
    package = (namespace or {}).get("__package__") or ""
    base = package.rsplit(".", level - 1)[0] if level > 1 else package
    return f"{base}.{name}" if name else base


def reached(names: Iterable[str], beyond: Callable[[str], Iterable[str]]) -> set[str]:
    """Return these modules and all modules to which ``beyond`` leads from them, directly or indirectly."""
    found = set(names)
    waiting = list(found)
    while waiting:
        for each in beyond(waiting.pop()):
            if each not in found:
                found.add(each)
                waiting.append(each)
    return found


def stand_in(name: str) -> Any:
    """Return the spec of an empty module that replaces a first-party module."""
    loader: Any = _StandInLoader()
    return spec_from_loader(name, loader, is_package=True)


class _StandInLoader:
    """Creates the empty module that replaces a first-party module."""

    def create_module(self, spec: Any) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _StandIn(ModuleType):
    """Has every attribute that an entry point or an import may name, but none that pytest looks for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):
            raise AttributeError(name)
        return _StandIn(f"{self.__name__}.{name}")
