"""The first thing that a host's interpreter runs: greet the user's controller, then be a pytest."""

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

#: Tells machines of one name apart, and containers share it with their machine.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def inherited() -> tuple[int, int] | None:
    """(lifeline, socket) that the agent handed over; None in any other process."""
    named = os.environ.get(HOST_ENVIRONMENT, "")
    if not named:
        return None
    lifeline, end = (int(number) for number in named.split(","))
    return lifeline, end


def greeting() -> Greeting:
    """What this interpreter says of itself."""
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
    """``arguments``: ``sys.argv`` of the pytest to be."""
    found = inherited()
    assert found is not None
    end = socket.socket(fileno=os.dup(found[1]))
    end.sendall(greeting().line())
    end.close()
    sys.argv[:] = arguments
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
