"""The least coverage of a run (pytest-cov's ``--cov-fail-under``, coverage's ``fail_under``): the merge compares it.

Checked on pytest-cov 5 to 7.1 (the plugin ``_cov``, its ``options``) and coverage 7.6 to 7.17
(``coverage.results.should_fail_under``).
"""

from __future__ import annotations

from typing import Any

import pytest


def lift(config: pytest.Config) -> float | None:
    """Make pytest-cov compare its total with no limit, and return the limit that it had, or None.

    Called after pytest-cov has started, when the limit of coverage's configuration is in its options, too.
    """
    options: Any = getattr(config.pluginmanager.get_plugin("_cov"), "options", None)
    limit = getattr(options, "cov_fail_under", None)
    if not limit:
        return None
    options.cov_fail_under = None
    return float(limit)


def is_below(total: float, limit: float, precision: int) -> bool:
    """Return whether coverage itself would fail for this total: it rounds to ``precision`` digits."""
    from coverage.results import should_fail_under

    return bool(should_fail_under(total, limit, precision))
