"""pytest's hooks: picks this process's role and hands over to it.

Nothing here runs without ``--hotreload`` (or the ini), and a pytest inside a test of ours meets an
inert plugin.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import (
    ci_messages,
    compat,
    github,
    host_messages,
    nodes,
    options,
    others,
    reset,
    resultfile,
    standing,
    terminal,
    totals,
)
from .bookkeeping import Bookkeeper
from .declarations import Declarations
from .early_readers import WorkerIdWatch
from .errors import ChildInternalError, usage_error
from .host_protocol import ENVIRONMENT as HOST
from .inplace import InPlace
from .outcomes import Outcomes
from .protocol import ENVIRONMENT
from .records import Records
from .reuse import Reuse
from .selection import Selection
from .sharding import Sharding
from .threads import ThreadWatch

if TYPE_CHECKING:
    from .apart import Apart
    from .controller import RunLoop
    from .gathering import Gathering
    from .host import Host
    from .hosts import Hosts
    from .rerun import Rerun
    from .template import Template

_KEY = pytest.StashKey["Active"]()
#: The process that a run belongs to: an inner pytest (pytester) in it or in a child stays plain.
_owner: int | None = None


class Active:
    """One session under hotreload: its options, and what becomes of it.

    ``sys_path``: as it was before the first conftest. ``early_readers``: first-party files that read
    the worker id while they were imported or configured, in words, or "".
    """

    def __init__(self, config: pytest.Config, chosen: options.Options, host: Host | None = None) -> None:
        self.config, self.options, self.host = config, chosen, host
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
        self.lifeline = os.pipe()
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

    def lost_cache(self, error: OSError) -> None:
        """It can't be written. Said once."""
        if not self._lost_cache:
            self._lost_cache = True
            self.totals.notices.append(terminal.no_cache(error))

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


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser, compat.declared_options(parser))


def stand_aside() -> None:
    """In a command that asks pytest and runs nothing: be inert, whatever the ini says."""
    global _owner
    _owner = os.getpid()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config,
) -> Generator[None, object, object]:
    global _owner
    if _owner is not None:
        return (yield)
    starting = standing.template_start()
    if starting is not None:
        raise starting
    apart = _spawned()
    if apart is None:
        namespace, host = early_config.known_args_namespace, _host()
        if host is None and not options.wanted(early_config, namespace):
            return (yield)
        apart = _activate(early_config, namespace, host)
    _owner = os.getpid()
    if apart is None:
        return (yield)
    apart.begin(early_config)
    try:
        return (yield)
    except BaseException as error:
        apart.failed(error)
        raise


def _spawned() -> Apart | None:
    """In a fresh interpreter that a controller started: its role."""
    if ENVIRONMENT not in os.environ:
        return None
    from .apart import Apart

    return Apart.spawned()


def _host() -> Host | None:
    """In a pytest that another machine's controller had started: its role."""
    if HOST not in os.environ:
        return None
    from .host import Host

    return Host.started()


def _activate(config: pytest.Config, namespace: Any, host: Host | None) -> Apart | None:
    """In the controller: set everything up, and park the template. In its children: their role."""
    others.refuse(namespace)
    chosen = options.read(config, namespace, host=host is not None)
    chosen = chosen if host is None else host.options(chosen)
    if chosen.watch and not standing.is_standing() and not _only_asks(namespace):
        from .watch import watch

        watch(config, chosen)
    if chosen.json is not None and not _only_asks(namespace):
        _prepare_results(chosen.json)
    active = Active(config, chosen, host)
    _open_hosts(active, namespace)
    if chosen.start == "fork" and not (chosen.direct or chosen.hosts or standing.is_standing()):
        apart = _park_template(active)
        if apart is not None:
            return apart
    if active.worker_ids is not None:
        active.worker_ids.begin()  # below the observer's watch, which asks who its caller is
    # Without a cache there is no place for them; files that share a child can't be told apart.
    if chosen.records and chosen.isolate != "worker" and config.pluginmanager.hasplugin("cacheprovider"):
        active.records = Records(config, os.environ)
    if (chosen.report or chosen.trace) and not standing.is_standing():
        from .gathering import Gathering

        active.gathering = Gathering(config, active)
    config.stash[_KEY] = active
    config.add_cleanup(lambda: _forget(active))
    config.pluginmanager.register(active.threads, "hotreload-threads")
    if host is not None:
        host.join(config)
    nodes.join_convention(config, several=chosen.slots > 1 or host is not None or bool(chosen.hosts))
    return None


