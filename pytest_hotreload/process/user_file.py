"""Writes files that the user named, of any kind: regular files, links, pipes, devices, sockets.

A regular file is replaced atomically, and a link to one stays a link. All other kinds are written through.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from pytest_hotreload.process import atomic_write
from pytest_hotreload.world import contextlib, os, select, socket

#: Seconds without progress after which writing is given up: a pipe that is never emptied must not hang the
#: run.
STALLED_SECONDS = 10.0
#: Errors that mean that no file can replace this one: the folder rejects new files, or the file is a mount of
#: its own, as in a container.
_IN_PLACE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS, errno.EXDEV)


def write(path: Path, content: bytes) -> None:
    """Write all of the content.

    Raises OSError with the path as its file name; a regular file then keeps its old content.
    """
    try:
        status = _status(path)
        if status is not None and not stat.S_ISREG(status.st_mode):
            _write_through(path, status, content)
        elif status is not None and (stream := _stream(status)) is not None:
            _write_all(stream, content, path)
        else:
            _replace(Path(os.path.realpath(path)), content, status)
    except OSError as error:
        error.filename = str(path)
        raise


def append(path: Path, content: bytes) -> None:
    """Append to the existing content. Raises OSError."""
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        _write_through(path, status, content)
        return
    with path.open("ab") as file:
        file.write(content)


def remove(path: Path) -> None:
    """Remove a regular file, or the target of a link to one. All other kinds stay. Raises OSError."""
    status = _status(path)
    if status is not None and stat.S_ISREG(status.st_mode) and _stream(status) is None:
        Path(os.path.realpath(path)).unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    """Return the status of the file, or of the target of a link; None if it does not exist."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _stream(status: os.stat_result) -> int | None:
    """Return 1 or 2 if the file is standard output or error.

    Such a file is not replaced: a new file in its place would not receive what is printed later.
    """
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(stream), status):
                return stream
    return None


def _replace(target: Path, content: bytes, status: os.stat_result | None) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write(target, content, status)
    except OSError as error:
        if status is None or error.errno not in _IN_PLACE:
            raise
        target.write_bytes(content)


def _write_through(path: Path, status: os.stat_result, content: bytes) -> None:
    stream = _stream(status)
    if stream is not None:
        _write_all(stream, content, path)
    elif stat.S_ISSOCK(status.st_mode):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STALLED_SECONDS)
            connection.connect(str(path))
            connection.sendall(content)
    else:
        _write_to_pipe_or_device(path, content)


def _write_to_pipe_or_device(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(errno.ENXIO, "nobody reads this pipe", str(path)) from None
    try:
        _write_all(descriptor, content, path)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes, path: Path) -> None:
    rest = memoryview(content)
    while rest:
        if not select.select([], [descriptor], [], STALLED_SECONDS)[1]:
            text = f"its reader read nothing for {STALLED_SECONDS:.0f} s"
            raise OSError(errno.EAGAIN, text, str(path))
        try:
            # A ready pipe accepts this many bytes in one write, whether it was opened as blocking or not.
            rest = rest[os.write(descriptor, rest[: select.PIPE_BUF]) :]
        except BlockingIOError:
            continue
