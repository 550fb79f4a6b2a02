"""Private interfaces of pytest about a session: its items, subtests, setup and temporary folders.

Checked on pytest 8.4.2, 9.0 and 9.2.0 with pluggy 1.5 to 1.7. Each function names what it relies on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any

import _pytest
import _pytest.config
import _pytest.main
import _pytest.pathlib
import _pytest.runner

from pytest_hotreload.compat.pytest_output import terminal_reporter
from pytest_hotreload.world import BUILTINS, contextlib, getframe, pytest, traceback

__builtins__ = BUILTINS

_subtests_key: Any = None
with contextlib.suppress(ImportError):  # pytest 8.4: pytest-subtests is a plugin, and does not use this key
    _subtests_key = importlib.import_module("_pytest.subtests").failed_subtests_key


#: Whether any count of failed subtests was not 0 in this process.
_SUBTESTS_FAILED = pytest.StashKey[bool]()


def begin_cleanups(config: pytest.Config) -> None:
    """Keep apart what is added by ``Config.add_cleanup`` from now on: of a fork, only that is its own.

    Relies on ``Config._cleanup_stack``.
    """
    private: Any = config
    private._cleanup_stack = contextlib.ExitStack()


def run_cleanups(config: pytest.Config) -> None:
    """Call what was added since :func:`begin_cleanups`. An error is printed, as one of an exit handler is."""
    private: Any = config
    try:
        private._cleanup_stack.close()
    except BaseException:
        traceback.print_exc()


def after_import(session: pytest.Session, call: Callable[[object], None]) -> None:
    """Call ``call(collector)`` when a module's body has run.

    Relies on ``FixtureManager.parsefactories``, which ``Module.collect`` calls next.
    """
    manager: Any = getattr(session, "_fixturemanager", None)
    if manager is None:
        return
    plain = manager.parsefactories

    def parsefactories(*args: Any, **kwargs: Any) -> Any:
        call(args[0] if args else kwargs.get("node"))  # pytest 9.2: by keyword
        return plain(*args, **kwargs)

    manager.parsefactories = parsefactories


def guard_sessions(instead: Callable[[], None]) -> Callable[[], None]:
    """Let ``instead()`` be called in place of a session, and return what takes the guard away.

    Relies on ``_pytest.main.wrap_session``, which pytest's own ``pytest_cmdline_main`` looks up and calls.
    """
    module: Any = _pytest.main
    plain = module.wrap_session

    def guarded(*_: Any) -> None:
        instead()

    module.wrap_session = guarded
    return lambda: setattr(module, "wrap_session", plain)


def is_test_file(config: pytest.Config, path: Path) -> bool:
    """Return whether the name of a file matches ``python_files`` (``_pytest.pathlib.fnmatch_ex``).

    Assertions of other files are rewritten only in a session that names them.
    """
    return any(_pytest.pathlib.fnmatch_ex(pattern, path) for pattern in config.getini("python_files"))


def import_test_file(config: pytest.Config, path: Path) -> str:
    """Import a test file as its collection would, before it is collected. Returns why that failed, or ""."""
    try:
        _pytest.pathlib.import_path(
            path,
            mode=config.getoption("importmode"),
            root=config.rootpath,
            consider_namespace_packages=config.getini("consider_namespace_packages"),
        )
    except BaseException as error:  # for example a skip of the whole module; the collection reports it
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""


def set_interrupt_memo(config: pytest.Config, memo: Any) -> None:
    """Set the place of an interrupt for the last lines (``TerminalReporter._keyboardinterrupt_memo``)."""
    reporter = terminal_reporter(config)
    if reporter is not None and hasattr(reporter, "_keyboardinterrupt_memo"):
        reporter._keyboardinterrupt_memo = memo


def is_called_by_selection() -> bool:
    """Return whether the hook that runs was called by ``-m``, ``-k`` or ``--deselect``.

    Relies on ``_pytest.mark`` and ``_pytest.main``, which call ``pytest_deselected``, and on pluggy's frames below.
    """
    frame = getframe(2)  # below the implementation that asks
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "pluggy":
        frame = frame.f_back
    return frame.f_globals.get("__name__") in ("_pytest.mark", "_pytest.main")


def own_protocol(config: pytest.Config) -> bool:
    """Return whether only pytest itself runs items (pluggy: ``HookImpl.wrapper``, ``hookwrapper``)."""
    runner = config.pluginmanager.get_plugin("runner")
    return all(
        implementation.plugin is runner or implementation.wrapper or implementation.hookwrapper
        for implementation in config.hook.pytest_runtest_protocol.get_hookimpls()
    )


def failed_subtests(config: pytest.Config, item: pytest.Item) -> int:
    """Return how many subtests of ``item`` have failed so far in this process (pytest 9's stash)."""
    if _subtests_key is None:
        return 0
    counts: Any = config.stash.get(_subtests_key, None)
    key: Any = getattr(item, "id", item.nodeid)
    return int(counts.get(key, 0)) if counts else 0


def is_subtest(report: pytest.TestReport) -> bool:
    """Return whether a report covers a part of a test, within its call.

    The type is ``SubtestReport``, or ``SubTestReport`` with pytest-subtests.
    """
    return type(report).__name__.lower() == "subtestreport"


def subtest_name(report: Any) -> str:
    """Return the message and the parameters of a subtest as pytest shows them; "" for any other report."""
    describe = getattr(report, "_sub_test_description", None) or getattr(report, "sub_test_description", None)
    return str(describe()) if is_subtest(report) and describe is not None else ""


def set_failed_subtests(config: pytest.Config, item: pytest.Item, count: int) -> None:
    """Set the number by which pytest 9 turns a passing parent into a failure, in the process that shows it."""
    # Hashing the node id for each report would take longer than the rest; mostly no subtest ever fails.
    if not count and not config.stash.get(_SUBTESTS_FAILED, False):
        return
    if _subtests_key is not None and _subtests_key in config.stash:
        key: Any = getattr(item, "id", item.nodeid)
        config.stash[_subtests_key][key] = count
        config.stash[_SUBTESTS_FAILED] = True


def internal_error_text(config: pytest.Config, error: BaseException) -> str:
    """Return the text that ``Config.notify_exception`` would print about the error, without the prefix."""
    excinfo = pytest.ExceptionInfo.from_exception(error)
    style = "long" if getattr(config.option, "fulltrace", False) else "native"
    return str(
        excinfo.getrepr(
            funcargs=True,
            showlocals=getattr(config.option, "showlocals", False),
            style=style,  # type: ignore[arg-type]
        )
    )


def leave_item(item: pytest.Item) -> None:
    """Leave an item as pytest's protocol does after its last report (``Function._request``, ``funcargs``)."""
    if hasattr(item, "_request"):
        item._request = False
        item.funcargs = None  # type: ignore[attr-defined]


def locate(items: Iterable[pytest.Item]) -> None:
    """Compute the locations of test functions (``Item.location``, a cached property) before the first fork.

    Otherwise each child computes them for its items, and this process once more for the reports. Other items
    compute theirs when pytest asks: that may call code of the project, such as a class's constructor.
    """
    for item in items:
        if (
            type(item) is pytest.Function
            and type(item.parent) is pytest.Module
            and type(vars(item).get("_obj")) is FunctionType
        ):
            with contextlib.suppress(Exception):
                item.location  # noqa: B018


def several_errors(errors: list[BaseException]) -> BaseException:
    """Return the exception that pytest raises for several teardowns (``SetupState.teardown_exact``)."""
    group: Any = getattr(_pytest.runner, "BaseExceptionGroup", None) or BUILTINS["BaseExceptionGroup"]
    found: BaseException = group("errors during test teardown", errors[::-1])
    return found


def teardown_everything(session: pytest.Session) -> None:
    """Tear down the fixtures that are still set up, as pytest's own sessionfinish does (``_setupstate``)."""
    __tracebackhide__ = True
    session._setupstate.teardown_exact(None)


def take_setup(session: pytest.Session) -> dict[Any, Any]:
    """Remove the set-up state from the session without a teardown (``SetupState.stack``)."""
    stack = dict(session._setupstate.stack)
    session._setupstate.stack.clear()
    return stack


def restore_setup(session: pytest.Session, stack: dict[Any, Any]) -> None:
    """Put back the state that :func:`take_setup` removed."""
    session._setupstate.stack.update(stack)


def temporary_factory(config: pytest.Config) -> Any:
    """Return ``TempPathFactory``, or None with ``-p no:tmpdir`` (``config._tmp_path_factory``)."""
    return getattr(config, "_tmp_path_factory", None)


def use_basetemp(config: pytest.Config, directory: Callable[[], Path]) -> None:
    """Get the base temporary directory from ``directory()`` when it is first needed."""
    factory = temporary_factory(config)
    if factory is None or factory._basetemp is not None:
        return
    plain = type(factory).getbasetemp

    def getbasetemp() -> Path:
        if factory._basetemp is None:
            factory._basetemp = directory()
        del factory.getbasetemp  # from here on the factory answers by itself
        base: Path = plain(factory)
        return base

    factory.getbasetemp = getbasetemp


def store_no_results(config: pytest.Config) -> None:
    """Remove the plugins that store outcomes for the next run (``--lf``, ``--nf``, ``--stepwise``).

    Relies on the names under which ``_pytest.cacheprovider`` and ``_pytest.stepwise`` register them.
    """
    for name in ("lfplugin", "nfplugin", "stepwiseplugin"):
        if config.pluginmanager.hasplugin(name):
            config.pluginmanager.unregister(name=name)


def selects_by_results(config: pytest.Config) -> tuple[bool, bool]:
    """Whether the last outcomes of tests decide which ones run (``--lf``, ``--stepwise``), and kept whole files out.

    Relies on the number of such files in ``_pytest.cacheprovider`` (pytest 8.4 to 9.2).
    """
    option = config.option
    skipped = getattr(config.pluginmanager.get_plugin("lfplugin"), "_skipped_files", 0)
    return getattr(option, "lf", False) or getattr(option, "stepwise", False), bool(skipped)


def skip_last_collection(config: pytest.Config) -> None:
    """Skip the garbage collections in which pytest looks for lost exceptions at its end: 60 of 500 ms.

    Relies on the stash key with their number in ``_pytest.unraisableexception`` (pytest 8.4 to 9.2).
    """
    from _pytest.unraisableexception import gc_collect_iterations_key

    config.stash[gc_collect_iterations_key] = 0


def drop_pending_exceptions(config: pytest.Config) -> None:
    """Drop the collection's unraisable and thread exceptions, because only the first test may show them, once.

    Relies on the stash keys of ``_pytest.unraisableexception`` and ``_pytest.threadexception`` (pytest 8.4
    and 9: deques).
    """
    from _pytest.threadexception import thread_exceptions
    from _pytest.unraisableexception import unraisable_exceptions

    keys: tuple[Any, ...] = (unraisable_exceptions, thread_exceptions)
    for key in keys:
        pending: Any = config.stash.get(key, None)
        if pending:
            pending.clear()
