"""The start of a host's interpreter: greets the user's controller, then runs pytest."""

from __future__ import annotations

import os
import platform
import runpy
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_hotreload import __version__
from pytest_hotreload.host_options import HOST_ENVIRONMENT
from pytest_hotreload.hosts.protocol import VERSION, Greeting
from pytest_hotreload.options import processors

#: Distinguishes machines with the same name. Containers share this id with their machine.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def inherited() -> tuple[int, int] | None:
    """The descriptors (lifeline, socket) that the agent handed over; None in a process that no agent started."""
    named = os.environ.get(HOST_ENVIRONMENT, "")
    if not named:
        return None
    lifeline, end = (int(number) for number in named.split(","))
    return lifeline, end


def greeting() -> Greeting:
    """The greeting of this interpreter."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return Greeting(
        version=__version__,
        protocol=VERSION,
        pytest=pytest.__version__,
        python=platform.python_version(),
        processors=processors(),
        machine=f"{platform.node()} {boot}",
    )


def main(arguments: Sequence[str]) -> None:
    """Send the greeting, then run pytest in this process. ``arguments``: pytest's ``sys.argv``."""
    found = inherited()
    assert found is not None
    end = socket.socket(fileno=os.dup(found[1]))
    end.sendall(greeting().line())
    end.close()
    sys.argv[:] = arguments
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
