"""Hooks that plugins and conftests can implement to carry over what they gather."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_hotreload_gather(config: pytest.Config) -> Any:
    """In a child, after its last test: what this plugin gathered there. None, or anything that can be pickled."""


def pytest_hotreload_merge(config: pytest.Config, gathered: Any) -> None:
    """In the controller, before the session ends: one child's ``gathered``, in pytest's order of files."""
