"""pytest's hooks: determine the role of this process and hand over to it.

Nothing here is active without ``--hotreload`` (or the ini option), and a pytest that runs inside one of our
tests sees an inactive plugin.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload import option_declarations, options
from pytest_hotreload.ci import messages, results_file
from pytest_hotreload.ci.outcomes import Outcomes
from pytest_hotreload.ci.sharding import Sharding
from pytest_hotreload.compat import gathered_hookspecs, plugins, pytest_config, pytest_output, xdist
from pytest_hotreload.compat.worker_id import WorkerIdWatch
from pytest_hotreload.host_options import HOST_ENVIRONMENT
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.imports.threads import ThreadWatch
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import adoption, open_files
from pytest_hotreload.process.inheritance import SharedByForks
from pytest_hotreload.process.messages import ENVIRONMENT
from pytest_hotreload.records.affected import Selection
from pytest_hotreload.records.collection_hooks import Bookkeeper, EventOwners
from pytest_hotreload.records.declarations import Declarations
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.records.reuse import Reuse
from pytest_hotreload.records.totals import Totals
from pytest_hotreload.run import messages as run_messages
from pytest_hotreload.run.child import reset
from pytest_hotreload.run.hooks import RunHooks, tells_github
from pytest_hotreload.run.session import Configured, RunSession
from pytest_hotreload.usage import usage_error
from pytest_hotreload.watch.standby import park, prepared, run_facts
from pytest_hotreload.watch.standby.template import template_start
from pytest_hotreload.world import os, replaced, time

if TYPE_CHECKING:
    from pytest_hotreload.hosts.hosts import Hosts
    from pytest_hotreload.hosts.role import HostRole
    from pytest_hotreload.options import Options
    from pytest_hotreload.process.template import Become, Template
    from pytest_hotreload.report.collector import TimelineCollector
    from pytest_hotreload.run.child.self_collecting import SelfCollectingChild
    from pytest_hotreload.run.context import RunSetup
    from pytest_hotreload.run.loop import RunLoop

_KEY = pytest.StashKey["RunSession"]()
#: The id of the process that a run belongs to: an inner pytest (pytester) in it or in a child stays plain.
_owner: int | None = None
#: Whether a session has run in this process: then the CPU time of the process is not that of pytest's start.
_ran_before = False


def pytest_addoption(parser: pytest.Parser) -> None:
    option_declarations.add_options(parser, pytest_config.declared_options(parser))


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare our hooks in every run, because a conftest may implement them."""
    pluginmanager.add_hookspecs(gathered_hookspecs)


def stand_aside() -> None:
    """Make the plugin inactive whatever the ini file says, in a command that queries pytest without running tests."""
    global _owner
    _owner = os.getpid()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config,
) -> Generator[None, object, object]:
    global _owner
    adoption.pytest_begins()
    if _owner is not None:
        return (yield)
    starting = template_start()
    if starting is not None:
        raise starting
    if prepared.is_preparing() and not options.wanted(early_config, early_config.known_args_namespace):
        prepared.begin(early_config, None)
        return (yield)
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


def _spawned() -> SelfCollectingChild | None:
    """Return the role of a fresh interpreter that a controller started, or None."""
    if ENVIRONMENT not in os.environ:
        return None
    from pytest_hotreload.run.child.self_collecting import SelfCollectingChild

    return SelfCollectingChild.spawned()


def _host() -> HostRole | None:
    """Return the role of a pytest that another machine's controller started, or None."""
    if HOST_ENVIRONMENT not in os.environ:
        return None
    # Import the run loop now: later imports would run through whatever conftests have replaced.
    import pytest_hotreload.hosts.host  # noqa: F401
    from pytest_hotreload.hosts.role import HostRole

    return HostRole.started()


