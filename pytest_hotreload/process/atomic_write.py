"""Replaces a file atomically: a concurrent reader finds either the whole old content or the whole new content."""

from __future__ import annotations

import stat
from pathlib import Path

from pytest_hotreload.world import contextlib, os

#: Characters of the file's name in the temporary name. Names may be 255 bytes long (NAME_MAX); the added parts
#: fit into the rest.
_MOST_CHARACTERS = 200


def write(target: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Replace the file. Raises OSError; then the file is unchanged, and no temporary file is left.

    ``like``: the status of the file whose owner and mode the new file receives, as far as permissions allow.
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
