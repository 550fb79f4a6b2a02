"""Which group runs next.

A group is what one child runs: the items of a file, or a single item. Groups start in pytest's
order, or longest first where durations are recorded, so that the last child ends early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


@dataclass(eq=False)
class Group:
    """``indices``: places in ``session.items``, in the order in which they run.

    ``alone``: why its child collects for itself, apart from the controller, or "". ``keys``: what it may
    not use while another living child does (ports, paths, declared names). ``exclusive``: nor may anybody live.
    ``repeated``: of the indices, those whose outcome stands already. They run again for what they leave behind.
    """

    path: str
    indices: list[int]
    alone: str = ""
    tries: int = 0
    duration: float = field(default=0.0)
    keys: frozenset[str] = frozenset()
    exclusive: bool = False
    repeated: frozenset[int] = frozenset()

    def gets_along(self, others: Iterable[Group]) -> bool:
        """Whether it may run beside these."""
        return not any(self.exclusive or other.exclusive or self.keys & other.keys for other in others)

    def rest(self, indices: list[int], **changes: Any) -> Group:
        """A group of the same file for some of its items."""
        return replace(self, indices=indices, **changes)


def make_groups(items: Sequence[pytest.Item], isolate: str) -> list[Group]:
    """One group for each file, by path and never by node id; or for each item."""
    if isolate == "test":
        return [Group(_path(item), [index]) for index, item in enumerate(items)]
    groups: dict[str, Group] = {}
    for index, item in enumerate(items):
        path = _path(item)
        if path not in groups:
            groups[path] = Group(path, [])
        groups[path].indices.append(index)
    return list(groups.values())


def _path(item: pytest.Item) -> str:
    return str(item.path)


class Schedule:
    """A queue of groups. ``durations``: recorded seconds of each file, by path. ``closed``: by a Ctrl-C."""

    def __init__(self, groups: Iterable[Group], durations: Mapping[str, float], slots: int) -> None:
        ordered = list(groups)
        if slots > 1 and durations:
            # Unknown files first: they may be the longest. The sort is stable, pytest's order decides.
            ordered.sort(key=lambda g: -durations.get(g.path, float("inf")))
        self._queue = deque(ordered)
        self._alone = ""
        self.closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def next(self, running: Sequence[Group] = ()) -> Group | None:
        """The group to start now, beside those that run; None where there is none, or none gets along."""
        group = next((each for each in self._queue if each.gets_along(running)), None)
        if group is not None:
            self._queue.remove(group)
            group.alone = group.alone or self._alone
        return group

    def again(self, group: Group) -> None:
        """Run this before anything else: the rest of a file whose child died."""
        self._queue.appendleft(group)

    def all_alone(self, why: str) -> None:
        """Every group that has not started shall collect for itself."""
        for group in self._queue:
            group.alone = group.alone or why
        self._alone = why

    def drop(self, paths: Collection[str]) -> list[Group]:
        """Take these files out; returns their groups."""
        dropped = [group for group in self._queue if group.path in paths]
        self._queue = deque(group for group in self._queue if group.path not in paths)
        return dropped

    def clear(self) -> None:
        """Start nothing more."""
        self._queue.clear()

    def close(self) -> None:
        """Ctrl-C: start nothing more, and nothing again."""
        self.clear()
        self.closed = True
