"""Counts and durations, as users read them everywhere."""

from __future__ import annotations

_PLURALS = {"child": "children", "process": "processes"}


def many(count: int, noun: str) -> str:
    """``1 test file``, ``2 test files``."""
    return f"{count} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """The noun alone, as it stands behind its number."""
    return noun if count == 1 else _PLURALS.get(noun, noun + "s")


def verb(count: int, stem: str) -> str:
    """What so many things do: one ``waits``, two ``wait``."""
    return stem + "s" if count == 1 else stem


def duration(seconds: float) -> str:
    """With three digits, more or less: ``< 1 ms``, ``12 ms``, ``3.14 s``, ``12.3 s``, ``1 min 01 s``."""
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
