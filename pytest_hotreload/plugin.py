"""pytest's hooks: picks this process's role and hands over to it.

Nothing here runs without ``--hotreload`` (or the ini), and a pytest inside a test of ours meets an
inert plugin.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hotreload import options
from pytest_hotreload.ci import messages, results_file
from pytest_hotreload.ci.outcomes import Outcomes
from pytest_hotreload.ci.sharding import Sharding
from pytest_hotreload.compat import gathered_hookspecs, plugins, pytest_config, xdist
from pytest_hotreload.host_options import HOST_ENVIRONMENT
from pytest_hotreload.hosts import messages as hosts_messages
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process.messages import ENVIRONMENT
from pytest_hotreload.records import totals
from pytest_hotreload.records.affected import Selection
from pytest_hotreload.records.collection_hooks import Bookkeeper
from pytest_hotreload.records.declarations import Declarations
from pytest_hotreload.records.records import Records
from pytest_hotreload.records.reuse import Reuse
from pytest_hotreload.run import messages as run_messages
from pytest_hotreload.run.hooks import Run, tells_github
from pytest_hotreload.run.session import Active
from pytest_hotreload.usage import usage_error
from pytest_hotreload.watch.standby import park
from pytest_hotreload.world import os

if TYPE_CHECKING:
    from pytest_hotreload.hosts.host import Host
    from pytest_hotreload.run.child.self_collecting import Apart

_KEY = pytest.StashKey["Active"]()
#: The process that a run belongs to: an inner pytest (pytester) in it or in a child stays plain.
_owner: int | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser, pytest_config.declared_options(parser))


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Always: a conftest may implement them."""
    pluginmanager.add_hookspecs(gathered_hookspecs)


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
    starting = park.template_start()
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
    from pytest_hotreload.run.child.self_collecting import Apart

    return Apart.spawned()


def _host() -> Host | None:
    """In a pytest that another machine's controller had started: its role."""
    if HOST_ENVIRONMENT not in os.environ:
        return None
    from pytest_hotreload.hosts.host import Host

    return Host.started()


def _activate(config: pytest.Config, namespace: Any, host: Host | None) -> Apart | None:
    """In the controller: set everything up, and park the template. In its children: their role."""
    if not _only_asks(namespace):
        # An import goes through the world that conftests and test files make.
        import pytest_hotreload.run.child.entry
        import pytest_hotreload.run.gathered.carry
        import pytest_hotreload.run.loop  # noqa: F401

        ORIGINAL_NAMES.remember()
    plugins.refuse(namespace)
    chosen = options.read(config, namespace, host=host is not None)
    chosen = chosen if host is None else host.options(chosen)
    if chosen.watch and not park.is_standing() and not _only_asks(namespace):
        from pytest_hotreload.watch.watcher import watch

        watch(config, chosen)
    if chosen.json is not None and not _only_asks(namespace):
        _prepare_results(chosen.json)
    active = Active(config, chosen, host)
    _open_hosts(active, namespace)
    if chosen.start == "fork" and not (chosen.direct or chosen.hosts or park.is_standing()):
        apart = _park_template(active)
        if apart is not None:
            return apart
    if active.worker_ids is not None:
        active.worker_ids.begin()  # below the observer's watch, which asks who its caller is
    # Without a cache there is no place for them; files that share a child can't be told apart.
    if chosen.records and chosen.isolate != "worker" and config.pluginmanager.hasplugin("cacheprovider"):
        active.records = Records(config, os.environ)
    if (chosen.report or chosen.trace) and not park.is_standing():
        from pytest_hotreload.report.collector import Gathering

        active.gathering = Gathering(config, active)
    config.stash[_KEY] = active
    config.add_cleanup(lambda: _forget(active))
    config.pluginmanager.register(active.threads, "hotreload-threads")
    if host is not None:
        host.join(config)
    xdist.join_convention(config, several=chosen.slots > 1 or host is not None or bool(chosen.hosts))
    return None


def _open_hosts(active: Active, namespace: Any) -> None:
    """They start while this process loads conftests; for a run, not for a list."""
    lists = namespace.collectonly or getattr(namespace, "setupplan", False) or _only_asks(namespace)
    if lists or not active.options.hosts:
        return
    if plugins.measures_coverage():  # what pytest-cov has not begun yet
        raise hosts_messages.coverage_here_only()
    from pytest_hotreload.hosts import dispatch  # noqa: F401 - before conftests, as all that a run needs
    from pytest_hotreload.hosts.hosts import Hosts

    slots = options.slots_by_number(namespace)
    active.hosts = Hosts(active.config, active.options.hosts, slots, active.lifeline[0], os.environ)


def _park_template(active: Active) -> Apart | None:
    """In its forks: their role. A rerun of a watch has the watch's, which stands above."""
    from pytest_hotreload.process import template

    try:
        active.template, become = template.park(active.lifeline)
    except OSError as error:
        active.totals.fell_back.append(run_messages.no_fork(error))
        return None
    if become is None:
        return None
    from pytest_hotreload.run.child.self_collecting import Apart

    return Apart(become.start, become.descriptors, active.lifeline[0], active.sys_path)


def _prepare_results(path: Path) -> None:
    """Of a run that does not come to its end there must be none, least of all that of an earlier one."""
    try:
        results_file.prepare(path)
    except OSError as error:
        raise usage_error(
            messages.results_not_written(path, error), hint="name a file that you can write"
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
        plugins.stop_xdist(config)
        if park.is_standing():
            _park(config, config.stash[_KEY])
    return (yield)


def _park(config: pytest.Config, active: Active) -> None:
    """Be a fork point of a watch; comes back as a rerun."""
    global _owner
    from pytest_hotreload.run import loop  # noqa: F401 - each rerun finds them imported
    from pytest_hotreload.watch.standby.rerun import Rerun

    observer = active.records.observer if active.records is not None else None
    since = active.records.started_ns if active.records is not None else 0
    channel, first_party, pulse = park.park(config, observer, since)
    _owner = os.getpid()
    active.reborn()
    active.rerun = Rerun(config, active.options, active.records, channel, first_party, pulse)
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
        from pytest_hotreload.run.child.child import Reporter

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
    if active.options.json is not None or tells_github(active):
        active.outcomes = Outcomes(config, active.records)
        config.pluginmanager.register(active.outcomes, "hotreload-outcomes")
