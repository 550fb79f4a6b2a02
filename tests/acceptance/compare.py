"""Runs a small project with plain pytest and with ``--hotreload``, and compares everything that can be seen.

    def test_it(project, slots):
        project.write({"test_a.py": "def test_a(): assert 0"})
        plain, ours = project.same("-v", slots=slots)
        assert ours.outcomes == {"test_a.py::test_a": [("setup", "passed"), ...]}

Both sides run the real command line in processes of their own, at the same time, in two copies of
the project, so that neither sees what the other leaves behind. What plain pytest made of the very same
files, arguments and variables a moment ago (with another number of slots) is not asked again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from json import loads
from pathlib import Path
from typing import Any

from . import warm
from .warm import Run

_RECORDER = str(Path(__file__).with_name("recorder"))
#: Seconds after which a run is taken for hung. The slowest takes 3 s on a busy machine.
_HUNG = 60.0

#: What may differ between two runs of plain pytest, and only that.
_VOLATILE: tuple[tuple[str, str], ...] = (
    (r"0x[0-9a-f]{4,}", "0xADDRESS"),
    (r"\bin \d+\.\d\ds(?: \(\d+:\d\d:\d\d\))?", "in TIME"),
    (r"\bcache from \d+:\d\d:\d\d ago\b", "cache from TIME ago"),
    (r"^=+ (.* in TIME.*?) =+$", r"== \1 =="),
    (r"^(\x1b\[[\d;]*m)=+(.* in TIME.*?)=+(\x1b\[0m)$", r"\1==\2==\3"),
    (r"^\d+\.\d\ds (setup|call|teardown)", r"TIME \1"),
    (r"\bpid=?\s?\d+", "pid N"),
)
#: Failures that a slow run names before their turn.
_EARLY = re.compile(r"^hotreload: .* failed; (its|their) output follows that of ")
_OURS = re.compile(r"^(\x1b\[[\d;]*m)*hotreload: ")

Outcomes = dict[str, list[tuple[str, str]]]


@dataclass
class Result:
    """What one run showed.

    ``outcomes``: node id -> [(when, outcome)], in order. ``events``: every report, warning,
    collection and deselection in order, in full. ``lines``: standard output, normalised, without
    ``hotreload: `` lines. ``notices``: those lines. ``errors``: standard error, normalised,
    without ``early``: the lines that name failures before their turn. ``raw``: standard output as it
    was. ``root``: the copy of the project that it ran in.
    """

    status: int
    outcomes: Outcomes
    events: list[Any]
    lines: list[str]
    notices: list[str]
    errors: list[str]
    early: list[str]
    raw: str
    root: Path

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def order(self) -> list[str]:
        """Node ids in the order in which they were reported."""
        return list(self.outcomes)

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """(category, text) of each warning that pytest recorded."""
        return [(event[3], event[4][0]) for event in self.events if event[0] == "warning"]

    def read(self, name: str) -> str:
        """A file that the run left in the project, normalised."""
        return normalise((self.root / name).read_text(), self.root)

    def json(self, name: str) -> Any:
        return loads((self.root / name).read_text())


def _python_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []


def normalise(text: str, root: Path) -> str:
    """``text`` without what differs between any two runs."""
    text = text.replace(str(root), "<root>").replace(str(root.parent), "<top>")
    for pattern, to in _VOLATILE:
        text = re.sub(pattern, to, text, flags=re.MULTILINE)
    return text


def assert_same(plain: Result, ours: Result) -> None:
    """Exit status, outcomes, events and output are equal, line by line."""
    problems = [
        *_difference("outcomes", _as_lines(plain.outcomes.items()), _as_lines(ours.outcomes.items())),
        *_difference("standard output", plain.lines, ours.lines),
        *_difference("standard error", plain.errors, ours.errors),
        *_difference("events", _as_lines(plain.events), _as_lines(ours.events)),
    ]
    if plain.status != ours.status:
        problems.append(f"exit status {plain.status} became {ours.status}")
    if problems:
        raise AssertionError("\n".join(problems))


def _as_lines(things: Iterable[object]) -> list[str]:
    return [repr(thing) for thing in things]


def _difference(what: str, plain: list[str], ours: list[str]) -> list[str]:
    return list(unified_diff(plain, ours, f"{what} of plain pytest", f"{what} of ours", lineterm="", n=2))


#: A file, or a link: its bytes, or where it leads, and its mode.
Tree = dict[str, tuple[bytes | str, int]]


def _tree(top: Path) -> Tree:
    """What lies there, but for bytecode and temporary folders."""
    found: Tree = {}
    for folder, folders, files in os.walk(top):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if name not in ("__pycache__", *links)]
        if folder == str(top):
            folders[:] = [name for name in folders if name != "tmp"]
        for name in [*files, *links]:
            path = Path(folder, name)
            content = (
                str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            )
            found[str(path.relative_to(top))] = content, path.lstat().st_mode
    return found


@dataclass(frozen=True)
class Known:
    """What plain pytest made of a project, and what lay there then."""

    result: Result
    tree: Tree

    def again(self, top: Path, root: Path) -> Result:
        """The same in another copy."""
        before = _tree(top)
        for name in before.keys() - self.tree.keys():
            (top / name).unlink()
        for name, (content, mode) in self.tree.items():
            if before.get(name) != (content, mode):
                path = top / name
                path.parent.mkdir(parents=True, exist_ok=True)
                assert isinstance(content, bytes), f"{name}: plain pytest made a link"
                path.write_bytes(content)
                path.chmod(mode)
        return replace(self.result, raw=self.result.raw.replace(str(self.result.root), str(root)), root=root)


#: Runs of plain pytest: those of the last few tests, in this process.
_KNOWN: dict[str, Known] = {}
_MOST_KNOWN = 50


@dataclass
class Project:
    """Two copies of a project below ``top``: ``plain`` and ``forks`` (as long a name, for wrapping).

    ``cold``: each run is a fresh interpreter, where a test looks at what ``warm.py`` names.
    """

    top: Path
    plugins: Sequence[str] = ()
    environ: dict[str, str] = field(default_factory=dict)
    outside: Sequence[str] = ()
    cold: bool = False

    def __post_init__(self) -> None:
        for side in ("plain", "forks"):
            self.root(side).mkdir(parents=True)

    def root(self, side: str) -> Path:
        return self.top / side / "project"

    def write(self, files: Mapping[str, str]) -> None:
        """Write each file, dedented, into both copies. ``../name`` lies outside of the root."""
        for side in ("plain", "forks"):
            for name, text in files.items():
                path = self.root(side) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text), encoding="utf-8")

    def command(self, args: Sequence[str], slots: int | None) -> list[str]:
        """The command line; plain pytest's where ``slots`` is None. Only ``plugins`` are loaded."""
        loaded = [
            word for name in ("hotreload_recorder", "hotreload", *self.plugins) for word in ("-p", name)
        ]
        ours = [] if slots is None else ["--hotreload", f"--hotreload-slots={slots}"]
        return [sys.executable, "-m", "pytest", *loaded, *ours, *args]

    def start(
        self, *args: str, slots: int | None, side: str, cwd: str = ".", **how: Any
    ) -> subprocess.Popen[str] | Run:
        """Start one run. ``how``: as :func:`warm.start` takes it."""
        command, root = self.command(args, slots), self.root(side)
        return warm.start(command, root / cwd, self._environ(side), cold=self.cold, **how)

    def _environ(self, side: str) -> dict[str, str]:
        top = self.top / side
        (top / "tmp").mkdir(exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("PYTEST_", "PY_COLORS", "NO_COLOR", "FORCE_COLOR", "CI", "BUILD_", "COV_", "GITHUB_")
            )
        }
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(
                [_RECORDER, *(str(self.root(side) / each) for each in self.outside), *_python_path()]
            ),
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_DEBUG_TEMPROOT": str(top / "tmp"),
            "RECORDER_OUT": str(top / "recorded"),
            "COLUMNS": "80",
            "TERM": "xterm",
            **self.environ,
        }

    def finish(self, process: subprocess.Popen[str] | Run, side: str) -> Result:
        """Wait for a run; its result."""
        try:
            out, err = process.communicate(timeout=_HUNG)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"the {side} run hung:\n{out}\n{err}") from None
        recorded = self.top / side / "recorded"
        root = self.root(side)
        text = normalise(recorded.read_text(encoding="utf-8"), root) if recorded.exists() else ""
        recorded.unlink(missing_ok=True)
        events = [loads(line) for line in text.splitlines()]
        outcomes: Outcomes = {}
        for kind, nodeid, when, outcome, _ in events:
            if kind == "report":
                outcomes.setdefault(nodeid, []).append((when, outcome))
        lines, errors = (normalise(text or "", root).splitlines() for text in (out, err))
        return Result(
            status=-1 if process.returncode is None else process.returncode,
            outcomes=outcomes,
            events=events,
            lines=[line for line in lines if not _OURS.match(line)],
            notices=[line for line in lines if _OURS.match(line)],
            errors=[line for line in errors if not _EARLY.match(line)],
            early=[line for line in errors if _EARLY.match(line)],
            raw=out or "",
            root=root,
        )

    def run(self, *args: str, slots: int | None, **how: Any) -> Result:
        """One run: plain pytest where ``slots`` is None."""
        side = "plain" if slots is None else "forks"
        return self.finish(self.start(*args, slots=slots, side=side, **how), side)

    def both(
        self, *args: str, slots: int = 2, extra: Sequence[str] = (), **how: Any
    ) -> tuple[Result, Result]:
        """(plain, ours), run at the same time; ``extra`` options for ours alone."""
        key = self._key(args, how)
        known = _KNOWN.get(key) if how.keys() <= {"cwd"} else None
        plain = None if known is not None else self.start(*args, slots=None, side="plain", **how)
        ours = self.start(*args, *extra, slots=slots, side="forks", **how)
        if plain is None:
            assert known is not None
            return known.again(self.top / "plain", self.root("plain")), self.finish(ours, "forks")
        found = self.finish(plain, "plain")
        if len(_KNOWN) == _MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[key] = Known(found, _tree(self.top / "plain"))
        return found, self.finish(ours, "forks")

    def _key(self, args: Sequence[str], how: Mapping[str, Any]) -> str:
        """All that plain pytest goes by. Of the root the length, too: by it lines are wrapped."""
        root = self.root("plain")
        variables = sorted(
            (name, value.replace(str(self.top), "")) for name, value in self._environ("plain").items()
        )
        command, tree = self.command(args, None), sorted(_tree(self.top / "plain").items())
        return hashlib.sha256(repr((len(str(root)), command, variables, how, tree)).encode()).hexdigest()

    def same(
        self, *args: str, slots: int = 2, extra: Sequence[str] = (), **how: Any
    ) -> tuple[Result, Result]:
        """:meth:`both`, compared by :func:`assert_same`; and no plugin is said to miss data."""
        plain, ours = self.both(*args, slots=slots, extra=extra, **how)
        assert_same(plain, ours)
        lost = [notice for notice in ours.notices if "miss data" in notice]
        if lost:
            raise AssertionError("\n".join(lost))
        return plain, ours

    def each(self, change: Callable[[Path], None]) -> None:
        """Apply a change to both copies."""
        for side in ("plain", "forks"):
            change(self.root(side))

    def forget(self) -> None:
        """Remove pytest's cache from both copies."""
        self.each(lambda root: shutil.rmtree(root / ".pytest_cache", ignore_errors=True))