def _open_hosts(active: Active, namespace: Any) -> None:
    """They start while this process loads conftests; for a run, not for a list."""
    lists = namespace.collectonly or getattr(namespace, "setupplan", False) or _only_asks(namespace)
    if lists or not active.options.hosts:
        return
    if others.measures_coverage():  # what pytest-cov has not begun yet
        raise host_messages.coverage_here_only()
    from .hosts import Hosts

    slots = options.slots_by_number(namespace)
    active.hosts = Hosts(active.config, active.options.hosts, slots, active.lifeline[0], os.environ)


def _park_template(active: Active) -> Apart | None:
    """In its forks: their role. A rerun of a watch has the watch's, which stands above."""
    from . import template

    try:
        active.template, become = template.park(active.lifeline)
    except OSError as error:
        active.totals.fell_back.append(terminal.no_fork(error))
        return None
    if become is None:
        return None
    from .apart import Apart

    return Apart(become.start, become.descriptors, active.lifeline[0])


def _prepare_results(path: Path) -> None:
    """Of a run that does not come to its end there must be none, least of all that of an earlier one."""
    try:
        resultfile.prepare(path)
    except OSError as error:
        raise usage_error(
            ci_messages.results_not_written(path, error), hint="name a file in a folder that can be written"
        ) from None


def _only_asks(namespace: Any) -> bool:
    """For a text, not for a run."""
    return any(getattr(namespace, name, None) for name in ("help", "version", "markers", "showfixtures"))


def _forget(active: Active) -> None:
    global _owner
    if _owner == os.getpid():
        _owner = None
        active.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    if _KEY in config.stash:
        others.stop_xdist(config)
        if standing.is_standing():
            _park(config, config.stash[_KEY])
    return (yield)


def _park(config: pytest.Config, active: Active) -> None:
    """Be a fork point of a watch; comes back as a rerun."""
    global _owner
    from . import birth, controller  # noqa: F401 - each rerun finds them imported
    from .rerun import Rerun

    observer = active.records.observer if active.records is not None else None
    channel, first_party = standing.park(config, observer)
    _owner = os.getpid()
    active.reborn()
    active.rerun = Rerun(config, active.options, active.records, channel, first_party)
    if active.rerun.go.first == "affected":
        active.options = replace(active.options, affected=True)
    if active.rerun.go.debug:
        active.options = replace(active.options, slots=1, direct=True)
    active.totals = totals.Totals()
    config.pluginmanager.register(active.rerun, "hotreload-rerun")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", options.MARKER)
    if _KEY in config.stash:
        from .child import Reporter

        _keep_records(config, config.stash[_KEY])
        _gather(config, config.stash[_KEY])
        config.pluginmanager.register(Run(config.stash[_KEY]), "hotreload-run")
        if config.stash[_KEY].gathering is not None:
            config.pluginmanager.register(config.stash[_KEY].gathering, "hotreload-gathering")
        config.pluginmanager.register(Reporter(config), "hotreload-reporter")


def _keep_records(config: pytest.Config, active: Active) -> None:
    active.declarations = declarations = Declarations(config)
    if active.records is not None:
        config.pluginmanager.register(Bookkeeper(active.records, declarations), "hotreload-bookkeeper")
    if active.options.reuse != "off" and not active.options.watch:
        active.reuse = Reuse(config, active.options, active.records, declarations)
        config.pluginmanager.register(active.reuse, "hotreload-reuse")
    if active.options.affected:
        config.pluginmanager.register(Selection(active.records, active.options), "hotreload-selection")
    if active.options.shard is not None:
        sharding = Sharding(config, active.options, active.records)
        config.pluginmanager.register(sharding, "hotreload-sharding")


def _gather(config: pytest.Config, active: Active) -> None:
    """For those who want to know what became of each test."""
    if active.options.json is not None or _tells_github(active):
        active.outcomes = Outcomes(config, active.records)
        config.pluginmanager.register(active.outcomes, "hotreload-outcomes")


