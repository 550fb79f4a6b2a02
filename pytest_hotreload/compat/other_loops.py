"""Implementations of ``pytest_runtestloop`` by plugins and conftests, which pytest calls before its own loop.

The hook ends with the first implementation that returns something. Most of these prepare something and return
None; one that returns something has run the tests itself.

Checked on pytest 8.4.2 and 9.2.0 (its own loop is ``_pytest.main.pytest_runtestloop``), and on pluggy 1.7
(``HookImpl.wrapper`` and ``hookwrapper``, and the order of ``get_hookimpls``).
"""

from __future__ import annotations

from typing import Any

import _pytest.main

from pytest_hotreload.compat.pytest_config import call_implementation, plugin_name
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def call_other_loops(session: pytest.Session, ours: object) -> tuple[Any, str]:
    """Call, from the plugin ``ours``, the implementations that pytest would call between it and its own loop.

    Returns what the first one returned that did not return None, and the name of its plugin; otherwise (None, "").
    """
    config = session.config
    is_between = False
    for each in reversed(config.hook.pytest_runtestloop.get_hookimpls()):
        if each.plugin is _pytest.main:
            break
        if is_between and not each.wrapper and not each.hookwrapper:  # pluggy has called the wrappers
            result = call_implementation(each, {"session": session})
            if result is not None:
                return result, plugin_name(config, each.plugin)
        is_between = is_between or each.plugin is ours
    return None, ""
