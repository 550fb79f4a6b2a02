"""The endpoint of a server: a socket in a folder that is private to the user, one for each project and environment.

The socket is removed when the server ends, even if the server is killed: a shell of one megabyte, in a session of its
own, waits for that and removes the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pytest_hotreload.watch import attach_messages
from pytest_hotreload_client import meeting

#: Connections that may wait to be accepted. The server's loop turns within milliseconds.
_BACKLOG = 16
#: Attempts to create the folder and the socket: another server that ends may remove the folder in between.
_TRIES = 5
#: The ``read`` returns when the server's end of the pipe closes, for any reason.
_JANITOR = 'trap "" INT TERM HUP QUIT; read x; rm -f -- "$1"; rmdir -- "$2" 2>/dev/null'


class OccupiedError(Exception):
    """Another server serves this project. The text is for the user."""


class Endpoint:
    """A listening socket, from its construction until :meth:`close`. Raises OSError or OccupiedError."""

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
            },  # a tool that ends processes by their inherited variables must not end this one
            start_new_session=True,
        )

    def close(self) -> None:
        """Close the socket, and wait until its file is removed."""
        self.socket.close()
        assert self._janitor.stdin is not None
        self._janitor.stdin.close()
        self._janitor.wait()


def _folder() -> Path:
    """The first private folder that can be created and whose socket paths are short enough.

    Raises OSError if there is none.
    """
    length = len(meeting.socket_name("", "", 4194304)) + 1  # Linux's highest process id
    refused: list[str] = []
    for place in meeting.folders():
        folder = Path(place)
        try:
            if len(os.fsencode(place)) + length > meeting.LONGEST_PATH:
                raise OSError(attach_messages.path_too_long(place))
            _made(folder)
        except OSError as error:
            refused.append(str(error))
        else:
            return folder
    raise OSError(refused[0])


def _made(folder: Path) -> None:
    """Create the folder unless it exists. Raises OSError if that fails, or if the folder is not private."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    why = meeting.unsafe(str(folder))
    if why:
        raise OSError(attach_messages.unsafe_folder(str(folder), why))


def _listen(folder: Path, root: str) -> tuple[socket.socket, Path]:
    prefix = meeting.prefix()
    path = folder / meeting.socket_name(root, prefix, os.getpid())
    with _locked(folder):
        for other in folder.glob(meeting.socket_name(root, prefix, "*")):
            if other != path and _is_alive(other):
                raise OccupiedError(attach_messages.occupied(root, other.name.rpartition("-")[2]))
            other.unlink(missing_ok=True)  # its server was killed, and so was the server's janitor
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
    """Let only one server at a time look for others. The lock is on the folder itself, and leaves no file behind."""
    _made(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove the sockets of dead servers of other projects, which may never be served again."""
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
