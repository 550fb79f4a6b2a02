"""The endpoint of a server and the encoding of requests, shared by client and server.

The client runs before each attached run, so this module imports only modules that a bare interpreter has
already loaded: ``socket`` and ``json`` alone would double its start (docs/design/attaching.md).
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing collections takes 2 ms
    from collections.abc import Iterator, Mapping, Sequence

#: Increased whenever the protocol changes; client and server may be of different releases.
VERSION = "2"
#: The number of bytes of a request's length, which is sent first.
LENGTH_BYTES = 4
#: The size limit of a request, as a guard against garbage. Linux allows an exec some MiB of arguments and
#: environment.
LARGEST_REQUEST = 32 << 20
#: The length limit of a socket's path: 104 bytes on macOS and 108 on Linux, including the NUL.
LONGEST_PATH = 103

_FOLDER = "pytest-hotreload"
#: FNV-1a, 64 bits. The hash only helps to find the path; both sides then compare the values themselves.
_FNV_START, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
#: The position of the uid in struct ucred (Linux: pid, uid, gid) and struct xucred (macOS: version, uid, …).
_UID = slice(4, 8)
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1


class Request:
    """A request of a client.

    ``kind``: "run", "status" or "stop". ``root``: the root of the project for which the client looks.
    ``interpreter``: the result of :func:`interpreter`. ``umask``: in octal.
    """

    def __init__(
        self,
        version: str,
        kind: str,
        root: str,
        prefix: str,
        interpreter: str,
        folder: str,
        umask: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.version, self.kind, self.root, self.prefix = version, kind, root, prefix
        self.interpreter, self.folder, self.umask = interpreter, folder, umask
        self.arguments, self.environment = arguments, environment

    @property
    def texts(self) -> tuple[str, ...]:
        """All fields except the arguments and the environment."""
        return (
            self.version,
            self.kind,
            self.root,
            self.prefix,
            self.interpreter,
            self.folder,
            self.umask,
        )


def prefix() -> str:
    """The environment to which this interpreter belongs."""
    return os.path.realpath(sys.prefix)


def interpreter() -> str:
    """The properties in which two interpreters of one environment may still differ."""
    return repr((sys.version, tuple(sys.flags), sys.warnoptions, sorted(sys._xoptions.items())))


# ---------------------------------------------------------------------------------- the endpoint


def folders() -> Iterator[str]:
    """Folders in which sockets may be, the best first.

    Terminals may have different variables, so the last folder is the same for all of them.
    """
    places = [os.environ.get("TMPDIR") or "/tmp", "/tmp"]
    found = [f"{place}/{_FOLDER}-{os.geteuid()}" for place in dict.fromkeys(places)]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    yield from [f"{runtime}/{_FOLDER}", *found] if runtime.startswith("/") else found


def unsafe(folder: str) -> str:
    """The reason why a folder is not private to this user, or "".

    Raises OSError if the folder does not exist.
    """
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    return "is accessible to other users" if found.st_mode & 0o077 else ""


def mark(text: str) -> str:
    """Twelve hex digits that stand for a path."""
    value = _FNV_START
    for byte in os.fsencode(text):
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return f"{value >> 16:012x}"


def socket_name(root: str, environment: str, pid: int | str) -> str:
    """The name of a server's socket.

    The process id makes it unique, so that a server removes only its own socket.
    """
    return f"{mark(root)}-{mark(environment)}-{pid}"


def peer_is_us(connection: object) -> bool:
    """Whether the other end of a connected socket is a process of this user."""
    import _socket

    option = getattr(_socket, "SO_PEERCRED", None)
    level = _SOL_LOCAL if option is None else _socket.SOL_SOCKET
    size = 12 if option is not None else 76
    try:
        told = connection.getsockopt(level, _LOCAL_PEERCRED if option is None else option, size)  # type: ignore[attr-defined]
    except OSError:
        return False
    return int.from_bytes(told[_UID], sys.byteorder) == os.geteuid()


# ---------------------------------------------------------------------------------- the request


def written(request: Request) -> bytes:
    """The encoded request: its length, then fields that end with NUL, which no field can contain."""
    fields = [
        *request.texts,
        str(len(request.arguments)),
        *request.arguments,
        *(f"{name}={value}" for name, value in request.environment.items()),
    ]
    body = b"".join(os.fsencode(field) + b"\0" for field in fields)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def read(body: bytes) -> Request:
    """Decode a request without its length. Raises ValueError if it is malformed."""
    fields: Sequence[str] = [os.fsdecode(field) for field in body.split(b"\0")[:-1]]
    if len(fields) < 8:
        raise ValueError(f"{len(fields)} fields")
    count = int(fields[7])
    arguments, rest = fields[8 : 8 + count], fields[8 + count :]
    pairs = (field.partition("=") for field in rest)
    environment = {name: value for name, _, value in pairs if name}
    version, kind, root, environment_of, python, folder, umask = fields[:7]
    return Request(version, kind, root, environment_of, python, folder, umask, arguments, environment)
