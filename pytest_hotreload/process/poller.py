"""Waits until one of several descriptors can be read: `select.poll`, as the system has it.

``selectors`` looks its system calls up in the module ``select``, where gevent leaves others or none.
"""

from __future__ import annotations

from typing import Any, Protocol

from pytest_hotreload.world import BUILTINS, select

__builtins__ = BUILTINS


class HasFileno(Protocol):
    """What can be waited for."""

    def fileno(self) -> int: ...


class Poller:
    """Each source has something that stands for it."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._sources: dict[int, Any] = {}

    def register(self, source: HasFileno, stands_for: object) -> None:
        """Wait for ``source``, too."""
        descriptor = source.fileno()
        self._poll.register(descriptor, select.POLLIN)
        self._sources[descriptor] = stands_for

    def unregister(self, source: HasFileno) -> None:
        """Wait for it no more; it must be open still."""
        descriptor = source.fileno()
        self._poll.unregister(descriptor)
        del self._sources[descriptor]

    def wait(self, seconds: float) -> list[Any]:
        """What stands for those that can be read, or have ended; after ``seconds`` at the latest."""
        ready = self._poll.poll(seconds * 1000)
        return [self._sources[descriptor] for descriptor, _ in ready if descriptor in self._sources]

    def close(self) -> None:
        """Wait for nothing."""
        self._sources.clear()
