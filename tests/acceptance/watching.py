"""A watch on pipes, as an editor or a script would run it: edits go in, output comes out.

    with Watching(tmp_path, {"test_a.py": "def test_a(): pass"}) as watching:
        assert watching.shown().ran == {"test_a.py::test_a": "passed"}
        watching.write({"test_a.py": "def test_a(): assert 0"})
        assert watching.shown().status == "FAIL 1 failed"

Every event that the watch answers ends in a line with "watching, h for help"; what was shown up to there is a
:class:`Shown`. Nothing sleeps: what does not come within :data:`HUNG` seconds fails with all that was shown so far.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from . import warm

if TYPE_CHECKING:
    from typing_extensions import Self

#: Seconds after which an answer is taken for lost, as for a run in ``compare``; the slowest was not measured.
HUNG = 60.0
#: How pytest is started.
START = ["-m", "pytest"]
_READY = "watching, h for help"
_OUTCOME = re.compile(r"(?:\[gw\d+\] )?(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*")
_NAMES = {"XFAIL": "xfailed", "XPASS": "xpassed"}
_TIMES = re.compile(r" in \d+\.\d\d s(?: \(watch \d+ \+ select \d+ \+ fork \d+ \+ run \d+ ms\))?")
_HOW = re.compile(r" \((?:no reload needed|from fork point \d+|new fork points: [^)]*)\)$")


@dataclass(frozen=True)
class Shown:
    """What stood between two answers; the root is ``<root>``.

    ``lines``: all of them. ``ran``: node id -> outcome, by pytest's ``-v``, in order. ``rerun``: the line that says
    what was changed, without where it starts from; "" for none. ``how``: that. ``status``: the last line, without its
    times and "watching, h for help".
    """

    lines: list[str]

    @property
    def ran(self) -> dict[str, str]:
        found = (_OUTCOME.fullmatch(line) for line in self.lines)
        return {m[1]: _NAMES.get(m[2], m[2].lower()) for m in found if m}

    @property
    def files(self) -> list[str]:
        """The test files that ran, in order."""
        return list(dict.fromkeys(nodeid.split("::")[0] for nodeid in self.ran))

    @property
    def rerun(self) -> str:
        return _HOW.sub("", self._rerun)

    @property
    def how(self) -> str:
        found = _HOW.search(self._rerun)
        return found[0].strip(" ()") if found else ""

    @property
    def _rerun(self) -> str:
        return next((line for line in self.lines if line.startswith(("RERUN ", "git checkout: "))), "")

    @property
    def status(self) -> str:
        return _TIMES.sub("", self.lines[-1]).removesuffix(_READY).removesuffix(" · ")

    @property
    def notices(self) -> list[str]:
        """Our own lines, without the prefix and the header."""
        ours = [line.removeprefix("hotreload: ") for line in self.lines if line.startswith("hotreload: ")]
        return [line for line in ours if not line.startswith("python ")]

    @property
    def errors(self) -> list[str]:
        """What pytest marks by an E, without its indentation."""
        return [line[1:].strip() for line in self.lines if line.startswith("E  ")]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Watching:
    """One watch of the project in ``top/project``, started at once with ``-v``.

    ``files``: what is written first. ``arguments``: further ones. ``environ``: variables, None removes one. ``folder``:
    where it is started, below the root. ``python``: the interpreter.
    """

    top: Path
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    environ: Mapping[str, str | None] = field(default_factory=dict)
    name: str = "project"
    folder: str = "."
    python: str = sys.executable
    watch: Sequence[str] = ("--hotreload", "--watch", "--hotreload-slots=1", "-v")
    #: Whether it begins in a new interpreter, rather than in a fork of one that has imported pytest.
    is_new: bool = False

    def __post_init__(self) -> None:
        self.root = self.top / self.name
        self.root.mkdir(parents=True, exist_ok=True)
        if self.files:
            self.write({"pytest.ini": "[pytest]\n", **self.files})
        self._lines: list[str] = []
        self._read = 0
        self._closed = False
        self._changed = threading.Condition()
        words = [self.python, *START, "-p", "hotreload", *self.watch, *self.arguments]
        folder, environ = self.root / self.folder, environment(self.environ)
        self.process: subprocess.Popen[str] | warm.Run
        if self.is_new:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env={**environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        else:
            self.process = warm.start(
                words, folder, environ, stdin=subprocess.PIPE, stderr=subprocess.STDOUT, unbuffered=True
            )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(HUNG)

    # -- listening -----------------------------------------------------------------------------------

    def shown(self, ends: Callable[[str], bool] = lambda line: line.endswith(_READY)) -> Shown:
        """What was shown since the last call, up to a line at which it ``ends``; waits for that."""
        deadline = time.monotonic() + HUNG
        with self._changed:
            at = self._read
            while True:
                for number in range(at, len(self._lines)):
                    if ends(self._lines[number]):
                        return self._taken(number + 1)
                at = len(self._lines)
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "ended" if self._closed else "is silent"
                    raise AssertionError(f"the watch {why}; it showed:\n" + "\n".join(self._lines))
                self._changed.wait(left)

    def until(self, text: str) -> Shown:
        """The same, up to a line that contains ``text``."""
        return self.shown(lambda line: text in line)

    def _taken(self, end: int) -> Shown:
        lines, self._read = self._lines[self._read : end], end
        return Shown([line.replace(str(self.root), "<root>") for line in lines])

    # -- editing -------------------------------------------------------------------------------------

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files in place, dedented; None removes one."""
        write(self.root, files)

    def path(self, name: str) -> Path:
        return self.root / name

    def after(self, files: Mapping[str, str | bytes | None]) -> Shown:
        """What an edit led to."""
        self.write(files)
        return self.shown()

    # -- the end -------------------------------------------------------------------------------------

    def end(self) -> int:
        """The end of the input; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def ended(self) -> int:
        """The exit status, once it is there."""
        try:
            return self.process.wait(HUNG)
        except subprocess.TimeoutExpired:
            raise AssertionError("the watch does not end; it showed:\n" + "\n".join(self._lines)) from None

    @property
    def rest(self) -> list[str]:
        """After its end: what was shown and not taken."""
        self._reader.join(HUNG)
        with self._changed:
            return self._taken(len(self._lines)).lines


def write(root: Path, files: Mapping[str, str | bytes | None]) -> None:
    """Write files below ``root`` in place, dedented; None removes one."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """What a watch of these tests sees: no plugin is loaded by itself, bytecode is written."""
    dropped = (
        "PYTEST_",
        "PY_COLORS",
        "NO_COLOR",
        "FORCE_COLOR",
        "CI",
        "BUILD_",
        "COV_",
        "GITHUB_",
        "PYTHONDONT",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    given = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0", "COLUMNS": "80", "TERM": "xterm"}
    return {name: value for name, value in {**kept, **given, **changes}.items() if value is not None}
