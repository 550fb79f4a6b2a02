"""Makes a child from a start request, in a fork point of a collected session.

The controller's fork point and slot processes use this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_hotreload.compat import pytest_fixtures, pytest_output
from pytest_hotreload.process import fork_state, open_files
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.fork_messages import Start
from pytest_hotreload.process.fork_server import Unwind
from pytest_hotreload.process.messages import Missing
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.run.child import child, rewind
from pytest_hotreload.run.child.context import ChildContext, SlotEnd
from pytest_hotreload.run.child.fixture_process import FixtureProcess
from pytest_hotreload.run.child.reporter import Reporter
from pytest_hotreload.world import BUILTINS, hashlib, os, pytest, random

__builtins__ = BUILTINS


def random_state() -> bytes:
    """Return a digest of this process's random state, from which children derive their own."""
    return hashlib.blake2b(repr(random.getstate()).encode()).digest()


def seed_of(randomness: bytes, path: str) -> int:
    """Return a child's own seed: different for each file, repeatable if the parent's state is."""
    return int.from_bytes(hashlib.blake2b(randomness + path.encode(), digest_size=8).digest(), "big")


class AdoptedChild(Unwind):
    """Unwinds the stack of a child to the place where its collected session calls the run loop.

    A test may count frames (those left before a RecursionError). The test must not find more frames below it
    than under plain pytest, and the loop of a fork point is a dozen frames deep.
    """

    def __init__(self, factory: ChildFactory, start: Start, descriptors: list[int]) -> None:
        super().__init__()
        self._factory, self._start = factory, start
        self._descriptors = [
            os.dup(descriptor) for descriptor in descriptors
        ]  # the fork point closes its own

    def run(self) -> None:
        """Run the child to its exit. Never returns.

        The call must not be inside an ``except`` block, where tests would see this exception.
        """
        this = self
        while True:
            this.__traceback__ = None
            if this._start.set_up is None:
                this._factory.run(this._start)
            # A fixture process: what comes back is a child of it, which runs at the same depth as any child.
            child = FixtureProcess(this._factory, this._start, this._descriptors[0]).run()
            assert isinstance(child, AdoptedChild)
            this = child


@dataclass
class ChildFactory:
    """The inputs that are the same for all children of one collected session."""

    session: pytest.Session
    reporter: Reporter
    #: By index in the controller's items.
    items: Mapping[int, pytest.Item]
    slots: Mapping[int, SlotEnd]
    lifeline: int
    #: Duplicates of the controller's file descriptors 1 and 2.
    real: tuple[int, int]
    randomness: bytes
    inherited: fork_state.Inherited
    direct: bool
    several_files: bool
    observer: Observer | None
    missing: str = "this slot did not collect this test"
    #: Functions that make a fixture's live resources anew in each child, with the fixture's definition.
    after_fork: list[tuple[Callable[[Any], None], Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # As in plain pytest, one file reads on where another has stopped.
        open_files.keep(pytest_output.saved_descriptors(self.session.config).values())

    def unwind(self, start: Start, descriptors: list[int]) -> None:
        """In the child: unwind to the place from which the tests run. See :class:`AdoptedChild`."""
        raise AdoptedChild(self, start, descriptors)

    def seed(self, what: str) -> int:
        """Return a seed for the random generators of a process."""
        return seed_of(self.randomness, what)

    def run(self, start: Start) -> None:
        """In the child, after unwinding: run the items, and those of later requests. Never returns."""
        status = 1
        try:
            slot = self.slots[start.slot]
            child.enter(self.session, self.reporter, self._context(start, slot, ()), self.inherited)
            start, rewinding = rewind.begin(start, slot.socket)
            if rewinding is not None:
                open_files.renew()  # what the snapshot holds stays as it was, for the files that follow
            self.session.testsfailed, self.reporter.elsewhere = start.failed, start.elsewhere
            indices = [index for index in start.indices if index in self.items]
            place = self._context(start, slot, indices)
            for index in start.indices:
                if index not in self.items:
                    place.channel.put(index, Missing(self.missing))
            feed = self._feed(indices, place)
            complete = child.run(self.session, self.reporter, place, feed, self.inherited)
            status = 0
            if complete and place.rewindable and rewinding is not None:
                rewinding.again(start)
        except BaseException:
            fork_state.print_fatal_traceback()
        finally:
            os._exit(status)

    def _make_anew(self) -> None:
        """Let the project make live resources anew, which the fixture process holds, too."""
        for function, definition in self.after_fork:
            function(pytest_fixtures.fixture_value(definition))

    def _context(self, start: Start, slot: SlotEnd, indices: Sequence[int]) -> ChildContext:
        return ChildContext(
            channel=Channel(slot.socket),
            files=slot.files,
            worker_id=slot.worker_id,
            slot=start.slot,
            lifeline=self.lifeline,
            real=self.real,
            direct=self.direct,
            own_group=start.own_group,
            workerinput=slot.workerinput,
            environ=slot.environ,
            seed=seed_of(self.randomness, str(self.items[indices[0]].path) if indices else ""),
            name=f"{slot.worker_id}-{start.indices[0]}",
            item=start.indices[0],
            first=start.indices[0] == 0,
            observer=self.observer,
        )

    def _feed(self, first: list[int], place: ChildContext) -> Iterator[Any]:
        """Yield the items to run and the item that follows in this process; ask for files one file ahead."""
        self._make_anew()
        indices: list[int] | None = first
        while indices:
            following = None
            if self.several_files:
                following = place.channel.ask(self.reporter.index, "files")
            after = self.items[following[0]] if following else None
            yield [(index, self.items[index]) for index in indices], after
            indices = following
