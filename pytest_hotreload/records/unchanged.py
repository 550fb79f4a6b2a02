"""Decides whether the code that ran is the code on disk: file times, clocks, and bytecode that may be stale."""

from __future__ import annotations

import marshal
import re
from collections.abc import Mapping
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.imports import bytecode
from pytest_hotreload.world import os, time

#: The optimisation level in the name of a bytecode file.
_LEVEL = re.compile(r"\.opt-(\d)\.pyc$")
#: Kernels take file times from a clock that advances every 1 to 10 ms; see also ``filesystem/stat.rs``.
_GRANULARITY_NS = 20_000_000
#: The clock was put back if the offset is smaller by more than this. A slow adjustment keeps both clocks
#: together.
_CLOCK_STEP_NS = 1_000_000
_LOOKS = 5
#: A tuple, so that tools that freeze the time of tests do not find these functions.
_CLOCKS = (time.time_ns, time.monotonic_ns)


def file_time_now() -> int:
    """The current time in nanoseconds, on the clock of file times."""
    return _CLOCKS[0]()


def clock_offset() -> int:
    """Nanoseconds from the monotonic clock to the clock of file times.

    A smaller value means that the clock of file times was put back.
    """
    # A process that is descheduled between the two reads sees a smaller value, which must not count as a
    # clock that was put back; hence the maximum of several reads.
    return max(_CLOCKS[0]() - _CLOCKS[1]() for _ in range(_LOOKS))


def was_put_back(offset: int) -> bool:
    """Whether the clock of file times was put back since the two clocks differed by ``offset``.

    After a slow adjustment they still differ by the same.
    """
    return clock_offset() < offset - _CLOCK_STEP_NS


def changed_since(files: Mapping[str, int], margin_ns: int) -> set[str]:
    """The files that were or may have been changed after the time given for each, or that are gone."""
    found = set()
    for file, since in files.items():
        try:
            stat = Path(file).stat()
        except OSError:
            found.add(file)
        else:
            newest = max(map(_latest, (stat.st_mtime_ns, stat.st_ctime_ns)))
            if newest >= since - margin_ns - _GRANULARITY_NS:
                found.add(file)
    return found


def _latest(time_ns: int) -> int:
    """The latest real time behind a file time.

    A whole second may come from a clock with steps of two seconds.
    """
    return time_ns if time_ns % 10**9 else time_ns + bytecode.YOUNG_NS


def is_current(config: pytest.Config, source: str) -> bool:
    """Whether all bytecode that may be stale equals what the current source compiles to."""
    folder, compiled = os.path.split(cache_from_source(source, optimization=""))
    names = bytecode.by_module(folder).get(compiled.removesuffix(".pyc"), ())
    paths = [str(Path(folder, name)) for name in names]
    return all(_is_equal(config, source, path) for path in paths if bytecode.is_doubtful(source, path))


def _is_equal(config: pytest.Config, source: str, compiled: str) -> bool:
    """Whether the code objects are equal. The bytes may differ, because they reflect sharing in memory."""
    try:
        code = marshal.loads(Path(compiled).read_bytes()[bytecode.HEADER.size :])
        if "-pytest-" in compiled:
            return bool(code == pytest_config.rewritten(config, Path(source)))
        level = _LEVEL.search(compiled)
        text = Path(source).read_bytes()
        return bool(
            code == compile(text, source, "exec", dont_inherit=True, optimize=int(level[1]) if level else 0)
        )
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, RecursionError):
        return False
