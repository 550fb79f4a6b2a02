"""Restores the standard library, as it was before the first conftest, for single calls of ours in the controller.

A test file that is imported may replace names permanently, also in the controller. ``world.py`` protects
against patches of the names that our own code looks up, but not of those that a function of the standard
library looks up itself: ``pathlib`` uses ``io.open``, ``json`` and ``re`` use builtins, and each import uses
``sys.path``. Therefore code that needs such functions (records, durations, report files) runs within
:data:`ORIGINAL_NAMES`. The tests' replacements are back in place afterwards.

Never used around a hook, a fixture or a fork: code that runs there must see the world that the tests created.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from pytest_hotreload._native import Bindings
from pytest_hotreload.world import BUILTINS, MODULES, gc, os

__builtins__ = BUILTINS

#: The types of values that are restored; values of other types are a module's own state (``tempfile.tempdir``,
#: ``re._cache``).
_KINDS = (FunctionType, BuiltinFunctionType, ModuleType, type, type(str.join), type(object().__str__))
#: Modules whose other values are constants and are restored, too.
_CONSTANT = {"os", "posixpath", "ntpath", "stat", "errno"}
_VALUES = (str, bytes, int, bool, type(None))
#: Hooks that are not restored: code that sets one intends to be called, by us too.
_HOOKS = {
    "excepthook", "unraisablehook", "displayhook", "breakpointhook", "showwarning", "_showwarnmsg",
    "_showwarnmsg_impl",
}  # fmt: skip
#: Modules whose classes are written in Python, and whose methods are therefore restored, too.
_CLASSES = {
    "contextlib", "json.decoder", "json.encoder", "os", "pathlib", "pathlib._local", "pathlib._abc", "random",
    "subprocess", "tempfile", "threading",
}  # fmt: skip
#: Packages that our code does not use: checking them would take as long as checking all others.
_UNUSED = {
    "asyncio", "bdb", "cmd", "code", "concurrent", "ctypes", "doctest", "email", "encodings", "http", "multiprocessing",
    "pdb", "ssl", "unittest", "urllib", "xml",
}  # fmt: skip
#: Attributes of ``sys`` that imports need, with their types. A test may replace a list by another list.
_IMPORTS = {"path": list, "meta_path": list, "path_hooks": list, "path_importer_cache": dict}
#: Attributes of ``sys`` that describe the interpreter, and that no test changes.
_FACTS = ("builtin_module_names", "flags", "platform", "stdlib_module_names", "version_info")
_GONE: Any = object()
#: The names of the module itself, not of a held copy; and the attributes of ``os.environ``: added ones hide
#: methods of its class, and its methods call those that encode and decode.
_OS: dict[str, Any] = vars(MODULES["os"])
_OF_ENVIRON = frozenset(vars(os.environ))
_CODERS = ("encodekey", "decodekey", "encodevalue", "decodevalue")


class OriginalNames:
    """A reentrant context manager. Does nothing in a process in which :meth:`remember` was not called."""

    def __init__(self) -> None:
        #: Namespaces of modules and classes, in the order of their tables in ``_bindings``.
        self._owners: list[Any] = []
        self._bindings: Bindings | None = None
        self._imports: dict[str, Any] = {}
        self._coders: dict[str, Any] = {}
        self._undo: list[list[tuple[Any, str, Any]]] = []
        self._found: list[tuple[Any, str, Any]] = []
        #: (id of a namespace or class, name) -> the value that our own code put there.
        self._ours: dict[tuple[int, str], Any] = {}

    def remember(self) -> None:
        """Store the current names as the original ones. Only the first call has an effect."""
        if self._bindings:
            return
        tables: list[tuple[Any, list[tuple[str, Any]]]] = []
        for name, module in MODULES.copy().items():
            top = name.partition(".")[0]
            if type(module) is not ModuleType or top not in sys.stdlib_module_names or top in _UNUSED:
                continue
            kinds = (*_KINDS, *_VALUES) if name in _CONSTANT else _KINDS
            space = vars(module)
            kept = [
                (key, each)
                for key, each in space.items()
                if type(key) is str and (type(each) in kinds or isinstance(each, type))
            ]
            tables.append((space, [(key, each) for key, each in kept if key not in _HOOKS]))
            if name in _CLASSES:
                tables += _methods(name, space)
        self._owners = [owner for owner, _ in tables]
        self._bindings = Bindings([(_namespace(owner), names) for owner, names in tables])
        self._imports = {name: vars(sys)[name] for name in (*_IMPORTS, *_FACTS)}
        self._coders = {name: vars(os.environ)[name] for name in _CODERS}

    def accept(self) -> None:
        """Call the present differences ours: the observer's wrappers, before any conftest.

        Frequent calls leave these in place, because the wrappers only record. Restoring ten names for each
        message took a quarter of the controller's time between two trivial test files.
        """
        if self._bindings:
            self._ours = {(id(owner), name): _space(owner).get(name) for owner, name, _ in self._differing()}

    def __enter__(self) -> None:
        if self._undo or not self._bindings:  # in a nested block, nothing differs
            self._enter([])
            return
        found = self._differing()
        self._found = [(owner, name, value) for owner, name, value in found if not self._is_ours(owner, name)]
        self._enter(found)

    def _is_ours(self, owner: Any, name: str) -> bool:
        now = _space(owner).get(name, _GONE)
        return self._ours.get((id(owner), name), _GONE) is now and now is not _GONE

    def _enter(self, found: list[tuple[Any, str, Any]]) -> None:
        undo = [(owner, name, _space(owner).get(name, _GONE)) for owner, name, _ in found]
        self._undo.append(undo)
        for owner, name, value in found:
            _put(owner, name, value)

    def _differing(self) -> list[tuple[Any, str, Any]]:
        """Return (namespace or class, name, original value) of each name that differs."""
        assert self._bindings
        found = [(self._owners[table], name, value) for table, name, value in self._bindings.differing()]
        found += self._differing_in_sys()
        own = vars(os.environ)
        found += [(own, name, _GONE) for name in own if name not in _OF_ENVIRON]
        found += [(own, name, value) for name, value in self._coders.items() if own.get(name) is not value]
        if type(_OS.get("environ")) is not type(os.environ):
            found.append((_OS, "environ", os.environ))
        return found

    def _differing_in_sys(self) -> list[tuple[Any, str, Any]]:
        space = vars(sys)
        wanted = {
            name: value
            for name, value in self._imports.items()
            if type(space.get(name)) is not _IMPORTS.get(name, _GONE)
        }
        wanted["modules"] = MODULES
        return [(space, name, value) for name, value in wanted.items() if space.get(name) is not value]

    def __exit__(self, *_: object) -> None:
        for owner, name, value in reversed(self._undo.pop()):
            _put(owner, name, value)


def _methods(name: str, space: dict[str, Any]) -> list[tuple[Any, list[tuple[str, Any]]]]:
    """The classes that a module defines, with their methods."""
    kinds = (FunctionType, classmethod, staticmethod, property)
    classes = [each for each in space.values() if isinstance(each, type) and each.__module__ == name]
    return [
        (each, [(key, value) for key, value in vars(each).items() if type(value) in kinds])
        for each in classes
    ]


def _namespace(owner: Any) -> Any:
    """The dictionary itself, also that of a class, of which ``vars`` gives a view."""
    return gc.get_referents(vars(owner))[0] if isinstance(owner, type) else owner


def _space(owner: Any) -> Any:
    return vars(owner) if isinstance(owner, type) else owner


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, type):
        type.__delattr__(owner, name) if value is _GONE else type.__setattr__(owner, name, value)
    elif value is _GONE:
        owner.pop(name, None)
    else:
        owner[name] = value


class Known:
    """A fast variant for frequent use: restores what tests had replaced at the last full comparison, mostly nothing."""

    def __init__(self, world: OriginalNames) -> None:
        self._world = world

    def __enter__(self) -> None:
        self._world._enter(self._world._found)

    def __exit__(self, *_: object) -> None:
        self._world.__exit__()


ORIGINAL_NAMES = OriginalNames()
KNOWN_CHANGES = Known(ORIGINAL_NAMES)
