"""``pytest-hotreload serve`` for a small project, and the clients that attach to it, as real processes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import warm
from .compare import normalise
from .processes import PATIENCE_SECONDS, until, with_token
from .warm import TOKEN, Run

_DROPPED = ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTHONDONTWRITEBYTECODE", "COLUMNS", "NO_COLOR")


class Ran(NamedTuple):
    """A command that has ended. ``out``, ``err``: without what differs between any two runs."""

    status: int
    out: str
    err: str


class Place:
    """A project, and a folder for sockets that is its own. ``python``: the interpreter of all that runs here."""

    def __init__(self, top: Path, files: Mapping[str, str]) -> None:
        self.root = top / "project"
        self.python = sys.executable
        self.runtime = Path(tempfile.mkdtemp(prefix="hr"))  # a socket's path is short
        self.token = uuid.uuid4().hex
        self.environ = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        self.environ = {
            name: value for name, value in self.environ.items() if not name.startswith("PYTEST_XDIST")
        }
        self.environ |= {
            "XDG_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.runtime),
            # What else is installed here would write in its own way, warn, or want pytest's cache.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p hotreload -p xdist -p pytest_cov",
            "PYTHONHASHSEED": "0",
            TOKEN: self.token,
        }
        self._started: list[subprocess.Popen[str] | Run] = []
        self.write({"pytest.ini": "[pytest]\n", **files})

    @property
    def sockets(self) -> list[str]:
        """What is in the folders of sockets."""
        return sorted(path.name for path in self.runtime.glob("pytest-hotreload*/*"))

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    # -- commands ----------------------------------------------------------------------------------

    def begin(self, *words: str, cwd: str = ".", **environ: str) -> subprocess.Popen[str] | Run:
        """Start ``pytest-hotreload WORDS``, or plain pytest where the first is "pytest"."""
        program = ["pytest", *words[1:]] if words[0] == "pytest" else ["pytest_hotreload_client", *words]
        started = warm.start(
            [self.python, "-m", *program],
            self.root / cwd,
            {**self.environ, **environ},
            stdin=subprocess.PIPE,
        )
        self._started.append(started)
        return started

    def say(self, *words: str, cwd: str = ".", given: str = "", **environ: str) -> Ran:
        """Run it. ``given``: its standard input."""
        return self.end(self.begin(*words, cwd=cwd, **environ), given)

    def end(self, process: subprocess.Popen[str] | Run, given: str = "") -> Ran:
        out, err = process.communicate(given, timeout=PATIENCE_SECONDS)
        return Ran(process.wait(), normalise(out, self.root), normalise(err, self.root))

    def serve(self, *words: str, **environ: str) -> subprocess.Popen[str] | Run:
        """Start the server, and wait until its template is warm."""
        server = self.begin("serve", *words, **environ)
        assert server.stdout is not None
        line = server.stdout.readline()
        assert re.match(r"hotreload: serving .* · python .* · template \d+ modules in ", line), (
            line + server.stdout.read()
        )
        return server

    def wait_for_server(self, **environ: str) -> None:
        """Wait until a server is warm that a run has started."""
        until(lambda: re.search(r"template \d+ modules", self._status(**environ)), "the server is warm")

    def prepare(self, *words: str, file: str, **environ: str) -> Ran:
        """Run it, and wait until the server has imported ``file`` for the next such run. Returns the run.

        It runs twice: modules that two runs report are imported ahead as well, for which the file is imported again.
        """
        for _ in range(2):
            ran = self.say("run", *words, **environ)
            until(lambda: file in self._imported_ahead(), f"{file} is imported ahead")
        return ran

    def _imported_ahead(self) -> list[str]:
        """The files that the server has imported, as it says."""
        lines = self._status().splitlines()
        said = [
            line.removeprefix("imported ahead: ") for line in lines if line.startswith("imported ahead: ")
        ]
        return said[0].split(", ") if said else []

    def refused(self, *words: str) -> str:
        """Run it, and wait until the server says what it does not import for the next such run, and why."""
        self.say("run", *words)
        until(lambda: "\nnot imported ahead: " in self._status(), "a reason")
        return self._status().partition("\nnot imported ahead: ")[2].strip()

    def _status(self, **environ: str) -> str:
        return self.say("status", **environ).out

    # -- what is left ------------------------------------------------------------------------------

    def alive(self) -> list[int]:
        """All that live of what was started here: runs have the environment of their template."""
        return with_token(self.token)

    def _killed(self) -> bool:
        """Who has begun to clean up may have been killed a moment too late: the folder goes when nobody is left."""
        alive = self.alive()
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    def close(self) -> None:
        until(self._killed, "everything that was started here is gone")
        for process in self._started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        while self.runtime.exists():  # a janitor, which has no environment of ours, may be at it as well
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.runtime)

    def __enter__(self) -> Place:  # noqa: PYI034 - Self is not in 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(path: Path) -> str:
    """Until a test has written this file; what it wrote."""
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} is written")
    return path.read_text().strip()
