"""A process that has imported pytest, and nothing of the project under test. It forks for each requested run.

``warm.py`` starts it with the numbers of its socket and of standard error, and with "plugin" if it is to import all of
hotreload. A request is one message with four descriptors: standard input, output and error, and a pipe on which the
process id is reported, and at the end the wait status.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import _pytest.config

from pytest_hotreload.original_names import ORIGINAL_NAMES

#: What a run of pytest 8.4 or 9.2 imports from the standard library, in addition to its plugins.
_LATE = (
    "_pytest._argcomplete",
    "configparser",
    "email.parser",
    "faulthandler",
    "importlib.metadata",
    "pdb",
    "pkgutil",
    "readline",
    "termios",
    "tomllib",
    "xml.etree.ElementTree",
)
#: The packages whose modules a run with ``--hotreload`` imports.
_OURS = ("compat", "process", "imports", "records", "run")
_MESSAGE = 1 << 20
#: C's ``_IONBF``, on Linux and macOS.
_UNBUFFERED = 2
#: The variable whose value a fork writes into the memory that ``/proc/PID/environ`` shows.
_TOKEN = "HOTRELOAD_ACCEPTANCE_TOKEN"


def main() -> int:
    """Serve. Returns the exit status of the module in a fork, and 0 in the server when its user is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(int(sys.argv[2]), 2)  # the pipe at the start was for the stream that belongs to this descriptor
    os.close(int(sys.argv[2]))
    _import_all(with_plugin=sys.argv[3] == "plugin")
    base = sys.path[1:]  # the first entry is this file's folder
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, *_ = socket.recv_fds(control, _MESSAGE, 4)
        if not data:
            return 0
        request = json.loads(data)
        # Between the server and the run stands a process that waits for the run.
        if os.fork() == 0 and _watch(descriptors[3]):
            control.close()
            _become(request, descriptors, base)
            _run(request["words"][0])
            return 0
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _import_all(*, with_plugin: bool) -> None:
    for name in [*(f"_pytest.{plugin}" for plugin in _pytest.config.default_plugins), *_LATE]:
        try:
            importlib.import_module(name)
        except ImportError:  # tomllib came with 3.11
            continue
    importlib.import_module(
        "pytest_hotreload.plugin"
    )  # plain runs load the plugin, too, which is inert there
    if with_plugin:
        _stay_frozen()
        for package in _OURS:
            parent = importlib.import_module(f"pytest_hotreload.{package}")
            for module in pkgutil.walk_packages(parent.__path__, f"{parent.__name__}."):
                importlib.import_module(module.name)
        # A run does this before it loads anything of the project; in a fork it copies memory (10 ms).
        ORIGINAL_NAMES.remember()
    # Fills its table of all modules' files, which each run that shows a failure would make again (20 ms).
    inspect.getmodule(main.__code__)


def _stay_frozen() -> None:
    """Leave the server's objects frozen in a run, as in a rerun: a collection would copy the memory of all of them."""
    from pytest_hotreload.run.child import reset

    unfreeze = reset.unfreeze_gc

    def unfreeze_gc(*, inherited: bool) -> None:
        unfreeze(inherited=True)

    reset.unfreeze_gc = unfreeze_gc


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _watch(told: int) -> bool:
    """Fork the run, and report its end. Returns True in the run, and never in the process that waits for it."""
    pid = os.fork()
    if pid == 0:
        return True
    os.closerange(0, told)
    os.closerange(told + 1, 256)
    os.write(told, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(told, f"{status}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], descriptors: list[int], base: list[str]) -> None:
    """Turn the fork into what a new ``python -m MODULE`` in this directory and environment would be."""
    os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 256)
    os.chdir(request["cwd"])
    _show_token(request["environ"].get(_TOKEN, ""))
    os.environ.clear()
    os.environ.update(request["environ"])
    _begin_with(dict(os.environ))
    time.tzset()
    unbuffered = request["unbuffered"] or bool(os.environ.get("PYTHONUNBUFFERED"))
    _reconfigure(sys.stdout, line_buffering=os.isatty(1), write_through=unbuffered)
    _reconfigure(sys.stderr, line_buffering=True, write_through=unbuffered)
    if unbuffered:  # the interpreter's option -u also does this to C's standard output
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _UNBUFFERED, 0)
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = dict.fromkeys(
        [str(Path.cwd()), *(str(Path(folder).absolute()) for folder in named if folder), *base]
    )
    module, *arguments = request["words"]
    sys.argv[:] = [sys.argv[0], *arguments]
    sys.orig_argv[:] = [sys.executable, "-m", module, *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _begin_with(environ: dict[str, str]) -> None:
    """Have a watch take these variables for those of the start, since the system still shows the server's."""
    from pytest_hotreload.watch import beginning

    beginning.environment = lambda: dict(environ)


def _run(module: str) -> None:
    """Run the module, and end without destroying the server's objects, of which the fork would first copy the memory.

    All other steps of an interpreter's end are taken: threads are joined, exit functions called and streams flushed,
    and the C library ends the process. The interpreter itself ends a fork of the run, and a run with an unusual end.
    """
    pid = os.getpid()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if os.getpid() != pid or not isinstance(end.code, int | None):
            raise
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:
            raise end from None
        ctypes.PyDLL(None).exit((end.code or 0) & 0xFF)


def _reconfigure(stream: Any, **how: bool) -> None:
    """Adapt a stream to its new descriptor. The object stays, because hotreload keeps references to it."""
    stream.reconfigure(**how)


def _show_token(token: str) -> None:
    """Write the token over the server's in the memory that ``/proc/PID/environ`` shows."""
    if not token or not Path("/proc/self/stat").exists():
        return
    shown = Path("/proc/self/environ").read_bytes()
    at = shown.index(f"{_TOKEN}=".encode()) + len(_TOKEN) + 1
    # The fields after the command's name begin with the third; the fiftieth is the address of the environment.
    begin = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[50 - 3])
    ctypes.memmove(begin + at, token.encode() + b"\0", len(token) + 1)


if __name__ == "__main__":
    sys.exit(main())
