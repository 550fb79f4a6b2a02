"""A watch and a server that live on while the generated project is edited, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

Outcomes = dict[str, dict[str, str]]

#: Seconds after which a watch is taken for hung, or for having missed what changed. Catching up takes 1 s.
PATIENCE = 40.0
_READY = "watching, h for help"

#: What every interpreter of these runs does first: the packages of the generated project count as installed.
_BOOT = """
import site, sys
sys.path.append({installed!r})
folders = site.getsitepackages()
site.getsitepackages = lambda *prefixes: [*folders, {installed!r}]
"""

#: Loaded by ``-p``: writes the outcomes of each session, as one JSON object a line, from the process that has its loop.
_TELLS = """
import json, os, re
import pytest
from pytest_hotreload.imports import bytecode

bytecode.YOUNG_NS = {margin}
failed, outcomes, loop = [], {{}}, []

def pytest_collectreport(report):
    if report.failed:
        failed.append((os.getpid(), report.nodeid))

@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    loop[:] = [os.getpid()]
    outcomes.clear()
    outcomes.update({{nodeid: {{"": "error"}} for pid, nodeid in failed if pid == os.getpid()}})
    return (yield)

def pytest_runtest_logreport(report):
    if loop != [os.getpid()]:
        return
    tests = outcomes.setdefault(report.nodeid.partition("::")[0], {{}})
    if report.when == "call" or report.failed:
        values = [re.sub(r" at 0x\\w+", "", str(value)) for _, value in report.user_properties]
        outcome = report.outcome if report.when == "call" else "error"
        tests[report.nodeid] = " ".join([outcome, *values])

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    if loop == [os.getpid()]:
        told = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(told, json.dumps(outcomes).encode() + b"\\n")
        os.close(told)
"""

_OPTIONS = [
    "-p",
    "tells",
    "-q",
    "--tb=short",
    "--continue-on-collection-errors",
    "--hotreload",
    "--hotreload-slots=1",
]


class Live:
    """The processes of one project. ``work``: a folder beside the project, for what they write."""

    def __init__(self, root: Path, work: Path, margin_ns: int) -> None:
        self.root = root
        boot = work / "boot"
        boot.mkdir(exist_ok=True)
        (boot / "sitecustomize.py").write_text(_BOOT.format(installed=str(work / "site-packages")))
        (boot / "tells.py").write_text(textwrap.dedent(_TELLS).format(margin=margin_ns))
        self._own = tempfile.TemporaryDirectory(prefix="hr")  # not beside the project, which may look around
        self.told = Path(self._own.name, "told.jsonl")
        dropped = ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "CI", "BUILD_NUMBER")
        self.environ = {name: value for name, value in os.environ.items() if name not in dropped}
        self.environ |= {
            "PYTHONPATH": os.pathsep.join([str(boot), str(root / "plug")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": self._own.name,
            "TOLD": str(self.told),
        }
        self._read = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = work / "live.log"

    def start(self, words: list[str], mode: str, ready: str) -> None:
        """Start ``python -m WORDS``, and wait until it shows ``ready``."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", *words],
                cwd=self.root,
                env={**self.environ, "APP_MODE": mode},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not self.until(lambda: ready in self.shown()):
            raise RuntimeError(f"it did not begin:\n{self.shown()}")

    def shown(self) -> str:
        """All that the process has shown."""
        return self.log.read_text(errors="replace")

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until it holds; False if it never does. Raises RuntimeError if the process ends."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.shown()}")
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def news(self) -> list[Outcomes]:
        """The outcomes of the sessions that have ended since the last call."""
        if not self.told.exists():
            return []
        with self.told.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def end(self) -> None:
        """End the process, which then leaves nothing."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
            self.process = None

    def close(self) -> None:
        """End the process for good."""
        self.end()
        self._own.cleanup()


class Watch(Live):
    """A watch. ``known``: what it has shown last of each test."""

    def __init__(self, root: Path, work: Path, margin_ns: int) -> None:
        super().__init__(root, work, margin_ns)
        self.known: Outcomes = {}
        self.mode = ""

    def tells(self, expected: Outcomes, mode: str) -> bool:
        """Whether it comes to know the outcomes that plain pytest has."""
        if self.process is not None and mode != self.mode:
            self.end()  # the environment of a process is that of its start
        if self.process is None:
            self.mode = mode
            self.start(["pytest", "-p", "pytest_hotreload.plugin", *_OPTIONS, "--watch"], mode, _READY)
        return self.until(lambda: self._is_ready() and self._knows(expected))

    def _is_ready(self) -> bool:
        return self.shown().rstrip().endswith(_READY)

    def _knows(self, expected: Outcomes) -> bool:
        for outcomes in self.news():
            for file, tests in outcomes.items():
                if "" in tests or "" in self.known.get(file, {}):
                    self.known[file] = tests
                else:
                    self.known.setdefault(file, {}).update(tests)
        return all(
            self.shows(file, tests) == tests or self._is_blocked(file) for file, tests in expected.items()
        )

    def _is_blocked(self, file: str) -> bool:
        """Whether it waits for the next edit, since this file, or the conftest of this folder, does not parse."""
        path = self.root / file
        path = path / "conftest.py" if path.is_dir() else path
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError:
            return True
        return False

    def shows(self, file: str, tests: dict[str, str]) -> dict[str, str | None]:
        """What it has shown last of these tests of a file."""
        return {nodeid: self.known.get(file, {}).get(nodeid) for nodeid in tests}


class Server(Live):
    """``pytest-hotreload serve``, and the runs that attach to it."""

    def run(self, arguments: list[str], mode: str) -> Outcomes:
        """One attached run. Raises RuntimeError if it is not attached."""
        if self.process is None:
            self.start(["pytest_hotreload_client", "serve"], "", "hotreload: serving ")
        words = ["run", "-p", "pytest_hotreload.plugin", *_OPTIONS, *arguments]
        ran = subprocess.run(
            [sys.executable, "-m", "pytest_hotreload_client", *words],
            cwd=self.root,
            env={**self.environ, "APP_MODE": mode},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        told = self.news()
        if len(told) != 1:
            raise RuntimeError(
                f"{len(told)} sessions, exit status {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
            )
        if "cold run" in ran.stderr or "fresh interpreter" in ran.stderr:
            raise RuntimeError(f"not attached: {ran.stderr}")
        return told[0]
