"""The state that the parts of a run share.

A context is built once and refers to the parts of the run; the parts do not refer to the whole run. The
classes are named tuples, because each is made while pytest starts, and a frozen dataclass takes three times
as long (0.5 ms).
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
    from pytest_hotreload.process.inheritance import SharedByForks
    from pytest_hotreload.process.template import Template
    from pytest_hotreload.records.declarations import Declarations
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.reuse import Reuse
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.children import Children
    from pytest_hotreload.run.interfaces import Receiver, RerunLink, Timeline
    from pytest_hotreload.run.schedule import Schedule


class Origin(NamedTuple):
    """The sources from which children are made."""

    template: Template | None
    #: Both ends of the pipe that tells children when this process dies.
    lifeline: tuple[int, int]
    #: ``sys.path`` as it was before the first conftest.
    sys_path: Sequence[str]
    #: First-party files that read the worker id while they were imported or configured, in words, or "".
    early_readers: str
    #: What this process held before the first conftest; None with one slot.
    shared: SharedByForks | None
    threads: ThreadWatch


class RunSetup(NamedTuple):
    """The arguments from which a run loop is built."""

    options: Options
    totals: Totals
    #: The number of children that run at once, here or on all hosts.
    slots: int
    origin: Origin
    reporter: Reporter
    records: RunRecords | None
    declarations: Declarations
    reuse: Reuse | None
    timeline: Timeline | None
    rerun: RerunLink | None


class RunContext(NamedTuple):
    """The objects that the parts of a run read and change."""

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
        """Whether Ctrl-C was pressed: then nothing new starts, and no child's death is reported any more."""
        return self.schedule.closed

    def shown(self, path: str) -> str:
        """Return the path as users see it, relative to the root directory."""
        return os.path.relpath(path, self.config.rootpath)
