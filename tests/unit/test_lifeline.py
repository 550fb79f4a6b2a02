"""A process with a lifeline ends with its parent, by the kernel's signal and by the pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: The parent forks a child that is tied to it, tells when it is, and ends. The child has the output open until then.
SCRIPT = """
import os, time
from pytest_hotreload.process.lifeline import end_with

lifeline, held = os.pipe()
tied, says = os.pipe()
if not os.fork():
    os.close(held)
    end_with(lifeline)
    os.write(says, b".")
    time.sleep(600)
os.read(tied, 1)
os._exit(0)
"""


@pytest.mark.parametrize("environ", [{}, {"PYTEST_HOTRELOAD_NO_DEATH_SIGNAL": "1"}], ids=["signal", "pipe"])
def test_a_child_ends_with_its_parent(tmp_path: Path, environ: dict[str, str]) -> None:
    """Its output ends with it, which is waited for."""
    command = [sys.executable, "-c", SCRIPT]
    environ = {**os.environ, **environ}
    ran = subprocess.run(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, timeout=60, check=True)
    assert ran.stdout == b""
