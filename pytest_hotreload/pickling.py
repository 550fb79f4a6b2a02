"""Pickles any object graph so that it can always be read: the innermost thing that can't travel is replaced, nothing else.

What becomes of an object is decided by its type, and by where the code of that type lies:

- built-in data and containers, and instances of installed or standard classes: pickled as they are;
- exceptions: made anew without their constructor, whose arguments nobody knows (``args`` are not these);
- instances of the project's own classes: the same where nothing of the project's code runs when they are read,
  and with their text in case that the reading process does not have the class; else their text alone;
- what has no name to be found by, and what can't be pickled: its text (:class:`Placeholder`).

So identity, shared references and cycles are kept, and no code of the project runs in the reading process.
"""

from __future__ import annotations

import copyreg
import importlib
import importlib.machinery
import io
import os
import pickle
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from . import compat

#: Containers are cut below this depth where a graph is too deep for pickle, which recurses.
_DEEPEST = 100
_STANDARD = tuple(
    folder + os.sep for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if folder
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: Methods that run when an object is read.
_READING = (
    "__reduce__",
    "__reduce_ex__",
    "__setstate__",
    "__new__",
    "__getnewargs__",
    "__getnewargs_ex__",
    "append",
    "extend",
    "add",
    "__setitem__",
)
#: Pickled by their names.
_BY_NAME = (type, types.FunctionType, types.BuiltinFunctionType)
#: Types that every report consists of: nothing to decide.
_ALWAYS: set[type] = {pytest.TestReport, pytest.CollectReport}


class Placeholder:
    """Stands for a value that can't leave its process, and looks like it.

    The rest of the class takes what a pickle adds to an object that could not be made.
    """

    def __init__(self, shown: str, represented: str) -> None:
        self.shown, self.repr = shown, represented

    @classmethod
    def of(cls, value: Any) -> Placeholder:
        """The stand-in of ``value``."""
        return cls(text_of(str, value), text_of(repr, value))

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return self.repr

    def __setstate__(self, state: Any) -> None:
        if type(state) is dict and state.keys() == {"shown", "repr"}:
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Dropped."""

    def extend(self, values: Any) -> None:
        """Dropped."""

    append = add = extend

    def __call__(self, *_: Any, **__: Any) -> Any:
        """A factory in a container (``defaultdict``) must be callable."""
        raise TypeError(f"{self.repr} could not leave its process")


class Rendered(TerminalRepr):
    """A failure's text for the terminal as it was written: the parts, with their markup."""

    parts: list[tuple[str, dict[str, bool]]]

    @classmethod
    def of(cls, shown: TerminalRepr, config: pytest.Config) -> Rendered:
        """As ``shown`` shows on the user's terminal. Raises what ``shown`` raises."""
        writer = _Recorder(compat.terminal_writer(config))
        shown.toterminal(writer)
        rendered = cls()
        rendered.parts = writer.parts
        crash = getattr(shown, "reprcrash", None)
        if crash is not None:
            rendered.reprcrash = crash  # type: ignore[attr-defined]
        return rendered

    def toterminal(self, tw: TerminalWriter) -> None:
        for text, markup in self.parts:
            tw.write(text, **markup)


class _Recorder(TerminalWriter):  # type: ignore[misc]  # final for type checkers
    """As wide and as colourful as the user's terminal."""

    def __init__(self, like: TerminalWriter | None) -> None:
        super().__init__(io.StringIO())
        self.parts: list[tuple[str, dict[str, bool]]] = []
        if like is not None:
            self.hasmarkup, self.code_highlight = like.hasmarkup, like.code_highlight
            self.fullwidth = like.fullwidth

    def write(self, msg: str, *, flush: bool = False, **markup: bool) -> None:
        self.parts.append((msg, markup))

    write_raw = write


def text_of(show: Callable[[Any], str], value: Any) -> str:
    """``show(value)``, or what is left to say."""
    try:
        return str.__str__(show(value))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a test's own __str__ may raise anything
        return f"<{type(value).__name__}, whose {show.__name__} raised {type(error).__name__}>"


# ---------------------------------------------------------------------------------- writing


def dumps(value: Any, config: pytest.Config) -> bytes:
    """``value`` for :func:`loads`. Raises where the graph is too deep, or what the memory limit raises."""
    buffer = io.BytesIO()
    _Pickler(buffer, config).dump(value)
    return buffer.getvalue()


def pack(value: Any, config: pytest.Config) -> bytes:
    """The same; always succeeds."""
    for attempt in (lambda: value, lambda: _cut(value, _DEEPEST, {}), lambda: Placeholder.of(value)):
        try:
            return dumps(attempt(), config)
        except Exception:  # noqa: PERF203 - RecursionError, for one
            continue
    return dumps(Placeholder(f"<{type(value).__name__}>", f"<{type(value).__name__}>"), config)


class _Pickler(pickle.Pickler):
    """Asked only of what is no built-in data or container: the C pickler does those by itself."""

    def __init__(self, buffer: io.BytesIO, config: pytest.Config) -> None:
        super().__init__(buffer, 5)
        self._config = config

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in _ALWAYS or (kind is type and obj in _ALWAYS):
            return NotImplemented
        if kind is Placeholder:
            return Placeholder, (obj.shown, obj.repr)
        if issubclass(kind, _BY_NAME):
            return NotImplemented if can_be_found(obj) else self._replaced(obj)
        try:
            return self._reduced(obj, kind)
        except KeyboardInterrupt:
            raise
        except BaseException:  # whatever an object's own code raises
            return self._replaced(obj)

    def _reduced(self, obj: Any, kind: type) -> Any:
        mro = _mro(kind)
        if pytest.Item in mro or pytest.Collector in mro:
            return _node, (obj.nodeid,)
        if pytest.Config in mro:
            return _config, ()
        ours = is_own(kind)
        if not can_be_found(kind) or (ours and BaseException not in mro and _runs_code(kind)):
            return self._replaced(obj)
        if BaseException in mro:
            return _reduced_exception(obj, kind, mro)
        reduced = _checked(kind.__reduce_ex__(obj, 5), kind)  # type: ignore[arg-type]
        return _by_name(reduced, obj, kind) if ours else reduced

    def _replaced(self, obj: Any) -> tuple[Any, ...]:
        if TerminalRepr in _mro(type(obj)):
            try:
                rendered = Rendered.of(obj, self._config)
                return _rendered, (), vars(rendered)
            except Exception:  # it can't even be shown
                pass
        stand_in = Placeholder.of(obj)
        return Placeholder, (stand_in.shown, stand_in.repr)


def _rendered() -> Rendered:
    return Rendered()


def _checked(reduced: Any, kind: type) -> tuple[Any, ...]:
    """What pickle takes without complaint, with all that an iterator yields. Raises where it would not."""
    if type(reduced) is str or not callable(reduced[0]) or type(reduced[1]) is not tuple:
        raise pickle.PicklingError("no reduction")
    make, arguments, *more = reduced
    if make is copyreg.__newobj__ and arguments[0] is not kind:  # type: ignore[attr-defined]
        raise pickle.PicklingError("an object of another class")
    if issubclass(type(make), _BY_NAME) and not can_be_found(make):
        raise pickle.PicklingError("no name")
    for place in (1, 2):
        if len(more) > place and more[place] is not None:
            more[place] = iter(list(more[place]))
    return (make, arguments, *more)


def _by_name(reduced: tuple[Any, ...], obj: Any, kind: type) -> tuple[Any, ...]:
    """The same with the class by its name, and the text: the reader may not have the class."""
    make, arguments, *more = reduced
    stand_in = Placeholder.of(obj)
    name = (kind.__module__, kind.__qualname__, stand_in.shown, stand_in.repr)
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        return (_new, (*name, arguments[1:]), *more)
    if make is kind:
        return (_call, (*name, arguments), *more)
    return reduced


def _reduced_exception(obj: BaseException, kind: type, mro: tuple[type, ...]) -> tuple[Any, ...]:
    """By the built-in class that it is made of: what the constructor of a class of one's own wants is not known."""
    base: Any = next(each for each in mro if each.__module__ == "builtins")
    _, arguments, *state = base.__reduce__(obj)
    slots = {
        name: getattr(obj, name) for name in copyreg._slotnames(kind) if hasattr(obj, name)  # type: ignore[attr-defined]
    }
    stand_in = Placeholder.of(obj)
    name = (kind.__module__, kind.__qualname__, stand_in.shown, stand_in.repr)
    more = {**(state[0] if state and type(state[0]) is dict else {}), **slots}
    return _exception, (*name, arguments), more, None, None, _set_attributes


def _cut(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """A copy in which built-in containers end at a depth, each copied once."""
    kind = type(value)
    if kind not in (list, tuple, set, frozenset, dict):
        return value
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = Placeholder(f"<{kind.__name__}>", f"<{kind.__name__}>")
    if not depth:
        return seen[id(value)]
    if kind is dict:
        made: Any = {key: _cut(each, depth - 1, seen) for key, each in value.items()}
    else:
        made = kind([_cut(each, depth - 1, seen) for each in value])
    seen[id(value)] = made
    return made


# ------------------------------------------------------------------------- what types say


def _mro(kind: type) -> tuple[type, ...]:
    """Whatever its metaclass says."""
    found: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    return found


def can_be_found(thing: Any) -> bool:
    """Whether its module and name lead to it, without a look at any other module."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if type(module) is not str or type(name) is not str:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


_OWN: dict[type, bool] = {}


def is_own(kind: type) -> bool:
    """Whether the class is the project's own: neither installed, nor the interpreter's."""
    known = _OWN.get(kind)
    if known is None:
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        known = _OWN[kind] = kind.__module__ == "__main__" or (
            type(file) is str and not _is_installed(file)
        )
    return known


def _is_installed(file: str) -> bool:
    """Generated code (of dataclasses, attrs, named tuples) lies in no file."""
    return (
        file.startswith("<")
        or any(part in file for part in _INSTALLED)
        or (file.startswith(_STANDARD))
    )


_RUNS: dict[type, bool] = {}


def _runs_code(kind: type) -> bool:
    """Whether code of the project would run when an instance is read."""
    known = _RUNS.get(kind)
    if known is None:
        known = _RUNS[kind] = type(kind) is not type and is_own(type(kind)) or any(
            _is_written_by_the_user(name, kind) for name in _READING
        )
    return known


def _is_written_by_the_user(name: str, kind: type) -> bool:
    found = next((vars(each)[name] for each in _mro(kind) if name in vars(each)), None)
    code = getattr(getattr(found, "__func__", found), "__code__", None)
    return code is not None and not _is_installed(code.co_filename)


# ---------------------------------------------------------------------------------- reading


def _node(nodeid: str) -> Any:
    raise NotImplementedError("the reader has its own")


def _config() -> Any:
    raise NotImplementedError("the reader has its own")


def find(module: str, name: str) -> Any:
    """The class or function of that name, or None; nothing is imported but what is installed."""
    try:
        if module not in sys.modules and may_be_imported(module):
            importlib.import_module(module)
        return _named(module, name)
    except Exception:  # of another version, or none
        return None


def _named(module: str, name: str) -> Any:
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _new(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        kind = _named(module, name)
        return kind.__new__(kind, *arguments)
    except Exception:  # another class of that name, or none
        return Placeholder(shown, represented)


def _call(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return _named(module, name)(*arguments)
    except Exception:
        return Placeholder(shown, represented)


def _exception(module: str, name: str, shown: str, represented: str, arguments: tuple[Any, ...]) -> Any:
    try:
        kind = _named(module, name)
        base = next(each for each in _mro(kind) if each.__module__ == "builtins")
        made = base.__new__(kind, *arguments)
        base.__init__(made, *arguments)
        return made
    except Exception:
        return Placeholder(shown, represented)


def _set_attributes(made: Any, state: dict[str, Any]) -> None:
    if type(made) is Placeholder:
        return
    for name, value in state.items():
        try:
            object.__setattr__(made, name, value)
        except Exception:  # a property of its class
            made.__dict__[name] = value


class _Reading:
    """What both readers know: their config, and the nodes above the item."""

    _config: pytest.Config
    _item: pytest.Item | None

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__:
            if name == "_node":
                return self._find_node
            if name == "_config":
                return lambda: self._config
        if module not in sys.modules and not may_be_imported(module):
            raise ModuleNotFoundError(f"{module} is not loaded here")
        return super().find_class(module, name)  # type: ignore[misc]

    def _find_node(self, nodeid: str) -> Any:
        node: Any = self._item
        while node is not None and node.nodeid != nodeid:
            node = node.parent
        return node


def may_be_imported(module: str) -> bool:
    """Installed code alone: to import the project's own would run it in the reading process."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(top)
    return spec is not None and spec.origin is not None and _is_installed(spec.origin)


class _Reader(_Reading, pickle.Unpickler):
    def __init__(self, data: bytes, config: pytest.Config, item: pytest.Item | None) -> None:
        super().__init__(io.BytesIO(data))
        self._config, self._item = config, item


class _TolerantReader(_Reading, pickle._Unpickler):  # type: ignore[misc,name-defined]
    """Slow; replaces each thing that can't be made. Python's own unpickler, with guards around what may raise."""

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

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
            pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]
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
            frozenset(each if _is_hashable(each) else _unreadable(type(each).__name__, None) for each in items)
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
    """A class or function that is not there: all that is made of it is replaced."""

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
    """What :func:`dumps` or :func:`pack` wrote. Raises where it is no pickle at all."""
    try:
        return _Reader(data, config, item).load()
    except Exception:  # by what is in it
        return _TolerantReader(data, config, item).load()
