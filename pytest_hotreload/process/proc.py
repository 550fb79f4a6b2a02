"""Reads /proc, as proc(5) describes it.

Without /proc, or for a process that has ended, each function returns an empty value.
"""

from __future__ import annotations

from pytest_hotreload.world import BUILTINS, contextlib, os, threading

__builtins__ = BUILTINS

#: Device and inode.
FileIdentity = tuple[int, int]


def is_there() -> bool:
    """Return whether this system has /proc."""
    return is_process("self")


def is_process(number: int | str) -> bool:
    """Return whether a process has this id; any number is accepted."""
    try:
        os.stat(f"/proc/{number}")
    except (OSError, ValueError):
        return False
    return True


def stat_field(pid: int, number: int) -> str:
    """Return field ``number`` (from 1) of /proc/PID/stat; "" if the process has ended."""
    return next(iter(_stat_fields(pid, number)), "")


def _stat_fields(pid: int, *numbers: int) -> list[str]:
    """Return fields of one look at /proc/PID/stat; none if the process has ended, which it may do between two looks."""
    # The fields follow the name, which may contain any characters.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return [fields[number - 3] for number in numbers] if fields else []


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process so far, in seconds; 0.0 if it can't be read."""
    return sum(int(ticks) for ticks in _stat_fields(pid, 14, 15)) / os.sysconf("SC_CLK_TCK")


def started(pid: int) -> float:
    """Return when a process began, in seconds since the machine was booted; 0.0 if it can't be read."""
    ticks = stat_field(pid, 22)
    return int(ticks) / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def name(pid: int) -> str:
    """Return the name that a process has given itself; "" if the process has ended."""
    return _read(f"/proc/{pid}/comm").rstrip("\n")


def command(pid: int) -> str:
    """Return the words of the command line; "" if there are none."""
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()


def group_members(group: int) -> list[int]:
    """Return the processes of a process group."""
    pids = [int(entry) for entry in _entries("/proc") if entry.isdigit()]
    return [pid for pid in pids if stat_field(pid, 5) == str(group)]


def is_traced(pid: int) -> bool:
    """Return whether a system debugger traces the process."""
    status = _read(f"/proc/{pid}/status")
    return bool(status) and "TracerPid:\t0\n" not in status


def native_threads() -> int:
    """Return the number of this process's threads as the system counts them; without /proc, only Python's threads."""
    return len(_entries("/proc/self/task")) or threading.active_count()


def captured(pid: int, number: int) -> str:
    """Return the path of a process's open file if it is a regular one, like those of pytest's capture; else ""."""
    path = f"/proc/{pid}/fd/{number}"
    return path if os.path.isfile(path) else ""


def descriptors() -> dict[int, str]:
    """Return the open files of this process: descriptor -> path, or the system's own name of a thing without one."""
    found = {}
    for entry in _entries("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return found


def file_identity(file: int | str) -> FileIdentity | None:
    """Return the device and inode of an open descriptor or of a path; None if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def named_files() -> dict[int, tuple[str, FileIdentity]]:
    """Return the open regular files of this process that have a name: descriptor -> (path, identity)."""
    found = {}
    for number, path in descriptors().items():
        identity = file_identity(number)
        if identity is not None and identity == file_identity(path) and os.path.isfile(path):
            found[number] = (path, identity)
    return found


def sockets() -> set[str]:
    """Return the sockets of this process, by the system's own names."""
    return {target for target in descriptors().values() if target.startswith("socket:")}


def shared_maps() -> set[str]:
    """Return the names of the memory maps of this process that it shares for writing."""
    rows = (line.split(maxsplit=5) for line in _read("/proc/self/maps").splitlines())
    return {row[5] if len(row) > 5 else "without a name" for row in rows if len(row) > 1 and _writes(row[1])}


def _writes(permissions: str) -> bool:
    return "w" in permissions and permissions.endswith("s")


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
