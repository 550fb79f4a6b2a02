"""A session under hotreload, in two phases: before conftests are loaded, and once pytest is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_hotreload.run.child import reset
from pytest_hotreload.run.context import Origin, RunSetup
from pytest_hotreload.world import BUILTINS, contextlib, os

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_hotreload.ci.outcomes import Outcomes
    from pytest_hotreload.compat.worker_id import WorkerIdWatch
    from pytest_hotreload.imports.threads import ThreadWatch
    from pytest_hotreload.options import Options
    from pytest_hotreload.process.inheritance import SharedByForks
    from pytest_hotreload.process.template import Template
    from pytest_hotreload.records.declarations import Declarations
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.reuse import Reuse
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.interfaces import HostPool, RerunLink, Timeline
    from pytest_hotreload.run.loop import RunLoop


class RunSession(NamedTuple):
    """The state from before the first conftest to the end of the session, kept on ``config.stash``."""

    config: pytest.Config
    options: Options
    #: Makes the loop for the role of this process.
    make_loop: Callable[[pytest.Session, RunSetup], RunLoop]
    #: The controller on another machine decides which tests run.
    is_host: bool
    #: Both ends of the pipe that tells children when this process dies.
    lifeline: tuple[int, int]
    #: ``sys.path`` as it was before the first conftest.
    sys_path: tuple[str, ...]
    #: What this process held before the first conftest; None with one slot.
    shared: SharedByForks | None
    #: The garbage collector's thresholds as they were before the first conftest.
    gc_thresholds: tuple[int, int, int]
    threads: ThreadWatch
    worker_ids: WorkerIdWatch | None
    hosts: HostPool | None
    template: Template | None
    records: RunRecords | None
    timeline: Timeline | None
    totals: Totals
    #: The process id of the session's owner; forks inherit the session object.
    pid: int
    #: The version of this plugin, for the results file; "" if there is none.
    version: str = ""
    #: The link to the watcher, in a rerun of a watch.
    rerun: RerunLink | None = None

    def after_fork(self) -> RunSession:
        """Return the session object for a fork that continues as a session of its own."""
        for descriptor in self.lifeline:
            os.close(descriptor)
        fresh = self._replace(pid=os.getpid(), lifeline=os.pipe())
        if self.records is not None:
            self.records.after_fork()
        return fresh

    @property
    def slots(self) -> int:
        """The number of children that run at once, here or on all hosts."""
        return self.options.slots if self.hosts is None else self.hosts.total

    @property
    def early_readers(self) -> str:
        """First-party files that read the worker id during their import or configuration, in words, or ""."""
        found = self.worker_ids.found if self.worker_ids is not None else []
        return ", ".join(dict.fromkeys(found))

    def stop_watching(self) -> None:
        """Stop watching for early reads of the worker id, because the tests begin."""
        reset.restore_gc_thresholds(self.gc_thresholds)
        if self.worker_ids is not None:
            with self.records.observer.aside() if self.records is not None else contextlib.nullcontext():
                self.worker_ids.end()

    def setup(self, configured: Configured, reporter: Reporter) -> RunSetup:
        """Return the arguments of the run loop, when the tests begin."""
        origin = Origin(
            template=self.template,
            lifeline=self.lifeline,
            sys_path=self.sys_path,
            early_readers=self.early_readers,
            shared=self.shared,
            threads=self.threads,
        )
        return RunSetup(
            options=self.options,
            totals=self.totals,
            slots=self.slots,
            origin=origin,
            reporter=reporter,
            records=self.records,
            declarations=configured.declarations,
            reuse=configured.reuse,
            timeline=self.timeline,
            rerun=self.rerun,
        )

    def close(self) -> None:
        self.stop_watching()
        if self.timeline is not None:
            self.timeline.import_times.end()
        if self.records is not None:
            self.records.close()
        if self.hosts is not None:
            self.hosts.close()
        if self.template is not None:
            self.template.close()
        for descriptor in self.lifeline:
            os.close(descriptor)


class Configured(NamedTuple):
    """The objects that exist once conftests are loaded and this session's plugins are configured."""

    declarations: Declarations
    reuse: Reuse | None
    outcomes: Outcomes | None
