"""What two living children may not share: fixed ports, files that both write, names that were declared.

Plain pytest runs one test at a time, so suites share such things without knowing.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


def keys_of(ports: Iterable[str], writes: Iterable[str], declared: Iterable[str]) -> frozenset[str]:
    """Of one test file, by its record's ports and writes, and by what its marks and the ini declare.

    A port counts whatever the address: 0.0.0.0 holds 127.0.0.1's.
    """
    numbers = (f"port {address.rpartition(':')[2]}" for address in ports)
    return frozenset({*numbers, *writes, *(f"serial {name}" for name in declared)})


def shared(keys: Iterable[frozenset[str]]) -> dict[str, int]:
    """Those that several test files have, with how many."""
    counts = Counter(key for each in keys for key in each)
    return {key: count for key, count in counts.items() if count > 1}


def address_in_use(error: BaseException) -> str | None:
    """Whether ``EADDRINUSE`` is at the bottom of it; the address where the error names one, else "".

    An exception is an object of a test's: none is asked more than it must be, and no answer counts that raises.
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
    """Of a group, Python's own or the backport's for 3.10."""
    group = any(kind.__name__ == "BaseExceptionGroup" for kind in type(error).__mro__)
    return tuple(getattr(error, "exceptions", ())) if group else ()
