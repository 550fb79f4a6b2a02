"""Starting, watching and ending child processes; nothing here knows what a test is.

The end of a child is its exit (a pidfd where there is one) and a short drain of its channel, never
the end of file: a grandchild may hold the channel open for its whole life.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ._native import children_of, set_child_subreaper
from .protocol import Channel, Ended, pair
from .schedule import Group
from .slots import Slot

#: Seconds between two looks at a child where there is no pidfd (macOS).
_NO_PIDFD_TICK = 0.02


@dataclass(eq=False)
class Running:
    """A child and what the controller knows of it. ``waiting``: a question without an answer yet."""

    group: Group
    slot: Slot
    channel: Channel
    pid: int
    pidfd: int = -1
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None
    waiting: str = ""
    leased: bool = False
    status: int | None = None
    gone: bool = False
    killed_because: str = ""
    own_group: bool = True
    forked: bool = True
    cpu: tuple[float, float] = (0.0, 0.0)
    warned: float = 0.0

    @property
    def assigned(self) -> list[int]:
        return self.group.indices


class Children:
    """All living children, and the events that come from them."""

    def __init__(self) -> None:
        self.living: list[Running] = []
        self._selector = selectors.DefaultSelector()
        self._pidfds = hasattr(os, "pidfd_open")
        self._was_subreaper = set_child_subreaper(True)
        #: Descriptors that no child may keep.
        self.private = [self._selector.fileno()] if hasattr(self._selector, "fileno") else []

    def watch(self, file: Any, data: Any) -> None:
        """Report when ``file`` is readable."""
        self._selector.register(file, selectors.EVENT_READ, data)

    def unwatch(self, file: Any) -> None:
        self._selector.unregister(file)

    def fork(
        self,
        group: Group,
        slot: Slot,
        live: Callable[[Channel], Any],
        **known: Any,
    ) -> Running:
        """Fork a child that runs ``live(channel)``, which never returns.

        Raises OSError where the system refuses (EAGAIN, ENOMEM).
        """
        ours, theirs = pair()
        try:
            with warnings.catch_warnings():
                # 3.12 warns of threads; we have compared them ourselves (see threads.py).
                warnings.simplefilter("ignore")
                pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            self._close_private()
            theirs.pid = os.getpid()
            live(theirs)
            os._exit(70)  # EX_SOFTWARE: not reached
        theirs.close()
        if known.get("own_group", True):
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)  # both sides: whoever comes first
        return self.adopt(Running(group, slot, ours, pid, **known))

    def adopt(self, running: Running) -> Running:
        """Watch a child that was started elsewhere."""
        slot = running.slot
        slot.busy = True
        if self._pidfds and running.forked:
            with contextlib.suppress(OSError):
                running.pidfd = os.pidfd_open(running.pid)
                self._selector.register(running.pidfd, selectors.EVENT_READ, running)
        self._selector.register(running.channel, selectors.EVENT_READ, running)
        self.living.append(running)
        return running

    def _close_private(self) -> None:
        for descriptor in self.private:
            os.close(descriptor)
        for other in self.living:
            other.channel.close()
            if other.pidfd >= 0:
                os.close(other.pidfd)

    def events(self, timeout: float) -> Iterator[Any]:
        """What is readable within ``timeout`` seconds: :class:`Running` or what :meth:`watch` was given."""
        waits_by_hand = [r for r in self.living if r.pidfd < 0 and r.forked]
        if waits_by_hand:
            timeout = min(timeout, _NO_PIDFD_TICK)
        seen: list[Any] = []
        for key, _ in self._selector.select(timeout):
            if not any(key.data is other for other in seen):
                seen.append(key.data)
        for running in waits_by_hand:
            if self.has_exited(running) and running not in seen:
                seen.append(running)
        return iter(seen)

    def has_exited(self, running: Running) -> bool:
        """Reap the child if it has ended; its wait status is then in ``running.status``."""
        if running.status is not None:
            return True
        if not running.forked:
            return False
        try:
            pid, status = os.waitpid(running.pid, os.WNOHANG)
        except ChildProcessError:  # a test's or plugin's own waiting took it
            running.status = 0 if running.ended else -1
            return True
        if pid == 0:
            return False
        running.status = status
        return True

    def release(self, running: Running) -> list[str]:
        """Forget an ended child; end what it left behind. Returns the names of the leftovers."""
        if running.pidfd >= 0:
            self._selector.unregister(running.pidfd)
            os.close(running.pidfd)
        self._selector.unregister(running.channel)
        running.channel.close()
        self.living.remove(running)
        running.slot.busy = False
        return self._end_leftovers(running)

    def _end_leftovers(self, running: Running) -> list[str]:
        ours = {other.pid for other in self.living} | self.known_processes
        strays = [pid for pid in children_of(os.getpid()) if pid not in ours]
        adopted = [pid for pid in strays if pid not in self._before]
        members = _group_members(running.pid) if running.own_group and _group_alive(running.pid) else []
        names = [_name(pid) for pid in dict.fromkeys(members + adopted) if not _is_zombie(pid)]
        for pid in dict.fromkeys(members + adopted):
            _kill(pid, signal.SIGKILL)
        if members:
            with contextlib.suppress(OSError):
                os.killpg(running.pid, signal.SIGKILL)
        for pid in adopted:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return names

    #: Processes of ours that are no children of the run loop (the template).
    known_processes: set[int] = set()

    def remember_own(self) -> None:
        """Processes that conftests started before the first fork are not leftovers."""
        self._before = set(children_of(os.getpid()))

    _before: set[int] = set()

    def signal_all(self, number: int) -> None:
        """Send a signal to each child (not to its group)."""
        for running in self.living:
            if running.own_group:
                _kill(running.pid, number)

    def kill(self, running: Running, because: str) -> None:
        """End one child, whatever it does; ``because`` explains the death later."""
        running.killed_because = running.killed_because or because
        _kill(running.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """End every child and all its descendants, now."""
        for running in list(self.living):
            _kill(running.pid, signal.SIGKILL)
        for running in list(self.living):
            if running.forked and running.status is None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(running.pid, 0)
            running.status = running.status or 0
            self.release(running)

    def close(self) -> None:
        """Nothing of ours is left after this."""
        self.kill_all()
        self._selector.close()
        if not self._was_subreaper:
            set_child_subreaper(False)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _group_members(group: int) -> list[int]:
    members = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit() and _stat(int(entry), 4) == str(group):
            members.append(int(entry))
    return members


def _stat(pid: int, place: int) -> str:
    """A field of /proc/PID/stat, counted from 0 as proc(5) lists them; "" where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[place - 2]


def _is_zombie(pid: int) -> bool:
    return _stat(pid, 2) in ("Z", "")


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        words = ""
    return f"{words[:80] or 'process'} (pid {pid})"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds; 0.0 where it can't be read."""
    user, system = _stat(pid, 13), _stat(pid, 14)
    if not user:
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
