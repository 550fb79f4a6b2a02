"""Processes that a test left behind: found, ended, and named.

A child leads a process group, and its orphans come back to the fork point (child subreaper), so
nothing that a test started escapes, daemons included.
"""

from __future__ import annotations

from pytest_hotreload._native import children_of
from pytest_hotreload.world import BUILTINS, contextlib, os, signal

__builtins__ = BUILTINS


def end(group: int, ours: set[int]) -> list[str]:
    """End what is left of the process group ``group``, and adopted orphans that are not ``ours``.

    Returns their names, for the user.
    """
    found = members(group) if _alive(group) else []
    adopted = [pid for pid in children_of(os.getpid()) if pid not in ours]
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


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def members(group: int) -> list[int]:
    """The processes of a process group; none where there is no /proc."""
    entries = os.listdir("/proc") if os.path.isdir("/proc") else []
    return [int(e) for e in entries if e.isdigit() and stat_field(int(e), 5) == str(group)]


def _zombie(pid: int) -> bool:
    return stat_field(pid, 3) in ("Z", "")


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        words = ""
    return f"{words[:80] or 'a process'} (pid {pid})"


def stat_field(pid: int, number: int) -> str:
    """Field ``number`` (from 1, as proc(5) counts) of /proc/PID/stat; "" where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[number - 3]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds; 0.0 where it can't be read."""
    user, system = stat_field(pid, 14), stat_field(pid, 15)
    if not user:
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
