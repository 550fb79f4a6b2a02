"""The socket of a server: in a folder that is private to the user, one for each project and environment.

It is gone when the server is, however that ends: a shell of a megabyte waits for it, in a session of its own, and
removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pytest_hotreload.watch import messages
from pytest_hotreload_client import meeting

#: Connections that wait to be accepted: the loop comes round in milliseconds.
_BACKLOG = 16
#: Times that the folder is made anew if somebody who ended removes it in between.
_TRIES = 5
#: ``read`` comes back when the server's end of the pipe is closed, by whatever.
_JANITOR = 'trap "" INT TERM HUP QUIT; read x; rm -f -- "$1"; rmdir -- "$2" 2>/dev/null'


class OccupiedError(Exception):
    """Another server has this project. The text says so."""


class Endpoint:
    """Listens from the beginning. Raises OSError or OccupiedError."""

    def __init__(self, root: str) -> None:
        folder = _folder()
        for last in reversed(range(_TRIES)):
            try:
                self.socket, self.path = _listen(folder, root)
                break
            except FileNotFoundError:
                if not last:
                    raise
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", _JANITOR, "pytest-hotreload: removes a socket", str(self.path), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={
                "PATH": "/usr/bin:/bin"
            },  # whoever ends processes by what they inherited does not mean this one
            start_new_session=True,
        )

    def close(self) -> None:
        """It is gone when this returns."""
        self.socket.close()
        assert self._janitor.stdin is not None
        self._janitor.stdin.close()
        self._janitor.wait()


def _folder() -> Path:
    """The first place whose folder we can have, and whose sockets have a path that is short enough."""
    length = len(meeting.socket_name("", "", 4194304)) + 1  # Linux's highest process id
    refused: list[str] = []
    for place in meeting.folders():
        folder = Path(place)
        try:
            if len(os.fsencode(place)) + length > meeting.LONGEST_PATH:
                raise OSError(messages.path_too_long(place))
            _made(folder)
        except OSError as error:
            refused.append(str(error))
        else:
            return folder
    raise OSError(refused[0])


def _made(folder: Path) -> None:
    """Raises OSError where it can't be, or is not private."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    why = meeting.unsafe(str(folder))
    if why:
        raise OSError(messages.unsafe_folder(str(folder), why))


def _listen(folder: Path, root: str) -> tuple[socket.socket, Path]:
    prefix = meeting.prefix()
    path = folder / meeting.socket_name(root, prefix, os.getpid())
    with _locked(folder):
        for other in folder.glob(meeting.socket_name(root, prefix, "*")):
            if other != path and _is_alive(other):
                raise OccupiedError(messages.occupied(root, other.name.rpartition("-")[2]))
            other.unlink(missing_ok=True)  # whoever made it was killed, and its janitor, too
        _sweep(folder)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            path.chmod(0o600)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    listening.setblocking(False)
    return listening, path


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One server at a time looks for others; a lock on the folder itself leaves no file behind."""
    _made(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """The same of other projects: nobody may ever serve those again."""
    for other in folder.glob("*-*-*"):
        pid = other.name.rpartition("-")[2]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            other.unlink(missing_ok=True)
        except (OSError, ValueError):
            continue


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
    return True
