"""What imports take, measured in the controller while it collects, and only if somebody asked for a report.

importlib takes a lock around each import, by an object that it makes by name. While we measure that object is
ours: it looks at the clock when the lock is taken and when it is given back, and is gone from the stack in between. So
there is no frame of ours in any traceback, and loaders, specs and modules are what they are in any run.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .timeline import Imported, Saving

#: importlib's own module, and what it calls the object. Read in CPython 3.10 to 3.13.
_OWNER: Any = importlib._bootstrap
_NAME = "_ModuleLockManager"


class ImportTimes:
    """``spent``: module -> (seconds by itself, with what it imported), in the order in which they ended."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}
        self.measured = False
        self._plain: Any = None
        self._ours: Any = None

    def begin(self) -> None:
        """Measure from now on, where this interpreter is built so that it can be done."""
        plain = getattr(_OWNER, _NAME, None)
        if plain is None or not hasattr(plain, "__exit__") or self._plain is not None:
            return
        self._plain, self._ours = plain, _timed(plain, self.spent)
        setattr(_OWNER, _NAME, self._ours)
        self.measured = True

    def end(self) -> None:
        """Put back what stood there."""
        if self._plain is not None and getattr(_OWNER, _NAME, None) is self._ours:
            setattr(_OWNER, _NAME, self._plain)
        self._plain = None


def _timed(plain: Any, spent: dict[str, tuple[float, float]]) -> Any:
    """A subclass of importlib's lock manager that notes how long each lock was held."""
    clock, thread = time.perf_counter, threading.get_ident
    #: Of each thread, the imports that it is in: seconds of what each of them imported.
    inside: dict[int, list[float]] = {}

    class _ModuleLockManager(plain):  # type: ignore[misc]
        def __enter__(self) -> Any:
            entered = super().__enter__()
            inside.setdefault(thread(), []).append(0.0)
            self._hotreload_began = clock()
            return entered

        def __exit__(self, *args: object, **kwargs: Any) -> Any:
            total = clock() - self._hotreload_began
            stack = inside[thread()]
            within = stack.pop()
            if stack:
                stack[-1] += total
            own, known = spent.get(self._name, (0.0, 0.0))
            spent[self._name] = own + total - within, known + total
            return super().__exit__(*args, **kwargs)

    return _ModuleLockManager


def by_package(
    spent: Mapping[str, tuple[float, float]], installed: Callable[[Iterable[str]], Sequence[str]]
) -> list[Imported]:
    """The installed top-level packages, the costliest first. ``installed`` picks the modules of site folders.

    ``total`` is that of the package itself, or of its costliest module where it has no module of its own.
    """
    modules = installed(spent)
    groups: dict[str, list[str]] = {}
    for name in modules:
        groups.setdefault(name.partition(".")[0], []).append(name)
    rows = [
        Imported(
            top,
            len(names),
            sum(spent[name][0] for name in names),
            max(spent[name][1] for name in names),
        )
        for top, names in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.own, row.name))


def saving(
    spent: Mapping[str, tuple[float, float]],
    shared: Iterable[str],
    start_cpu: float,
    files: Sequence[str],
    reached: Mapping[str, Iterable[str]],
) -> Saving:
    """What one start served that many children, one for each entry of ``files``.

    ``shared``: modules that are nobody's own (installed, standard library). ``reached``: file -> those that its
    sources import. A child by itself would have started once more, and imported these: each at what its first
    import took here. What was loaded here before then cost nothing, so that is less than it would have been.
    """
    mine = list(shared)
    estimated = sum(start_cpu + sum(_cost(spent, name) for name in reached.get(file, ())) for file in files)
    return Saving(start_cpu, len(mine), sum(spent[name][0] for name in mine), len(files), estimated)


def _cost(spent: Mapping[str, tuple[float, float]], name: str) -> float:
    return spent[name][1] if name in spent else 0.0
