"""Loaded by ``-p`` where records are tested: what takes 2 s in earnest takes 30 ms.

An interpreter needs longer than that to start, so whatever a test wrote before it started a run is old enough.
"""

from __future__ import annotations

from pytest_hotreload.imports import bytecode
from pytest_hotreload.records import records

records.YOUNG_NS = bytecode.YOUNG_NS = 30_000_000
