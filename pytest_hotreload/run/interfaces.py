"""Interfaces of a run's results, of a watch, of hosts and of a report, as a run uses them.

Only type checkers import this module during a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest

    from pytest_hotreload.process.heartbeat import Pulse, Quiet
    from pytest_hotreload.process.messages import Ended
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.gathered.merge import Merger


class Receiver(Protocol):
    """Receives the messages of children, and shows them here (:class:`run.replay.Replay`) or sends them on."""

    head: int
    gathered: Merger | None
    memo: Any
    stopping: bool
    interrupted: bool

    @property
    def done(self) -> bool: ...
    def feed(self, index: int, message: Any) -> None: ...
    def complete(self, index: int) -> None: ...
    def leave_out(self, index: int) -> None: ...
    def is_complete(self, index: int) -> bool: ...
    def forget(self, index: int) -> None: ...
    def can_run_again(self, index: int) -> bool: ...
    def show(self, index: int, report: pytest.TestReport) -> None: ...
    def hold(self, index: int) -> None: ...
    def release(self, index: int, shown: Sequence[Any], failed: Sequence[pytest.TestReport]) -> None: ...
    def show_rest(self) -> None: ...
    def advance(self) -> None: ...


class ImportTimes(Protocol):
    """Measures how long modules take to import."""

    def end(self) -> None:
        """Stop measuring, and remove the instrumentation."""


class Timeline(Protocol):
    """Collects the events of a run for the report."""

    @property
    def import_times(self) -> ImportTimes: ...

    def started(self, running: RunningChild) -> None:
        """A child was started."""

    def given(self, running: RunningChild, indices: Sequence[int]) -> None:
        """A child received further items."""

    def ended(self, running: RunningChild, ended: Ended | None) -> None:
        """A child ended; ``ended`` is its last message, or None if there is none."""

    def advance(self, replay: Receiver) -> None:
        """Show the next reports, and record how long that takes."""

    def report(self, index: int, report: pytest.TestReport) -> None:
        """A report of an item is about to be shown."""

    def over(self) -> None:
        """Record that no test runs any more."""


class RunControl(Protocol):
    """The requests that a watch can make to a run in progress."""

    #: One child runs at the terminal itself.
    direct: bool

    def stop_files(self, paths: set[str], *, hanging: bool = False) -> list[str]:
        """End the children of these files, which hang or whose inputs changed, and start no more.

        Returns the stopped files.
        """

    def hanging(self, quiet: Quiet, limit: Callable[[str, str], float]) -> Iterator[tuple[str, str, float]]:
        """Yield children without a sign of life: (test, its file, seconds)."""

    def what_runs(self) -> list[tuple[str, int, float, str]]:
        """Return each child's test, process id, seconds, and the last line that the child printed."""


class TerminalOwner(Protocol):
    """Reads keys from the terminal, unless the terminal is borrowed."""

    def borrow(self) -> None:
        """Borrow the terminal, and wait until nobody else reads keys."""

    def give_back(self) -> None:
        """Return the terminal, so that keys may be read again."""


class RerunLink(TerminalOwner, Protocol):
    """The connection of a rerun to its watcher."""

    pulse: Pulse
    #: The work that is left until nobody waits for the rerun.
    after_all: Callable[[], None] | None

    @property
    def apart(self) -> bool:
        """Whether the tests run in children, because they killed the process that ran them in place."""

    @property
    def together(self) -> bool:
        """Whether the tests of several files run in place, one file after another."""

    @property
    def preview(self) -> bool:
        """Whether another rerun of the same files follows, whose result counts."""

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when the watcher sends a message."""

    def listen(self, run: RunControl) -> None:
        """Handle the messages that the watcher sends while tests run."""

    def turn(self, run: RunControl) -> None:
        """Do the periodic work of the link; called once per turn of the run loop."""

    def interrupted(self) -> None:
        """Record that Ctrl-C was pressed."""

    def begins(self, nodeid: str, path: str) -> None:
        """Record that a test begins which the rerun runs in its own process."""

    def runs_alone(self) -> None:
        """Record that nobody reads the watcher's messages from here to the end."""


class HostPool(Protocol):
    """The hosts that run tests, if there are any."""

    @property
    def total(self) -> int:
        """The number of slots on all hosts together."""

    def connect(self) -> None:
        """Wait until all hosts are connected. Raises :class:`pytest.UsageError`."""

    def listed(self) -> str:
        """Return the list of hosts for the header."""

    def closing(self, files: int, children: int) -> str:
        """Return the last line of the run."""

    def close(self) -> None:
        """End all hosts. Idempotent."""
