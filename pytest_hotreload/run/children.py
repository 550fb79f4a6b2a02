"""The controller's view of its children: where they run, which messages they send, and how they ended.

A child is forked by a fork point, which reports the child's exit. Only then is the child's channel read to
the end, and the child is over. End of file on the channel proves nothing, because a grandchild may hold the
channel open forever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_hotreload.process.fork_messages import Assignment, Gone, Refused, Start, Started
from pytest_hotreload.process.fork_server import ForkPoint
from pytest_hotreload.process.messages import Asked, Ended, Rewound
from pytest_hotreload.process.poller import HasFileno, Poller
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.schedule import Group
from pytest_hotreload.world import BUILTINS, contextlib, os, signal, time

__builtins__ = BUILTINS


@dataclass(eq=False)
class RunningChild:
    """A child, and what the controller knows about this child."""

    token: int
    group: Group
    slot: Slot
    point: ForkPoint
    #: 0 until the fork point has reported the process id.
    pid: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None
    #: The wait status once the child has ended.
    status: int | None = None
    left: tuple[str, ...] = ()
    #: A question for the terminal that has no answer yet.
    waiting: Asked | None = None
    #: The reason for which the controller ended the child, in words.
    because: str = ""
    hung: bool = False
    #: The item in which the child found an address in use, if that item will run again.
    collided: int | None = None
    #: Another child was alive at the same time.
    accompanied: bool = False
    #: The child's inputs changed; later messages from this child are ignored.
    stopped: bool = False
    #: When the collision was noticed, in seconds of the monotonic clock.
    collided_at: float = 0.0
    #: The progress (item, phase, start) at which the child exceeded its timeout; later messages are ignored.
    over: tuple[int, str, float] | None = None
    warned: float = 0.0
    cpu: tuple[float, float] = (-1.0, 0.0)
    #: The last signal that was sent to all children.
    signalled: int = 0
    #: The CPU seconds of the child once it has ended; -1 if they are not known.
    spent: float = -1.0
    #: The number of the child's messages that arrived.
    heard: int = 0
    #: The CPU seconds that this process had used before it was given this group.
    spent_before: float = 0.0
    #: The generation of the fork point's modules that this process has.
    generation: int = 0
    #: A test needs a fixture that another process holds; later messages are ignored, and the rest runs from there.
    rerouted: bool = False
    #: Set when the child's memory was restored after this group.
    rewound: Rewound | None = None
    #: The groups that it received after its first one, which a child does only with ``--hotreload-isolate=worker``.
    following: list[Group] = field(default_factory=list)

    @property
    def groups(self) -> list[Group]:
        """The groups that this child has received so far."""
        return [self.group, *self.following]

    @property
    def assigned(self) -> list[int]:
        """The indices of the items that this child has received so far."""
        if not self.following:
            return self.group.indices
        return [index for group in self.groups for index in group.indices]

    def group_of(self, index: int) -> Group:
        """Return the group with this item, or the first one."""
        return next((group for group in self.following if index in group.indices), self.group)

    def rest(self, indices: Collection[int], **changes: Any) -> list[Group]:
        """Return a group of each file for these items, with the changes."""
        parts = [(group, [index for index in group.indices if index in indices]) for group in self.groups]
        return [group.rest(part, **changes) for group, part in parts if part]

    def came_before(self, index: int) -> bool:
        """Whether this item precedes the collided item: then its messages count, however late they arrive."""
        collided = self.assigned.index(self.collided) if self.collided in self.assigned else 0
        return index in self.assigned[:collided]


class WaitingChild(NamedTuple):
    """A child whose memory was restored, and that waits for its next group."""

    token: int
    pid: int
    point: ForkPoint
    spent: float
    generation: int


class Children:
    """All living children and their fork points."""

    def __init__(self) -> None:
        self.living: list[RunningChild] = []
        self.points: list[ForkPoint] = []
        #: Slot index -> the rewound child that waits in the slot.
        self.waiting: dict[int, WaitingChild] = {}
        self._generation = 0
        self._tokens = 0
        self._poller = Poller()

    def groups(self, *, but: RunningChild | None = None) -> list[Group]:
        """Return the groups of all living children except ``but``."""
        return [group for running in self.living if running is not but for group in running.groups]

    def add_point(self, point: ForkPoint) -> ForkPoint:
        """Register a fork point, so that its messages are read."""
        self.points.append(point)
        self._poller.register(point.channel, point)
        return point

    def add_slot(self, slot: Slot) -> None:
        """Register a slot, so that its child's messages are read."""
        self._poller.register(slot.channel, slot)

    def add_listener(self, source: HasFileno, listen: Callable[[], None]) -> None:
        """Call ``listen`` whenever ``source`` is readable."""
        self._poller.register(source, listen)

    def drop_point(self, point: ForkPoint) -> None:
        """Remove and kill a fork point that can't be used any more."""
        self._poller.unregister(point.channel)
        self.points.remove(point)
        point.kill()

    def let_end(self, point: ForkPoint) -> None:
        """Let a fork point without running children end; :meth:`events` notices its end."""
        self._forget_waiting_of(point)
        point.let_end()

    def close_point(self, point: ForkPoint) -> None:
        """Let a fork point without running children end, and wait for its end."""
        self._forget_waiting_of(point)
        self._poller.unregister(point.channel)
        self.points.remove(point)
        point.close()

    def _forget_waiting_of(self, point: ForkPoint) -> None:
        """Give no group any more to the children of a fork point that wait: they end with it."""
        self.waiting = {slot: each for slot, each in self.waiting.items() if each.point is not point}

    def start(
        self,
        group: Group,
        slot: Slot,
        point: ForkPoint,
        *,
        own_group: bool,
        failed: int,
        rewind: int = 0,
        elsewhere: tuple[tuple[str, bool], ...] = (),
    ) -> None:
        """Ask ``point`` for a child, or use the child that waits in the slot.

        If the fork point is gone, the next read of its channel shows that.
        """
        waiting = self.waiting.get(slot.index)
        if waiting is not None and waiting.point is point and point in self.points:
            self._start_again(waiting, group, slot, failed=failed, rewind=rewind, elsewhere=elsewhere)
            return
        self.dismiss(slot.index)
        indices, token = tuple(group.indices), self._next()
        start = Start(
            token, slot.index, indices, own_group, failed=failed, rewind=rewind, elsewhere=elsewhere
        )
        self._place(start.token, group, slot, point)
        with contextlib.suppress(OSError):
            point.start_with(start)

    def _start_again(
        self,
        waiting: WaitingChild,
        group: Group,
        slot: Slot,
        *,
        failed: int,
        rewind: int,
        elsewhere: tuple[tuple[str, bool], ...],
    ) -> None:
        """Give the group to the child that waits in the slot."""
        del self.waiting[slot.index]
        running = self._place(waiting.token, group, slot, waiting.point)
        running.pid, running.spent_before, running.generation = waiting.pid, waiting.spent, waiting.generation
        indices = tuple(group.indices)
        start = Start(waiting.token, slot.index, indices, failed=failed, rewind=rewind, elsewhere=elsewhere)
        with contextlib.suppress(OSError):  # it has ended, which the fork point will say
            slot.channel.send(-1, start)

    def dismiss(self, slot: int | None = None) -> None:
        """End the child that waits in this slot, or in each slot."""
        for index in [slot] if slot is not None else list(self.waiting):
            waiting = self.waiting.pop(index, None)
            if waiting is not None:
                self._end_waiting(waiting.pid)

    def renew(self) -> None:
        """Rewind no child any more that was forked before: the fork point has learned modules since then."""
        self._generation += 1
        self.dismiss()

    @staticmethod
    def _end_waiting(pid: int) -> None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)

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
        """Ask ``point`` for a self-collecting child, and pass the slot's files to that child."""
        self.dismiss(slot.index)
        indices = tuple(group.indices)
        start = Start(self._next(), slot.index, indices, True, order, len(files), failed)
        self._place(start.token, group, slot, point)
        with contextlib.suppress(OSError):
            point.start_with(start, files)
        if point.kind == "spawn":
            slot.channel.send(-1, start)

    def _next(self) -> int:
        self._tokens += 1
        return self._tokens

    def _place(self, token: int, group: Group, slot: Slot, point: ForkPoint) -> RunningChild:
        """Register the child of a group in its slot."""
        slot.reset()
        running = slot.running = RunningChild(token, group, slot, point, generation=self._generation)
        for other in self.living:
            other.accompanied = running.accompanied = True
        self.living.append(running)
        return running

    def events(self, timeout: float) -> Iterator[tuple[RunningChild, list[tuple[int, Any]]]]:
        """Wait for ``timeout`` seconds at most, and yield (child, its new messages).

        The child's ``status`` is set once the child has ended.
        """
        ready = self._poller.wait(timeout)
        gone: list[RunningChild] = []
        for point in ready:
            if isinstance(point, ForkPoint):
                gone += self._read_point(point)
        for listen in ready:  # after the children's messages, because a listener may ask about the children
            if callable(listen):
                listen()
        for slot in ready:
            if isinstance(slot, Slot) and slot.running is not None and slot.running not in gone:
                running, frames = slot.running, slot.channel.drain()[0]
                if frames and type(frames[-1][1]) is Rewound:
                    self._rewound(running, frames.pop()[1])
                yield running, frames
        for running in gone:
            yield running, self._last_frames(running)

    def _rewound(self, running: RunningChild, message: Rewound) -> None:
        """A child has run its group to the end, and can be given another one."""
        if running.because:  # killed meanwhile: its fork point will say so
            return
        running.status, running.spent = 0, message.cpu - running.spent_before
        running.rewound = message
        self.living.remove(running)
        running.slot.running = None
        if message.mismatched:
            return
        reusable = running.generation == self._generation and not running.stopped
        if not reusable or running.signalled or running.collided is not None or running.rerouted:
            self._end_waiting(running.pid)
            return
        self.waiting[running.slot.index] = WaitingChild(
            running.token, running.pid, running.point, message.cpu, running.generation
        )

    def _read_point(self, point: ForkPoint) -> list[RunningChild]:
        messages, closed = point.read()
        gone = []
        for message in messages:
            running = self._by_token(message.token)
            if running is None:
                if isinstance(message, Gone):
                    self._forget_waiting(message.token)
                continue
            if isinstance(message, Started):
                running.pid = message.pid
                if running.because:
                    self.kill(running, running.because)
                elif running.signalled:
                    self._signal(running, running.signalled)
            elif isinstance(message, Gone):
                running.status, running.left = message.status, message.leftovers
                running.spent = message.cpu - running.spent_before if message.cpu >= 0 else message.cpu
                gone.append(running)
            elif isinstance(message, Refused):
                running.status = -message.errno
                gone.append(running)
        if closed:
            gone += self._point_died(point)
        return gone

    def _forget_waiting(self, token: int) -> None:
        self.waiting = {slot: each for slot, each in self.waiting.items() if each.token != token}

    def _point_died(self, point: ForkPoint) -> list[RunningChild]:
        """Remove a dead fork point, and return its children, which die with the fork point."""
        self.drop_point(point)
        self._forget_waiting_of(point)
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
        if frames and type(frames[-1][1]) is Rewound:
            self._ended_after(running, frames.pop()[1])
        self.living.remove(running)
        running.slot.running = None
        return frames

    @staticmethod
    def _ended_after(running: RunningChild, message: Rewound) -> None:
        """A child was rewound, and its end was read first: it had run its group to the end, however it ended."""
        if not running.because:
            running.status, running.rewound = 0, message

    def _by_token(self, token: int) -> RunningChild | None:
        return next((r for r in self.living if r.token == token), None)

    def signal_all(self, number: int) -> None:
        """Send a signal to each child, not to its process group.

        A child whose pid is not known yet gets the signal as soon as the pid is known.
        """
        for running in self.living:
            running.signalled = number
            if running.pid:
                self._signal(running, number)

    @staticmethod
    def _signal(running: RunningChild, number: int) -> None:
        with contextlib.suppress(OSError):
            os.kill(running.pid, number)

    def kill(self, running: RunningChild, because: str) -> None:
        """End one child, whatever the child does; ``because`` explains the death later."""
        running.because = running.because or because
        if running.pid:
            with contextlib.suppress(OSError):
                os.kill(running.pid, signal.SIGKILL)

    def close(self) -> None:
        """End every child, the processes that children left behind, and the fork points."""
        for running in self.living:
            self.kill(running, "the run is over")
        self.dismiss()
        for point in reversed(self.points):  # slots end their sessions before the template ends them
            point.close()
        self.points.clear()
        self.living.clear()
        self._poller.close()
