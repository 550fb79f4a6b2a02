"""Finds threads and sockets that a piece of work left in this process, which do not survive a fork."""

from __future__ import annotations

from pytest_hotreload.process.proc import native_threads, sockets
from pytest_hotreload.wording import many
from pytest_hotreload.world import BUILTINS, threading, time

__builtins__ = BUILTINS

#: The system lists a thread for a moment after ``join`` has returned (seen in one of three imports on busy
#: cores). It is looked for again so many times, every so many seconds.
_STEPS, _STEP = 10, 0.001


class NativeThreads:
    """The number of native threads of this process when the object was created."""

    def __init__(self) -> None:
        self._before = native_threads()

    def started(self) -> int:
        """Return how many more threads there are now; a negative number if there are fewer."""
        more = native_threads() - self._before
        patience = _STEPS
        while more > 0 and patience:
            patience -= 1
            time.sleep(_STEP)
            more = native_threads() - self._before
        return more


class Living:
    """Threads and sockets, which do not survive a fork, as they were when the object was created."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.native = NativeThreads()
        self.sockets = sockets()

    def what_is_new(self) -> str:
        """Return what was added since then, in words, or ""."""
        started = [thread.name for thread in threading.enumerate() if thread not in self.threads]
        if started:
            return f"it started the thread {started[0]}"
        native = self.native.started()
        if native > 0:
            return f"it started {native} native threads"
        opened = sockets() - self.sockets
        if opened:
            return f"it holds {many(len(opened), 'open socket')}"
        return ""
