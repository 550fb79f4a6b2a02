"""Watchers that use events, watchers that poll, and projects to write."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native

from .projects import Tree


@pytest.fixture(params=[False, True], ids=["native", "polling"])
def poll(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def start() -> Iterator[Callable[..., _native.Watcher]]:
    started: list[_native.Watcher] = []

    def start(*paths: Path, **settings: Any) -> _native.Watcher:
        started.append(_native.Watcher([str(path) for path in paths], **settings))
        return started[-1]

    yield start
    for watcher in started:
        watcher.close()


@pytest.fixture
def watcher(poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path) -> _native.Watcher:
    (tmp_path / "old.py").write_text("old")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.py").write_text("inner")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    watcher = start(tmp_path, poll=poll)
    assert watcher.polling is poll
    return watcher


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def tree(root: Path) -> Tree:
    def make(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    return make
