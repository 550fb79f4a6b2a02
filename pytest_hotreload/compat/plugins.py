"""Support for plugins and tools that need more than pytest's hooks: coverage, benchmarks, testmon, xdist."""

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
    """Reject plugins that select tests by other means. Raises :class:`pytest.UsageError`."""
    if getattr(namespace, "testmon", False) or getattr(namespace, "testmon_noselect", False):
        raise usage_error(
            "--hotreload and --testmon both select the tests to run", hint="leave one of the two out"
        )


def needs_plain(config: pytest.Config, items: list[pytest.Item], slots: int) -> str | None:
    """Return why plain pytest must do this run, or None."""
    option = config.option
    if getattr(option, "codspeed", False):
        return "pytest-codspeed measures inside the process"
    if getattr(option, "memray", False):
        return "pytest-memray measures inside the process"
    if hasattr(option, "benchmark_disable") and not _benchmarks_off(option) and _use(items, "benchmark"):
        return "pytest-benchmark keeps its results in the process"
    if _rewrites_snapshots(config):
        return "inline-snapshot keeps its snapshots in the process (--inline-snapshot=disable runs children)"
    # With several slots, its reports are transferred by xdist's convention, which does not apply with one
    # slot.
    if slots == 1 and config.pluginmanager.hasplugin("syrupy") and _use(items, "snapshot"):
        return "syrupy keeps its snapshots in the process where there is one slot"
    return None


def _rewrites_snapshots(config: pytest.Config) -> bool:
    """Return whether inline-snapshot is active (``_global_state.state().active``) and the user's code uses it."""
    module = MODULES.get("inline_snapshot._global_state")
    if module is None or not config.pluginmanager.hasplugin("inline-snapshot-plugin"):
        return False
    return bool(module.state().active) and any(map(_asks_for_snapshots, list(MODULES.values())))


def _asks_for_snapshots(module: Any) -> bool:
    """Return whether a module belongs to the user's code and has imported a part of inline-snapshot."""
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
    """Keep xdist itself from starting: ``-n`` was read as the number of slots."""
    option = config.option
    if hasattr(option, "numprocesses"):
        option.numprocesses = None
        option.dist = "no"
        option.distload = False
        option.tx = []


def tell_of_death(config: pytest.Config, item: pytest.Item, report: pytest.TestReport) -> None:
    """Report to allure the test during which a child died.

    Allure writes a result in the process that ran the test; here this process does it instead. The function
    calls allure's own hooks and raises their exceptions (allure-pytest 2.13 to 2.16: ``AllureListener``,
    hooks as generators; ``_cache``, ``allure_logger``).
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
    # Allure's cache is keyed by addresses of objects; a remaining entry would be taken for the next object at
    # that address.
    started.clear()
    started.update(before)


_PARTICIPANTS: dict[int, bool] = {}


def participants(config: pytest.Config) -> list[object]:
    """Return the plugins that hand results to xdist's controller in ``pytest_sessionfinish`` (``workeroutput``).

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
    """Read the plugins' sources once, in the controller, so that no child has to."""
    for plugin in pytest_config.implementing_plugins(config, "pytest_sessionfinish"):
        names_workeroutput(plugin)


def hand_over(config: pytest.Config, *, several: bool) -> list[object]:
    """Return the plugins that hand results over by xdist's convention.

    With one slot (not ``several``), only those do whose ``pytest_testnodedown`` takes the results.
    """
    taking = pytest_config.implementing_plugins_of(config, "pytest_testnodedown")
    return [
        plugin
        for plugin in pytest_config.implementing_plugins(config, "pytest_sessionfinish")
        if names_workeroutput(plugin) and (several or any(plugin is each for each in taking))
    ]


def stand_in_for_xdist() -> None:
    """Make pytest-rerunfailures log reruns in children, as it does in workers if a current xdist is installed.

    Its own look-up of xdist's version would run in the state that tests made.
    """
    module: Any = MODULES.get("pytest_rerunfailures")
    if hasattr(module, "works_with_current_xdist"):
        module.works_with_current_xdist = lambda: True


