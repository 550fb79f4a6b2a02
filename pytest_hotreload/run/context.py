"""What the parts of a run share: it is built once, and knows the parts below it, which do not know it.

Named tuples: each is made while pytest starts, and a frozen dataclass takes three times as long (0.5 ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_hotreload.compat.xdist import Nodes
    from pytest_hotreload.imports.threads import ThreadWatch
    from pytest_hotreload.options import Options
    from pytest_hotreload.process.template import Template
    from pytest_hotreload.records.declarations import Declarations
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.reuse import Reuse
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.children import Children
    from pytest_hotreload.run.interfaces import RerunLink, Timeline
    from pytest_hotreload.run.replay import Receiver
    from pytest_hotreload.run.schedule import Schedule


class Origin(NamedTuple):
    """What children are made from. ``lifeline``: both ends of the pipe that tells them of this process's death.

    ``sys_path``: as it was before the first conftest. ``early_readers``: first-party files that read the worker id
    while they were imported or configured, in words, or "".
    """

    template: Template | None
    lifeline: tuple[int, int]
    sys_path: Sequence[str]
    early_readers: str
    threads: ThreadWatch


class RunSetup(NamedTuple):
    """What a run loop is built of. ``slots``: how many children run at once, here or on all hosts."""

    options: Options
    totals: Totals
    slots: int
    origin: Origin
    reporter: Reporter
    records: RunRecords | None
    declarations: Declarations
    reuse: Reuse | None
    timeline: Timeline | None
    rerun: RerunLink | None


class RunContext(NamedTuple):
    """What the parts of a run look at and act on."""

    session: pytest.Session
    config: pytest.Config
    options: Options
    items: Sequence[pytest.Item]
    children: Children
    schedule: Schedule
    replay: Receiver
    nodes: Nodes
    totals: Totals
    records: RunRecords | None

    @property
    def interrupted(self) -> bool:
        """Whether there was a Ctrl-C: nothing new starts, and no child's death is told any more."""
        return self.schedule.closed

    def shown(self, path: str) -> str:
        """A path as users read it."""
        return os.path.relpath(path, self.config.rootpath)
