"""Known plugins and tools that need more than pytest's hooks: coverage, benchmarks, testmon, xdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import compat
from .errors import usage_error
from .world import BUILTINS, MODULES, contextlib, pytest

__builtins__ = BUILTINS


def refuse(namespace: Any) -> None:
    """Plugins that do the same job by other means. Raises :class:`pytest.UsageError`."""
    if getattr(namespace, "testmon", False) or getattr(namespace, "testmon_noselect", False):
        raise usage_error("--hotreload and --testmon both decide what runs", hint="leave one of the two out")


def needs_plain(config: pytest.Config, items: list[pytest.Item], slots: int) -> str | None:
    """Why this run is left to plain pytest, or None."""
    option = config.option
    if getattr(option, "codspeed", False):
        return "pytest-codspeed measures inside the process"
    if getattr(option, "memray", False):
        return "pytest-memray measures inside the process"
    if hasattr(option, "benchmark_disable") and not _benchmarks_off(option) and _use(items, "benchmark"):
        return "pytest-benchmark keeps its results in the process"
    # With more slots its reports travel by xdist's convention, which one slot is not to show.
    if slots == 1 and config.pluginmanager.hasplugin("syrupy") and _use(items, "snapshot"):
        return "syrupy keeps its snapshots in the process where there is one slot"
    return None


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


_PARTICIPANTS: dict[int, bool] = {}


def participants(config: pytest.Config) -> list[object]:
    """Plugins that hand results to xdist's controller in ``pytest_sessionfinish`` (``workeroutput``).

    All other session hooks run once, in the controller, as in plain pytest.
    """
    if not hasattr(config, "workeroutput"):
        return []
    return [
        plugin
        for plugin in compat.implementing_plugins(config, "pytest_sessionfinish")
        if _names_workeroutput(plugin)
    ]


def find_participants(config: pytest.Config) -> None:
    """In the controller, once: read the sources, so that no child has to."""
    for plugin in compat.implementing_plugins(config, "pytest_sessionfinish"):
        _names_workeroutput(plugin)


def _names_workeroutput(plugin: object) -> bool:
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
        return file is not None and word in Path(file).read_bytes()
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
    module = MODULES.get("coverage")
    return None if module is None else module.Coverage.current()


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


def tame_coverage(config: pytest.Config) -> None:
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
