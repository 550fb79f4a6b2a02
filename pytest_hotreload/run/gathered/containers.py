"""Objects that can grow (lists, sets, dicts, attributes, buffers), with their content before the first fork.

The objects are read and written by the methods of the built-in types, never by those of a subclass.
"""

from __future__ import annotations

import collections
import queue
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary
from xml.etree.ElementTree import Element

from pytest_hotreload.process import foreign
from pytest_hotreload.world import BUILTINS, contextlib, io

__builtins__ = BUILTINS

#: Types of values that can't be changed in place.
ATOMS = (
    type(None), bool, int, float, complex, str, bytes, type, type(len), FunctionType, ModuleType, MappingProxyType,
    range, slice,
)  # fmt: skip
#: Modules of the standard library whose instances may hold gathered data.
_OPEN_MODULES = {
    "collections",
    "types",
    "queue",
    "xml",
    "string",
    "statistics",
    "configparser",
    "dataclasses",
}
#: Packages whose objects are machinery and not data.
_CLOSED = {"_pytest", "pytest", "pluggy", "pytest_hotreload", "xdist", "execnet", "coverage"}

_ordered_set = collections.OrderedDict.__setitem__
#: Suppresses the error of a slot that holds nothing.
_no_value = contextlib.suppress(AttributeError)


class _Missing:
    """Stands for the absence of a key."""


MISSING: Any = _Missing()


@dataclass
class Container:
    """One object that may grow, as it was before the first fork."""

    path: str
    owner: str
    thing: Any
    live: bool = False
    before: Any = None

    def content(self) -> Any:
        """Return a shallow copy of the current content."""
        raise NotImplementedError

    def note(self) -> None:
        """Remember the current content as known."""
        self.before = self.content()


class Sequence(Container):
    """A list, a deque, or an XML element's children."""

    def content(self) -> list[Any]:
        return list(self.thing)

    def extend(self, values: Iterable[Any]) -> None:
        kind: Any = Element if type(self.thing) is Element else list
        kind = collections.deque if foreign.is_a(self.thing, collections.deque) else kind
        kind.extend(self.thing, values)

    def replace(self, values: list[Any]) -> None:
        """Replace all elements by other elements."""
        if foreign.is_a(self.thing, collections.deque):
            collections.deque.clear(self.thing)
            self.extend(values)
        elif type(self.thing) is Element:
            self.thing[:] = values
        else:
            list.__setitem__(self.thing, slice(None), values)


class Queued(Sequence):
    """A ``queue.Queue``, whose consumer may be a thread of the controller: what children put into it is put into it."""

    def content(self) -> list[Any]:
        return list(self.thing.queue)

    def extend(self, values: Iterable[Any]) -> None:
        for value in values:
            self.thing.put_nowait(value)

    def replace(self, _values: list[Any]) -> None:
        """Refuse to put elements back that a test took."""
        raise ValueError("tests took elements of a queue")


class Members(Container):
    """A set."""

    def content(self) -> set[Any]:
        return set.copy(self.thing)


class Text(Container):
    """A buffer in memory (``StringIO`` or ``BytesIO``)."""

    def content(self) -> Any:
        return self.thing.getvalue() if not self.thing.closed else ""

    def write(self, value: Any, *, grown: bool) -> None:
        """Append ``value``, or make it the whole content."""
        self.thing.seek(0, io.SEEK_END if grown else io.SEEK_SET)
        if not grown:
            self.thing.truncate()
        self.thing.write(value)


@dataclass
class Keyed(Container):
    """A dict, or only its key ``only``."""

    only: Any = None

    def content(self) -> dict[Any, Any]:
        if self.only is not None:
            return {self.only: self.thing[self.only]} if self.only in self.thing else {}
        return {key: dict.__getitem__(self.thing, key) for key in dict.keys(self.thing)}

    def put(self, key: Any, value: Any) -> None:
        if foreign.is_a(self.thing, collections.OrderedDict):
            _ordered_set(self.thing, key, value)
        else:
            dict.__setitem__(self.thing, key, value)

    def drop(self, key: Any) -> None:
        if foreign.is_a(self.thing, collections.OrderedDict):
            collections.OrderedDict.pop(self.thing, key, None)
        else:
            dict.pop(self.thing, key, None)


@dataclass
class Names(Keyed):
    """Some names in a module, a class or an instance, or the variable of a closure."""

    names: set[str] | None = None

    def content(self) -> dict[str, Any]:
        kind = type(self.thing)
        if kind is CellType:
            try:
                return {"": self.thing.cell_contents}
            except ValueError:
                return {}
        if foreign.is_a(self.thing, type):
            held: Mapping[str, Any] = foreign.class_dict(self.thing)
        elif kind is dict:  # a module's globals
            held = self.thing
        else:
            return attributes(self.thing, self.names)
        return {name: held[name] for name in self.names or () if name in held}

    def put(self, key: str, value: Any) -> None:
        kind = type(self.thing)
        if kind is CellType:
            self.thing.cell_contents = value
        elif kind is dict:
            self.thing[key] = value
        elif foreign.is_a(self.thing, type):
            type.__setattr__(self.thing, key, value)
        else:
            object.__setattr__(self.thing, key, value)

    def drop(self, key: str) -> None:
        kind = type(self.thing)
        if kind is dict:
            self.thing.pop(key, None)
        elif kind is not CellType and not foreign.is_a(self.thing, type):
            object.__delattr__(self.thing, key)


def attributes(thing: Any, names: set[str] | None = None) -> dict[str, Any]:
    """Return the instance's attributes, or those with these names, without running code of the instance."""
    held = foreign.attribute_dict(thing) or {}
    found = {name: held[name] for name in (held if names is None else held.keys() & names)}
    for name, member in foreign.slots(thing).items():
        if names is None or name in names:
            with _no_value:
                found[name] = member.__get__(thing)
    return found


def container_of(thing: Any, path: str, owner: str) -> Container | None:
    """Return a container for an object that may grow; None if the object can't grow or is no data."""
    kind = type(thing)
    if kind in ATOMS or foreign.is_a(thing, type, WeakKeyDictionary, WeakValueDictionary, WeakSet, frozenset):
        return None
    if foreign.is_a(thing, list, collections.deque) or kind is Element:
        return Sequence(path, owner, thing)
    if foreign.is_a(thing, queue.Queue):
        return Queued(path, owner, thing)
    if foreign.is_a(thing, dict):
        return Keyed(path, owner, thing)
    if foreign.is_a(thing, set):
        return Members(path, owner, thing)
    if kind in (io.StringIO, io.BytesIO):
        return Text(path, owner, thing)
    top = foreign.module_of(kind).partition(".")[0]
    if top in _CLOSED or (top in sys.stdlib_module_names and top not in _OPEN_MODULES):
        return None
    return Names(path, owner, thing)
