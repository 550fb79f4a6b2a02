"""Measures import times in the controller while it collects, only if a report was requested.

importlib takes a lock around each import, with an object that it makes by name. During the measurement that
object is ours: it reads the clock when the lock is taken and when the lock is released, and is not on the
stack in between. So no traceback contains a frame of ours, and loaders, specs and modules are the same as in
any run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_hotreload.report.timeline import Imported
from pytest_hotreload.world import threading, time

#: importlib's own module, and the name of the lock class in it. Read in the sources of CPython 3.10 to 3.13.
_OWNER: Any = importlib._bootstrap
_NAME = "_ModuleLockManager"


class ImportTimes:
    """Import times in CPU seconds of the importing thread, so that a busy machine makes no difference."""

    def __init__(self) -> None:
        #: Module -> seconds of its import, without the modules that it imported.
        self.own: dict[str, float] = {}
        #: Module -> the modules that were loaded during its import.
        self.within: dict[str, list[str]] = {}
        #: Top-level name -> seconds of its modules with all that they imported, each moment counted once.
        self.packages: dict[str, float] = {}
        self.measured = False
        self._plain: Any = None
        self._ours: Any = None
        #: Thread -> its imports in progress, each with the seconds spent on the imports within it.
        self._inside: dict[int, list[tuple[str, float]]] = {}

    def begin(self) -> None:
        """Measure from now on, if importlib in this interpreter has the expected lock class."""
        plain = getattr(_OWNER, _NAME, None)
        if plain is None or not hasattr(plain, "__exit__") or self._plain is not None:
            return
        self._plain, self._ours = plain, _timed(plain, self)
        setattr(_OWNER, _NAME, self._ours)
        self.measured = True

    def end(self) -> None:
        """Restore importlib's own class."""
        if self._plain is not None and getattr(_OWNER, _NAME, None) is self._ours:
            setattr(_OWNER, _NAME, self._plain)
        self._plain = None

    def enter(self, name: str) -> None:
        """Record that an import begins."""
        self._inside.setdefault(threading.get_ident(), []).append((name, 0.0))

    def leave(self, total: float) -> None:
        """Record that the innermost import has ended after ``total`` seconds."""
        stack = self._inside[threading.get_ident()]
        name, inner = stack.pop()
        self.own[name] = self.own.get(name, 0.0) + total - inner
        package = name.partition(".")[0]
        if not any(other.partition(".")[0] == package for other, _ in stack):
            self.packages[package] = self.packages.get(package, 0.0) + total
        if stack:
            outer, spent = stack[-1]
            stack[-1] = (outer, spent + total)
            self.within.setdefault(outer, []).append(name)


def _timed(plain: Any, times: ImportTimes) -> Any:
    """Return a subclass of importlib's lock manager that reports the time spent while each lock was held."""
    clock = time.thread_time

    class _ModuleLockManager(plain):  # type: ignore[misc]
        def __enter__(self) -> Any:
            entered = super().__enter__()
            times.enter(self._name)
            self._hotreload_began = clock()
            return entered

        def __exit__(self, *args: object, **kwargs: Any) -> Any:
            times.leave(clock() - self._hotreload_began)
            return super().__exit__(*args, **kwargs)

    return _ModuleLockManager


def by_package(times: ImportTimes, installed: Callable[[Iterable[str]], Sequence[str]]) -> list[Imported]:
    """Return the installed top-level packages, the costliest first.

    ``installed`` picks the modules in site folders.
    """
    groups: dict[str, list[str]] = {}
    for name in installed(times.own):
        groups.setdefault(name.partition(".")[0], []).append(name)
    groups.pop(__name__.partition(".")[0], None)
    rows = [
        Imported(top, len(names), sum(times.own[name] for name in names), times.packages.get(top, 0.0))
        for top, names in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.own, row.name))
