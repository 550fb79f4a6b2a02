"""Reports and warnings on their way from a child to the controller.

A report is pickled as the object that it is: exact (tuples stay tuples, subtests keep their
context, attributes of plugins survive) and three times as fast as pytest's JSON form. What can't
be pickled falls back step by step, and never costs the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from . import compat
from .world import BUILTINS, io, pickle, pytest, warnings

__builtins__ = BUILTINS


class _Pickler(pickle.Pickler):
    """Replaces nodes by their node id: an attribute that holds an item is no reason to fail."""

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, pytest.Item | pytest.Collector):
            return ("node", obj.nodeid)
        if isinstance(obj, pytest.Config):
            return ("config", "")
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, config: pytest.Config, item: pytest.Item | None) -> None:
        super().__init__(io.BytesIO(data))
        self._config, self._item = config, item

    def persistent_load(self, pid: Any) -> Any:
        kind, nodeid = pid
        if kind == "config":
            return self._config
        node: Any = self._item
        while node is not None and node.nodeid != nodeid:
            node = node.parent
        return node


def pack_report(config: pytest.Config, report: Any) -> bytes:
    """A report as bytes; always succeeds."""
    try:
        return pickle.dumps(report, 5)
    except Exception:
        pass
    try:
        return _dumps_with_nodes(report)
    except Exception:
        pass
    return pickle.dumps(_without_what_fails(report, config), 5)


def unpack_report(config: pytest.Config, data: bytes, item: pytest.Item) -> Any:
    """The report again. Where its classes can't be had here, a failure that says so."""
    try:
        report = _Unpickler(data, config, item).load()
        for name, value in vars(report).items():
            if type(value) is _Kept:
                report.__dict__[name] = _Unpickler(value.data, config, item).load()
            elif name == "user_properties":
                report.user_properties = [
                    (k, _Unpickler(v.data, config, item).load() if type(v) is _Kept else v) for k, v in value
                ]
        return report
    except Exception as error:
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome="failed",
            longrepr=f"the report of this test could not be read in the controller: {error!r}",
            when="call",
        )


def _dumps_with_nodes(thing: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, 5).dump(thing)
    return buffer.getvalue()


def _without_what_fails(report: Any, config: pytest.Config) -> Any:
    """A copy whose unpicklable attributes are replaced by something that shows as they do."""
    plain = pytest.TestReport.__new__(pytest.TestReport)
    for name, value in vars(report).items():
        plain.__dict__[name] = _picklable(name, value, config)
    return plain


def _picklable(name: str, value: Any, config: pytest.Config) -> Any:
    if name == "user_properties":
        return [(key, _picklable("", each, config)) for key, each in value]
    try:
        return _Kept(_dumps_with_nodes(value))
    except Exception:
        return Rendered(value, config) if isinstance(value, TerminalRepr) else Placeholder(value)


class _Kept:
    """An attribute that could be pickled by itself: it is unpickled where it arrives."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Rendered(TerminalRepr):
    """A failure's text for the terminal as it was written: the parts, with their markup."""

    def __init__(self, shown: TerminalRepr, config: pytest.Config) -> None:
        writer = _Recorder(compat.terminal_writer(config))
        shown.toterminal(writer)
        self.parts = writer.parts
        crash = getattr(shown, "reprcrash", None)
        if crash is not None:
            self.reprcrash = crash

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


class Placeholder:
    """Stands for a value that can't leave its process, and looks like it."""

    def __init__(self, value: Any) -> None:
        self.shown, self.repr = _or_type(str, value), _or_type(repr, value)

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return self.repr


def _or_type(show: Callable[[Any], str], value: Any) -> str:
    try:
        return show(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose {show.__name__} raised {type(error).__name__}>"


# ---------------------------------------------------------------------------------- warnings


def pack_warning(warning: warnings.WarningMessage) -> tuple[bytes, bytes, str, int, str | None]:
    """(message, category, filename, line number, source line) of a recorded warning.

    The message is its text and, where it can be, the object; the category is the class, or the
    name of one that was made while tests ran, and its nearest base that can be had elsewhere.
    """
    message = pickle.dumps((str(warning.message), _dumps_or_none(warning.message)), 5)
    return message, _pack_class(warning.category), warning.filename, warning.lineno, warning.line


def unpack_warning(
    message: bytes, category: bytes, filename: str, lineno: int, line: str | None
) -> warnings.WarningMessage:
    """The other end of :func:`pack_warning`."""
    kind = _unpack_class(category)
    text, whole = pickle.loads(message)
    shown = _loads_or_none(whole)
    if not isinstance(shown, Warning):
        shown = _with_text(kind, text)
    return warnings.WarningMessage(shown, kind, filename, lineno, line=line)


def _pack_class(kind: type[Warning]) -> bytes:
    names: list[tuple[str, str, str]] = []
    for base in kind.__mro__:
        data = _dumps_or_none(base)
        if data is not None:
            return pickle.dumps((names, data), 5)
        names.append((base.__name__, base.__qualname__, base.__module__))
    raise AssertionError("object can always be pickled")


def _unpack_class(data: bytes) -> type[Warning]:
    names, base = pickle.loads(data)
    found: Any = _loads_or_none(base)
    kind = found if isinstance(found, type) and issubclass(found, Warning) else UserWarning
    for name, qualname, module in reversed(names):
        kind = type(name, (kind,), {"__qualname__": qualname, "__module__": module})
    return kind


def _with_text(kind: type[Warning], text: str) -> Warning:
    """A warning of the kind that shows ``text``, whatever its constructor wants."""
    warning = kind.__new__(kind)
    warning.args = (text,)
    try:
        if str(warning) == text:
            return warning
    except Exception:  # its text needs what could not be carried
        pass
    named = {"__qualname__": kind.__qualname__, "__module__": kind.__module__}
    shows = type(kind.__name__, (kind,), {**named, "__str__": lambda self: str(self.args[0])})
    return _with_text(shows, text)


def _dumps_or_none(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value, 5)
    except Exception:
        return None


def _loads_or_none(data: bytes | None) -> Any:
    try:
        return None if data is None else pickle.loads(data)
    except Exception:
        return None
