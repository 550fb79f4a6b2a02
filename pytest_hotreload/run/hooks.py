"""The hooks of a controller, from the session's start to what is said at its end."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.ci import github, messages, results_file
from pytest_hotreload.compat import console, plugins, pytest_config
from pytest_hotreload.errors import ChildInternalError
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import fork_state
from pytest_hotreload.records import totals
from pytest_hotreload.run import messages as run_messages
from pytest_hotreload.run.in_place import InPlace
from pytest_hotreload.world import BUILTINS, os, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.records.records import Records
    from pytest_hotreload.run.loop import RunLoop
    from pytest_hotreload.run.session import Active


def tells_github(active: Active) -> bool:
    """Of a run, not of a list or a plan, and not of each rerun."""
    asks = active.config.option.collectonly or active.options.shard_plan is not None
    return active.rerun is None and not asks and github.wanted(os.environ)


class Run:
    """Registered where this process is one."""

    def __init__(self, active: Active) -> None:
        self.active = active
        self.config = active.config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Plugins have said by now how nodes are configured. Raises :class:`pytest.UsageError`."""
        if self.active.hosts is not None:
            self.active.hosts.connect()

    def pytest_report_header(self) -> list[str]:
        hosts = self.active.hosts
        where = "" if hosts is None else hosts_messages.hosts([(host.name, host.slots) for host in hosts.all])
        return run_messages.header(self.active.options, self.config.get_verbosity(), where)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        config = self.config
        if self.active.host is not None:
            self._run(session)
            return True
        if session.testsfailed and not config.option.continue_on_collection_errors:
            return None  # pytest says what plain pytest says
        if config.option.collectonly or not session.items or getattr(config.option, "setupplan", 0):
            return None
        reason = plugins.needs_plain(config, session.items, self.active.slots)
        if reason:
            self.active.drop_records()
            if self.active.outcomes is not None:
                self.active.outcomes.left_to_plain = reason
            console.notice(config, run_messages.left_to_plain(reason))
            return None
        if InPlace.fits(self.active, session):
            self._run_in_place(session)
            return None  # pytest's own loop goes on
        self._run(session)
        return True

    def _run_in_place(self, session: pytest.Session) -> None:
        active = self.active
        active.stop_watching()
        self._load_totals()
        active.in_place = InPlace(session, active)
        self.config.pluginmanager.register(active.in_place, "hotreload-in-place")

    def _load_totals(self) -> None:
        try:
            with ORIGINAL_NAMES:
                totals.load(self.config, self.active.totals)
        except Exception as error:  # what earlier runs learned never fails one
            self.active.totals.notices.append(run_messages.nothing_learned(error))

    def _run(self, session: pytest.Session) -> None:
        from pytest_hotreload.run.child.entry import Born

        active = self.active
        active.stop_watching()
        active.totals.start_cpu = time.process_time()
        self._load_totals()
        if active.reuse is not None:
            active.reuse.decide(session.items)
        reporter: Any = self.config.pluginmanager.get_plugin("hotreload-reporter")
        with ORIGINAL_NAMES:
            active.loop = self._loop(session, reporter)
        child = None
        try:
            active.loop.run()
        except Born as born:
            child = born
        if child is not None:
            child.live()

    def _loop(self, session: pytest.Session, reporter: Any) -> RunLoop:
        active = self.active
        if active.hosts is not None:
            from pytest_hotreload.hosts.dispatch import DistributingLoop

            return DistributingLoop(session, active, reporter, active.hosts)
        if active.host is not None:
            from pytest_hotreload.hosts.host import HostLoop

            active.host.worker_for_good(self.config)
            return HostLoop(session, active, reporter, active.host)
        from pytest_hotreload.run.loop import RunLoop

        return RunLoop(session, active, reporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: Any, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """An internal error in a child shows as pytest showed it there."""
        if isinstance(excinfo.value, ChildInternalError):
            text = excinfo.value.text
            excrepr.toterminal = lambda tw: tw.line(text)

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self) -> None:
        loop = self.active.loop
        if loop is not None and loop.replay.memo is not None:
            pytest_config.set_interrupt_memo(self.config, loop.replay.memo)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        active = self.active
        nothing_affected = (
            active.options.affected and not session.items and not self.config.option.collectonly
        )
        if active.in_place is not None:
            active.in_place.end()
        elif active.loop is None and not nothing_affected:
            return
        if active.reuse is not None:
            with ORIGINAL_NAMES:
                active.reuse.verify(session)
        if active.rerun is None:
            self._save(session, active.records)
        else:  # when nobody waits for it
            active.rerun.after_all = partial(self._save, session, active.records)

    def _save(self, session: pytest.Session, records: Records | None) -> None:
        active = self.active
        try:
            if active.loop is not None or active.in_place is not None:
                with ORIGINAL_NAMES:
                    totals.save(self.config, session.items, active.totals)
            if records is not None:
                records.save()
        except Exception as error:  # what a run learned never fails it
            active.lost_cache(error)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """After pytest's last line, when the exit status is what it will be."""
        active = self.active
        if os.getpid() == active.pid:
            fork_state.write_all(active.totals.at_exit)
        if active.outcomes is None or active.outcomes.session is None or os.getpid() != active.pid:
            return
        if active.options.json is not None:
            try:
                with ORIGINAL_NAMES:
                    results_file.write(active.options.json, active.outcomes.document())
            except OSError as error:
                text = messages.results_not_written(active.options.json, error)
                print(console.PREFIX + text, file=sys.stderr)
        if tells_github(active):
            with ORIGINAL_NAMES:
                github.tell(config, active.outcomes)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        active = self.active
        if active.loop is None or self.config.get_verbosity() < 0:
            return
        for text in active.totals.notices:
            terminalreporter.write_line(console.PREFIX + text, yellow=True)
        if active.rerun is not None:
            return  # the watcher's own line follows
        costs, saved = active.totals.costly_fixtures(active.slots)
        if costs:
            terminalreporter.write_line(run_messages.costly_fixtures(costs, saved))
        warmed = active.totals.warmed
        if warmed is not None:
            for line in run_messages.warmed(
                warmed.modules, warmed.seconds, active.quarantine, self.config.get_verbosity()
            ):
                terminalreporter.write_line(line)
        self._say_of_records(terminalreporter)
        if not active.totals.files:
            return
        if active.hosts is not None:
            terminalreporter.write_line(
                hosts_messages.closing(active.totals.files, active.totals.children, len(active.hosts.all))
            )
            return
        terminalreporter.write_line(
            run_messages.closing(
                active.totals.files,
                active.totals.children,
                len(active.totals.forked_in),
                active.totals.start_cpu,
                active.totals.fell_back,
            )
        )

    def _say_of_records(self, terminalreporter: Any) -> None:
        records, reuse = self.active.records, self.active.reuse
        if records is None:
            return
        if records.lost:
            terminalreporter.write_line(console.PREFIX + run_messages.records_lost(records.lost), yellow=True)
            return
        if records.doubt:
            terminalreporter.write_line(console.PREFIX + records.doubt, yellow=True)
        for text in records.notes():
            terminalreporter.write_line(console.PREFIX + run_messages.ignored(text), yellow=True)
        lines = reuse.summary() if reuse is not None else []
        for line in lines or [console.PREFIX + records.summary()]:
            terminalreporter.write_line(line)
