"""One session under hotreload: what was asked for, and what becomes of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_hotreload import options
from pytest_hotreload.compat.worker_id import WorkerIdWatch
from pytest_hotreload.imports.threads import ThreadWatch
from pytest_hotreload.records import totals
from pytest_hotreload.run import messages
from pytest_hotreload.run.child import reset
from pytest_hotreload.world import contextlib, os

if TYPE_CHECKING:
    from pytest_hotreload.ci.outcomes import Outcomes
    from pytest_hotreload.hosts.host import Host
    from pytest_hotreload.hosts.hosts import Hosts
    from pytest_hotreload.process.template import Template
    from pytest_hotreload.records.declarations import Declarations
    from pytest_hotreload.records.records import Records
    from pytest_hotreload.records.reuse import Reuse
    from pytest_hotreload.report.collector import Gathering
    from pytest_hotreload.run.in_place import InPlace
    from pytest_hotreload.run.loop import RunLoop
    from pytest_hotreload.watch.standby.rerun import Rerun


class Active:
    """What the hooks of a session share.

    ``pid``: whose it is; a fork inherits it. ``sys_path``: as it was before the first conftest. ``early_readers``:
    first-party files that read the worker id while they were imported or configured, in words, or "".
    """

    def __init__(self, config: pytest.Config, chosen: options.Options, host: Host | None = None) -> None:
        self.config, self.options, self.host = config, chosen, host
        self.pid = os.getpid()
        self.lifeline = os.pipe()
        self.sys_path = list(sys.path)
        self.totals = totals.Totals()
        self.quarantine: dict[str, str] = {}
        self.template: Template | None = None
        self.threads = ThreadWatch()
        self.worker_ids: WorkerIdWatch | None = None
        if host is not None:
            self.worker_ids = WorkerIdWatch(config, host.workerinput)
        elif chosen.slots > 1 and not chosen.hosts:
            self.worker_ids = WorkerIdWatch(config)
        self.hosts: Hosts | None = None
        self.loop: RunLoop | None = None
        self.records: Records | None = None
        self.declarations: Declarations | None = None
        self.reuse: Reuse | None = None
        self._lost_cache = False
        self.rerun: Rerun | None = None
        self.in_place: InPlace | None = None
        self.gathering: Gathering | None = None
        self.outcomes: Outcomes | None = None
        self.gc_thresholds = reset.ease_gc()

    def reborn(self) -> None:
        """In a fork that goes on as a session of its own."""
        for descriptor in self.lifeline:
            os.close(descriptor)
        self.pid, self.lifeline = os.getpid(), os.pipe()
        if self.records is not None:
            self.records.rebase()

    @property
    def slots(self) -> int:
        """How many children run at once, here or on all hosts."""
        return self.options.slots if self.hosts is None else self.hosts.total

    @property
    def early_readers(self) -> str:
        found = self.worker_ids.found if self.worker_ids is not None else []
        return ", ".join(dict.fromkeys(found))

    def stop_watching(self) -> None:
        """The tests begin: from here on nothing is early."""
        reset.restore_gc(self.gc_thresholds)
        if self.worker_ids is not None:
            with self.records.observer.aside() if self.records is not None else contextlib.nullcontext():
                self.worker_ids.end()

    def lost_cache(self, error: Exception) -> None:
        """It can't be written. Said once."""
        if not self._lost_cache:
            self._lost_cache = True
            self.totals.notices.append(messages.no_cache(error))

    def drop_records(self) -> None:
        """This run keeps none."""
        if self.records is not None:
            self.records.close()
            self.records = None

    def close(self) -> None:
        self.stop_watching()
        if self.gathering is not None:
            self.gathering.import_times.end()
        self.drop_records()
        if self.hosts is not None:
            self.hosts.close()
        if self.template is not None and self.loop is None:
            self.template.close()
        for descriptor in self.lifeline:
            os.close(descriptor)
