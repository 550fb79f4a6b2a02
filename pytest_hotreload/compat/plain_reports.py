"""Packs reports of built-in data, such as that of a test that passed, without their classes.

Most reports are of this kind. Pickling one of them as the object that it is takes 13 us at each end, because
pytest 9.2's node id is a dataclass, whose state Python code reads and sets. Its attributes alone take 1 and 2 us
(Python 3.11). The receiver builds the same report: the same attributes in the same order.
"""

from __future__ import annotations

import importlib
from typing import Any

from pytest_hotreload.world import BUILTINS, contextlib, dumps_data, loads_data, pytest

__builtins__ = BUILTINS

#: The first byte of a packed plain report; a pickle begins with 0x80.
_MARK = b"\x01"
#: Types that pickle always handles correctly, by value and without a look-up of a class.
_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
_ARE_SCALARS = _SCALARS.issuperset
#: The attribute that holds the node id, in pytest 9.2 an object of one of ``_NODE_IDS``.
_ID = "_id"


def _node_id_types() -> tuple[type, ...]:
    """Return the types other than text of a report's node id (pytest 9.2: ``_pytest.nodeid.NodeId``)."""
    with contextlib.suppress(ImportError, AttributeError):
        return (importlib.import_module("_pytest.nodeid").NodeId,)
    return ()


_NODE_IDS = _node_id_types()


def pack_plain(report: Any) -> bytes | None:
    """Return the packed report, or None if its class or an attribute is of another kind."""
    if type(report) is not pytest.TestReport:
        return None
    values = vars(report)
    parts = None
    if type(values.get(_ID)) in _NODE_IDS:
        parts = _parts(values[_ID])
        values = values | {_ID: None}  # keeps the place of the attribute
    return _MARK + dumps_data((parts, values), 5) if _is_plain(values) and _is_plain_id(parts) else None


def is_plain(data: bytes) -> bool:
    """Return whether :func:`pack_plain` wrote the data."""
    return data[:1] == _MARK


def unpack_plain(data: bytes, item: pytest.Item) -> pytest.TestReport:
    """Return the report. The node id is the item's own object if it is equal."""
    parts, values = loads_data(data[1:])
    if parts is not None:
        known = getattr(item, _ID, None)
        values[_ID] = known if type(known) in _NODE_IDS and _parts(known) == parts else _made(parts)
    report: pytest.TestReport = object.__new__(pytest.TestReport)
    report.__dict__.update(values)
    return report


def _parts(node_id: Any) -> tuple[Any, ...]:
    return node_id.path, node_id.names, node_id.params, node_id._str_cache


def _made(parts: tuple[Any, ...]) -> Any:
    path, names, params, text = parts
    node_id = _NODE_IDS[0](path=path, names=names, params=params)
    object.__setattr__(node_id, "_str_cache", text)
    return node_id


def _is_plain_id(parts: tuple[Any, ...] | None) -> bool:
    if parts is None:
        return True
    path, names, *rest = parts
    return type(names) is tuple and _ARE_SCALARS(map(type, (path, *names, *rest)))


def _is_plain(values: dict[str, Any]) -> bool:
    """Return whether all values are built-in data."""
    for value in values.values():
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind is dict:
            if not (_ARE_SCALARS(map(type, value)) and _ARE_SCALARS(map(type, value.values()))):
                return False
        elif kind is list or kind is tuple:
            if value and not _ARE_SCALARS(map(type, value)) and not _is_table(value):
                return False
        else:
            return False
    return True


def _is_table(rows: Any) -> bool:
    """Return whether the rows are tuples of scalars, such as sections and user properties."""
    return all(type(row) is tuple and _ARE_SCALARS(map(type, row)) for row in rows)
