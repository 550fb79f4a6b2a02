"""Reads what :mod:`pickling` wrote: always succeeds, even if classes are missing, and runs no code of the project."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from pytest_hotreload.original_names import KNOWN_CHANGES
from pytest_hotreload.process import installed
from pytest_hotreload.world import BUILTINS, MODULES, io, loaded, os, pickle, pytest

__builtins__ = BUILTINS

_STANDARD = tuple(folder + os.sep for folder in installed.standard_folders())


class Placeholder:
    """Replaces a value that can't leave its process, and shows the same text.

    The other methods accept and drop what a pickle adds to an object that could not be created.
    """

    def __init__(self, shown: str, represented: str) -> None:
        self.shown, self.repr = shown, represented

    @classmethod
    def of(cls, value: Any) -> Placeholder:
        """Return the placeholder of ``value``."""
        return cls(text_of(str, value), text_of(repr, value))

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return self.repr

    def __setstate__(self, state: Any) -> None:
        if type(state) is dict and state.keys() == {"shown", "repr"}:
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop the item."""

    def extend(self, values: Any) -> None:
        """Drop the values."""

    append = add = extend

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raise TypeError. The method exists because a factory in a container (``defaultdict``) must be callable."""
        raise TypeError(f"{self.repr} could not be sent to the controller")


class Rendered(TerminalRepr):
    """A failure's text for the terminal as it was written: its parts with their markup."""

    parts: list[tuple[str, dict[str, bool]]]

    def toterminal(self, tw: TerminalWriter) -> None:
        for text, markup in self.parts:
            tw.write(text, **markup)


def text_of(show: Callable[[Any], str], value: Any) -> str:
    """Return ``show(value)``, or a text about the exception that it raised."""
    try:
        return str.__str__(show(value))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a test's own __str__ may raise anything
        return f"<{type(value).__name__}, whose {show.__name__} raised {type(error).__name__}>"


def is_installed(file: str) -> bool:
    """Return whether a file is installed.

    Generated code (dataclasses, attrs, named tuples) lies in no file, and counts as installed.
    """
    return file.startswith("<") or installed.is_installed(file) or file.startswith(_STANDARD)


def mro_of(kind: type) -> tuple[type, ...]:
    """Return the method resolution order, regardless of the metaclass."""
    found: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    return found


def node(nodeid: str) -> Any:
    raise NotImplementedError("the reader has its own")


def part(name: str) -> Any:
    raise NotImplementedError("the reader has its own")


def find(module: str, name: str) -> Any:
    """Return the class or function of that name, or None; only installed modules are imported."""
    try:
        if module not in MODULES and may_be_imported(module):
            importlib.import_module(module)
        return _named(module, name)
    except Exception:  # the module has another version, or is missing
        return None


