"""Implementations of ``pytest_runtestloop`` by plugins and conftests, which pytest calls before its own loop.

The hook ends with the first implementation that returns something. Most of these prepare something and return
None; one that returns something has run the tests itself.

Checked on pytest 7.4 to 9.2 (its own loop is ``_pytest.main.pytest_runtestloop``), and on pluggy 1.5 to 1.7
(``HookImpl.wrapper``, ``hookwrapper``, ``argnames``, and their order in ``get_hookimpls``).
"""

from __future__ import annotations

from typing import Any

import _pytest.main

from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def call_other_loops(session: pytest.Session, ours: object) -> tuple[Any, str]:
    """Call, from the plugin ``ours``, the implementations that pytest would call between it and its own loop.

    Returns what the first one returned that did not return None, and the name of its plugin; otherwise (None, "").
    """
    manager = session.config.pluginmanager
    called_first = list(reversed(session.ihook.pytest_runtestloop.get_hookimpls()))
    places = {id(each.plugin): place for place, each in enumerate(called_first)}
    begin, end = places[id(ours)] + 1, places[id(_pytest.main)]
    for each in called_first[begin:end]:
        if each.wrapper or each.hookwrapper:
            continue  # pluggy has called it
        result = each.function(*({"session": session}[name] for name in each.argnames))
        if result is not None:
            return result, str(manager.get_name(each.plugin))
    return None, ""
