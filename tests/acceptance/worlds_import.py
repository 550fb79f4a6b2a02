"""Small suites one file of which, or the conftest, replaces a name permanently while it is imported: in the controller.

Each suite is run in forks of one interpreter that has imported pytest and the plugin: by plain pytest, and by ours
in the ways of :data:`WAYS`. What plain pytest survives, ours has to survive with the same results.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .worlds import PACKAGE, environment

#: What is put in a name's place.
REPLACEMENTS = {
    "raises": "raises",
    "none": "lambda *args, **kwargs: None",
    "mock": "mock.MagicMock()",
    "object": "object()",
}
#: The targets are found before the first of them is replaced.
_HEAD = """
import pkgutil
from unittest import mock
def raises(*args, **kwargs):
    raise RuntimeError("a stand-in")
def replace(name, replacement):
    path, _, last = name.rpartition(".")
    patches.append((pkgutil.resolve_name(path), last, replacement))
patches = []
"""
_PATCH = "replace({name!r}, {replacement})\n"
_TAIL = """
def start(patches=patches, set=setattr):
    for target, name, replacement in patches:
        set(target, name, replacement)
start()
"""
_FIRST = """
def test_passes():
    pass
def test_fails():
    assert 0
"""
_SECOND = "def test_other():\n    pass\n"
#: A test whose process dies; under plain pytest, it fails.
_DIES = "import os\nleave = os._exit\ndef test_dies():\n    {dies}\n    assert 0\n"
_EXPECTED = {
    "test_a.py::test_passes": "passed",
    "test_a.py::test_fails": "failed",
    "test_b.py::test_other": "passed",
}
#: Ways to run ours. Each command line is run one after the other in one folder: the second finds records.
_FROM_A_FILE: Mapping[str, Sequence[Sequence[str]]] = {
    "without records": (("-p", "no:cacheprovider"),),
    "with records": ((), ("--affected",)),
    "strict": (("-p", "no:cacheprovider", "--hotreload-isolate=strict"),),
    "spawn": (("-p", "no:cacheprovider", "--hotreload-start=spawn"),),
    "pages": (("--hotreload-report=r.html", "--hotreload-trace=t.json", "--hotreload-json=j.json"),),
    "shards": (("--shard=1/1", "--reuse=on"), ("--shard=1/1", "--reuse=on")),
    "a death": ((),),
}
#: The same from a conftest; and from the last file, after which pytest itself imports nothing more.
WAYS: Mapping[str, Sequence[Sequence[str]]] = {
    **_FROM_A_FILE,
    **{f"conftest, {way}": commands for way, commands in _FROM_A_FILE.items()},
    **{f"last file, {way}": _FROM_A_FILE[way] for way in ("without records", "with records", "a death")},
}

#: Without the warning that the plugin is loaded already, as the forks have it: plain pytest need not show it, and
#: has the option, too, since it makes pytest compile a pattern.
_QUIET = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
_OURS = ("-q", *_QUIET, "-p", "pytest_hotreload.plugin", "--hotreload", "--hotreload-slots=2")

_FORKS = """
import ast, os, shutil, signal, sys, pytest
import pytest_hotreload.plugin
write, leave, number, null, text = os.write, os._exit, int, os.open(os.devnull, os.O_RDWR), repr
class Recorder:
    def __init__(self):
        self.kept = {}
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if report.outcome != "passed" or report.when == "call":
            self.kept[report.nodeid] = report.outcome
for line in sys.stdin:
    folder, arguments = ast.literal_eval(line)
    read, to = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.alarm(20)
        os.chdir(folder)
        out = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(null, 0); os.dup2(out, 1); os.dup2(out, 2)
        recorder, status = Recorder(), -1
        try:
            status = pytest.main(arguments, plugins=[recorder])
        except BaseException:
            pass
        write(to, text((number(status), recorder.kept)).encode())
        leave(0)
    os.close(to)
    with os.fdopen(read, "rb") as told:
        answer = told.read().decode()
    os.waitpid(pid, 0)
    print(answer or "(-2, {})", flush=True)
