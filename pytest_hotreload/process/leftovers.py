"""Finds, ends and names the processes that a test left behind.

A child leads a process group, and its orphans are adopted by the fork point (child subreaper), so no process
that a test started escapes, not even a daemon.
"""

from __future__ import annotations

from pytest_hotreload._native import SNAPSHOT_NAME, children_of
from pytest_hotreload.process import proc
from pytest_hotreload.world import BUILTINS, contextlib, os, signal

__builtins__ = BUILTINS


def end(group: int, ours: set[int]) -> list[str]:
    """End the rest of the process group ``group``, and adopted orphans that are not in ``ours``.

    Returns the names of the processes, for the user.
    """
    found = [pid for pid in proc.group_members(group) if not _ends_itself(pid)] if _alive(group) else []
    adopted = [pid for pid in children_of(os.getpid()) if pid not in ours and not _ends_itself(pid)]
    names = [_name(pid) for pid in dict.fromkeys(found + adopted) if not _zombie(pid)]
    for pid in dict.fromkeys(found + adopted):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if found:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for pid in adopted:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return names


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
    return f"{proc.command(pid)[:80] or 'a process'} (pid {pid})"
