"""The adapters of editors: hooks of plugins that only report, and that are therefore called in the controller.

VS Code's adapter (``vscode_pytest``) sends each result to the editor, from hooks that pytest calls in the
controller (``pytest_report_teststatus``) and from hooks that pytest calls where the test runs: a wrapper of
``pytest_runtest_protocol``, and ``pytest_exception_interact``. All of them use the same lists, and one pipe.
Called in two processes, they send failures twice, in another order, and long ones mixed up.
See docs/design/editors.md.

Checked on the adapter of the extension ``ms-python.python`` of July 2026, and on pluggy 1.5 to 1.7
(``HookImpl.wrapper``, ``hookwrapper``, ``argnames``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pluggy

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS

#: Adapters, by the name of their plugin: all their hooks report, and none does anything to a test.
_ADAPTERS = ("vscode_pytest",)
_PROTOCOL, _INTERACT = "pytest_runtest_protocol", "pytest_exception_interact"
#: Hooks that children call. The last one is called if a plugin reads the statistics of the terminal reporter.
_IN_CHILDREN = (_PROTOCOL, _INTERACT, "pytest_report_teststatus")


def adapters(config: pytest.Config) -> list[object]:
    """Return the adapters of editors that are registered."""
    found = [config.pluginmanager.get_plugin(name) for name in _ADAPTERS]
    return [plugin for plugin in found if plugin is not None]


def _without_adapters(config: pytest.Config, hook: str) -> list[Any]:
    known = adapters(config)
    everything = getattr(config.hook, hook).get_hookimpls()
    return [each for each in everything if all(each.plugin is not plugin for plugin in known)]


def left_to_children(config: pytest.Config) -> dict[str, list[Any]]:
    """Return, for each hook that children call, its implementations without those of adapters."""
    return {hook: _without_adapters(config, hook) for hook in _IN_CHILDREN} if adapters(config) else {}


def silence_adapters(config: pytest.Config) -> None:
    """In a process that collects for itself: remove all hooks of the adapters, which would report once more."""
    for plugin in adapters(config):
        for caller in config.pluginmanager.get_hookcallers(plugin) or ():
            pytest_config.set_implementations(config, caller.name, _without_adapters(config, caller.name))


class ControllerHooks:
    """Calls these hooks in the controller, around the reports of each item."""

    def __init__(self, config: pytest.Config) -> None:
        self._protocol, self._interact = (
            self._of_adapters(config, _PROTOCOL),
            self._of_adapters(config, _INTERACT),
        )
        self._open: list[tuple[Any, Iterator[Any]]] = []
        self._item: pytest.Item | None = None

    @staticmethod
    def _of_adapters(config: pytest.Config, hook: str) -> list[Any]:
        """Return the adapters' implementations, in the order in which pytest would call them."""
        known = adapters(config)
        everything = reversed(getattr(config.hook, hook).get_hookimpls())
        return [each for each in everything if any(each.plugin is plugin for plugin in known)]

    def begin(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Call what pytest calls before an item's protocol, once for each item."""
        if not self._protocol or item is self._item:
            return
        self._item = item
        for each in self._protocol:
            begun = pytest_config.call_implementation(each, {"item": item, "nextitem": nextitem})
            if each.wrapper or each.hookwrapper:
                next(begun)
                self._open.append((each, begun))

    def end(self) -> None:
        """Let the wrappers of the item's protocol continue after it."""
        while self._open:
            each, begun = self._open.pop()
            try:
                begun.send(pluggy.Result(True, None) if each.hookwrapper else True)  # type: ignore[attr-defined]
            except StopIteration:
                continue

    def interact(self, node: pytest.Item, call: Any, report: Any) -> None:
        """Call ``pytest_exception_interact`` after the report of an exception."""
        for each in self._interact:
            pytest_config.call_implementation(each, {"node": node, "call": call, "report": report})
