"""Merges the coverage data of shards, and compares the total with the limit that no single shard can reach."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hotreload.ci import messages
from pytest_hotreload.ci.merge_files import RefusedError
from pytest_hotreload.compat import coverage_limit
from pytest_hotreload.process import user_file


class Covered(NamedTuple):
    """The total of the merged data, and the limit with which it was compared."""

    #: Percent.
    total: float
    limit: float
    #: The origin of the limit, in words.
    origin: str
    is_below: bool


def combine(paths: Sequence[Path], to: Path | None, limit: float | None) -> Covered | None:
    """Merge like ``coverage combine --keep``, with the local configuration, and write to ``to`` if that is given.

    ``limit``: the value of ``--fail-under``; without it the one of the configuration. Returns None if there is
    no limit. Raises RefusedError, OSError.
    """
    try:
        import coverage as tool
    except ImportError:
        raise RefusedError(messages.no_coverage()) from None
    folder = tempfile.mkdtemp(prefix="hotreload-")  # the target may be no regular file
    beside = Path(folder, "coverage")
    try:
        for path in paths:  # combine() only warns about a file that it cannot read
            data = tool.CoverageData(basename=str(path))
            data.read()
            data.close()
        whole = tool.Coverage(data_file=str(beside))
        whole.combine([str(path) for path in paths], strict=True, keep=True)
        whole.save()
        covered = _compare(whole, limit)
        whole.get_data().close()
        if to is not None:
            user_file.write(to, beside.read_bytes())
        return covered
    except tool.CoverageException as error:
        raise RefusedError(messages.coverage_refused(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compare(whole: Any, limit: float | None) -> Covered | None:
    """Compare the total as ``coverage report`` computes it. Raises CoverageException."""
    origin = "--fail-under"
    if limit is None:
        limit, origin = (
            float(whole.get_option("report:fail_under") or 0),
            "fail_under of coverage's configuration",
        )
        if not limit:
            return None
    total = float(whole.report(file=io.StringIO()))
    precision = int(whole.get_option("report:precision") or 0)
    return Covered(total, limit, origin, coverage_limit.is_below(total, limit, precision))
