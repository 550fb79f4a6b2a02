"""Programs that use `isolate_imports`, each in an interpreter of its own, on packages that a test writes.

Third-party is what lies in a folder called `site-packages`: a test's own modules are, without being installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .processes import PATIENCE_SECONDS, Marked
from .warm import TOKEN

#: In front of each program. What it reports is the last line that it prints.
_HEAD = """\
import json, os, signal, subprocess, sys, threading, time, traceback
from pytest_hotreload import isolate_imports

def report(**found):
    print(json.dumps(found), flush=True)

def told(function, *args, **kwargs):
    "What it raises: the type's name, and its text up to the hint."
    try:
        return ["returned", function(*args, **kwargs)]
    except BaseException as error:
        return [type(error).__name__, str(error).split("; hint: ")[0]]

def is_of_template(name):
    return __import__(name, fromlist=["PID"]).PID == os.getppid()

def warm(environment, *names):
    "Which of these modules, written by `noted`, came with the template."
    return [name for name in names if environment.exec(is_of_template, name).result()]
"""

#: A module that notes in which process it was imported.
_NOTED = "import os\nPID = os.getpid()\n"


def noted(*names: str) -> dict[str, str]:
    """Installed modules, as :meth:`Workshop.write` takes them."""
    return {f"site-packages/{name.replace('.', '/')}.py": _NOTED for name in names}


class Ran:
    """A program that has ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def report(self) -> dict[str, Any]:
        """Of its last line. Raises AssertionError with all that it wrote if there is none."""
        lines = self.out.splitlines()
        assert lines, f"status {self.status}:\n{self.err}"
        try:
            found: dict[str, Any] = json.loads(lines[-1])
        except ValueError:
            raise AssertionError(f"status {self.status}:\n{self.out}\n{self.err}") from None
        return found

    @property
    def notices(self) -> list[str]:
        """The lines that `isolate_imports` told of by itself."""
        return [line for line in self.err.splitlines() if line.startswith("isolate_imports: ")]


class Running(Marked):
    """A program that runs, and all that it starts."""

    def __init__(
        self, command: Sequence[str], cwd: Path, environ: Mapping[str, str], text: str | None
    ) -> None:
        self.token = uuid.uuid4().hex
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environ, TOKEN: self.token},
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.text = text

    def line(self) -> Any:
        """The next line that it reports."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.popen.communicate()[1]
        return json.loads(line)

    def end(self) -> Ran:
        try:
            out, err = self.popen.communicate(self.text, timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            left = self.alive()
            self.close()
            raise AssertionError(f"it did not end; alive: {left}\n{self.popen.communicate()}") from None
        return Ran(self.popen.wait(), out, err)


class Workshop:
    """A folder with source (`src`) and installed packages (`site-packages`), and programs that use them."""

    def __init__(self, top: Path) -> None:
        self.top, self.source, self.site = top, top / "src", top / "site-packages"
        self.environ: dict[str, str] = {}

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Paths below the folder -> contents, dedented."""
        for name, text in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                path.write_bytes(text)
            else:
                path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def start(
        self,
        program: str,
        *,
        path: Sequence[Path] | None = None,
        by: str = "file",
        **environ: str,
    ) -> Running:
        """``path``: in front of `sys.path`. ``by``: "file", or "stdin" as a notebook's kernel gets its code."""
        text = _HEAD + textwrap.dedent(program)
        entries = [self.source, self.site] if path is None else path
        outer = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))
        }
        outer.pop("PYTHONDONTWRITEBYTECODE", None)
        full = {**outer, "PYTHONPATH": os.pathsep.join(map(str, entries)), **self.environ, **environ}
        self.top.mkdir(exist_ok=True)
        if by == "stdin":
            return Running([sys.executable, "-c", "import sys; exec(sys.stdin.read())"], self.top, full, text)
        file = self.top / "programs" / f"program_{uuid.uuid4().hex[:8]}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return Running([sys.executable, str(file)], self.top, full, None)

    def run(self, program: str, *, status: int = 0, **more: Any) -> Ran:
        """Run it to its end; nothing that it started may be left."""
        with self.start(program, **more) as running:
            ran = running.end()
            left = running.alive()
        assert ran.status == status, f"status {ran.status}:\n{ran.out}\n{ran.err}"
        assert left == []
        return ran
