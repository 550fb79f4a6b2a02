"""Programs that take a snapshot, act and rewind."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

#: The program of a test: `act` runs between the snapshot and the first rewind, `look` after each return of the
#: snapshot. What must outlive the rewind is written to descriptor 1.
HARNESS = """
import contextlib, ctypes, json, os, resource, signal, socket, subprocess, sys, threading, time
from pytest_hotreload import _native

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p

def tell(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def act(): pass
def look(): return None
def before(): pass
options = {{}}
{body}

before()
rewinder = _native.Rewinder(**options)
try:
    rewinds = rewinder.snapshot()
except _native.RewindRefused as refusal:
    tell(snapshot=str(refusal))
    sys.exit()
assert rewinder.statistics()["rewinds"] == rewinds
tell(look=look(), engine=rewinder.engine, pid=rewinder.snapshot_pid, **rewinder.statistics())
if rewinds == 0:
    act()
    try:
        rewinder.rewind(verify=True)
    except _native.RewindRefused as refusal:
        tell(refused=str(refusal), pid=rewinder.snapshot_pid)
os._exit(0)
"""


def start(body: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    program = HARNESS.format(body=textwrap.dedent(body))
    return subprocess.Popen(
        [*command, sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Not the checkout, which has no extension module.
        cwd="/",
    )


def run(body: str, command: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    with start(body, command) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()]


def restored(body: str, command: tuple[str, ...] = ()) -> dict[str, Any]:
    first, second = run(body, command)
    assert second["rewinds"] == 1
    assert second["mismatched_pages"] == 0
    assert second["look"] == first["look"]
    return second


def refused(body: str, command: tuple[str, ...] = ()) -> str:
    reason = run(body, command)[-1]["refused"]
    assert isinstance(reason, str)
    return reason


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)
