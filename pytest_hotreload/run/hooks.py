"""The hooks of a controller, from the start of the session to the lines at its end."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload.ci import github, messages, results_file
from pytest_hotreload.compat import console, plugins, pytest_session
from pytest_hotreload.compat.other_loops import call_other_loops
from pytest_hotreload.errors import ChildInternalError
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import fork_state
from pytest_hotreload.records import affected_messages, totals
from pytest_hotreload.run import messages as run_messages
from pytest_hotreload.run.fixtures import history
from pytest_hotreload.run.in_place import InPlace
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.options import Options
    from pytest_hotreload.run.interfaces import RerunLink
    from pytest_hotreload.run.loop import RunLoop
    from pytest_hotreload.run.session import Configured, RunSession


def tells_github(config: pytest.Config, options: Options, rerun: RerunLink | None) -> bool:
    """Whether GitHub annotations are written: for a run, but not for a list, a plan or a rerun."""
    asks = config.option.collectonly or options.shard_plan is not None
    return rerun is None and not asks and github.wanted(os.environ)


class RunHooks:
    """The plugin that is registered if this process is a controller.

    ``loop`` or ``in_place`` is set once the tests have begun, and runs them.
    """

    def __init__(self, session: RunSession, configured: Configured) -> None:
        self.session, self.configured = session, configured
        self.config, self.options, self.totals = session.config, session.options, session.totals
        self.records, self.rerun, self.hosts = session.records, session.rerun, session.hosts
        self.reuse, self.outcomes = configured.reuse, configured.outcomes
        self.loop: RunLoop | None = None
        self.in_place: InPlace | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Connect to the hosts, since plugins have configured their nodes by now.

        Raises :class:`pytest.UsageError`.
        """
        if self.hosts is not None:
            self.hosts.connect()

    def pytest_report_header(self) -> list[str]:
        where = "" if self.hosts is None else self.hosts.listed()
        return [] if console.is_quiet(self.config) else run_messages.header(self.options, where)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        config = self.config
        if self.session.is_host:
            self._run(session)
            return True
        # pytest reports errors as it does without hotreload
        has_errors = session.testsfailed and not config.option.continue_on_collection_errors
        if (
            has_errors
            or config.option.collectonly
            or not session.items
            or getattr(config.option, "setupplan", 0)
        ):
            if self.records is not None:  # what plugins read and write at the end is no input of a test
                self.records.stop_collecting()
            return None
        reason = plugins.needs_plain(config, session.items, self.session.slots)
        if reason:
            console.notice(config, self._leave_to_plain(reason))
            return None
        if self.rerun is not None and InPlace.fits(self.options, self.rerun, session):
            self._run_in_place(session, self.rerun)
            return None  # pytest's own loop continues
        result, plugin = call_other_loops(session, self)
        if result is not None:
            # Not below the line of progress, which pytest has not ended yet.
            self.totals.notices.append(self._leave_to_plain(run_messages.has_own_loop(plugin)))
            return result
        self._run(session)
        return True

    def _leave_to_plain(self, reason: str) -> str:
        """Keep no records of this run. Returns the notice."""
        if self.records is not None:
            self.records.close()
        if self.outcomes is not None:
            self.outcomes.left_to_plain = reason
        return run_messages.left_to_plain(reason)

    def _run_in_place(self, session: pytest.Session, rerun: RerunLink) -> None:
        self.session.stop_watching()
        self._load_totals()
        self.in_place = InPlace(session, rerun, self.totals, self.records)
        self.config.pluginmanager.register(self.in_place, "hotreload-in-place")

    def _load_totals(self) -> None:
        try:
            with ORIGINAL_NAMES:
                totals.load(self.config, self.totals)
        except Exception as error:  # unreadable data from earlier runs never fails a run
            self.totals.notices.append(run_messages.nothing_learned(error))

    def _run(self, session: pytest.Session) -> None:
        from pytest_hotreload.run.child.entry import AdoptedChild

        self.session.stop_watching()
        self.totals.run_begins()
        self._load_totals()
        if self.reuse is not None:
            self.reuse.decide(session.items)
        reporter: Any = self.config.pluginmanager.get_plugin("hotreload-reporter")
        with ORIGINAL_NAMES:
            self.loop = self.session.make_loop(session, self.session.setup(self.configured, reporter))
        child = None
        try:
            self.loop.run()
        except AdoptedChild as adopted:
            child = adopted
        if child is not None:
            child.run()

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: Any, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Show an internal error in a child as pytest showed the error there."""
        if isinstance(excinfo.value, ChildInternalError):
            text = excinfo.value.text
            excrepr.toterminal = lambda tw: tw.line(text)

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self) -> None:
        loop = self.loop
        if loop is not None and loop.replay.memo is not None:
            pytest_session.set_interrupt_memo(self.config, loop.replay.memo)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        nothing_affected = self.options.affected and not session.items and not self.config.option.collectonly
        if self.in_place is not None:
            self.in_place.end()
        elif self.loop is None and not nothing_affected:
            return
        if self.reuse is not None:
            with ORIGINAL_NAMES:
                self.reuse.verify(session)
        if self.rerun is None:
            self._save(session)
        else:  # later, when nobody waits for the rerun
            self.rerun.after_all = partial(self._save_late, session, list(sys.path))

    def _save_late(self, session: pytest.Session, search_path: list[str]) -> None:
        """Save after pytest has ended and removed ``pythonpath`` from ``sys.path``: all folders count again."""
        ended_with, sys.path = sys.path, search_path
        try:
            self._save(session)
        finally:
            sys.path = ended_with

    def _save(self, session: pytest.Session) -> None:
        try:
            ran = self.loop is not None or self.in_place is not None
            if ran and not (self.rerun is not None and self.rerun.preview):
                with ORIGINAL_NAMES:
                    totals.save(self.config, session.items, self.totals)
                    if self.loop is not None and self.loop.sources.fixtures is not None:
                        history.save(self.config, self.loop.sources.fixtures.history)
            if self.records is not None:
                self.records.save()
        except Exception as error:  # a failure to save the data never fails a run
            self.totals.notices.append(run_messages.no_cache(error))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Write the results after pytest's last line, when the exit status is final."""
        is_ours = os.getpid() == self.session.pid
        if is_ours:
            fork_state.write_all(self.totals.at_exit)
        outcomes = self.outcomes
        if outcomes is None or outcomes.session is None or not is_ours:
            return
        if self.options.json is not None:
            try:
                with ORIGINAL_NAMES:
                    results_file.write(self.options.json, outcomes.document())
            except OSError as error:
                text = messages.results_not_written(self.options.json, error)
                print(console.PREFIX + text, file=sys.__stderr__)
        if tells_github(config, self.options, self.rerun):
            with ORIGINAL_NAMES:
                github.tell(config, outcomes)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for text in self.totals.notices:
            console.notice(self.config, text)
        if self.loop is None or self.rerun is not None:
            return  # after a rerun, the watcher's own line follows
        if console.is_quiet(self.config):
            self._warn_of_records()
        else:
            self._close(terminalreporter)

    def _close(self, terminalreporter: Any) -> None:
        """Write the closing lines."""
        self._say_of_fixtures(terminalreporter)
        warmed = self.totals.warmed
        if warmed is not None:
            for line in run_messages.warmed(
                warmed.modules, warmed.seconds, self.totals.quarantine, self.config.get_verbosity()
            ):
                terminalreporter.write_line(line)
        if self.totals.warm_functions and self.config.get_verbosity() > 0:
            said = run_messages.warmed_functions(self.totals.warm_functions)
            terminalreporter.write_line(console.PREFIX + said)
        self._say_of_records(terminalreporter)
        done = self.totals
        if self.config.get_verbosity() > 0 and (done.rewound or done.rewind_refusals):
            terminalreporter.write_line(
                run_messages.rewound(done.rewound, done.rewind_seconds, done.rewind_refusals)
            )
        if self.totals.files:
            terminalreporter.write_line(self._closing())

    def _say_of_fixtures(self, terminalreporter: Any) -> None:
        done, slots = self.totals, self.session.slots
        if done.fixtures_once:
            terminalreporter.write_line(run_messages.fixtures_once(done.fixtures_once, slots))
        costs, saved = done.costly_fixtures(slots)
        explained = [each for each in done.fixtures_refused if each[0] in costs]
        for each in explained:
            terminalreporter.write_line(run_messages.fixtures_refused(*each))
        told = {*done.fixtures_once, *(each[0] for each in explained)}
        rest = {name: cost for name, cost in costs.items() if name not in told}
        if rest:
            terminalreporter.write_line(run_messages.costly_fixtures(rest, saved))

    def _closing(self) -> str:
        done = self.totals
        if self.hosts is not None:
            return self.hosts.closing(done.files, done.children)
        return run_messages.closing(done.files, done.children, done.saving, done.fell_back)

    def _warn_of_records(self) -> None:
        records = self.records
        if records is None:
            return
        if records.lost:
            console.notice(self.config, affected_messages.records_lost(records.lost))
            return
        if records.doubt:
            console.notice(self.config, records.doubt)
        for text in records.notes():
            console.notice(self.config, affected_messages.ignored(text))

    def _say_of_records(self, terminalreporter: Any) -> None:
        self._warn_of_records()
        records, reuse = self.records, self.reuse
        if records is None or records.lost:
            return
        lines = reuse.summary() if reuse is not None else []
        for line in lines or [console.PREFIX + records.summary()]:
            terminalreporter.write_line(line)
