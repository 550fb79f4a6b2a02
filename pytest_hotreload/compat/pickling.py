"""Pickles any object graph so that it can be read: only the innermost objects that can't be transferred are replaced.

The treatment of an object depends on its type, and on where the code of that type lies:

- built-in data and containers, and instances of installed or standard classes: pickled as they are;
- exceptions: recreated without their constructor, whose arguments are unknown (``args`` may differ from
  them);
- instances of the project's own classes: pickled as they are if reading them runs no code of the project,
  with their text in case the reading process does not have the class; otherwise replaced by their text;
- objects without a name by which they can be found, and objects that can't be pickled: replaced by their text
  (:class:`Placeholder`).

So identity, shared references and cycles are kept, and no code of the project runs in the reading process.
"""

from __future__ import annotations

import types
from typing import Any

from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter
from _pytest.main import FSHookProxy
from _pytest.terminal import TerminalReporter
from pluggy import HookRelay

from pytest_hotreload.compat import pytest_output, unpickling
from pytest_hotreload.compat.unpickling import Placeholder, Rendered, is_installed, mro_of
from pytest_hotreload.world import BUILTINS, MODULES, copyreg, io, loaded, pickle, pytest

__builtins__ = BUILTINS

#: Containers are cut below this depth if a graph is too deep for pickle, which recurses.
_DEEPEST = 100
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
    "__hash__",
)
#: Types whose instances are pickled by name.
_BY_NAME = (type, types.FunctionType, types.BuiltinFunctionType)
#: The configuration and types of what hangs on it, which each process has, and their names for the reader.
_PARTS: dict[type, str] = {
    pytest.Config: "config",
    pytest.PytestPluginManager: "pluginmanager",
    HookRelay: "hook",
    FSHookProxy: "hook",
    TerminalReporter: "terminalreporter",
}
#: Types that every report consists of, and that need no decision.
_ALWAYS: set[type] = {pytest.TestReport, pytest.CollectReport}


class _Recorder(TerminalWriter):  # type: ignore[misc]  # final for type checkers
    """A terminal writer that records; its width and colours are those of the user's terminal."""

    def __init__(self, like: TerminalWriter | None) -> None:
        super().__init__(io.StringIO())
        self.parts: list[tuple[str, dict[str, bool]]] = []
        if like is not None:
            self.hasmarkup, self.code_highlight = like.hasmarkup, like.code_highlight
            self.fullwidth = like.fullwidth

    def write(self, msg: str, *, flush: bool = False, **markup: bool) -> None:  # noqa: ARG002 - nothing is kept
        self.parts.append((msg, markup))

    write_raw = write


def render(shown: TerminalRepr, config: pytest.Config) -> Rendered:
    """Render ``shown`` as on the user's terminal. Raises the exceptions of ``shown``."""
    writer = _Recorder(pytest_output.terminal_writer(config))
    shown.toterminal(writer)
    rendered = Rendered()
    rendered.parts = writer.parts
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        rendered.reprcrash = crash  # type: ignore[attr-defined]
    return rendered


# ---------------------------------------------------------------------------------- writing


def dumps(value: Any, config: pytest.Config) -> bytes:
    """Pickle ``value`` for :func:`loads`. Raises if the graph is too deep or memory is exhausted."""
    buffer = io.BytesIO()
    with loaded:
        _Pickler(buffer, config).dump(value)
    return buffer.getvalue()


def pack(value: Any, config: pytest.Config) -> bytes:
    """Pickle ``value`` for :func:`loads`; always succeeds, if necessary with parts of the value replaced."""
    for attempt in (lambda: value, lambda: _cut(value, _DEEPEST, {}), lambda: Placeholder.of(value)):
        try:
            return dumps(attempt(), config)
        except Exception:  # for example RecursionError
            continue
    return dumps(Placeholder(f"<{type(value).__name__}>", f"<{type(value).__name__}>"), config)


