"""The controller's view of its children: who runs where, what they say, how they ended.

A child is forked by a fork point, which reports its exit; only then is its channel read to the end
and the child over. The end of file says nothing: a grandchild may hold the channel open for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_hotreload.process.fork_server import ForkPoint
from pytest_hotreload.process.messages import Asked, Assignment, Ended, Gone, Refused, Start, Started
from pytest_hotreload.process.poller import HasFileno, Poller
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.schedule import Group
from pytest_hotreload.world import BUILTINS, contextlib, os, signal, time

__builtins__ = BUILTINS


@dataclass(eq=False)
class RunningChild:
    """A child and what the controller knows of it.

    ``status``: its wait status once it has ended. ``waiting``: a question for the terminal that has no answer yet.
    ``because``: why we ended it, in words. ``over``: what it ran when its time was over; nothing that
    it says later counts. ``pid`` is 0 until the fork point has told it.
    ``collided``: the item in which it found an address in use, where that will run again.
    ``collided_at``: when that was noticed, in seconds of the monotonic clock.
    ``accompanied``: another child lived beside it. ``stopped``: its inputs changed; what it says does not count.
    ``signalled``: what was sent to all. ``spent``: its CPU seconds once it has ended, -1 where they are not known.
    """

    token: int
    group: Group
    slot: Slot
    point: ForkPoint
    pid: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None
    status: int | None = None
    left: tuple[str, ...] = ()
    waiting: Asked | None = None
    because: str = ""
    hung: bool = False
    collided: int | None = None
    accompanied: bool = False
    stopped: bool = False
    collided_at: float = 0.0
    over: tuple[int, str, float] | None = None
    warned: float = 0.0
    cpu: tuple[float, float] = (-1.0, 0.0)
    signalled: int = 0
    spent: float = -1.0
    #: How many of its messages arrived.
    heard: int = 0

    @property
    def assigned(self) -> list[int]:
        """The items that this child is to run, so far."""
        return self.group.indices

    def came_before(self, index: int) -> bool:
        """Whether this item is over where another one will run again: what it said counts, however late it is heard."""
        collided = self.assigned.index(self.collided) if self.collided in self.assigned else 0
        return index in self.assigned[:collided]


class Children:
    """All living children and their fork points."""

    def __init__(self) -> None:
        self.living: list[RunningChild] = []
        self.points: list[ForkPoint] = []
        #: Process id -> test file, of all children so far: one that a collision names may have ended.
        self.files: dict[int, str] = {}
        self._tokens = 0
        self._poller = Poller()

    def add_point(self, point: ForkPoint) -> ForkPoint:
        """Listen to a fork point."""
        self.points.append(point)
        self._poller.register(point.channel, point)
        return point

    def add_slot(self, slot: Slot) -> None:
        """Listen to a slot."""
        self._poller.register(slot.channel, slot)

    def add_listener(self, source: HasFileno, listen: Callable[[], None]) -> None:
        """Call ``listen`` whenever there is something to read."""
        self._poller.register(source, listen)

    def drop_point(self, point: ForkPoint) -> None:
        """A fork point that can't be used any more."""
        self._poller.unregister(point.channel)
        self.points.remove(point)
        point.kill()

    def start(self, group: Group, slot: Slot, point: ForkPoint, *, own_group: bool, failed: int) -> None:
        """Ask ``point`` for a child. Where the point is gone, its end is read next."""
        start = Start(self._next(), slot.index, tuple(group.indices), own_group, failed=failed)
        self._ask(start, group, slot, point, [])

    def start_apart(
        self,
        group: Group,
        slot: Slot,
        point: ForkPoint,
        order: Assignment,
        files: list[int],
        *,
        failed: int,
    ) -> None:
        """The same for a child that collects for itself, and gets the slot's files handed over."""
        indices = tuple(group.indices)
        start = Start(self._next(), slot.index, indices, True, order, len(files), failed)
        self._ask(start, group, slot, point, files)
        if point.kind == "spawn":
            slot.channel.send(-1, start)

    def _next(self) -> int:
        self._tokens += 1
        return self._tokens

    def _ask(self, start: Start, group: Group, slot: Slot, point: ForkPoint, files: list[int]) -> None:
        slot.reset()
        running = slot.running = RunningChild(start.token, group, slot, point)
        for other in self.living:
            other.accompanied = running.accompanied = True
        self.living.append(running)
        with contextlib.suppress(OSError):
            point.start_with(start, files)

    def events(self, timeout: float) -> Iterator[tuple[RunningChild, list[tuple[int, Any]]]]:
        """(child, its new messages) for ``timeout`` seconds at most; ``status`` is set at its end."""
        ready = self._poller.wait(timeout)
        gone: list[RunningChild] = []
        for point in ready:
            if isinstance(point, ForkPoint):
                gone += self._read_point(point)
        for listen in ready:  # behind the news of children: it may be asked for them
            if callable(listen):
                listen()
        for slot in ready:
            if isinstance(slot, Slot) and slot.running is not None and slot.running not in gone:
                yield slot.running, slot.channel.drain()[0]
        for running in gone:
            yield running, self._last_frames(running)

    def _read_point(self, point: ForkPoint) -> list[RunningChild]:
        messages, closed = point.read()
        gone = []
        for message in messages:
            running = self._by_token(message.token)
            if running is None:
                continue
            if isinstance(message, Started):
                running.pid = message.pid
                self.files[message.pid] = running.group.path
                if running.because:
                    self.kill(running, running.because)
                elif running.signalled:
                    self._signal(running, running.signalled)
            elif isinstance(message, Gone):
                running.status, running.left, running.spent = message.status, message.leftovers, message.cpu
                gone.append(running)
            elif isinstance(message, Refused):
                running.status = -message.errno
                gone.append(running)
        if closed:
            gone += self._point_died(point)
        return gone

    def _point_died(self, point: ForkPoint) -> list[RunningChild]:
        """Its children die with it."""
        self.drop_point(point)
        lost = [r for r in self.living if r.point is point and r.status is None]
        for running in lost:
            running.status = signal.SIGKILL
        return lost

    def _last_frames(self, running: RunningChild) -> list[tuple[int, Any]]:
        frames: list[tuple[int, Any]] = []
        while True:
            more, _ = running.slot.channel.drain()
            if not more:
                break
            frames += more
        self.living.remove(running)
        running.slot.running = None
        return frames

    def _by_token(self, token: int) -> RunningChild | None:
        return next((r for r in self.living if r.token == token), None)

    def signal_all(self, number: int) -> None:
        """Send a signal to each child (not to its group); to one whose pid is not known, as soon as it is."""
        for running in self.living:
            running.signalled = number
            if running.pid:
                self._signal(running, number)

    @staticmethod
    def _signal(running: RunningChild, number: int) -> None:
        with contextlib.suppress(OSError):
            os.kill(running.pid, number)

    def kill(self, running: RunningChild, because: str) -> None:
        """End one child, whatever it does; ``because`` explains the death later."""
        running.because = running.because or because
        if running.pid:
            with contextlib.suppress(OSError):
                os.kill(running.pid, signal.SIGKILL)

    def close(self) -> None:
        """End every child, what they left behind, and the fork points."""
        for running in self.living:
            self.kill(running, "the run is over")
        for point in reversed(self.points):  # slots end their sessions before the template ends them
            point.close()
        self.points.clear()
        self.living.clear()
        self._poller.close()
