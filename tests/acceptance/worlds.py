"""The names that our code uses, and small test files that replace each of them.

The names come from the source of the installed package: every attribute of a module, everything imported by name,
every builtin. Plain pytest runs each file in a process of its own, since what a test leaves patched would break the
next; ours runs all of them at once.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest_hotreload

PACKAGE = Path(str(pytest_hotreload.__file__)).parent
#: What `world.py` calls otherwise than the standard library does.
_RENAMED = {"sockets": "_socket", "low_threads": "_thread"}
#: Not in a world that tests made: commands, fresh interpreters, the processes of a watch above its reruns.
_ELSEWHERE = {"world.py"}
#: Imports from these reach no name of the standard library.
_NOT_NAMES = {"__future__", "pytest_hotreload"}

Verdict = dict[str, str]


def reached() -> list[str]:
    """``os.getpid``, ``builtins.len``, …: sorted, and there to be replaced."""
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        if "from pytest_hotreload.world import" in source and path.name not in _ELSEWHERE:
            found.update(_names(ast.parse(source), in_child="__builtins__ = BUILTINS" in source))
    return sorted(name for name in found if _exists(name))


def _names(tree: ast.Module, *, in_child: bool) -> Iterator[str]:
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update({(a.asname or a.name.partition(".")[0]): a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module == "pytest_hotreload.world":
            modules.update({a.name: _RENAMED.get(a.name, a.name) for a in node.names if a.name.islower()})
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] not in _NOT_NAMES:
            yield from (f"{node.module}.{a.name}" for a in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _dotted(node)
            if name and name.partition(".")[0] in modules:
                top, _, rest = name.partition(".")
                yield f"{modules[top]}.{rest}"
        elif in_child and isinstance(node, ast.Name) and hasattr(builtins, node.id):
            yield f"builtins.{node.id}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return ""


def _exists(name: str) -> bool:
    """Whether ``monkeypatch.setattr`` could find it; what is immutable can't be replaced by anybody."""
    *path, last = name.split(".")
    thing: Any = None
    for at in range(len(path), 0, -1):
        try:
            thing = importlib.import_module(".".join(path[:at]))
        except ImportError:
            continue
        for part in path[at:]:
            thing = getattr(thing, part, None)
        break
    if thing is None or not hasattr(thing, last) or last.startswith("__"):
        return False
    return not isinstance(thing, (type, dict)) or "." not in name


_HEAD = """
from unittest import mock
def raises(*args, **kwargs):
    raise RuntimeError("a stand-in")
def test_before(tmp_path):
    pass  # the base of all of them is made now, by whichever process that is
"""
_TAIL = """
def test_fails():
    assert 0
def test_after(tmp_path):
    print("out")
"""
WAYS = {
    "fixture": "def test_patched(monkeypatch):\n    monkeypatch.setattr({name!r}, mock.MagicMock())\n",
    "started": "def test_patched():\n    mock.patch({name!r}, raises).start()\n",
}


def files(names: Sequence[str]) -> dict[str, str]:
    """For each name and each way a file. What a file leaves patched is its own."""
    return {
        f"test_{way}_{name.replace('.', '_')}.py": _HEAD + body.format(name=name) + _TAIL
        for name in names
        for way, body in WAYS.items()
    }


_PLAIN = """
import os, signal, sys, pytest
write, leave, number, null = os.write, os._exit, int, os.open(os.devnull, os.O_RDWR)
class Recorder:
    def __init__(self):
        self.kept = {}
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if report.outcome != "passed" or report.when == "call":
            name = report.nodeid.rpartition("::")[2]
            self.kept[name] = "error" if report.when != "call" and report.outcome == "failed" else report.outcome
for file in sys.argv[1:]:
    read, to = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os.dup2(null, 1); os.dup2(null, 2)
        recorder, status = Recorder(), -1
        try:
            status = pytest.main([file, "-q", "-p", "no:cacheprovider"], plugins=[recorder])
        except BaseException:
            pass
        write(to, ("%r" % ({"status": number(status), **recorder.kept},)).encode())
        leave(0)
    os.close(to)
    with os.fdopen(read, "rb") as told:
        text = told.read().decode()
    os.waitpid(pid, 0)
    print(file, text or "{}", sep="\\t", flush=True)
"""


def plain(root: Path, names: Sequence[str]) -> dict[str, Verdict | None]:
    """What plain pytest makes of each file; None where the patch breaks pytest itself."""
    told = subprocess.run(
        [sys.executable, "-c", _PLAIN, *names],
        cwd=root,
        env=environment(),
        text=True,
        capture_output=True,
        check=True,
    )
    found: dict[str, Verdict | None] = {}
    for line in told.stdout.splitlines():
        file, _, text = line.partition("\t")
        try:
            kept = ast.literal_eval(text)
        except (SyntaxError, ValueError):  # what it told was a mock's
            kept = {}
        found[file] = kept if kept.pop("status", -1) == 1 and len(kept) == _TESTS else None
    return found


#: In each file.
_TESTS = 4


def environment() -> dict[str, str]:
    """Without what tells a pytest that it runs in one, or for CI; and without plugins, for speed."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_", "CI", "GITHUB_"))}
    return {**own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def ours(root: Path, names: Sequence[str], slots: int, seconds: float) -> tuple[int, dict[str, Verdict], str]:
    """(exit status, verdicts by file, output) of one run over all of them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--hotreload",
        f"--hotreload-slots={slots}",
        "-q",
        "--junitxml=j.xml",
    ]
    command += ["-p", "pytest_hotreload.plugin", *names]
    done = subprocess.run(
        command, cwd=root, env=environment(), text=True, capture_output=True, timeout=seconds, check=False
    )
    found: dict[str, Verdict] = {name: {} for name in names}
    for case in ET.parse(root / "j.xml").iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        shown = "error" if "error" in kinds else "failed" if "failure" in kinds else "passed"
        found.setdefault(f"{case.get('classname')}.py", {})[str(case.get("name"))] = shown
    return done.returncode, found, done.stdout + done.stderr


def differences(root: Path, names: Sequence[str], slots: int) -> list[str]:
    """Where a result differs from plain pytest's; where plain pytest breaks, a run that looks well."""
    expected = plain(root, names)
    bad = []
    sound = [name for name in names if expected[name] is not None]
    if sound:
        status, got, output = ours(root, sound, slots, 60 + len(sound))
        bad += [] if status == 1 else [f"exit status {status}: {output}"]
        bad += [
            f"{name}: plain {expected[name]}, ours {got[name]}"
            for name in sound
            if got[name] != expected[name]
        ]
    for name in names:
        if expected[name] is None and ours(root, [name], slots, 60)[0] == 0:
            bad.append(f"{name}: pytest itself breaks, and ours is green")
    return bad
