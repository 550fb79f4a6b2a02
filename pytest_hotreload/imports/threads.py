"""Detects threads that a test file's import left behind: a fork would not have them, and might hang without them.

Native pools that the mere *import* of a package starts are harmless (OpenBLAS, numexpr, Arrow: 109 of 109
scenarios were OK after a fork). Pools that a file's import *used* are not harmless (polars, OpenMP, jax,
executors: 16 scenarios broke).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

from pytest_hotreload.options import processors
from pytest_hotreload.process.living import NativeThreads
from pytest_hotreload.wording import plural
from pytest_hotreload.world import BUILTINS, pytest, threading

__builtins__ = BUILTINS

#: Native threads that the import of a package starts, as a function of the number of processors; taken from
#: /proc/self/task after each import (numpy 2.3, scipy 1.16, pandas 2.3, pyarrow 21; 2 processors). OpenBLAS:
#: one thread less than processors, once in numpy and once in scipy; numexpr the same.
_IMPORT_POOLS: dict[str, Callable[[int], int]] = {
    "numpy": lambda n: n - 1,
    "scipy.linalg": lambda n: n - 1,
    "numexpr": lambda n: n,
    "pyarrow": lambda n: n + 2,
    "polars": lambda _: 3,
    "cv2": lambda n: n - 1,
    "tables": lambda n: n,
}


class ThreadWatch:
    """Compares the threads before and after each file's collection."""

    def __init__(self) -> None:
        #: Path -> the threads that its import started, in words.
        self.found: dict[str, str] = {}
        #: Path -> (native threads, modules that its import loaded), to be decided by a probe in the template.
        self.doubtful: dict[str, tuple[int, list[str]]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Generator[None, Any, Any]:
        if not isinstance(collector, pytest.File):
            return (yield)
        native, loaded = NativeThreads(), len(sys.modules)
        python = set(threading.enumerate())
        report = yield
        self._compare(str(collector.path), native, loaded, python)
        return report

    def _compare(self, path: str, native: NativeThreads, loaded: int, python: set[threading.Thread]) -> None:
        started = [t.name for t in threading.enumerate() if t not in python]
        if started:
            self.found[path] = f"the {plural(len(started), 'thread')} {', '.join(started[:3])}"
            return
        grown = native.started()
        if grown <= 0:
            return
        modules = list(sys.modules)[loaded:]
        known = sum(pool(processors()) for name, pool in _IMPORT_POOLS.items() if name in modules)
        if grown > known:
            self.doubtful[path] = (grown, modules)
