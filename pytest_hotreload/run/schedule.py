"""Decides which group runs next.

A group holds the items that one child runs: the items of a file, or a single item. Groups start in pytest's
order, or longest first if durations are recorded, so that the last child ends early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_hotreload.world import BUILTINS, replaced

__builtins__ = BUILTINS


@dataclass(eq=False)
class Group:
    """The items that one child runs."""

    path: str
    #: Positions in ``session.items``, in the order in which they run.
    indices: list[int]
    #: The reason for which the child is self-collecting, or "".
    alone: str = ""
    tries: int = 0
    duration: float = field(default=0.0)
    #: Ports, paths and declared names that no other living child may use at the same time.
    keys: frozenset[str] = frozenset()
    #: No other child may be alive while this group's child runs.
    exclusive: bool = False
    #: The indices whose outcomes stand already; they run again for the state that they leave behind.
    repeated: frozenset[int] = frozenset()
    #: Groups of a later phase start when all of the earlier ones have started (run/phases.py).
    phase: int = 0

    @property
    def needs_own_child(self) -> bool:
        """Whether no child may run this group after another one."""
        return bool(self.alone or self.tries or self.exclusive or self.repeated)

    def gets_along(self, others: Iterable[Group]) -> bool:
        """Whether this group may run at the same time as the other groups."""
        return not any(self.exclusive or other.exclusive or self.keys & other.keys for other in others)

    def rest(self, indices: list[int], **changes: Any) -> Group:
        """Return a group of the same file for some of its items."""
        return replaced(self, indices=indices, **changes)


def make_groups(items: Sequence[pytest.Item], isolate: str, late: Collection[int] = ()) -> list[Group]:
    """Make one group per file (by path, never by node id), or one group per item.

    The items with the indices ``late`` of a file are a group of a later phase.
    """
    if isolate == "test":
        return [Group(_path(item), [index], phase=index in late) for index, item in enumerate(items)]
    groups: dict[tuple[str, int], Group] = {}
    for index, item in enumerate(items):
        path, phase = _path(item), int(index in late)
        group = groups.setdefault((path, phase), Group(path, [], phase=phase))
        group.indices.append(index)
    return list(groups.values())


def _path(item: pytest.Item) -> str:
    return str(item.path)


class Schedule:
    """A queue of groups.

    ``durations`` holds the recorded seconds of each file, by path. ``closed`` is set by Ctrl-C.
    """

    def __init__(self, groups: Iterable[Group], durations: Mapping[str, float], slots: int) -> None:
        ordered = list(groups)
        if slots > 1 and durations:
            # Unknown files come first: they may be the longest. The sort is stable, so pytest's order breaks
            # ties.
            ordered.sort(key=lambda g: -durations.get(g.path, float("inf")))
        ordered.sort(key=lambda g: g.phase)
        #: Hardly any run has phases, and each start would look through the whole queue for the earliest.
        self._has_phases = any(group.phase for group in ordered)
        self._queue = deque(ordered)
        self._alone = ""
        self.closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def next(self, running: Sequence[Group] = ()) -> Group | None:
        """Take the next group that may run beside those that run; None if there is no such group."""
        return self._take(self._first(running))

    def following(self, group: Group, running: Sequence[Group]) -> Group | None:
        """Take the next group for the child that has run ``group``; None if the next one needs its own child."""
        found = self._first(running)
        if found is None or self._alone or group.needs_own_child or found.needs_own_child:
            return None
        return self._take(found)

    def _first(self, running: Sequence[Group]) -> Group | None:
        phase = min((each.phase for each in self._queue), default=0) if self._has_phases else 0
        waiting = (each for each in self._queue if each.phase == phase and each.gets_along(running))
        return next(waiting, None)

    def _take(self, group: Group | None) -> Group | None:
        if group is None:
            return None
        self._queue.remove(group)
        group.alone = group.alone or self._alone
        return group

    def again(self, *groups: Group) -> None:
        """Put these groups first, in this order: the rest of the files whose child died."""
        self._queue.extendleft(reversed(groups))

    def all_alone(self, why: str) -> bool:
        """Make every group that has not started self-collecting. Returns whether any was not."""
        changed = [group for group in self._queue if not group.alone]
        for group in changed:
            group.alone = why
        self._alone = why
        return bool(changed)

    def drop(self, paths: Collection[str]) -> list[Group]:
        """Take these files out of the queue. Returns their groups."""
        dropped = [group for group in self._queue if group.path in paths]
        self._queue = deque(group for group in self._queue if group.path not in paths)
        return dropped

    def clear(self) -> None:
        """Start nothing more."""
        self._queue.clear()

    def close(self) -> None:
        """Start nothing more and nothing again, after a Ctrl-C."""
        self.clear()
        self.closed = True