def _activate(config: pytest.Config, namespace: Any, host: HostRole | None) -> SelfCollectingChild | None:
    """Set up the run and park the template, in the controller; return the role in children of the template."""
    global _ran_before
    if not _only_asks(namespace):
        # Import now: later imports would run through whatever conftests and test files have replaced.
        import pytest_hotreload.run.child.entry
        import pytest_hotreload.run.gathered.carry
        import pytest_hotreload.run.loop  # noqa: F401

        ORIGINAL_NAMES.remember()
    plugins.refuse(namespace)
    chosen = options.read(config, namespace, host=host is not None)
    is_ahead = _is_ahead(chosen)
    chosen = chosen if host is None else host.options(chosen)
    if chosen.watch and not park.is_standing() and not _only_asks(namespace):
        from pytest_hotreload.watch.watcher import watch

        watch(config, chosen)
    if chosen.json is not None and not _only_asks(namespace):
        _prepare_results(chosen.json)
    totals = Totals(earlier_cpu=0.0 if _is_program() and not _ran_before else time.process_time())
    _ran_before = True
    lifeline, sys_path, threads = os.pipe(), tuple(sys.path), ThreadWatch()
    shared = SharedByForks() if chosen.slots > 1 else None
    worker_ids, gc_thresholds = _worker_ids(config, chosen, host), reset.raise_gc_thresholds()
    hosts = _open_hosts(config, chosen, namespace, lifeline[0])
    template = None
    open_files.keep(pytest_output.saved_descriptors(config).values())
    if chosen.start == "fork" and not (chosen.direct or chosen.hosts or is_ahead):
        template, become = _park_template(lifeline, totals)
        if become is not None:
            return _apart(become, lifeline[0], sys_path)
    if worker_ids is not None:
        worker_ids.begin()  # before the observer, which inspects its caller
    # Without a cache, records have no place; files that share a child can't be told apart.
    keeps = chosen.records and chosen.isolate != "worker" and config.pluginmanager.hasplugin("cacheprovider")
    records = RunRecords(config, os.environ) if keeps else None
    if is_ahead:
        prepared.begin(config, records.observer if records is not None else None)
    version = ""
    if chosen.json is not None:  # now, since a conftest may replace what reads the metadata
        from pytest_hotreload import __version__ as version
    config.stash[_KEY] = RunSession(
        config=config,
        options=chosen,
        make_loop=partial(_make_loop, hosts, host),
        is_host=host is not None,
        lifeline=lifeline,
        sys_path=sys_path,
        shared=shared,
        gc_thresholds=gc_thresholds,
        threads=threads,
        worker_ids=worker_ids,
        hosts=hosts,
        template=template,
        records=records,
        timeline=_gathering(config, chosen, records, totals),
        totals=totals,
        pid=os.getpid(),
        version=version,
    )
    config.add_cleanup(lambda: _forget(config))
    config.pluginmanager.register(threads, "hotreload-threads")
    if host is not None:
        host.join(config)
    xdist.join_convention(config, several=chosen.slots > 1 or host is not None or bool(chosen.hosts))
    return None


def _is_ahead(chosen: Options) -> bool:
    """Return whether runs will be forked from this process, which then needs no template for them."""
    if prepared.is_preparing():
        prepared.refuse(chosen)
    return park.is_standing() or prepared.is_preparing()


def _is_program() -> bool:
    """Whether this process is the command pytest, so that its CPU time so far is that of pytest's start."""
    name = Path(sys.argv[0]) if sys.argv else Path()
    return name.name in ("pytest", "py.test") or name.parts[-2:] == ("pytest", "__main__.py")


def _worker_ids(config: pytest.Config, chosen: Options, host: HostRole | None) -> WorkerIdWatch | None:
    if host is not None:
        return WorkerIdWatch(config, host.workerinput)
    return WorkerIdWatch(config) if chosen.slots > 1 and not chosen.hosts else None


def _gathering(
    config: pytest.Config, chosen: Options, records: RunRecords | None, totals: Totals
) -> TimelineCollector | None:
    if not (chosen.report or chosen.trace) or park.is_standing():
        return None
    from pytest_hotreload.report.collector import TimelineCollector

    return TimelineCollector(config, chosen, records, totals)


def _make_loop(
    hosts: Hosts | None, host: HostRole | None, session: pytest.Session, setup: RunSetup
) -> RunLoop:
    """Create the run loop for the role of this process."""
    if hosts is not None:
        from pytest_hotreload.hosts.dispatch import DistributingLoop

        return DistributingLoop(session, setup, hosts)
    if host is not None:
        from pytest_hotreload.hosts.host import HostLoop

        return HostLoop(session, setup, host)
    from pytest_hotreload.run.loop import RunLoop

    return RunLoop(session, setup)


def _open_hosts(config: pytest.Config, chosen: Options, namespace: Any, lifeline: int) -> Hosts | None:
    """Start the hosts while this process loads conftests; only for a run, not for listing tests."""
    lists = namespace.collectonly or getattr(namespace, "setupplan", False) or _only_asks(namespace)
    if lists or not chosen.hosts:
        return None
    if plugins.measures_coverage():  # pytest-cov has not started yet, so another tool measures
        raise hosts_messages.coverage_here_only()
    from pytest_hotreload.hosts import dispatch  # noqa: F401 - imported before conftests, like all modules of a run
    from pytest_hotreload.hosts.hosts import Hosts

    return Hosts(config, chosen.hosts, options.slots_by_number(namespace), lifeline, os.environ)


def _park_template(lifeline: tuple[int, int], totals: Totals) -> tuple[Template | None, Become | None]:
    """Fork the template; return the role in its children. A rerun of a watch uses the template of the watch."""
    from pytest_hotreload.process import template

    try:
        return template.park(lifeline)
    except OSError as error:
        totals.fell_back.append(run_messages.no_fork(error))
        return None, None


