"""Finds what a piece of work left in this process that forks of the process must not inherit.

A fork copies memory. It shares open files with their positions and locks, memory maps that are shared for
writing, and connections; it lacks threads, timers and child processes.
"""

from __future__ import annotations

from pytest_hotreload._native import SNAPSHOT_NAME, children_of
from pytest_hotreload.process import proc
from pytest_hotreload.process.living import Living
from pytest_hotreload.world import BUILTINS, os, signal, sockets

__builtins__ = BUILTINS

#: Devices without a position or a state.
_STATELESS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: The beginnings of the names of shared memory that Python code makes: ``mmap(-1)``, and those of multiprocessing.
#: Libraries register themselves in other such files (OpenMP), and locks of several processes are shared as intended.
_MEMORY = ("zero", "psm_", "pym-")
#: How the system names an io_uring, which event loops of libuv have (uvloop). Its queues are shared memory.
_RING = "anon_inode:[io_uring]"
#: The timers of a process, which a fork does not have.
_TIMERS = tuple(
    getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
)


class Inheritance:
    """What this process held when the object was created.

    ``processes``: whether child processes may be new, with open files such as their logs. A server that a fixture
    starts is a child process.
    """

    def __init__(self, *, processes: bool = False) -> None:
        self._living = Living()
        self._descriptors = proc.descriptors()
        self._children = None if processes else _children()
        self._maps = proc.shared_maps()
        self._timers = timers()

    def what_is_new(self) -> str:
        """Return what forks must not inherit and was added since then, in words, or ""."""
        return self._living.what_is_new() or self._descriptor() or self._process() or self._memory()

    def _descriptor(self) -> str:
        for number, target in proc.descriptors().items():
            if self._children is None and target.startswith("/"):
                continue
            if self._descriptors.get(number) != target and target not in _STATELESS:
                return f"it holds {_kind(target)}"
        return ""

    def _process(self) -> str:
        if self._children is not None:
            for pid in _children() - self._children:
                return f"it started the process {proc.name(pid) or pid}"
        return ""

    def _memory(self) -> str:
        for name in proc.shared_maps() - self._maps:
            return f"it holds shared memory ({name})"
        return "it set a timer" if timers() - self._timers else ""


class SharedByForks:
    """The sockets and shared memory maps of this process when the object was created."""

    def __init__(self) -> None:
        self._sockets, self._maps = proc.sockets(), proc.shared_maps()

    def what_is_new(self) -> str:
        """Return what was added since then and can serve one process only, in words, or "".

        Two forks would both accept connections of a listening socket, and write to one memory.
        """
        for number, target in proc.descriptors().items():
            if target.startswith("socket:") and target not in self._sockets and _is_listening(number):
                return "a listening socket"
            if target == _RING:
                return "an event loop with an io_uring"
        if any(name.rpartition("/")[2].startswith(_MEMORY) for name in proc.shared_maps() - self._maps):
            return "shared memory"
        return ""


def _is_listening(number: int) -> bool:
    try:
        end = sockets.socket(fileno=number)
    except Exception:  # an audit hook of the project forbids sockets
        return False
    try:
        return bool(end.getsockopt(sockets.SOL_SOCKET, sockets.SO_ACCEPTCONN))
    except OSError:  # a kind of socket that does not listen
        return False
    finally:
        end.detach()


def _kind(target: str) -> str:
    if target.startswith("pipe:"):
        return "an open pipe"
    if target.startswith("anon_inode:"):
        return f"an open {target.partition(':')[2].strip('[]')}"
    return f"an open file ({os.path.basename(target)})"


def _children() -> set[int]:
    return {pid for pid in children_of(os.getpid()) if proc.name(pid) != SNAPSHOT_NAME}


def has_children() -> bool:
    """Return whether this process has a child, be it one that has ended and was not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def timers() -> set[int]:
    """Return the timers of this process that are set."""
    return {int(timer) for timer in _TIMERS if signal.getitimer(timer)[0]}
