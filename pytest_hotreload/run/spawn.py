"""Fresh interpreters instead of forks: the last resort, and ``--hotreload-start=spawn``.

The same pytest command is started again for each file, in the same directory, with the same environment and
``sys.path``. Inherited descriptors tell the interpreter which file to run and where its reports go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest

from pytest_hotreload._native import children_of, set_child_subreaper
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import leftovers
from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.fork_messages import Gone, Refused, Start, Started
from pytest_hotreload.process.fork_server import ForkPoint
from pytest_hotreload.process.messages import ENVIRONMENT
from pytest_hotreload.world import (
    BUILTINS,
    EXECUTABLE,
    contextlib,
    low_threads,
    os,
    pickle,
    program_arguments,
    signal,
    subprocess,
    tempfile,
    time,
)

__builtins__ = BUILTINS

#: Starts pytest as `python -m pytest` does: suites read `__main__.__file__`. sys.path is the controller's
#: own.
_BOOT = (
    "import runpy, sys; sys.path[:] = {path!r}; sys.argv[:] = {argv!r}; "
    "runpy.run_module('pytest', run_name='__main__', alter_sys=True)"
)

#: Between two looks at a process where ``waitid`` is missing (macOS with Python < 3.13).
_NO_WAITID_SECONDS = 0.02


class SpawnOrigin(NamedTuple):
    """How a self-collecting process was started: enough to start a fresh interpreter in the same way."""

    start: Start
    descriptors: Sequence[int]
    lifeline: int
    path: Sequence[str]
    environment: Mapping[str, str]


def start_over(config: pytest.Config, beginning: SpawnOrigin, why: str) -> None:
    """Replace this process by a fresh interpreter with the same order. ``why`` is shown to the user."""
    start, descriptors, lifeline, path, environment = beginning
    order = os.memfd_create("order") if hasattr(os, "memfd_create") else _unnamed()
    os.write(order, pickle.dumps((start, why)))
    os.lseek(order, 0, os.SEEK_SET)
    for descriptor in (order, lifeline, *descriptors):
        os.set_inheritable(descriptor, True)
    named = ",".join(map(str, (lifeline, *descriptors)))
    arguments = [str(argument) for argument in config.invocation_params.args]
    code = _BOOT.format(path=list(path), argv=[program_arguments()[0], *arguments])
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    os.chdir(config.invocation_params.dir)
    os.execve(
        EXECUTABLE,
        [EXECUTABLE, *flags, "-c", code],
        {**environment, ENVIRONMENT: f"{named};{order}"},
    )


def _unnamed() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def read_order(descriptor: int) -> tuple[Start, str]:
    """Read, in the fresh interpreter, the order that :func:`start_over` left."""
    with os.fdopen(descriptor, "rb") as file:
        start, why = pickle.loads(file.read())
    return start, str(why)


class SpawnLauncher(ForkPoint):
    """Starts interpreters in place of a fork point; a thread waits for each interpreter.

    Threads are harmless here, because this process forks nothing while it spawns.
    """

    kind = "spawn"

    def __init__(self, config: pytest.Config, path: Sequence[str], lifeline: int) -> None:
        ours, self._reports = pair()
        super().__init__(-1, ours)
        self._config, self._path, self._lifeline = config, list(path), lifeline
        self._lock = low_threads.allocate_lock()
        self._processes: dict[int, int] = {}
        set_child_subreaper(True)
        #: The template, a fork point and processes of conftests: none of these is a child's leftover.
        self._before = set(children_of(os.getpid()))

    def start_with(self, start: Start, descriptors: Sequence[int] = ()) -> None:
        """Start an interpreter for ``start.assignment``, and pass these files to the interpreter."""
        passed = [self._lifeline, *descriptors]
        with ORIGINAL_NAMES:  # a test file may have replaced what decodes variables
            environment = {**os.environ, ENVIRONMENT: ",".join(map(str, passed))}
        arguments = [str(argument) for argument in self._config.invocation_params.args]
        code = _BOOT.format(path=self._path, argv=[program_arguments()[0], *arguments])
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        try:
            with self._lock:  # a sibling that ends now must not take the process for a leftover
                process = subprocess.Popen(
                    [EXECUTABLE, *flags, "-c", code],
                    cwd=self._config.invocation_params.dir,
                    env=environment,
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                )
                process.returncode = 0  # so that nobody but our thread waits for it
                pid = self._processes[start.token] = int(process.pid)
        except OSError as error:
            self._report(Refused(start.token, error.errno or 0))
            return
        self._report(Started(start.token, pid))
        low_threads.start_new_thread(self._wait_for, (start.token, pid))

    def _wait_for(self, token: int, pid: int) -> None:
        while token in self._processes:  # else the thread of one that ended at the same time has reaped it
            _wait_until_ended(pid)
            self._reap()

    def _reap(self) -> None:
        gone: dict[int, Gone] = {}
        with self._lock:
            left = leftovers.collect(
                lambda: self._wait_for_ended(gone), lambda: {*self._processes.values()} | self._before
            )
        for pid, message in gone.items():
            self._report(message._replace(leftovers=tuple(left[pid])))

    def _wait_for_ended(self, gone: dict[int, Gone]) -> list[int]:
        """Reap the processes that have ended by now, and add them to ``gone``."""
        found = []
        for token, pid in list(self._processes.items()):
            status = _wait_status(pid)
            if status is not None:
                found.append(pid)
                gone[pid] = Gone(token, status, ())
                del self._processes[token]
        return found

    def _report(self, message: object) -> None:
        with contextlib.suppress(OSError):  # the run is over
            self._reports.send(-1, message)

    def close(self) -> None:
        for pid in list(self._processes.values()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        while self._processes:  # the waiting thread removes each process at its end
            time.sleep(0.001)
        self.channel.close()
        self._reports.close()

    kill = close


def _wait_until_ended(pid: int) -> None:
    """Wait until the process has ended, and leave it to be reaped; without ``waitid`` (macOS), wait a moment."""
    if not hasattr(os, "waitid"):
        time.sleep(_NO_WAITID_SECONDS)
        return
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _wait_status(pid: int) -> int | None:
    """Return how the process ended; None while it runs.

    If another party collected the status (gevent's loop, an ignored SIGCHLD), return 0: only the messages
    count.
    """
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if ended else None
