"""Runs that need no new interpreter: forks of a process that has already imported pytest.

The start of Python and the import of pytest take two thirds of a small run's time (0.26 of 0.35 s of CPU time for plain
pytest, of 0.63 s with ``--hotreload``, on the machine where this was measured). For runs with ``--hotreload`` the
server has also imported the plugin, and all objects of a server are frozen: a plain run then takes 0.10 instead of
0.17 s of CPU time, and a run with ``--hotreload`` 0.30 instead of 0.44 s.

A test can see four differences from a new interpreter: the parent of the run, its command line in ``/proc``, the frames
above those of ``runpy``, and that the objects of the run are not destroyed at its end (``warm_server._run``). Tests of
these start a new interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_SERVER = str(Path(__file__).with_name("warm_server.py"))
#: The variable that names the processes of a run; see ``processes.py``. A fork writes its own value into the memory
#: that ``/proc`` shows, so the value of a server has the same length.
TOKEN = "HOTRELOAD_ACCEPTANCE_TOKEN"
_NO_TOKEN = "0" * 32
#: A variable that may differ between a run and its server: the fork applies its value.
_APPLIED = "PYTHONPATH"
#: A variable whose value is part of the interpreter's flags: each value has a server of its own.
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
#: Variables that an interpreter, its libraries or the loader read only when they start.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "OMP_", "COVERAGE_")
_HASH_SEED = {"PYTHONHASHSEED": "0"}
#: The modules that a server runs.
_MODULES = ("pytest", "pytest_hotreload.cli", "pytest_hotreload_client")


class Warm:
    """The servers of this process. Each is started when it is first needed."""

    def __init__(self) -> None:
        self._controls: dict[tuple[str, str], socket.socket] = {}

    def can_start(self, environ: Mapping[str, str]) -> bool:
        """Whether a fork of the server equals a new interpreter with these variables."""
        path = environ.get("PYTHONPATH", "").split(os.pathsep)
        runs_code = any(Path(folder, "sitecustomize.py").exists() for folder in path if folder)
        return not runs_code and _at_start(environ) == _at_start({**os.environ, **_HASH_SEED})

    def start(
        self,
        words: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        streams: Sequence[int | None],
        *,
        unbuffered: bool,
    ) -> Run:
        """Start ``python -m WORDS`` in a session of its own. ``streams``: as in :func:`start`."""
        ours, theirs, passed = _open(streams)
        told, its_told = os.pipe()
        request = {"words": list(words), "cwd": str(cwd), "environ": dict(environ), "unbuffered": unbuffered}
        control = self._control(environ.get(_NO_BYTECODE, ""), "--hotreload" in words)
        socket.send_fds(control, [json.dumps(request).encode()], [*theirs, its_told])
        for descriptor in (*passed, its_told):
            os.close(descriptor)
        return Run(ours, told)

    def _control(self, no_bytecode: str, with_plugin: bool) -> socket.socket:
        key = no_bytecode, "plugin" if with_plugin else "pytest"
        if key not in self._controls:
            self._controls[key] = self._serve(*key)
        return self._controls[key]

    @staticmethod
    def _serve(no_bytecode: str, imported: str) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        errors = os.dup(2)
        with theirs:
            subprocess.Popen(
                [sys.executable, _SERVER, str(theirs.fileno()), str(errors), imported],
                pass_fds=[theirs.fileno(), errors],
                # Neither terminals nor files that can be positioned, which the streams would remember in each fork.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={
                    **{name: value for name, value in os.environ.items() if name != _APPLIED},
                    **_HASH_SEED,
                    _NO_BYTECODE: no_bytecode,
                    TOKEN: _NO_TOKEN,
                },
            )
        os.close(errors)
        return ours


_WARM = Warm()


def start(
    command: Sequence[str],
    cwd: Path,
    environ: Mapping[str, str],
    *,
    cold: bool = False,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    unbuffered: bool = False,
) -> subprocess.Popen[str] | Run:
    """Start a command in a session of its own: warm, unless the command, the variables or ``cold`` forbid that.

    ``stdin``, ``stdout`` and ``stderr`` are those of :class:`subprocess.Popen`, but no file objects. ``unbuffered``
    stands for the interpreter's option ``-u``.
    """
    python, option, module, *_ = [*command, "", ""]
    is_served = (python, option) == (sys.executable, "-m") and module in _MODULES
    if is_served and not cold and _WARM.can_start(environ):
        return _WARM.start(command[2:], cwd, environ, (stdin, stdout, stderr), unbuffered=unbuffered)
    return subprocess.Popen(
        [python, *["-u"] * unbuffered, *command[1:]],
        cwd=cwd,
        env=environ,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
    )


def _open(streams: Sequence[int | None]) -> tuple[list[int], list[int], list[int]]:
    """Return our ends of the pipes (-1 for none), the three descriptors of the run, and those of them to close."""
    ours: list[int] = []
    theirs: list[int] = []
    passed: list[int] = []
    for number, given in enumerate(streams):
        mine, its = -1, number if given is None else given
        if given == subprocess.PIPE:
            mine, its = os.pipe() if number else os.pipe()[::-1]
        elif given == subprocess.DEVNULL:
            its = os.open(os.devnull, os.O_RDWR)
        elif given == subprocess.STDOUT:
            its = theirs[1]
        if given in (subprocess.PIPE, subprocess.DEVNULL):
            passed.append(its)
        ours.append(mine)
        theirs.append(its)
    return ours, theirs, passed


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_READ_AT_START) and name not in (_APPLIED, _NO_BYTECODE)
    }


class Run:
    """A started run, with the part of :class:`subprocess.Popen` that tests use. Its streams are text."""

    def __init__(self, streams: Sequence[int], told: int) -> None:
        self.returncode: int | None = None
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = self._number()
        how: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
        given, out, err = streams
        self.stdin = os.fdopen(given, "w", **how) if given >= 0 else None
        self.stdout = os.fdopen(out, **how) if out >= 0 else None
        self.stderr = os.fdopen(err, **how) if err >= 0 else None
        self._output = {stream: bytearray() for stream in (self.stdout, self.stderr) if stream is not None}

    def _number(self) -> int:
        """Read the next number that the process between the server and the run reports."""
        line = self._told.readline()
        if not line:
            raise RuntimeError("the warm interpreter ended; its traceback is on standard error")
        return int(line)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises ``subprocess.TimeoutExpired`` after so many seconds."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("pytest", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(self._number())
            self._told.close()
        return self.returncode

    def communicate(self, given: str | None = None, timeout: float = 60.0) -> tuple[str, str]:
        """Write the input, read all output and wait. Raises ``subprocess.TimeoutExpired`` after so many seconds.

        It may be called again after a timeout.
        """
        if self.stdin is not None and not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.write(given or "")
                self.stdin.close()
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for stream in self._output:
                if not stream.closed:
                    selector.register(stream, selectors.EVENT_READ, stream)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired("pytest", timeout)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    self._output[key.data] += data
                    if not data:
                        selector.unregister(key.fd)
                        key.data.close()
        self.wait(max(0.0, deadline - time.monotonic()))
        return self._text(self.stdout), self._text(self.stderr)

    def _text(self, stream: IO[str] | None) -> str:
        return "" if stream is None else self._output[stream].decode("utf-8", "backslashreplace")

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
