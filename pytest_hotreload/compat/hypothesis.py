"""Private interfaces of Hypothesis: the constants that it reads from the project's sources.

Checked on hypothesis 6.170. When tests have been collected, its plugin reads the sources of all loaded modules of the
project, since it also draws the constants in them. What is drawn at random is no function of them, so they are no input
of the tests; where examples are the same in each run, they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pytest_hotreload.world import BUILTINS, MODULES, contextlib, pytest

__builtins__ = BUILTINS

_PROVIDERS = "hypothesis.internal.conjecture.providers"


def reader_of_sources(config: pytest.Config, items: Iterable[pytest.Item]) -> Callable[[], object] | None:
    """Return the function by which Hypothesis will read sources, if they are no input of these tests; else None.

    Relies on ``_get_local_constants`` of its providers, which remembers what it has read.
    """
    plugin = MODULES.get("_hypothesis_pytestplugin")
    if plugin is None or not config.pluginmanager.is_registered(plugin):
        return None
    with contextlib.suppress(Exception):  # of objects that answer nobody; then the sources count as inputs
        tests = [test for item in items if (test := _test(item)) is not None]
        if (
            tests
            and config.getoption("--hypothesis-seed", None) is None
            and not any(map(_is_repeated, tests))
        ):
            reader: Callable[[], object] | None = getattr(
                MODULES.get(_PROVIDERS), "_get_local_constants", None
            )
            return reader
    return None


def _test(item: pytest.Item) -> Any:
    """Return the function of a test that Hypothesis runs, or None."""
    if not isinstance(item, pytest.Function):
        return None
    return item.obj if getattr(item.obj, "is_hypothesis_test", False) is True else None


def _is_repeated(test: Any) -> bool:
    """Return whether a test may have the same examples in each run (``derandomize``, ``@seed``).

    A state machine has its settings elsewhere.
    """
    chosen = getattr(test, "_hypothesis_internal_use_settings", None)
    seed = getattr(test, "_hypothesis_internal_use_seed", None)
    return chosen is None or bool(chosen.derandomize) or seed is not None
