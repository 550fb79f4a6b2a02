"""Who holds a port that another child waits for? Read from ``/proc``; where there is none, nobody is known to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from . import leftovers

#: Tables below /proc/PID/net, with the state in which a socket holds its port (None: any), as proc(5) has it.
_TABLES = {"tcp": "0A", "tcp6": "0A", "udp": None, "udp6": None}


def holder(port: int, waiting: int, others: Iterable[int]) -> int | None:
    """The first of ``others`` that holds the port, itself or by a process of its group; None if ``waiting`` has a part.

    All are process ids of children, each the leader of its group.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(waiting, port)}
    if not sockets or _has(waiting, sockets):
        return None
    return next((pid for pid in others if _has(pid, sockets)), None)


def _listening(pid: int, port: int) -> Iterator[str]:
    """Inodes of the sockets that hold the port in the network of this process."""
    for table, wanted in _TABLES.items():
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, *rest = row.split()
            if int(local.rpartition(":")[2], 16) == port and wanted in (None, state):
                yield rest[5]


def _has(group: int, sockets: set[str]) -> bool:
    """The leader first: as a rule it is the one."""
    return any(not sockets.isdisjoint(_open(pid)) for pid in _processes(group))


def _processes(group: int) -> Iterator[int]:
    yield group
    yield from leftovers.members(group)


def _open(pid: int) -> Iterator[str]:
    try:
        for name in Path(f"/proc/{pid}/fd").iterdir():
            yield str(name.readlink())
    except OSError:  # it ended, or closed one meanwhile
        return
