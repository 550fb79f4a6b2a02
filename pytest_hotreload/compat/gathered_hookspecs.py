"""Hooks that plugins and conftests can implement to carry over the data that they gather."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_hotreload_gather(config: pytest.Config) -> Any:
    """Return what this plugin has gathered in a child; called in each child, after its last test.

    An exception is reported in the run's output; the data of that child is then missing.

    Args:
        config: The configuration of the child.

    Returns:
        Anything that can be pickled, or None if the plugin has nothing to carry over.
    """


def pytest_hotreload_merge(config: pytest.Config, gathered: Any) -> None:
    """Take over what this plugin has gathered in one child; called in the controller, before the session ends.

    The hook is called once for each child that returned data, in pytest's order of files.

    Args:
        config: The configuration of the controller.
        gathered: What ``pytest_hotreload_gather`` returned in the child.
    """
