"""pytest-hotreload: imports shared third-party modules once, and runs each test file in a forked, isolated child.

PYTEST_DONT_REWRITE: the command runs pytest in a process that has already imported this package; otherwise pytest
would warn that it can't rewrite the package's asserts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_hotreload.isolate.environment import IsolatedEnvironment, IsolatedProcess, isolate_imports
    from pytest_hotreload.isolate.errors import (
        CarryError,
        EnvironmentClosed,
        IsolatedDeath,
        IsolatedExit,
        IsolatedStopped,
        IsolatedTimeout,
        IsolationError,
    )
    from pytest_hotreload.run.fixtures.declaration import shared
    from pytest_hotreload.run.warm_functions import warm

    __version__: str

__all__ = [
    "CarryError",
    "EnvironmentClosed",
    "IsolatedDeath",
    "IsolatedEnvironment",
    "IsolatedExit",
    "IsolatedProcess",
    "IsolatedStopped",
    "IsolatedTimeout",
    "IsolationError",
    "__version__",
    "isolate_imports",
    "shared",
    "warm",
]

#: Name -> the module that defines it. Modules are imported on first access: `shared` and `warm` need pytest, but
#: `isolate_imports` must not.
_PLACES = {
    "shared": "run.fixtures.declaration",
    "warm": "run.warm_functions",
    **dict.fromkeys(("isolate_imports", "IsolatedEnvironment", "IsolatedProcess"), "isolate.environment"),
    **dict.fromkeys(
        (
            "CarryError",
            "EnvironmentClosed",
            "IsolatedDeath",
            "IsolatedExit",
            "IsolatedStopped",
            "IsolatedTimeout",
            "IsolationError",
        ),
        "isolate.errors",
    ),
}


def __getattr__(name: str) -> object:
    if name == "__version__":  # 8 ms to look up, and most runs never ask
        from importlib.metadata import version

        found = globals()[name] = version("pytest-hotreload")
        return found
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)