class _Pickler(pickle.Pickler):
    """Decides how objects are pickled. The C pickler asks only for objects that are no built-in data or containers."""

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
        except BaseException:  # an object's own code may raise anything
            return self._replaced(obj)

    def _reduced(self, obj: Any, kind: type) -> Any:
        mro = mro_of(kind)
        if pytest.Item in mro or pytest.Collector in mro:
            return unpickling.node, (obj.nodeid,)
        for each, name in _PARTS.items():
            if each in mro:
                return unpickling.part, (name,)
        ours = is_own(kind)
        if not can_be_found(kind) or (ours and BaseException not in mro and _runs_code(kind)):
            return self._replaced(obj)
        if BaseException in mro:
            return _reduced_exception(obj, kind, mro)
        reduce: Any = kind.__reduce_ex__
        reduced = _checked(reduce(obj, 5), kind)
        return _by_name(reduced, obj, kind) if ours else reduced

    def _replaced(self, obj: Any) -> tuple[Any, ...]:
        if TerminalRepr in mro_of(type(obj)):
            try:
                rendered = render(obj, self._config)
                return Rendered, (), vars(rendered)
            except Exception:  # it can't be rendered
                pass
        stand_in = Placeholder.of(obj)
        return Placeholder, (stand_in.shown, stand_in.repr)


def _checked(reduced: Any, kind: type) -> tuple[Any, ...]:
    """Return the reduction with its iterators expanded. Raises if pickle would reject the reduction."""
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
    """Return the reduction with the name of the class and the object's text, as the reader may not have the class."""
    make, arguments, *more = reduced
    stand_in = Placeholder.of(obj)
    name = (kind.__module__, kind.__qualname__, stand_in.shown, stand_in.repr)
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        return (unpickling.new, (*name, arguments[1:]), *more)
    if make is kind:
        return (unpickling.call, (*name, arguments), *more)
    return reduced


def _reduced_exception(obj: BaseException, kind: type, mro: tuple[type, ...]) -> tuple[Any, ...]:
    """Reduce an exception by its built-in base class, since the arguments of its own constructor are unknown."""
    base: Any = next(each for each in mro if each.__module__ == "builtins")
    _, arguments, *state = base.__reduce__(obj)
    slot_names: Any = vars(copyreg)["_slotnames"]
    slots = {name: getattr(obj, name) for name in slot_names(kind) if hasattr(obj, name)}
    stand_in = Placeholder.of(obj)
    name = (kind.__module__, kind.__qualname__, stand_in.shown, stand_in.repr)
    more = {**(state[0] if state and type(state[0]) is dict else {}), **slots}
    return unpickling.exception, (*name, arguments), more, None, None, unpickling.set_attributes


def _cut(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """Return a copy in which built-in containers end at a depth; each container is copied once."""
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


def can_be_found(thing: Any) -> bool:
    """Return whether the object's module and name lead to it, without looking at any other module."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if type(module) is not str or type(name) is not str:
        return False
    found: Any = MODULES.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


_OWN: dict[type, bool] = {}


def is_own(kind: type) -> bool:
    """Return whether the class belongs to the project: it is neither installed nor the interpreter's."""
    known = _OWN.get(kind)
    if known is None:
        file = getattr(MODULES.get(kind.__module__), "__file__", None)
        known = _OWN[kind] = kind.__module__ == "__main__" or (type(file) is str and not is_installed(file))
    return known


_RUNS: dict[type, bool] = {}


def _runs_code(kind: type) -> bool:
    """Return whether reading an instance would run code of the project."""
    known = _RUNS.get(kind)
    if known is None:
        known = _RUNS[kind] = (type(kind) is not type and is_own(type(kind))) or any(
            _is_written_by_the_user(name, kind) for name in _READING
        )
    return known


def _is_written_by_the_user(name: str, kind: type) -> bool:
    found = next((vars(each)[name] for each in mro_of(kind) if name in vars(each)), None)
    code = getattr(getattr(found, "__func__", found), "__code__", None)
    return code is not None and not is_installed(code.co_filename)
