"""Fresh interpreters instead of forks: the last resort, and ``--hotreload-start=spawn``.

The same pytest command is started again for each file, in this directory, with this environment and
``sys.path``; which file, and where its reports go, it learns from inherited descriptors.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from . import leftovers
from ._native import children_of, set_child_subreaper
from .channel import pair
from .forkpoint import ForkPoint
from .protocol import ENVIRONMENT, Gone, Refused, Start, Started
from .world import contextlib, low_threads, os, own_copy, signal, time

#: As `python -m pytest` would: suites look at `__main__.__file__`. sys.path is the controller's own.
_BOOT = (
    "import runpy, sys; sys.path[:] = {path!r}; sys.argv[:] = {argv!r}; "
    "runpy.run_module('pytest', run_name='__main__', alter_sys=True)"
)


class Spawner(ForkPoint):
    """Stands where a fork point stands; a thread waits for each interpreter.

    Threads are harmless here: nothing is forked from this process while it spawns.
    """

    def __init__(self, config: pytest.Config, path: Sequence[str], lifeline: int) -> None:
        ours, self._reports = pair()
        super().__init__(-1, ours)
        self._config, self._path, self._lifeline = config, list(path), lifeline
        self._lock = low_threads.allocate_lock()
        self._processes: dict[int, int] = {}
        self._subprocess = own_copy("subprocess")
        set_child_subreaper(True)
        #: The template, a fork point, what a conftest started: no leftovers of a child of ours.
        self._before = set(children_of(os.getpid()))

    def start_with(self, start: Start, descriptors: Sequence[int] = ()) -> None:
        """Start an interpreter for ``start.assignment``, whose files these are."""
        passed = [self._lifeline, *descriptors]
        environment = {**os.environ, ENVIRONMENT: ",".join(map(str, passed))}
        arguments = [str(argument) for argument in self._config.invocation_params.args]
        code = _BOOT.format(path=self._path, argv=[sys.argv[0], *arguments])
        subprocess = self._subprocess
        flags = subprocess._args_from_interpreter_flags()
        try:
            with self._lock:  # a sibling that ends now must not take it for a leftover
                process = subprocess.Popen(
                    [sys.executable, *flags, "-c", code],
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
        status = _wait_status(pid)
        with self._lock:
            self._processes.pop(token, None)
            left = leftovers.end(pid, {*self._processes.values()} | self._before)
        self._report(Gone(token, status, tuple(left)))

    def _report(self, message: object) -> None:
        with contextlib.suppress(OSError):  # the run is over
            self._reports.send(-1, message)

    def close(self) -> None:
        for pid in list(self._processes.values()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        while self._processes:  # its thread has seen the end
            time.sleep(0.001)
        self.channel.close()
        self._reports.close()

    kill = close


def _wait_status(pid: int) -> int:
    """How it ended. Where somebody else was told (gevent's loop, an ignored SIGCHLD), its messages alone count."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0
