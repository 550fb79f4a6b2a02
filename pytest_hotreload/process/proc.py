"""Reads /proc, as proc(5) describes it. Where there is none, or a process is gone, each function says nothing."""

from __future__ import annotations

from pytest_hotreload.world import BUILTINS, contextlib, os, threading

__builtins__ = BUILTINS


def is_there() -> bool:
    """Whether this system has it."""
    return os.path.isdir("/proc/self")


def is_process(number: int) -> bool:
    """Whether a process has this number; any number may be asked about."""
    try:
        os.stat(f"/proc/{number}")
    except (OSError, ValueError):
        return False
    return True


def stat_field(pid: int, number: int) -> str:
    """Field ``number`` (from 1) of /proc/PID/stat; "" where it is gone."""
    # Behind the name, which may hold anything.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[number - 3] if fields else ""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds; 0.0 where it can't be read."""
    user, system = stat_field(pid, 14), stat_field(pid, 15)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") if user else 0.0


def started(pid: int) -> float:
    """When a process began, in seconds since the machine did; 0.0 where it can't be read."""
    ticks = stat_field(pid, 22)
    return int(ticks) / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def command(pid: int) -> str:
    """The words of the command line; "" where there are none."""
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def group_members(group: int) -> list[int]:
    """The processes of a process group."""
    pids = [int(entry) for entry in _entries("/proc") if entry.isdigit()]
    return [pid for pid in pids if stat_field(pid, 5) == str(group)]


def is_traced(pid: int) -> bool:
    """Whether a debugger of the system holds the process."""
    status = _read(f"/proc/{pid}/status")
    return bool(status) and "TracerPid:\t0\n" not in status


def native_threads() -> int:
    """Threads of this process as the system counts them; Python's own where it does not tell."""
    return len(_entries("/proc/self/task")) or threading.active_count()


def captured(pid: int, number: int) -> str:
    """The name of an open file of a process, if it is a regular one, as pytest captures output in; else ""."""
    path = f"/proc/{pid}/fd/{number}"
    return path if os.path.isfile(path) else ""


def sockets() -> set[str]:
    """The sockets of this process, by the system's own name for them."""
    found = set()
    for entry in _entries("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{entry}"))
    return {target for target in found if target.startswith("socket:")}


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
