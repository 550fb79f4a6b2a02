"""Hands teamcity-messages (TeamCity, PyCharm) the comparison of a unittest assertion that failed in a child.

The plugin replaces ``unittest.TestCase.assertEqual`` by a function that keeps the two values in a variable of a
thread (``teamcity.jb_local_exc_store``), and takes them out again when the report is logged. The one happens in
the child, the other in the controller; the report carries the values from here to there.

Checked on teamcity-messages 1.33.
"""

from __future__ import annotations

import importlib
from typing import Any

from pytest_hotreload.world import BUILTINS, MODULES

__builtins__ = BUILTINS

_STORE = "teamcity.jb_local_exc_store"
#: The attribute of a report that holds the comparison on its way to the controller.
_HELD = "_hotreload_comparison"


class Comparisons:
    """The comparisons that failed in this child; each is sent once."""

    def __init__(self) -> None:
        self._sent: Any = None

    def hold(self, report: Any) -> None:
        """Attach to the report the comparison that failed since the last report."""
        store: Any = getattr(MODULES.get(_STORE), "_JB_PYTEST_LOCAL", None)
        error = getattr(store, "exception", None)
        if error is not None and error is not self._sent:
            self._sent = error
            report.__dict__[_HELD] = error

    @staticmethod
    def release(report: Any) -> None:
        """Remove what :meth:`hold` attached, after the report is packed."""
        report.__dict__.pop(_HELD, None)


def restore(report: Any) -> None:
    """In the controller: keep the comparison where the plugin looks for it."""
    error = getattr(report, "__dict__", {}).pop(_HELD, None)
    if isinstance(error, AssertionError):
        importlib.import_module(_STORE).store_exception(error)
