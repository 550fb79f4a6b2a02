"""Runs of pytest that need not start an interpreter: forks of one that has imported pytest already.

Two thirds of a small run's time are the start of Python and the import of pytest (0.26 of 0.35 s of CPU for plain
pytest, of 0.63 s for ours, on the machine where this was measured). What a test can see of the difference: the run's
parent, its command line in ``/proc``, and the frames above ``runpy``'s. A test that looks at these starts cold.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = str(Path(__file__).with_name("warm_server.py"))
#: A variable that a run may have otherwise than the server: what comes of it is set anew.
_APPLIED = "PYTHONPATH"
#: For each of its values there is a server: it is among the interpreter's flags.
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
#: Those that an interpreter, its libraries or the loader read when they start.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "OMP_", "COVERAGE_")
_HASH_SEED = {"PYTHONHASHSEED": "0"}


class Warm:
    """The servers of this process, each started when it is first needed."""

    def __init__(self) -> None:
        self._controls: dict[str, socket.socket] = {}

    def can_start(self, environ: Mapping[str, str]) -> bool:
        """Whether a fork of the server would be as a fresh interpreter with these variables."""
        path = environ.get("PYTHONPATH", "").split(os.pathsep)
        runs_code = any(Path(folder, "sitecustomize.py").exists() for folder in path if folder)
        return not runs_code and _at_start(environ) == _at_start({**os.environ, **_HASH_SEED})

    def start(self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Run:
        """``python -m pytest ARGUMENTS``, in a session of its own and without an input."""
        no_bytecode = environ.get(_NO_BYTECODE, "")
        if no_bytecode not in self._controls:
            self._controls[no_bytecode] = self._serve(no_bytecode)
        (out, its_out), (err, its_err), (told, its_told) = os.pipe(), os.pipe(), os.pipe()
        empty = os.open(os.devnull, os.O_RDONLY)
        theirs = [empty, its_out, its_err, its_told]
        request = {"arguments": list(arguments), "cwd": str(cwd), "environ": dict(environ)}
        socket.send_fds(self._controls[no_bytecode], [json.dumps(request).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        return Run(out, err, told)

    @staticmethod
    def _serve(no_bytecode: str) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with theirs:
            subprocess.Popen(
                [sys.executable, _SERVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # no terminal, as a run's own is none; nothing is written to it
                cwd="/",
                env={
                    **{name: value for name, value in os.environ.items() if name != _APPLIED},
                    **_HASH_SEED,
                    _NO_BYTECODE: no_bytecode,
                },
            )
        return ours


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_READ_AT_START) and name not in (_APPLIED, _NO_BYTECODE)
    }


class Run:
    """A run, with what tests use of :class:`subprocess.Popen`."""

    def __init__(self, out: int, err: int, told: int) -> None:
        self._out, self._err, self._told = out, err, told
        self._read = {out: b"", err: b"", told: b""}
        self.returncode: int | None = None
        self.pid = self._read_pid()

    def _read_pid(self) -> int:
        data = b""
        while b"\n" not in data:
            more = os.read(self._told, 100)
            if not more:
                raise RuntimeError("the warm interpreter ended; its traceback is on standard error")
            data += more
        pid, _, self._read[self._told] = data.partition(b"\n")
        return int(pid)

    def communicate(self, timeout: float = 60.0) -> tuple[str, str]:
        """All output, to its end, and wait. Raises ``subprocess.TimeoutExpired`` after so many seconds."""
        read = self._read
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for descriptor in read:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if not ready:
                    raise subprocess.TimeoutExpired("pytest", timeout)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    read[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
        self.returncode = os.waitstatus_to_exitcode(int(read[self._told].decode()))
        for descriptor in read:
            os.close(descriptor)
        out, err = (read[each].decode("utf-8", "backslashreplace") for each in (self._out, self._err))
        return out, err

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
