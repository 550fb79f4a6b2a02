"""What imports take, measured in the controller while it collects, and only if somebody asked for a report.

importlib takes a lock around each import, by an object that it makes by name. While we measure that object is
ours: it looks at the clock when the lock is taken and when it is given back, and is gone from the stack in between. So
there is no frame of ours in any traceback, and loaders, specs and modules are what they are in any run.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_hotreload.report.timeline import Imported, Saving
from pytest_hotreload.world import threading, time

#: importlib's own module, and what it calls the object. Read in CPython 3.10 to 3.13.
_OWNER: Any = importlib._bootstrap
_NAME = "_ModuleLockManager"


class ImportTimes:
    """In CPU seconds of the thread that imports, so that a busy machine makes no difference.

    ``own``: module -> what its import took but for what it imported. ``within``: module -> those that were loaded while
    it was. ``packages``: top-level name -> of its modules with all that they imported, each moment once.
    """

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self.within: dict[str, list[str]] = {}
        self.packages: dict[str, float] = {}
        self.measured = False
        self._plain: Any = None
        self._ours: Any = None
        #: Of each thread, the imports that it is in, and what was spent on those within each of them.
        self._inside: dict[int, list[tuple[str, float]]] = {}

    def begin(self) -> None:
        """Measure from now on, where this interpreter is built so that it can be done."""
        plain = getattr(_OWNER, _NAME, None)
        if plain is None or not hasattr(plain, "__exit__") or self._plain is not None:
            return
        self._plain, self._ours = plain, _timed(plain, self)
        setattr(_OWNER, _NAME, self._ours)
        self.measured = True

    def end(self) -> None:
        """Put back what stood there."""
        if self._plain is not None and getattr(_OWNER, _NAME, None) is self._ours:
            setattr(_OWNER, _NAME, self._plain)
        self._plain = None

    def enter(self, name: str) -> None:
        """An import begins."""
        self._inside.setdefault(threading.get_ident(), []).append((name, 0.0))

    def leave(self, total: float) -> None:
        """The last one that began has ended."""
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
    """A subclass of importlib's lock manager that tells what was spent while each lock was held."""
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
    """The installed top-level packages, the costliest first. ``installed`` picks the modules of site folders."""
    groups: dict[str, list[str]] = {}
    for name in installed(times.own):
        groups.setdefault(name.partition(".")[0], []).append(name)
    groups.pop(__name__.partition(".")[0], None)
    rows = [
        Imported(top, len(names), sum(times.own[name] for name in names), times.packages.get(top, 0.0))
        for top, names in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.own, row.name))


def saving(
    times: ImportTimes,
    shared: Iterable[str],
    start_cpu: float,
    files: Sequence[str],
    reached: Mapping[str, Iterable[str]],
) -> Saving:
    """What one start served that many children, one for each entry of ``files``.

    ``shared``: modules that are nobody's own (installed, standard library). ``reached``: file -> those that its
    sources import. A child by itself would have started once more, and imported these with all that was loaded
    within them here, each once. What had been loaded by another file before is missing in that: it is too low.
    """
    mine = list(shared)
    cost = functools.cache(lambda names: _together(times, names))
    estimated = sum(start_cpu + cost(frozenset(reached.get(file, ()))) for file in files)
    return Saving(start_cpu, len(mine), sum(times.own[name] for name in mine), len(files), estimated)


def _together(times: ImportTimes, names: Iterable[str]) -> float:
    """What these modules took, with all that was loaded within them, each once."""
    waiting, seen = [name for name in names if name in times.own], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += times.within.get(name, ())
    return sum(times.own[name] for name in seen)
