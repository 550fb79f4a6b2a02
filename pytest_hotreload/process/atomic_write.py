"""Replaces a file as a whole: who reads it meanwhile finds all of the old content or all of the new."""

from __future__ import annotations

import stat
from pathlib import Path

from pytest_hotreload.world import contextlib, os

#: File names may be 255 bytes long (NAME_MAX); the rest of ours is shorter than what this leaves.
_MOST_CHARACTERS = 200


def write(target: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Raises OSError; then the file is as it was, and nothing lies beside it.

    ``like``: whose owner and mode the new file gets, where we may set them.
    """
    beside = target.with_name(f".{target.name[:_MOST_CHARACTERS]}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        if like is not None:
            _take_over(beside, like)
        beside.replace(target)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _take_over(made: Path, like: os.stat_result) -> None:
    status = made.stat()
    if (status.st_uid, status.st_gid) != (like.st_uid, like.st_gid):
        with contextlib.suppress(OSError):
            os.chown(made, like.st_uid, like.st_gid)
    made.chmod(stat.S_IMODE(like.st_mode))
