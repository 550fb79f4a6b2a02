"""Merges the shards' other cached data: pytest's failures and known tests, and the last runs of files.

pytest keeps ``cache/lastfailed`` for ``--lf`` and ``--ff``, and ``cache/nodeids`` for ``--nf`` (pytest 8.4 to
9.2). Each shard keeps its own data; about files of other shards it knows only the content of the cache that
it was given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_hotreload.ci.merge_checks import Result
from pytest_hotreload.process import user_file
from pytest_hotreload.records import last_run
from pytest_hotreload.records.file_outcome import FAILED

_FAILED: Final = "cache/lastfailed"
_KNOWN: Final = "cache/nodeids"


def merge(results: Sequence[Result], caches: Sequence[Path], whole: Path, recorded: Sequence[str]) -> None:
    """Merge into the cache ``whole``. ``recorded``: the files that have records there. Raises OSError."""
    caches = [whole, *caches]
    remembered = {nodeid for cache in caches for nodeid in _read(cache, _FAILED)}
    failed = {nodeid for nodeid in remembered if nodeid not in _settled(results)} | set(_failures(results))
    write(whole, _FAILED, dict.fromkeys(sorted(failed), True))
    write(whole, _KNOWN, sorted({nodeid for cache in caches for nodeid in _read(cache, _KNOWN)}))
    ran = last_run.merged(*(last_run.load(cache / "d" / "hotreload") for cache in caches))
    last_run.save(whole / "d" / "hotreload", {file: ran[file] for file in recorded if file in ran}, recorded)


def _settled(results: Sequence[Result]) -> set[str]:
    """Tests that ran and files that were collected: their earlier failures no longer count."""
    tests = {test["nodeid"] for result in results for test in result.tests}
    return tests | {file["file"] for result in results for file in result.said["files"] if file["tests"]}


def _failures(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        yield from (test["nodeid"] for test in result.tests if test["outcome"] in FAILED)
        yield from (error["nodeid"] for error in result.said["errors"] if error["nodeid"])


def _read(cache: Path, key: str) -> list[str]:
    """The node ids under a key. A missing or damaged entry counts as empty, as in pytest."""
    try:
        found: Any = json.loads((cache / "v" / key).read_text(encoding="utf-8"))
        return [str(nodeid) for nodeid in found]
    except (OSError, ValueError, TypeError):
        return []


def write(cache: Path, key: str, value: object) -> None:
    """Write an entry in pytest's format."""
    user_file.write(cache / "v" / key, json.dumps(value, indent=2).encode())
