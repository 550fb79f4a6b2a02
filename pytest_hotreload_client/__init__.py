"""The command ``pytest-hotreload``: the subcommands that must start fast (``run``, ``status``, ``stop``).

The client finds the project's watch (or serve), hands over its arguments and open files, and waits. Neither
pytest nor the plugin is imported here. All other subcommands are in ``pytest_hotreload.cli``.

PYTEST_DONT_REWRITE: those subcommands run pytest in a process that has already loaded this package, and
pytest would warn about that.

Invariant: an obstacle to an attached run costs one line and a cold run, never the run itself.
"""

from __future__ import annotations

import os
import sys

from . import meeting

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing collections takes 2 ms
    from collections.abc import Iterator, Sequence
    from typing import Any

#: The same as in pytest_hotreload.compat.console, whose import would import pytest.
_PREFIX = "hotreload: "
_NOBODY = "no watch or serve in this project"
_COLD = "starting a cold run"
_LOST = "the watch or serve ended, and so did the run"
_WATCH = "a watch needs its own terminal"
_CLOSED = "one of stdin, stdout and stderr is closed"
#: The option of pytest that ``run --json`` adds.
_JSON = "--hotreload-json-lines"
#: The option of ``run`` that prevents the start of a server.
_NO_SERVE = "--no-serve"
#: The flags of the interpreter that its options and variables set, other than those with a value in each interpreter.
_FLAGS = (
    *("debug", "optimize", "dont_write_bytecode", "no_user_site", "no_site", "ignore_environment", "verbose"),
    *("bytes_warning", "quiet", "inspect", "interactive", "isolated", "dev_mode", "safe_path"),
)
#: The status that a shell shows for a process killed by SIGKILL (128 + 9), which is how the run ended.
_KILLED = 137
#: Signals to the client that are forwarded to the run's process group and its process.
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGWINCH", "SIGUSR1", "SIGUSR2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return _run(given[1:])
    if given[:1] in (["status"], ["stop"]) and len(given) == 1:
        return _ask(given[0])
    from importlib import import_module

    return int(import_module("pytest_hotreload.cli").main(given))


class UnreachableError(Exception):
    """No server can be reached; the text states the reason.

    ``is_free``: whether this project and environment have no server, so that one may be started.
    """

    def __init__(self, text: str, *, is_free: bool = False) -> None:
        super().__init__(text)
        self.is_free = is_free


# ---------------------------------------------------------------------------------- run


def _run(arguments: list[str]) -> int:
    own: list[str] = []
    while arguments[:1] in (["--json"], [_NO_SERVE]):
        own.append(arguments.pop(0))
    if "--json" in own:
        arguments = [_JSON, *arguments]
    if "--watch" in arguments:
        return _cold(_WATCH, arguments)
    try:
        for number in (0, 1, 2):
            os.fstat(number)
    except OSError:
        return _cold(_CLOSED, arguments)
    try:
        caller = _Caller("run", arguments)
        return caller.wait()
    except UnreachableError as error:
        return _cold(str(error), arguments, serves=error.is_free and _NO_SERVE not in own)


def _cold(reason: str, arguments: list[str], *, serves: bool = False) -> int:
    flags = _interpreter_flags()
    _say(f"{reason}: {_COLD}{_behind(arguments, flags) if serves else ''}")
    os.execv(sys.executable, [sys.executable, *flags, "-m", "pytest", *arguments])


def _interpreter_flags() -> list[str]:
    """The options with which this interpreter was started; the import that tells them takes 15 ms."""
    if not (sys.warnoptions or sys._xoptions or any(getattr(sys.flags, name, 0) for name in _FLAGS)):
        return []
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    return list(_args_from_interpreter_flags())


def _behind(arguments: list[str], flags: list[str]) -> str:
    """Start a server behind the cold run unless that is not wanted. Returns what the user is told about it."""
    from . import own_server

    try:
        idle = own_server.wanted(arguments)
        if idle is None:
            return ""
        own_server.start(flags)
    except (ValueError, OSError) as error:
        return f"; no server is started behind it: {error}"
    return (
        "; behind it starts a server, which makes later runs fast and ends after "
        f"{idle:g} min without a run (off: {_NO_SERVE}, or {own_server.SETTING} = off)"
    )


def _ask(kind: str) -> int:
    try:
        status = _Caller(kind, []).wait()
        sys.stdout.flush()
    except UnreachableError as error:
        _say(str(error))
        return 1
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return status


def _say(text: str) -> None:
    try:  # avoids an import of contextlib
        os.write(2, os.fsencode(f"{_PREFIX}{text}\n"))
    except OSError:  # nothing reads the output any more
        return


