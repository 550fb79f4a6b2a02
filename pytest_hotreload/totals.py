"""What a run adds up: for the closing lines, and for the next run (durations by file)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from .protocol import Ended

#: Where the durations are kept in pytest's cache: {path relative to the root: seconds}.
DURATIONS_KEY = "hotreload/durations"


@dataclass
class Totals:
    """``start_cpu``: CPU seconds until the first fork. ``fixtures``: name -> (seconds, children)."""

    durations: dict[str, float] = field(default_factory=dict)
    files: int = 0
    children: int = 0
    deaths: int = 0
    start_cpu: float = 0.0
    began: float = field(default_factory=time.monotonic)
    fixtures: dict[str, tuple[float, int]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    fell_back: list[str] = field(default_factory=list)
    modules: dict[str, int] = field(default_factory=dict)
    measured: dict[int, float] = field(default_factory=dict)

    def report(self, index: int, report: pytest.TestReport) -> None:
        """A report was shown."""
        self.measured[index] = self.measured.get(index, 0.0) + getattr(report, "duration", 0.0)

    def ended(self, path: str, ended: Ended) -> None:
        """A child ended well."""
        for cost in ended.fixtures:
            seconds, times = self.fixtures.get(cost.name, (0.0, 0))
            self.fixtures[cost.name] = (seconds + cost.seconds, times + 1)
        for module in ended.modules:
            self.modules[module] = self.modules.get(module, 0) + 1


def load_durations(config: pytest.Config) -> dict[str, float]:
    """Seconds by absolute path, from pytest's cache; empty where there is none or it is corrupt."""
    cache = getattr(config, "cache", None)
    stored: Any = cache.get(DURATIONS_KEY, {}) if cache is not None else {}
    if not isinstance(stored, dict):
        return {}
    return {
        str(config.rootpath / path): float(seconds)
        for path, seconds in stored.items()
        if isinstance(path, str) and isinstance(seconds, int | float)
    }


def save_durations(config: pytest.Config, items: list[pytest.Item], totals: Totals) -> None:
    """Merge what this run measured into the cache. Raises OSError where it can't be written."""
    cache = getattr(config, "cache", None)
    if cache is None or not totals.measured:
        return
    by_path: dict[str, float] = {}
    for index, seconds in totals.measured.items():
        path = str(items[index].path)
        by_path[path] = by_path.get(path, 0.0) + seconds
    merged = {**totals.durations, **by_path}
    root = config.rootpath
    stored = {}
    for path, seconds in sorted(merged.items()):
        relative = path[len(str(root)) + 1 :] if path.startswith(str(root) + "/") else path
        stored[relative] = round(seconds, 4)
    cache.set(DURATIONS_KEY, stored)
