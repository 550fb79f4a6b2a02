"""Is what ran what stands on the disk? Times of files, clocks, and bytecode that may be stale."""

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

#: Of the optimiser, in a name.
_LEVEL = re.compile(r"\.opt-(\d)\.pyc$")
#: Kernels stamp files by a clock that steps every 1 to 10 ms; as in ``filesystem/stat.rs``.
_GRANULARITY_NS = 20_000_000
#: A clock was put back if the two differ by so much less. Adjusting it slowly keeps them together.
_CLOCK_STEP_NS = 1_000_000
_LOOKS = 5
#: In a tuple, where tools that freeze the time of tests do not find them.
_CLOCKS = (time.time_ns, time.monotonic_ns)


def file_time_now() -> int:
    """Nanoseconds, on the clock of file times."""
    return _CLOCKS[0]()


def clock_offset() -> int:
    """Nanoseconds from the clock that nobody can set to that of file times: less of them, and it was put back."""
    # A process that loses its processor between the two looks sees less, which is not for a clock that was put back.
    return max(_CLOCKS[0]() - _CLOCKS[1]() for _ in range(_LOOKS))


def was_put_back(offset: int) -> bool:
    """Whether the clock of file times was, since the two differed by so much. Adjusted slowly, they stay together."""
    return clock_offset() < offset - _CLOCK_STEP_NS


def changed_since(files: Mapping[str, int], margin_ns: int) -> set[str]:
    """Those that were changed after the time that is given for each, or may have been, or are gone."""
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
    """A whole second may come from a clock that knows no smaller steps than two of them."""
    return time_ns if time_ns % 10**9 else time_ns + bytecode.YOUNG_NS


def is_current(config: pytest.Config, source: str) -> bool:
    """Whether all bytecode that may be stale is what the source, as it is now, compiles to."""
    folder, compiled = os.path.split(cache_from_source(source, optimization=""))
    names = bytecode.by_module(folder).get(compiled.removesuffix(".pyc"), ())
    paths = [str(Path(folder, name)) for name in names]
    return all(_is_equal(config, source, path) for path in paths if bytecode.is_doubtful(source, path))


def _is_equal(config: pytest.Config, source: str, compiled: str) -> bool:
    """The code objects are compared: the bytes differ by what was shared in memory."""
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