def _tells_github(active: Active) -> bool:
    """Of a run, not of a list or a plan, and not of each rerun."""
    asks = active.config.option.collectonly or active.options.shard_plan is not None
    return active.rerun is None and not asks and github.wanted(os.environ)


class Run:
    """The hooks of a controller."""

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
        where = "" if hosts is None else host_messages.hosts([(host.name, host.slots) for host in hosts.all])
        return terminal.header(self.active.options, self.config.get_verbosity(), where)

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
        reason = others.needs_plain(config, session.items, self.active.slots)
        if reason:
            self.active.drop_records()
            if self.active.outcomes is not None:
                self.active.outcomes.left_to_plain = reason
            terminal.notice(config, terminal.left_to_plain(reason))
            return None
        if InPlace.fits(self.active, session):
            self._run_in_place(session)
            return None  # pytest's own loop goes on
        self._run(session)
        return True

    def _run_in_place(self, session: pytest.Session) -> None:
        active = self.active
        active.stop_watching()
        totals.load(self.config, active.totals)
        active.in_place = InPlace(session, active)
        self.config.pluginmanager.register(active.in_place, "hotreload-in-place")

    def _run(self, session: pytest.Session) -> None:
        from .birth import Born

        active = self.active
        active.stop_watching()
        active.totals.start_cpu = time.process_time()
        totals.load(self.config, active.totals)
        if active.reuse is not None:
            active.reuse.decide(session.items)
        reporter: Any = self.config.pluginmanager.get_plugin("hotreload-reporter")
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
            from .distribution import DistributingLoop

            return DistributingLoop(session, active, reporter, active.hosts)
        if active.host is not None:
            from .host import HostLoop

            active.host.worker_for_good(self.config)
            return HostLoop(session, active, reporter, active.host)
        from .controller import RunLoop

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
            compat.set_interrupt_memo(self.config, loop.replay.memo)

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
            active.reuse.verify(session)
        if active.rerun is None:
            self._save(session, active.records)
        else:  # when nobody waits for it
            active.rerun.after_all = partial(self._save, session, active.records)

    def _save(self, session: pytest.Session, records: Records | None) -> None:
        active = self.active
        try:
            if active.loop is not None or active.in_place is not None:
                totals.save(self.config, session.items, active.totals)
            if records is not None:
                records.save()
        except OSError as error:
            active.lost_cache(error)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """After pytest's last line, when the exit status is what it will be."""
        active = self.active
        if active.outcomes is None or active.outcomes.session is None or os.getpid() != _owner:
            return
        if active.options.json is not None:
            try:
                resultfile.write(active.options.json, active.outcomes.document())
            except OSError as error:
                text = ci_messages.results_not_written(active.options.json, error)
                print(terminal.PREFIX + text, file=sys.stderr)
        if _tells_github(active):
            github.tell(config, active.outcomes)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        active = self.active
        if active.loop is None or self.config.get_verbosity() < 0:
            return
        for text in active.totals.notices:
            terminalreporter.write_line(terminal.PREFIX + text, yellow=True)
        if active.rerun is not None:
            return  # the watcher's own line follows
        costs, saved = active.totals.costly_fixtures(active.slots)
        if costs:
            terminalreporter.write_line(terminal.costly_fixtures(costs, saved))
        warmed = active.totals.warmed
        if warmed is not None:
            for line in terminal.warmed(
                warmed.modules, warmed.seconds, active.quarantine, self.config.get_verbosity()
            ):
                terminalreporter.write_line(line)
        self._say_of_records(terminalreporter)
        if not active.totals.files:
            return
        if active.hosts is not None:
            terminalreporter.write_line(
                host_messages.closing(active.totals.files, active.totals.children, len(active.hosts.all))
            )
            return
        terminalreporter.write_line(
            terminal.closing(
                active.totals.files,
                active.totals.children,
                active.options.slots,
                active.totals.start_cpu,
                active.totals.fell_back,
            )
        )

    def _say_of_records(self, terminalreporter: Any) -> None:
        records, reuse = self.active.records, self.active.reuse
        if records is None:
            return
        for text in records.notes():
            terminalreporter.write_line(terminal.PREFIX + terminal.ignored(text), yellow=True)
        lines = reuse.summary() if reuse is not None else []
        for line in lines or [terminal.PREFIX + records.summary()]:
            terminalreporter.write_line(line)
