"""Known plugins and tools that need more than pytest's hooks: coverage, benchmarks, testmon, xdist."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import foreign
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import BUILTINS, MODULES, contextlib, pytest

__builtins__ = BUILTINS


def refuse(namespace: Any) -> None:
    """Plugins that do the same job by other means. Raises :class:`pytest.UsageError`."""
    if getattr(namespace, "testmon", False) or getattr(namespace, "testmon_noselect", False):
        raise usage_error(
            "--hotreload and --testmon both select the tests to run", hint="leave one of the two out"
        )


def needs_plain(config: pytest.Config, items: list[pytest.Item], slots: int) -> str | None:
    """Why this run is left to plain pytest, or None."""
    option = config.option
    if getattr(option, "codspeed", False):
        return "pytest-codspeed measures inside the process"
    if getattr(option, "memray", False):
        return "pytest-memray measures inside the process"
    if hasattr(option, "benchmark_disable") and not _benchmarks_off(option) and _use(items, "benchmark"):
        return "pytest-benchmark keeps its results in the process"
    if _rewrites_snapshots(config):
        return "inline-snapshot keeps its snapshots in the process (--inline-snapshot=disable runs children)"
    # With more slots its reports travel by xdist's convention, which one slot is not to show.
    if slots == 1 and config.pluginmanager.hasplugin("syrupy") and _use(items, "snapshot"):
        return "syrupy keeps its snapshots in the process where there is one slot"
    return None


def _rewrites_snapshots(config: pytest.Config) -> bool:
    """Whether inline-snapshot is at work (``_global_state.state().active``) and code of the user's asks for it."""
    module = MODULES.get("inline_snapshot._global_state")
    if module is None or not config.pluginmanager.hasplugin("inline-snapshot-plugin"):
        return False
    return bool(module.state().active) and any(map(_asks_for_snapshots, list(MODULES.values())))


def _asks_for_snapshots(module: Any) -> bool:
    """Whether it is a module of the user's that has imported something of inline-snapshot."""
    if type(module) is not ModuleType:
        return False
    names = foreign.module_dict(module)
    file = names.get("__file__")
    if not file or is_installed(str(file)):
        return False
    return any(_is_of(value, "inline_snapshot") for value in list(names.values()))


def _is_of(value: Any, package: str) -> bool:
    function, name = foreign.function_of(value), ""
    if function is not None:
        name = function.__module__
    elif type(value) is ModuleType:
        name = str(foreign.module_dict(value).get("__name__"))
    else:
        name = foreign.module_of(value if foreign.is_a(value, type) else type(value))
    return str(name).partition(".")[0] == package


def _use(items: list[pytest.Item], fixture: str) -> bool:
    return any(fixture in getattr(item, "fixturenames", ()) for item in items)


def _benchmarks_off(option: Any) -> bool:
    return bool(getattr(option, "benchmark_disable", False) or getattr(option, "benchmark_skip", False))


def stop_xdist(config: pytest.Config) -> None:
    """``-n`` was read as the number of slots; xdist itself must not start."""
    option = config.option
    if hasattr(option, "numprocesses"):
        option.numprocesses = None
        option.dist = "no"
        option.distload = False
        option.tx = []


def tell_of_death(config: pytest.Config, item: pytest.Item, report: pytest.TestReport) -> None:
    """A process died with ``item``: allure writes a result in the process that ran the test, so in this one instead.

    Its own hooks make it (allure-pytest 2.13 to 2.16: ``AllureListener``, hooks as generators; ``_cache``,
    ``allure_logger``). Raises what they raise.
    """
    listener: Any = config.pluginmanager.get_plugin("allure_listener")
    model: Any = MODULES.get("allure_commons.model2")
    if listener is None or model is None:
        return
    started: dict[Any, Any] = listener._cache._items
    before = dict(started)
    protocol = listener.pytest_runtest_protocol(item=item, nextitem=None)
    next(protocol)
    for hook in (listener.pytest_runtest_setup, listener.pytest_runtest_teardown):
        around = hook(item=item)
        next(around)
        next(around, None)
    result = listener.allure_logger.get_test(listener._cache.get(item.nodeid))
    text = report.longreprtext
    result.status = model.Status.BROKEN
    result.statusDetails = model.StatusDetails(message=text.partition("\n")[0], trace=text)
    result.start, result.stop = int(report.start * 1000), int(report.stop * 1000)
    next(protocol, None)
    # Its cache goes by addresses of objects; what is left there would be taken for what gets the address next.
    started.clear()
    started.update(before)


_PARTICIPANTS: dict[int, bool] = {}


def participants(config: pytest.Config) -> list[object]:
    """Plugins that hand results to xdist's controller in ``pytest_sessionfinish`` (``workeroutput``).

    All other session hooks run once, in the controller, as in plain pytest.
    """
    if not hasattr(config, "workeroutput"):
        return []
    return [
        plugin
        for plugin in pytest_config.implementing_plugins(config, "pytest_sessionfinish")
        if names_workeroutput(plugin)
    ]


def find_participants(config: pytest.Config) -> None:
    """In the controller, once: read the sources, so that no child has to."""
    for plugin in pytest_config.implementing_plugins(config, "pytest_sessionfinish"):
        names_workeroutput(plugin)


def hand_over(config: pytest.Config) -> list[object]:
    """Plugins that would hand results over by xdist's convention, were this a worker."""
    return [
        plugin
        for plugin in pytest_config.implementing_plugins(config, "pytest_sessionfinish")
        if names_workeroutput(plugin)
    ]


