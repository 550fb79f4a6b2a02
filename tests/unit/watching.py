"""Conditions that the tests of the watcher wait for."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from pytest_hotreload import _native

Kinds = dict[str, list[str]]


def wait(watcher: _native.Watcher, seconds: float = 10) -> list[_native.Changes]:
    """The next changes; none if the time is up."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        select.select([watcher.fileno()], [], [], left)
        if found := watcher.take():
            return found
    return []


def kinds(changes: _native.Changes, folder: Path) -> Kinds:
    found = {kind: getattr(changes, kind) for kind in ("changed", "created", "deleted", "saved")}
    assert all(paths == sorted(set(paths)) for paths in found.values())
    return {kind: [os.path.relpath(path, folder) for path in paths] for kind, paths in found.items() if paths}


def until(watcher: _native.Watcher, folder: Path, wanted: Kinds) -> list[_native.Changes]:
    """All bursts until what is wanted was told, each path once, and nothing else."""
    bursts: list[_native.Changes] = []
    told: Kinds = {}
    while told != wanted:
        found = wait(watcher)
        assert found, f"{told} instead of {wanted}"
        bursts += found
        for changes in found:
            for kind, paths in kinds(changes, folder).items():
                told[kind] = sorted([*told.get(kind, []), *paths])
    return bursts


def fence(watcher: _native.Watcher, folder: Path) -> None:
    """Nothing was told, or will be, of what was done before this call."""
    (folder / "fence").write_text("")
    (only,) = until(watcher, folder, {"created": ["fence"]})
    assert not only.saved
    (folder / "fence").unlink()
    until(watcher, folder, {"deleted": ["fence"]})


def one(watcher: _native.Watcher, folder: Path) -> Kinds:
    (changes,) = wait(watcher)
    return kinds(changes, folder)


def symlink(link: Path, target: str | Path) -> None:
    link.symlink_to(target)
