"""Clocks that were put back, and clocks that only seem so."""

from __future__ import annotations

from itertools import chain, repeat

from pytest_hotreload.records import unchanged


def test_an_interrupted_look_is_no_clock_that_was_put_back(monkeypatch):
    late = chain([50_000_000], repeat(0))
    monkeypatch.setattr(unchanged, "_CLOCKS", (lambda: 0, lambda: next(late)))
    assert not unchanged.was_put_back(0)


def test_a_clock_that_was_put_back(monkeypatch):
    monkeypatch.setattr(unchanged, "_CLOCKS", (lambda: 0, lambda: 0))
    before = unchanged.clock_offset()
    monkeypatch.setattr(unchanged, "_CLOCKS", (lambda: -50_000_000, lambda: 0))
    assert unchanged.was_put_back(before)