class _Caller:
    """One request and its connection. Raises UnreachableError."""

    def __init__(self, kind: str, arguments: list[str]) -> None:
        self.connection, root, self._is_own = _connect()
        self._accepted = False
        umask = os.umask(0)
        os.umask(umask)
        request = meeting.Request(
            meeting.VERSION,
            kind,
            root,
            meeting.prefix(),
            meeting.interpreter(),
            os.getcwd(),  # noqa: PTH109 - pathlib takes 5 ms
            f"{umask:o}",
            tuple(arguments),
            dict(os.environ),
        )
        if kind == "run":
            self._forward_signals()
        self._send(meeting.written(request))

    def _send(self, data: bytes) -> None:
        """Send the request. The caller's open files travel with its first bytes."""
        import _socket

        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)]
        try:
            sent = self.connection.sendmsg([data], rights)
            if sent < len(data):
                self.connection.sendall(data[sent:])
        except OSError as error:
            raise UnreachableError(f"{_NOBODY} is listening ({error.strerror})") from None

    def wait(self) -> int:
        """Wait until the server reports the end of the run, and return the exit status."""
        for line in self._lines():
            word, _, text = line.partition(" ")
            if word in ("cold", "over"):
                raise UnreachableError(text, is_free=word == "over" or not self._is_own)
            if word == "run":
                self._accepted = True
            elif word == "say":
                _say(text)
            elif word == "out":
                print(text)
            elif word == "end":
                return int(text)
        if not self._accepted:
            raise UnreachableError(f"{_NOBODY} answers")
        _say(_LOST)
        return _KILLED

    def _lines(self) -> Iterator[str]:
        rest = b""
        while True:
            try:
                data = self.connection.recv(4096)
            except ConnectionError:
                data = b""
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from map(os.fsdecode, lines)

    def _forward_signals(self) -> None:
        import _signal  # type: ignore[import-not-found]

        for name in _FORWARDED:
            number = getattr(_signal, name)
            # An ignored signal stays ignored, as under nohup.
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, lambda number, _: self._tell(number))
        if _signal.getsignal(_signal.SIGTSTP) != _signal.SIG_IGN:
            _signal.signal(_signal.SIGTSTP, lambda *_: self._stop())

    def _stop(self) -> None:
        """Handle Ctrl-Z: the run is in another session, in which only SIGSTOP can stop it."""
        import _signal

        self._tell(_signal.SIGSTOP)
        os.kill(os.getpid(), _signal.SIGSTOP)
        self._tell(_signal.SIGCONT)

    def _tell(self, number: int) -> None:
        try:
            self.connection.sendall(f"signal {int(number)}\n".encode())
        except OSError:  # the end of the connection is read next
            return


# ---------------------------------------------------------------------------------- finding


def _connect() -> tuple[Any, str, bool]:
    """Connect to the server of the innermost project around the current folder.

    Returns the connection, the root, and whether the server is one of this interpreter's environment.
    """
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:
        raise UnreachableError("the current folder is gone") from None
    refused = ""
    found: list[tuple[str, str]] = []  # (folder, name)
    for folder in meeting.folders():
        try:
            names = os.listdir(folder)  # noqa: PTH208
            unsafe = meeting.unsafe(folder)
        except OSError:
            continue
        if unsafe:
            refused = f"{folder} {unsafe}"
        else:
            found += [(folder, name) for name in names]
    for root, path, is_own in _candidates(here, found):
        connection = _connected(path)
        if connection is not None:
            return connection, root, is_own
    raise UnreachableError(refused or _NOBODY, is_free=not refused)


def _candidates(here: str, found: list[tuple[str, str]]) -> Iterator[tuple[str, str, bool]]:
    """(root, path of a socket, whether of this interpreter) of possible servers.

    Those of this interpreter come first, and those of inner folders before those of outer ones.
    """
    environment = meeting.mark(meeting.prefix())
    roots, others = [here], []
    while roots[-1] != "/":
        roots.append(os.path.dirname(roots[-1]))  # noqa: PTH120
    for root in roots:
        root_mark = meeting.mark(root)
        for folder, name in found:
            if name.startswith(f"{root_mark}-{environment}-"):
                yield root, f"{folder}/{name}", True
            elif name.startswith(f"{root_mark}-"):
                others.append((root, f"{folder}/{name}", False))
    yield from others


def _connected(path: str) -> Any:
    """A connection, or None if no server listens any more, or if it belongs to another user."""
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    if not meeting.peer_is_us(connection):
        connection.close()
        return None
    return connection
