"""Runs code in a new interpreter that records, and returns the records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_hotreload import _native

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HOME = str(Path(_native.__file__).parents[1])

#: The folder is the root; the interpreter, its site folders and this project are ignored.
PRELUDE = f"""
import json, os, sys
HOME = {HOME!r}
sys.path.insert(0, HOME)
from pytest_hotreload import _native
sys.path[0] = os.getcwd()
IGNORED = [HOME, sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)]
IGNORED += [os.path.realpath(path) for path in IGNORED]
def begin(root=os.getcwd(), collecting=False, ignored=(), temporary=(), callers=(), pycache_prefix=None):
    _native.observe(root, collecting=collecting, ignored=[*IGNORED, *ignored], temporary=temporary,
                    callers=callers, pycache_prefix=pycache_prefix)
def end():
    print("", json.dumps(_native.observed()), sep="\\n", flush=True)
"""

State = tuple[int, int, int, int]
Row = tuple[str, str, str, State | None]


def execute(root: Path, body: str, *arguments: str, **environment: str) -> str:
    source = PRELUDE + textwrap.dedent(body)
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    run = subprocess.run(
        [sys.executable, *arguments, "-c", source],
        cwd=root,
        env=variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


def recorded(root: Path, body: str, *arguments: str, **environment: str) -> list[Row]:
    """What the last `end()` of the body said."""
    found = json.loads(execute(root, body, *arguments, **environment).splitlines()[-1])
    return [(owner, kind, subject, state and tuple(state)) for owner, kind, subject, state in found]


def short(root: Path, path: str) -> str:
    return os.path.relpath(path, root) if path == str(root) or path.startswith(f"{root}/") else path


def touched(root: Path, body: str, *arguments: str, **environment: str) -> list[tuple[str, str]]:
    """The kinds and subjects of a recording that begins before the body; paths relative to the root."""
    rows = recorded(root, f"begin()\n{textwrap.dedent(body)}\nend()", *arguments, **environment)
    assert {owner for owner, *_ in rows} <= {""}
    return [(kind, short(root, subject)) for _, kind, subject, _ in rows]


def state(path: Path) -> State:
    found = path.stat()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def settle(folder: Path) -> None:
    """Wait until the file system's clock has gone on: what is there is older than what comes."""
    probe = folder.parent / "probe"
    newest = max(path.stat().st_ctime_ns for path in [folder, *folder.rglob("*")])
    probe.write_text("")
    while probe.stat().st_ctime_ns <= newest:
        probe.write_text("")
