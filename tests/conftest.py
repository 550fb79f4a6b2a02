"""Fixtures of the acceptance tests."""

from __future__ import annotations

import os
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


#: Where order or output can differ with the number of slots: `make check` runs these with one slot, too.
_BOTH = (
    "test_output_",
    "test_reports_",
    "test_selection_",
    "test_worlds",
    "test_contention",
    "test_gathered_",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make check` leaves out the runs with one slot that could only repeat those with two."""
    if "HOTRELOAD_CHECK" not in os.environ:
        return
    repeated = {item for item in items if _has_one_slot(item) and not item.path.name.startswith(_BOTH)}
    config.hook.pytest_deselected(items=list(repeated))
    items[:] = [item for item in items if item not in repeated]


def _has_one_slot(item: pytest.Item) -> bool:
    return (
        isinstance(item, pytest.Function)
        and getattr(item, "callspec", None) is not None
        and (item.callspec.params.get("slots") == 1)
    )
