"""Waits until one of several descriptors can be read, by the system's own `select.poll`.

``selectors`` looks its system calls up in the module ``select``, where gevent replaces or removes them.
"""

from __future__ import annotations

from typing import Any, Protocol

from pytest_hotreload.world import BUILTINS, select

__builtins__ = BUILTINS


class HasFileno(Protocol):
    """An object with a descriptor that can be polled."""

    def fileno(self) -> int: ...


class Poller:
    """A set of sources to wait for, each with an object that represents it."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._sources: dict[int, Any] = {}

    def register(self, source: HasFileno, stands_for: object) -> None:
        """Add a source to the set."""
        descriptor = source.fileno()
        self._poll.register(descriptor, select.POLLIN)
        self._sources[descriptor] = stands_for

    def unregister(self, source: HasFileno) -> None:
        """Remove a source from the set; the source must still be open."""
        descriptor = source.fileno()
        self._poll.unregister(descriptor)
        del self._sources[descriptor]

    def wait(self, seconds: float) -> list[Any]:
        """Return the objects of the sources that can be read or have ended, after ``seconds`` at the latest."""
        ready = self._poll.poll(seconds * 1000)
        return [self._sources[descriptor] for descriptor, _ in ready if descriptor in self._sources]

    def close(self) -> None:
        """Remove all sources."""
        self._sources.clear()
