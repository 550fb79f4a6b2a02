"""Runs pytest as a process that tests can watch, interrupt, kill and talk to on a terminal.

Every process that such a run starts carries a token in its environment, daemons included, so that a
test can say which of them are alive.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .warm import TOKEN, Run

if TYPE_CHECKING:
    from typing_extensions import Self

#: No test waits longer than this for anything: a loaded machine with two cores took 9 s at worst.
PATIENCE_SECONDS = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


class Marked:
    """A process that is known, with all that it starts, by ``token`` in its environment."""

    token: str
    popen: subprocess.Popen[str] | Run

    def alive(self) -> list[int]:
        """Those that are alive, whoever their parent is."""
        return with_token(self.token)

    def close(self) -> None:
        """End whatever is left."""
        for pid in self.alive():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Process(Marked):
    """A running pytest of a :class:`compare.Project`, in a session of its own.

    Its output goes to a file, so that a process which outlives it can't hold us up.
    """

    def __init__(self, project: Any, *args: str, slots: int | None, **environ: str) -> None:
        self.project, self.side = project, "plain" if slots is None else "forks"
        self.root: Path = project.root(self.side)
        self.token = uuid.uuid4().hex
        project.environ = {**project.environ, TOKEN: self.token, **environ}
        self._out = (project.top / self.side / "stdout").open("w+")
        self._err = (project.top / self.side / "stderr").open("w+")
        self.popen = project.start(
            *args, slots=slots, side=self.side, stdout=self._out.fileno(), stderr=self._err.fileno()
        )
        self.pid = self.popen.pid

    def send(self, number: int, *, group: bool = False) -> None:
        """A signal to the controller, or to its process group as a terminal's Ctrl-C does."""
        (os.killpg if group else os.kill)(self.pid, number)

    def end(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pytest did not end within {seconds} s:\n{self.text}") from None

    def result(self) -> Any:
        """Wait for its end; what :meth:`compare.Project.finish` makes of it."""
        popen = _Finished(self.end(), self.text, self.errors)
        return self.project.finish(popen, self.side)

    @property
    def text(self) -> str:
        return Path(self._out.name).read_text(errors="replace")

    @property
    def errors(self) -> str:
        return Path(self._err.name).read_text(errors="replace")

    def close(self) -> None:
        super().close()
        self._out.close()
        self._err.close()


class _Finished:
    """As much of a Popen as :meth:`compare.Project.finish` uses."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.returncode, self._texts = status, (out, err)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        return self._texts


def with_token(token: str) -> list[int]:
    """Living processes that inherited the token."""
    wanted = f"{TOKEN}={token}"
    if not Path("/proc/self").is_dir():
        listing = subprocess.run(
            ["ps", "eww", "-axo", "pid=,command="], capture_output=True, text=True, check=True
        )
        return [int(line.split()[0]) for line in listing.stdout.splitlines() if wanted in line]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Terminal:
    """A pytest on a pseudo terminal, driven as a person would."""

    def __init__(self, project: Any, *args: str, slots: int | None) -> None:
        side = "plain" if slots is None else "forks"
        self.token, self._raw, self._seen = uuid.uuid4().hex, b"", 0
        self.root: Path = project.root(side)
        command = project.command(args, slots)
        environ = {**project._environ(side), TOKEN: self.token}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(self.root)
                os.execve(command[0], command, environ)
            finally:
                os._exit(127)

    @property
    def text(self) -> str:
        """All output so far, without escapes."""
        return _ESCAPES.sub("", self._raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    def expect(self, wanted: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Read until ``wanted`` appears behind what was expected before."""
        deadline = time.monotonic() + seconds
        while (at := self.text.find(wanted, self._seen)) < 0:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{wanted!r} did not appear:\n{self.text}")
        self._seen = at + len(wanted)

    def send(self, text: str) -> None:
        """Type; ``\\x03`` is Ctrl-C."""
        os.write(self._fd, text.encode())

    def end(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read to the end; the exit status, negative for a signal."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        until(lambda: os.waitid(os.P_PID, self.pid, flags), "the end of " + self.text, 10)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, seconds))
        try:
            data = os.read(self._fd, 65536) if ready else b""
        except OSError:  # Linux: the other side is closed
            data = b""
        self._raw += data
        return bool(data)

    def __enter__(self) -> Terminal:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        for pid in with_token(self.token):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.pid:
            os.waitpid(self.pid, 0)
        os.close(self._fd)