def stand_in_for_xdist() -> None:
    """pytest-rerunfailures lets a worker log a rerun where a current xdist is installed; ours take it, too."""
    module: Any = MODULES.get("pytest_rerunfailures")
    if hasattr(module, "works_with_current_xdist") and "xdist" not in MODULES:
        module.works_with_current_xdist = lambda: True


def names_workeroutput(plugin: object) -> bool:
    """Whether the plugin's source names what xdist's workers hand over."""
    known = _PARTICIPANTS.get(id(plugin))
    if known is None:
        known = _PARTICIPANTS[id(plugin)] = _source_names(plugin, b"workeroutput")
    return known


def _source_names(plugin: object, word: bytes) -> bool:
    module = MODULES.get(getattr(plugin, "__module__", "") or getattr(plugin, "__name__", ""))
    name = getattr(module or plugin, "__name__", "")
    if name.startswith(("_pytest.", "pytest_hotreload", "xdist", "pytest_cov")):
        return False  # pytest's own know nothing of it; coverage travels by itself, see below
    file = getattr(module or plugin, "__file__", None)
    try:
        if file is None:
            return False
        with open(file, "rb") as source:  # noqa: PTH123 - a path's own method looks up `io.open`
            return word in source.read()
    except OSError:
        return False


def let_greenlets_run() -> None:
    """In a controller whose conftest called gevent's ``patch_all``: threads of plugins are greenlets there.

    They run when the main one waits by gevent's means, which ours does not: pytest-rerunfailures' server would
    never answer.
    """
    gevent = MODULES.get("gevent")
    monkey = MODULES.get("gevent.monkey")
    if gevent is None or monkey is None or "threading" not in getattr(monkey, "saved", ()):
        return
    with contextlib.suppress(Exception):
        gevent.sleep(0)


# ------------------------------------------------------------------------------------ coverage
#
# A child measures with the controller's own Coverage object (plain pytest's, whoever started it:
# pytest-cov or `coverage run`) into memory, and ships what it saw; the controller adds it to its
# own data before anything is reported. No file, no combining, no distributed engine.


def _coverage() -> Any:
    """By the module that has the class: what a test puts in place of ``coverage.Coverage`` measures nothing."""
    current = getattr(getattr(MODULES.get("coverage.control"), "Coverage", None), "current", None)
    return None if current is None else current()


def measures_coverage() -> bool:
    """Whether coverage is measured in this process."""
    return _coverage() is not None


def flush_coverage() -> None:
    """In the controller before the first fork: children then start from nothing of its."""
    current = _coverage()
    if current is not None:
        current.get_data()


def restart_coverage() -> None:
    """In the child: write to memory, not to the controller's file.

    Relies on ``Coverage._data`` and ``Collector.covdata`` (coverage 7.6 to 7.13).
    """
    current = _coverage()
    _MEASURING.clear()
    if current is None:
        return
    own = MODULES["coverage"].CoverageData(no_disk=True)
    _MEASURING.append(current)
    current._data = own
    current._collector.covdata = own


#: Of this child, whatever tests did to ``sys.modules``, or measured themselves.
_MEASURING: list[Any] = []


def coverage_bytes() -> bytes | None:
    """In the child, at its end: all that it measured."""
    if not _MEASURING:
        return None
    data: bytes = _MEASURING[0].get_data().dumps()
    return data


def keep_coverage_files(config: pytest.Config) -> None:
    """Before pytest-cov starts in such a child: the data files that it would erase are the controller's."""
    if config.pluginmanager.hasplugin("pytest_cov"):
        import coverage

        setattr(coverage.Coverage, "erase", lambda _self: None)  # noqa: B010


def serve_no_retries(config: pytest.Config) -> None:
    """In a child that configures itself: pytest-retry is what it is without ``-n``, and keeps its own lines.

    It starts a server for workers where ``-n`` is given, and asks every worker for the port of that server.
    """
    plugin = MODULES.get("pytest_retry.retry_plugin")
    for hook in config.hook.pytest_configure.get_hookimpls():
        if plugin is not None and hook.plugin is plugin and not config.getoption("numprocesses", None):
            hook.function = _as_no_worker(hook.function)  # type: ignore[misc]


def _as_no_worker(configure: Any) -> Any:
    def configured(config: pytest.Config) -> None:
        spaces: list[Any] = [vars(config), vars(type(config))]
        kept = [space.get("workerinput") for space in spaces]
        vars(config).pop("workerinput", None)
        if kept[1] is not None:
            del type(config).workerinput  # type: ignore[attr-defined]
        try:
            configure(config)
        finally:
            if kept[1] is not None:
                type(config).workerinput = kept[1]  # type: ignore[attr-defined]
            if kept[0] is not None:
                config.workerinput = kept[0]  # type: ignore[attr-defined]

    return configured


def configure_coverage(config: pytest.Config) -> None:
    """In a child that configures itself: pytest-cov measures as in plain pytest and reports nothing.

    Its own worker mode would want its own controller (pytest-cov 5 to 7: ``CovPlugin._is_worker``,
    ``CovPlugin._disabled``); what is measured travels with the last message.
    """
    plugin: Any = config.pluginmanager.get_plugin("_cov")
    if plugin is not None:
        plugin._is_worker = lambda _session: False
        plugin._disabled = True
    current = _coverage()
    before = None if current is None else current._data
    restart_coverage()
    if before is not None:
        before.close(force=True)  # Python 3.13 warns of a database that nobody closed


def add_coverage(data: bytes) -> None:
    """In the controller: add what a child measured."""
    current = _coverage()
    if current is None:
        return
    child = MODULES["coverage"].CoverageData(no_disk=True)
    child.loads(data)
    current.get_data().update(child)
    child.close(force=True)
