"""Fixtures of the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .acceptance.compare import Project
from .acceptance.desk import Desk


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project on disk, run by plain pytest and under ``--hotreload``."""
    return Project(tmp_path)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A project, and terminals for a watch of it."""
    with_terminals = Desk(tmp_path)
    yield with_terminals
    with_terminals.close()


@pytest.fixture(params=[1, 2], ids=["slots-1", "slots-2"])
def slots(request: pytest.FixtureRequest) -> int:
    """How many children run at once: alone, as plain pytest's world is, and with a sibling."""
    return int(request.param)
