"""Pickles any object graph so that it can be read: the innermost thing that can't travel is replaced, nothing else.

What becomes of an object is decided by its type, and by where the code of that type lies:

- built-in data and containers, and instances of installed or standard classes: pickled as they are;
- exceptions: made anew without their constructor, whose arguments nobody knows (``args`` are not these);
- instances of the project's own classes: the same where nothing of the project's code runs when they are read,
  and with their text in case that the reading process does not have the class; else their text alone;
- what has no name to be found by, and what can't be pickled: its text (:class:`Placeholder`).

So identity, shared references and cycles are kept, and no code of the project runs in the reading process.
"""

from __future__ import annotations

import types
from typing import Any

from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from pytest_hotreload.compat import pytest_output, unpickling
from pytest_hotreload.compat.unpickling import Placeholder, Rendered, is_installed, mro_of
from pytest_hotreload.world import BUILTINS, MODULES, copyreg, io, loaded, pickle, pytest

__builtins__ = BUILTINS

#: Containers are cut below this depth where a graph is too deep for pickle, which recurses.
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
)
#: Pickled by their names.
_BY_NAME = (type, types.FunctionType, types.BuiltinFunctionType)
#: Types that every report consists of: nothing to decide.
_ALWAYS: set[type] = {pytest.TestReport, pytest.CollectReport}


class _Recorder(TerminalWriter):  # type: ignore[misc]  # final for type checkers
    """As wide and as colourful as the user's terminal."""

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
    """As ``shown`` shows on the user's terminal. Raises what ``shown`` raises."""
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
    """``value`` for :func:`loads`. Raises where the graph is too deep, or what the memory limit raises."""
    buffer = io.BytesIO()
    with loaded:
        _Pickler(buffer, config).dump(value)
    return buffer.getvalue()


def pack(value: Any, config: pytest.Config) -> bytes:
    """The same; always succeeds."""
    for attempt in (lambda: value, lambda: _cut(value, _DEEPEST, {}), lambda: Placeholder.of(value)):
        try:
            return dumps(attempt(), config)
        except Exception:  # RecursionError, for one
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
        mro = mro_of(kind)
        if pytest.Item in mro or pytest.Collector in mro:
            return unpickling.node, (obj.nodeid,)
        if pytest.Config in mro:
            return unpickling.config, ()
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
            except Exception:  # it can't even be shown
                pass
        stand_in = Placeholder.of(obj)
        return Placeholder, (stand_in.shown, stand_in.repr)


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
        return (unpickling.new, (*name, arguments[1:]), *more)
    if make is kind:
        return (unpickling.call, (*name, arguments), *more)
    return reduced


def _reduced_exception(obj: BaseException, kind: type, mro: tuple[type, ...]) -> tuple[Any, ...]:
    """By the built-in class that it is made of: what the constructor of a class of one's own wants is not known."""
    base: Any = next(each for each in mro if each.__module__ == "builtins")
    _, arguments, *state = base.__reduce__(obj)
    slot_names: Any = vars(copyreg)["_slotnames"]
    slots = {name: getattr(obj, name) for name in slot_names(kind) if hasattr(obj, name)}
    stand_in = Placeholder.of(obj)
    name = (kind.__module__, kind.__qualname__, stand_in.shown, stand_in.repr)
    more = {**(state[0] if state and type(state[0]) is dict else {}), **slots}
    return unpickling.exception, (*name, arguments), more, None, None, unpickling.set_attributes


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


def can_be_found(thing: Any) -> bool:
    """Whether its module and name lead to it, without a look at any other module."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if type(module) is not str or type(name) is not str:
        return False
    found: Any = MODULES.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


_OWN: dict[type, bool] = {}


def is_own(kind: type) -> bool:
    """Whether the class is the project's own: neither installed, nor the interpreter's."""
    known = _OWN.get(kind)
    if known is None:
        file = getattr(MODULES.get(kind.__module__), "__file__", None)
        known = _OWN[kind] = kind.__module__ == "__main__" or (type(file) is str and not is_installed(file))
    return known


_RUNS: dict[type, bool] = {}


def _runs_code(kind: type) -> bool:
    """Whether code of the project would run when an instance is read."""
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
