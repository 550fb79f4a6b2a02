"""Finds tests that must run after those of all other files, because they change what children do not own.

Each slot has a database of its own with pytest-django, in which each test's changes are rolled back. A transactional
test ends by emptying all tables instead, also of what migrations put there. So pytest-django moves these tests behind
all others that use the database, of whatever file; a child for each file would undo that.

A database in memory is each child's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_hotreload.world import BUILTINS, MODULES

__builtins__ = BUILTINS

if TYPE_CHECKING:
    import pytest


def late_tests(items: Sequence[pytest.Item]) -> frozenset[int]:
    """Return the indices of the tests that come last, if pytest-django has put them last."""
    if "pytest_django.plugin" not in MODULES or "django.test" not in MODULES or not _is_any_shared():
        return frozenset()
    uses = [_use(item) for item in items]
    late = [index for index, use in enumerate(uses) if use == "empties"]
    last_other = max((index for index, use in enumerate(uses) if use == "rolls back"), default=-1)
    return frozenset(late) if late and late[0] > last_other else frozenset()


def _is_any_shared() -> bool:
    """Whether there is a database that is not in memory."""
    settings: Any = getattr(MODULES.get("django.conf"), "settings", None)
    databases = settings.DATABASES.values() if settings is not None and settings.configured else ()
    return any(_is_shared(database) for database in databases)


def _is_shared(database: dict[str, Any]) -> bool:
    engine = str(database.get("ENGINE") or "django.db.backends.dummy")
    if engine.endswith((".dummy", ".sqlite3")):
        return bool((database.get("TEST") or {}).get("NAME"))
    return True


def _use(item: pytest.Item) -> str:
    """Return what a test does to the database: "empties", "rolls back" or ""."""
    django: Any = MODULES["django.test"]
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, django.TransactionTestCase):
        return "rolls back" if issubclass(cls, django.TestCase) else "empties"
    names = getattr(item, "fixturenames", ())
    marker = item.get_closest_marker("django_db")
    if "transactional_db" in names or "live_server" in names:
        return "empties"
    if marker is None:
        return "rolls back" if "db" in names else ""
    by_name = (marker.kwargs.get("transaction"), marker.kwargs.get("reset_sequences"))
    return "empties" if any(marker.args[:2]) or any(by_name) else "rolls back"
