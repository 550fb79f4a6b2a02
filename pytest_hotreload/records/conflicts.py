"""Finds resources that two live children may not share: fixed ports, files that both write, declared names.

Plain pytest runs one test at a time, so suites can share such resources unnoticed.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


def keys_of(ports: Iterable[str], writes: Iterable[str], declared: Iterable[str]) -> frozenset[str]:
    """The conflict keys of one test file: its recorded ports and writes, and the names in its marks and the ini.

    A port counts whatever its address: 0.0.0.0 also occupies 127.0.0.1.
    """
    numbers = (f"port {address.rpartition(':')[2]}" for address in ports)
    return frozenset({*numbers, *writes, *(f"serial {name}" for name in declared)})


def shared(keys: Iterable[frozenset[str]]) -> dict[str, int]:
    """The keys that several test files have, each with the number of files."""
    counts = Counter(key for each in keys for key in each)
    return {key: count for key, count in counts.items() if count > 1}


def address_in_use(error: BaseException) -> str | None:
    """The address if ``EADDRINUSE`` is among the error's causes ("" if the error names none), else None.

    The exception comes from a test, so few of its attributes are read, and an attribute that raises counts as
    "no".
    """
    try:
        return _address_in_use(error)
    except Exception:
        return None


def _address_in_use(error: BaseException) -> str | None:
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if issubclass(type(each), OSError) and each.errno == errno.EADDRINUSE:
            return str(each.filename or "")
        waiting += [each.__cause__, each.__context__, *_exceptions(each)]
    return None


def _exceptions(error: BaseException) -> tuple[Any, ...]:
    """The exceptions in an exception group: Python's own class, or the backport's for 3.10."""
    group = any(kind.__name__ == "BaseExceptionGroup" for kind in type(error).__mro__)
    return tuple(getattr(error, "exceptions", ())) if group else ()
