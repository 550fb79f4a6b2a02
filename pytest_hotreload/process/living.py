"""Finds threads and sockets that a piece of work left in this process, which do not survive a fork."""

from __future__ import annotations

from pytest_hotreload.process.proc import native_threads, sockets
from pytest_hotreload.wording import many
from pytest_hotreload.world import BUILTINS, threading

__builtins__ = BUILTINS


class Living:
    """Threads and sockets, which do not survive a fork, as they were when the object was created."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.native = native_threads()
        self.sockets = sockets()

    def what_is_new(self) -> str:
        """Return what was added since then, in words, or ""."""
        started = [thread.name for thread in threading.enumerate() if thread not in self.threads]
        if started:
            return f"it started the thread {started[0]}"
        if native_threads() > self.native:
            return f"it started {native_threads() - self.native} native threads"
        opened = sockets() - self.sockets
        if opened:
            return f"it holds {many(len(opened), 'open socket')}"
        return ""
