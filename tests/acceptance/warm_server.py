"""An interpreter that has imported pytest, and of the project nothing; it forks for each run that it is asked for.

Started by ``warm.py`` with the number of its socket. A request is one message with four descriptors:
standard input, output and error, and where to tell the process id, and at its end the wait status.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import _pytest.config

#: What a run of pytest 8.4 or 9.2 imports besides its plugins, from the standard library.
_LATE = (
    "_pytest._argcomplete",
    "configparser",
    "faulthandler",
    "importlib.metadata",
    "pkgutil",
    "readline",
    "termios",
    "tomllib",
    "xml.etree.ElementTree",
)
_MESSAGE = 1 << 20


def main() -> int:
    """Serve; returns pytest's exit status in a fork, and 0 in the server when its user is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in [f"_pytest.{plugin}" for plugin in _pytest.config.default_plugins]:
        importlib.import_module(name)
    for name in _LATE:
        try:
            importlib.import_module(name)
        except ImportError:  # tomllib came with 3.11
            continue
    base = sys.path[1:]  # the first is this file's folder
    while True:
        data, descriptors, *_ = socket.recv_fds(control, _MESSAGE, 4)
        if not data:
            return 0
        request = json.loads(data)
        # Between us and the run stands a process that waits for it.
        if os.fork() == 0 and _watch(descriptors[3]):
            control.close()
            return _become(request, descriptors, base)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _watch(told: int) -> bool:
    """Fork the run, and tell of it. Returns True in the run, and never in the process that waits."""
    pid = os.fork()
    if pid == 0:
        return True
    os.closerange(3, told)
    os.closerange(told + 1, 256)
    os.write(told, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(told, f"{status}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], descriptors: list[int], base: list[str]) -> int:
    """What a fresh ``python -m pytest`` of this directory and environment would be."""
    os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 256)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = dict.fromkeys(
        [str(Path.cwd()), *(str(Path(folder).absolute()) for folder in named if folder), *base]
    )
    sys.argv[:] = [sys.argv[0], *request["arguments"]]
    sys.orig_argv[:] = [sys.executable, "-m", "pytest", *request["arguments"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
