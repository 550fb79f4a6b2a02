"""Hook specifications of xdist's convention, for runs without xdist."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_configure_node(node: Any) -> None:
    """Fill ``node.workerinput`` before the slot's first child starts."""


def pytest_testnodeready(node: Any) -> None:
    """The slot is ready."""


def pytest_testnodedown(node: Any, error: Any) -> None:
    """The slot is done; ``node.workeroutput`` holds what it handed over."""


def pytest_xdist_node_collection_finished(node: Any, ids: Any) -> None:
    """Called once with all node ids."""


@pytest.hookspec(firstresult=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of slots that ``auto`` means."""


def pytest_handlecrashitem(crashitem: str, report: Any, sched: Any) -> None:
    """A test killed its process; ``sched.mark_test_pending(crashitem)`` runs it again."""
