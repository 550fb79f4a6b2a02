"""What a run needs of a watch, of hosts and of a report. For type checkers; nothing imports this module in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest

    from pytest_hotreload.process.heartbeat import Pulse, Quiet
    from pytest_hotreload.process.messages import Ended
    from pytest_hotreload.run.children import RunningChild
    from pytest_hotreload.run.replay import Receiver


class ImportTimes(Protocol):
    """Measures how long modules take to import."""

    def end(self) -> None:
        """Stop measuring, and remove what measures."""


class Timeline(Protocol):
    """Takes notes of a run, for its report."""

    @property
    def import_times(self) -> ImportTimes: ...

    def started(self, running: RunningChild) -> None:
        """A child was started."""

    def given(self, running: RunningChild, indices: Sequence[int]) -> None:
        """A child was given further items."""

    def ended(self, running: RunningChild, ended: Ended | None) -> None:
        """A child ended; ``ended`` is its last message, or None if there is none."""

    def advance(self, replay: Receiver) -> None:
        """Show the next reports, and take notes of how long that takes."""

    def report(self, index: int, report: pytest.TestReport) -> None:
        """A report of an item is about to be shown."""

    def over(self) -> None:
        """No test runs any more."""


class RunControl(Protocol):
    """What a watch asks of a run under way. ``direct``: one child runs at the terminal itself."""

    direct: bool

    def stop_files(self, paths: set[str]) -> list[str]:
        """Their inputs changed: end their children, and start no more. Returns which."""

    def hanging(self, quiet: Quiet, limit: Callable[[str, str], float]) -> Iterator[tuple[str, str, float]]:
        """Children without a sign of life: (test, its file, seconds)."""

    def what_runs(self) -> list[tuple[str, int, float, str]]:
        """Each child's test, process id, seconds, and the last line that it printed."""


class TerminalOwner(Protocol):
    """Reads the terminal's keys, unless somebody borrowed it."""

    def borrow(self) -> None:
        """Wait until nobody else reads keys."""

    def give_back(self) -> None:
        """Keys may be read again."""


class RerunLink(TerminalOwner, Protocol):
    """A rerun's line to its watcher. ``after_all``: what is to be done when nobody waits for it."""

    pulse: Pulse
    after_all: Callable[[], None] | None

    @property
    def apart(self) -> bool:
        """Whether the tests shall run in children, since they ended the process that ran them itself."""

    def fileno(self) -> int:
        """To listen to."""

    def listen(self, run: RunControl) -> None:
        """Take in what the watcher says while tests run."""

    def turn(self, run: RunControl) -> None:
        """The run loop goes round."""

    def interrupted(self) -> None:
        """Ctrl-C was heard."""

    def begins(self, nodeid: str, path: str) -> None:
        """A test that the rerun runs itself."""

    def runs_alone(self) -> None:
        """From here on nobody listens, to the end."""


class HostPool(Protocol):
    """The hosts that tests run on, where there are some."""

    @property
    def total(self) -> int:
        """Slots of all hosts."""

    def connect(self) -> None:
        """Wait until all are there. Raises :class:`pytest.UsageError`."""

    def listed(self) -> str:
        """For the header."""

    def closing(self, files: int, children: int) -> str:
        """The last line of the run."""

    def close(self) -> None:
        """End them. More than once does no harm."""