def _named(module: str, name: str) -> Any:
    found: Any = MODULES[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def new(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        kind = _named(module, name)
        return kind.__new__(kind, *arguments)
    except Exception:  # the name belongs to another class, or is missing
        return Placeholder(shown, represented)


def call(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return _named(module, name)(*arguments)
    except Exception:
        return Placeholder(shown, represented)


def exception(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        kind = _named(module, name)
        base: Any = next(each for each in mro_of(kind) if each.__module__ == "builtins")
        made: Any = base.__new__(kind, *arguments)
        initialise: Any = base.__init__
        initialise(made, *arguments)
        return made
    except Exception:
        return Placeholder(shown, represented)


def set_attributes(made: Any, state: dict[str, Any]) -> None:
    if type(made) is Placeholder:
        return
    for name, value in state.items():
        try:
            object.__setattr__(made, name, value)
        except Exception:  # the class has a property of this name
            made.__dict__[name] = value


class _Reading:
    """The part that both readers share: the configuration, and the nodes above the item."""

    _config: pytest.Config
    _item: pytest.Item | None

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__:
            if name == "node":
                return self._find_node
            if name == "part":
                return self._find_part
        if module not in MODULES and not may_be_imported(module):
            raise ModuleNotFoundError(f"{module} is not loaded here")
        return super().find_class(module, name)  # type: ignore[misc]

    def _find_part(self, name: str) -> Any:
        """Return the configuration, or what hangs on it: the plugin manager, its hooks, a plugin by name."""
        if name == "config":
            return self._config
        if name in ("pluginmanager", "hook"):
            return getattr(self._config, name)
        return self._config.pluginmanager.get_plugin(name)

    def _find_node(self, nodeid: str) -> Any:
        node: Any = self._item
        while node is not None and node.nodeid != nodeid:
            node = node.parent
        return node


def may_be_imported(module: str) -> bool:
    """Return whether a module is installed.

    Importing a module of the project would run the project's code in the reading process.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(top)
    return spec is not None and spec.origin is not None and is_installed(spec.origin)


class _Reader(_Reading, pickle.Unpickler):
    def __init__(self, data: bytes, config: pytest.Config, item: pytest.Item | None) -> None:
        super().__init__(io.BytesIO(data))
        self._config, self._item = config, item


#: The unpickler of the standard library that is written in Python.
_Slow: Any = vars(pickle)["_Unpickler"]


class _TolerantReader(_Reading, _Slow):  # type: ignore[misc]
    """Replaces each object that can't be created, by guards around the operations that may raise."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Slow.dispatch)

    def __init__(self, data: bytes, config: pytest.Config, item: pytest.Item | None) -> None:
        super().__init__(io.BytesIO(data))
        self._config, self._item = config, item

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except Exception as error:
            return _Unknown(f"{module}.{name}", error)

    def _reduce(self) -> None:
        arguments, make = self.stack.pop(), self.stack.pop()
        self.stack.append(_made(make, lambda: make(*arguments)))

    def _newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.stack.append(_made(kind, lambda: kind.__new__(kind, *arguments)))

    def _newobj_ex(self) -> None:
        named, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(_made(kind, lambda: kind.__new__(kind, *arguments, **named)))

    def _build(self) -> None:
        made = self.stack[-2]
        depth = len(self.stack) - 1
        try:
            super().load_build()
        except Exception as error:
            del self.stack[depth:]
            stand_in = _unreadable(type(made).__name__, error)
            self.stack[-1] = stand_in
            self.memo.update({key: stand_in for key, each in self.memo.items() if each is made})

    def _additems(self) -> None:
        items = self.pop_mark()
        for each in items:
            self.stack[-1].add(each if _is_hashable(each) else _unreadable(type(each).__name__, None))

    def _frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(
            frozenset(
                each if _is_hashable(each) else _unreadable(type(each).__name__, None) for each in items
            )
        )

    def _setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            kept = key if _is_hashable(key) else _unreadable(type(key).__name__, None)
            self.stack[-1][kept] = value

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key if _is_hashable(key) else _unreadable(type(key).__name__, None)] = value

    for _code, _load in (
        (pickle.REDUCE, _reduce),
        (pickle.NEWOBJ, _newobj),
        (pickle.NEWOBJ_EX, _newobj_ex),
        (pickle.BUILD, _build),
        (pickle.ADDITEMS, _additems),
        (pickle.FROZENSET, _frozenset),
        (pickle.SETITEMS, _setitems),
        (pickle.SETITEM, _setitem),
    ):
        dispatch[_code[0]] = _load


class _Unknown:
    """Replaces a class or function that does not exist; each call returns a placeholder."""

    def __init__(self, name: str, error: Exception) -> None:
        self.__name__, self.error = name, error

    def __call__(self, *_: Any) -> Any:
        return _unreadable(self.__name__, self.error)


def _made(of: Any, make: Callable[[], Any]) -> Any:
    if type(of) is _Unknown:
        return of()
    try:
        return make()
    except Exception as error:
        return _unreadable(getattr(of, "__name__", type(of).__name__), error)


def _unreadable(name: str, error: Exception | None) -> Placeholder:
    why = f": {type(error).__name__}: {error}" if error is not None else ""
    text = f"<{name}, which could not be read in the controller{why}>"
    return Placeholder(text, text)


def _is_hashable(thing: Any) -> bool:
    try:
        hash(thing)
    except Exception:
        return False
    return True


def loads(data: bytes, config: pytest.Config, item: pytest.Item | None = None) -> Any:
    """Return the object that :func:`dumps` or :func:`pack` wrote, or None for b"".

    Raises if the data is no pickle at all.
    """
    if not data:
        return None
    with loaded, KNOWN_CHANGES:
        try:
            return _Reader(data, config, item).load()
        except Exception:  # the content may raise anything
            return _TolerantReader(data, config, item).load()
