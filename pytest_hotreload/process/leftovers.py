"""Finds, ends and names the processes that a test left behind.

A child leads a process group, and its orphans are adopted by the fork point (child subreaper), so no process
that a test started escapes, not even a daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pytest_hotreload._native import SNAPSHOT_NAME, children_of
from pytest_hotreload.process import proc
from pytest_hotreload.world import BUILTINS, contextlib, os, signal

__builtins__ = BUILTINS


def collect(wait: Callable[[], Collection[int]], ours: Callable[[], Collection[int]]) -> dict[int, list[str]]:
    """Reap the children that have ended, and end the processes that they left behind.

    ``wait``: reaps the children that have ended by now, without waiting for others, and returns their process
    ids. ``ours``: returns the children of this process that are no leftovers. Returns the names of the
    processes, for the user, by the process id of the child that left them.

    Several children may end at the same time. An orphan is adopted in the same moment in which its parent
    becomes one to be waited for, so the parents of all orphans that are listed have been reaped when nobody
    is left to wait for. An orphan that left the process groups of these children may be the leftover of each.
    """
    ended: list[int] = []
    adopted: list[int] = []
    while more := wait():
        ended += more
        excluded = {*ours()}
        adopted = [pid for pid in children_of(os.getpid()) if pid not in excluded and not _ends_itself(pid)]
    return _end(ended, adopted) if ended else {}


def _end(ended: Sequence[int], adopted: Sequence[int]) -> dict[int, list[str]]:
    groups = {pid: _group_left_by(pid) for pid in ended}
    in_groups = {pid for members in groups.values() for pid in members}
    in_doubt = [pid for pid in adopted if pid not in in_groups]
    names = {pid: _name(pid) for pid in (*in_groups, *in_doubt) if not _zombie(pid)}
    left = {
        child: [names[pid] for pid in (*members, *in_doubt) if pid in names]
        for child, members in groups.items()
    }
    for pid in (*in_groups, *in_doubt):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for child, members in groups.items():
        if members:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
    for pid in adopted:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return left


def _group_left_by(child: int) -> list[int]:
    """Return the processes of the group that a child led."""
    return [pid for pid in proc.group_members(child) if not _ends_itself(pid)] if _alive(child) else []


def end_snapshots() -> None:
    """End and reap the snapshot processes, when all children have ended."""
    for pid in children_of(os.getpid()):
        if proc.name(pid) == SNAPSHOT_NAME:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _ends_itself(pid: int) -> bool:
    """Whether this is the snapshot process of a child, which ends with the child. Reaps it if it has ended."""
    if proc.name(pid) != SNAPSHOT_NAME:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _zombie(pid: int) -> bool:
    return proc.stat_field(pid, 3) in ("Z", "")


def _name(pid: int) -> str:
    # While a process starts another program, it has no command line for a moment.
    return f"{proc.command(pid)[:80] or proc.name(pid) or 'a process'} (pid {pid})"