def _apart(become: Become, lifeline: int, sys_path: Sequence[str]) -> SelfCollectingChild:
    """Return the role of a child of the template."""
    from pytest_hotreload.run.child.self_collecting import SelfCollectingChild

    return SelfCollectingChild(become.start, become.descriptors, lifeline, sys_path)


def _prepare_results(path: Path) -> None:
    """Prepare the results file, so that an unfinished run leaves none, not even that of an earlier run."""
    try:
        results_file.prepare(path)
    except OSError as error:
        raise usage_error(
            messages.results_not_written(path, error), hint="name a file that you can write"
        ) from None


def _only_asks(namespace: Any) -> bool:
    """Return whether the command line only requests a text, and no run."""
    return any(getattr(namespace, name, None) for name in ("help", "version", "markers", "showfixtures"))


def _forget(config: pytest.Config) -> None:
    global _owner
    if _owner == os.getpid():
        _owner = None
        config.stash[_KEY].close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    if _KEY in config.stash:
        plugins.stop_xdist(config)
        if park.is_standing():
            _park(config, config.stash[_KEY])
    if prepared.is_preparing():
        _wait_for_run(config)
    elif park.is_attached() and (_owner is None or _KEY in config.stash):
        run_facts.begin(config, is_active=_KEY in config.stash)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    run_facts.collecting()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    adoption.before_tests()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    prepared.unconfigured(config)


def _wait_for_run(config: pytest.Config) -> None:
    """Wait until the run is asked for that this process prepares; returns in a fork, as this run."""
    global _owner
    session = config.stash.get(_KEY, None)
    if session is None:
        prepared.wait_for_run(config)
        return
    from pytest_hotreload.run import loop  # noqa: F401 - imported before runs are forked

    since = session.records.started_ns if session.records is not None else 0
    held = prepared.wait_for_run(config, since, is_active=True)
    _owner = os.getpid()
    config.stash[_KEY] = session = session.after_fork()._replace(totals=Totals())
    if session.records is not None:
        session.records.after_fork(held)
        session.records.watched = False


def _park(config: pytest.Config, session: RunSession) -> None:
    """Become a fork point of a watch; returns in a fork, as a rerun."""
    global _owner
    from pytest_hotreload.run import loop  # noqa: F401 - imported before reruns are forked
    from pytest_hotreload.watch.standby.rerun import RerunSession

    observer = session.records.observer if session.records is not None else None
    since = session.records.started_ns if session.records is not None else 0
    channel, first_party, pulse = park.park(config, observer, since)
    _owner = os.getpid()
    config.stash[_KEY] = session = session.after_fork()
    rerun = RerunSession(config, session.options, session.records, channel, first_party, pulse)
    chosen = session.options
    if rerun.go.first == "affected":
        chosen = replaced(chosen, affected=True)
    if rerun.go.debug:
        chosen = replaced(chosen, slots=1, direct=True)
    config.stash[_KEY] = session._replace(options=chosen, totals=Totals(), rerun=rerun)
    config.pluginmanager.register(rerun, "hotreload-rerun")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", option_declarations.MARKER)
    is_host = _KEY in config.stash and config.stash[_KEY].is_host
    if config.option.hotreload_json_lines and not is_host and not hasattr(config, "workerinput"):
        from pytest_hotreload.report.json_lines import JsonLines

        config.pluginmanager.register(JsonLines(config), "hotreload-json-lines")
    if _KEY in config.stash:
        from pytest_hotreload.run.child.reporter import Reporter

        session = config.stash[_KEY]
        configured = _configured(config, session)
        config.pluginmanager.register(RunHooks(session, configured), "hotreload-run")
        if session.timeline is not None:
            config.pluginmanager.register(session.timeline, "hotreload-gathering")
        config.pluginmanager.register(Reporter(config), "hotreload-reporter")


def _configured(config: pytest.Config, session: RunSession) -> Configured:
    """Register the plugins that this session needs."""
    chosen, records, register = session.options, session.records, config.pluginmanager.register
    declarations, reuse, outcomes = Declarations(config), None, None
    if records is not None:
        register(EventOwners(records.observer), "hotreload-event-owners")
        register(Bookkeeper(records, declarations), "hotreload-bookkeeper")
    if chosen.reuse != "off" and not chosen.watch:
        reuse = Reuse(config, chosen, records, declarations)
        register(reuse, "hotreload-reuse")
    if chosen.affected:
        register(Selection(records, chosen), "hotreload-selection")
    if chosen.shard is not None:
        register(Sharding(config, chosen, records), "hotreload-sharding")
    if chosen.json is not None or tells_github(config, chosen, session.rerun):
        outcomes = Outcomes(config, records, session.totals, session.version)
        register(outcomes, "hotreload-outcomes")
    return Configured(declarations, reuse, outcomes)
