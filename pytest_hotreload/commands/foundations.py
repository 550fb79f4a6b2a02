"""The foundations of a server: the folder of its project, its interpreter, and the installed distributions.

A server has no terminal on which somebody would notice that it serves nothing any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from pytest_hotreload.watch import attach_messages


class Foundations:
    """Compares what the server stands on with its state at the server's start.

    ``changed``: returns what has changed among the installed distributions, in words, or ""; None if the server
    renews its template by itself.
    """

    def __init__(self, root: Path, changed: Callable[[], str] | None) -> None:
        self._paths = {
            attach_messages.vanished(str(path)): path
            for path in (root, Path(sys.prefix), Path(sys.executable))
        }
        self._first = {why: _identity(path) for why, path in self._paths.items()}
        self._changed = changed

    def gone(self) -> str:
        """The reason, in words, for which this server must end; or ""."""
        for why, path in self._paths.items():
            if _identity(path) != self._first[why]:
                return why
        return self._changed() if self._changed is not None else ""


def _identity(path: Path) -> tuple[int, int] | None:
    """The number of a file or folder, which a new one of the same name does not have; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
