"""Counts and durations in the form in which all messages show them."""

from __future__ import annotations

from collections.abc import Sequence

_PLURALS = {"child": "children", "process": "processes"}


def many(count: int, noun: str) -> str:
    """Return the count with its noun: ``1 test file``, ``2 test files``."""
    return f"{count} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """Return only the noun, in the form that follows the count."""
    return noun if count == 1 else _PLURALS.get(noun, noun + "s")


def verb(count: int, stem: str) -> str:
    """Return the verb in the form that agrees with the count: one ``waits``, two ``wait``."""
    return stem + "s" if count == 1 else stem


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are: ``a, b, c and 2 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def duration(seconds: float) -> str:
    """Return a duration with about three digits: ``< 1 ms``, ``12 ms``, ``3.14 s``, ``12.3 s``, ``1 min 01 s``."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    if seconds >= 0.00095:
        return f"{1000 * seconds:.0f} ms"
    return "< 1 ms" if seconds > 0 else "0 s"