"""


class Run(NamedTuple):
    """pytest's exit status (negative: the process died) and node id -> outcome."""

    status: int
    outcomes: dict[str, str]


class Forks:
    """The interpreter whose forks run suites."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS],
            cwd=PACKAGE.parent,  # the installed one: an interpreter looks into its folder first
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, arguments: Iterable[str]) -> Run:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(repr((str(folder), list(arguments))), file=self._process.stdin, flush=True)
        told: Any = ast.literal_eval(self._process.stdout.readline())
        return Run(*told)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def differences(forks: Forks, top: Path, names: Sequence[str], replacement: str, way: str) -> list[str]:
    """What differs from plain pytest. Names are replaced together; where that breaks one of the two, by halves."""
    plain = _plain(forks, top, names, replacement, way)
    sound = all(run == Run(1, _expected(way)) for run in plain)
    if len(names) == 1 and any(run.status <= 0 for run in plain):
        return []  # it hangs, or dies, or runs nothing and is green, and so may ours
    bad = _differ(forks, top, names, replacement, way, sound=sound) if sound or len(names) == 1 else [""]
    if not bad or len(names) == 1:
        return bad
    half = len(names) // 2
    parts = (names[:half], names[half:])
    found = [each for part in parts for each in differences(forks, top, part, replacement, way)]
    return found or (bad if sound else [])


def _plain(forks: Forks, top: Path, names: Sequence[str], replacement: str, way: str) -> list[Run]:
    """Plain pytest's runs, as many as ours will be: the second reads what the first remembered."""
    folder, without = _written(top, names, replacement, way), "no:cacheprovider" in WAYS[way][0]
    arguments = ["-q", *_QUIET, *(["-p", "no:cacheprovider"] if without else [])]
    return [forks.run(folder, arguments) for _ in WAYS[way]]


def _differ(
    forks: Forks, top: Path, names: Sequence[str], replacement: str, way: str, *, sound: bool
) -> list[str]:
    folder = _written(top, names, replacement, way, dies="leave(9)")
    bad = []
    for arguments in WAYS[way]:
        ours = forks.run(folder, [*_OURS, *arguments])
        if not sound and ours.status == 0:
            bad.append(f"{names} {replacement} {arguments}: pytest breaks, ours is green")
        elif sound and not _is_right(ours, arguments, _expected(way)):
            said = (folder / "output.txt").read_text(errors="replace")
            bad.append(f"{names} {replacement} {arguments}: {ours}\n{said[-1500:]}")
    return bad


def _expected(way: str) -> dict[str, str]:
    return {**_EXPECTED, "test_b.py::test_dies": "failed"} if "a death" in way else _EXPECTED


def _is_right(ours: Run, arguments: Sequence[str], expected: dict[str, str]) -> bool:
    """``--affected`` may leave out what passed, and runs what failed."""
    if "--affected" in arguments:
        return ours.status == 1 and ours.outcomes.items() <= expected.items()
    return ours == Run(1, expected)


def _written(top: Path, names: Sequence[str], replacement: str, way: str, dies: str = "pass") -> Path:
    """In a folder of its own."""
    folder = Path(tempfile.mkdtemp(dir=top))
    patches = "".join(_PATCH.format(name=name, replacement=REPLACEMENTS[replacement]) for name in names)
    replacing = _HEAD + patches + _TAIL
    in_conftest, in_last = way.startswith("conftest"), way.startswith("last file")
    (folder / "pytest.ini").write_text("[pytest]\n")
    if in_conftest:
        (folder / "conftest.py").write_text(replacing)
    (folder / "test_a.py").write_text(_FIRST if in_conftest or in_last else replacing + _FIRST)
    second = _DIES.format(dies=dies) + _SECOND if "a death" in way else _SECOND
    (folder / "test_b.py").write_text(replacing + second if in_last else second)
    return folder
