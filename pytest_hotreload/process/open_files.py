"""Gives each fork open files of its own, where it would share an offset or wake-ups with its siblings.

The process that forks notes what can be had anew (:func:`note`), and each fork replaces it (:func:`renew`): see
docs/design/reset.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pytest_hotreload._native import OpenDescriptions
from pytest_hotreload.process.proc import FileIdentity, descriptors, file_identity
from pytest_hotreload.world import BUILTINS, threading

__builtins__ = BUILTINS


class _OpenFiles:
    """What is known of this process's open files."""

    def __init__(self) -> None:
        #: Descriptors that stay as they are, each with its file: a number may be used again.
        self.kept: dict[int, FileIdentity | None] = {}
        self.noted: OpenDescriptions | None = None


_open_files = _OpenFiles()


def keep(descriptors: Iterable[int]) -> None:
    """Let forks share these files: our own pipes, and the standard input that a capture put aside."""
    _open_files.kept.update((number, file_identity(number)) for number in descriptors)


def keep_with_threads() -> None:
    """Let forks share pipes, sockets and eventfds if a thread of this process may use them, which forks do not have.

    To be called before a fork that notes what its own forks replace: a thread is not seen from there.
    """
    if threading.active_count() > 1:
        keep(number for number, target in descriptors().items() if not target.startswith("/"))


def note(ours: Collection[int] = ()) -> None:
    """Note, in a process that will fork, what its forks replace. ``ours``: its forks that live already."""
    keep_with_threads()
    kept = [number for number, file in _open_files.kept.items() if file_identity(number) == file]
    _open_files.noted = OpenDescriptions(kept, [*ours])


def renew() -> None:
    """Replace, in a fork, what was noted, in the state in which it was then.

    A rewound process must do so again, because it has the files of its snapshot again.
    """
    if _open_files.noted is not None:
        _open_files.noted.renew()