def names_workeroutput(plugin: object) -> bool:
    """Return whether the plugin's source mentions ``workeroutput``, the data that xdist's workers hand over."""
    known = _PARTICIPANTS.get(id(plugin))
    if known is None:
        known = _PARTICIPANTS[id(plugin)] = _source_names(plugin, b"workeroutput")
    return known


def _source_names(plugin: object, word: bytes) -> bool:
    module = MODULES.get(getattr(plugin, "__module__", "") or getattr(plugin, "__name__", ""))
    name = getattr(module or plugin, "__name__", "")
    if name.startswith(("_pytest.", "pytest_hotreload", "xdist", "pytest_cov")):
        return False  # pytest's plugins never use it; coverage data is sent separately, see below
    file = getattr(module or plugin, "__file__", None)
    try:
        if file is None:
            return False
        with open(file, "rb") as source:  # noqa: PTH123 - a path's own method looks up `io.open`
            return word in source.read()
    except OSError:
        return False


def let_greenlets_run() -> None:
    """Let the greenlets run that replace the threads of plugins if a conftest called gevent's ``patch_all``.

    Greenlets run only while the main one waits by gevent's means, and the controller's loop does not: without
    this call, pytest-rerunfailures' server would never answer.
    """
    gevent = MODULES.get("gevent")
    monkey = MODULES.get("gevent.monkey")
    if gevent is None or monkey is None or "threading" not in getattr(monkey, "saved", ()):
        return
    with contextlib.suppress(Exception):
        gevent.sleep(0)


# ------------------------------------------------------------------------------------ coverage
#
# A child measures into memory with the controller's own Coverage object (as in plain pytest, whether
# pytest-cov or `coverage run` started it), and sends its data. The controller adds the data to its own before
# anything is reported. There is no file, no combining and no distributed engine.


def _coverage() -> Any:
    """Return the current Coverage object.

    The class is taken from the module that defines it: a test may replace ``coverage.Coverage``, and the
    replacement measures nothing.
    """
    current = getattr(getattr(MODULES.get("coverage.control"), "Coverage", None), "current", None)
    return None if current is None else current()


def measures_coverage() -> bool:
    """Return whether this process measures coverage."""
    return _coverage() is not None


def flush_coverage() -> None:
    """Flush the controller's data before the first fork, so that children start without it."""
    current = _coverage()
    if current is not None:
        current.get_data()


def restart_coverage() -> None:
    """Make the child write to memory instead of the controller's file.

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


#: The Coverage object of this child, which stays valid even if tests change ``sys.modules`` or measure
#: coverage themselves.
_MEASURING: list[Any] = []


def coverage_bytes() -> bytes | None:
    """Return all data that the child measured, at its end."""
    if not _MEASURING:
        return None
    data: bytes = _MEASURING[0].get_data().dumps()
    return data


def keep_coverage_files(config: pytest.Config) -> None:
    """Keep pytest-cov from erasing the controller's data files, before it starts in a self-configured child."""
    if config.pluginmanager.hasplugin("pytest_cov"):
        import coverage

        setattr(coverage.Coverage, "erase", lambda _self: None)  # noqa: B010


def serve_no_retries(config: pytest.Config) -> None:
    """Make pytest-retry behave as without ``-n`` in a self-configured child, and keep its own lines.

    With ``-n``, pytest-retry starts a server for workers, and asks every worker for the port of that server.
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
    """Make pytest-cov measure as in plain pytest, and report nothing, in a self-configured child.

    pytest-cov's worker mode would need its own controller (pytest-cov 5 to 7: ``CovPlugin._is_worker``,
    ``CovPlugin._disabled``). The measured data is sent with the last message.
    """
    plugin: Any = config.pluginmanager.get_plugin("_cov")
    if plugin is not None:
        plugin._is_worker = lambda _session: False
        plugin._disabled = True
    current = _coverage()
    before = None if current is None else current._data
    restart_coverage()
    if before is not None:
        before.close(force=True)  # Python 3.13 warns about unclosed databases


def add_coverage(data: bytes) -> None:
    """Add a child's measured data to the controller's."""
    current = _coverage()
    if current is None:
        return
    child = MODULES["coverage"].CoverageData(no_disk=True)
    child.loads(data)
    current.get_data().update(child)
    child.close(force=True)
