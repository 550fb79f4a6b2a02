"""Every private interface of pytest and pluggy that is touched, and nowhere else.

Checked on pytest 8.4.2, 9.0 and 9.2.0 with pluggy 1.5 to 1.7. Each function names what it relies on.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import _pytest
import _pytest.config
import _pytest.pathlib
import pluggy
from _pytest import hookspec
from _pytest.assertion.rewrite import AssertionRewritingHook

from pytest_hotreload.world import BUILTINS, contextlib, functools, os, pytest, tempfile, warnings

__builtins__ = BUILTINS

_subtests_key: Any = None
with contextlib.suppress(ImportError):  # pytest 8.4: pytest-subtests is a plugin, and needs nothing of this
    _subtests_key = importlib.import_module("_pytest.subtests").failed_subtests_key


#: pytest's own names, before a conftest adds others (``pytest.results = []``).
NAMES_OF_PYTEST = frozenset(vars(pytest))


# ------------------------------------------------------------------------------------- hooks


def keep_only(config: pytest.Config, hook: str, plugins: Iterable[object]) -> list[Any]:
    """The implementations of ``hook`` that belong to ``plugins`` (pluggy: ``HookCaller._hookimpls``)."""
    kept = list(plugins)
    caller = getattr(config.hook, hook)
    return [impl for impl in caller._hookimpls if any(impl.plugin is plugin for plugin in kept)]


def set_implementations(config: pytest.Config, hook: str, implementations: list[Any]) -> None:
    """Let only these run from now on, in this process (pluggy: ``HookCaller._hookimpls``)."""
    getattr(config.hook, hook)._hookimpls[:] = implementations


def implementing_plugins(config: pytest.Config, hook: str) -> list[object]:
    """The plugins that implement ``hook``."""
    return [impl.plugin for impl in getattr(config.hook, hook).get_hookimpls()]


def plugin_name(config: pytest.Config, plugin: object) -> str:
    """As the user knows it: the distribution that it came with, or the name that it is registered by."""
    for found, distribution in config.pluginmanager.list_plugin_distinfo():
        if found is plugin:
            return _project_name(distribution)
    name = str(config.pluginmanager.get_name(plugin) or type(plugin).__name__)
    return os.path.relpath(name, config.rootpath) if os.path.isabs(name) else name


def implementing_plugins_of(config: pytest.Config, hook: str) -> list[object]:
    """The same of a hook that nobody may have declared."""
    return implementing_plugins(config, hook) if hasattr(config.hook, hook) else []


def call_directly(config: pytest.Config, hook: str, plugin: object, arguments: Mapping[str, Any]) -> None:
    """A plugin's implementations of a hook that can't be called again by itself (pluggy: historic ones)."""
    for implementation in getattr(config.hook, hook).get_hookimpls():
        if implementation.plugin is plugin and not (implementation.wrapper or implementation.hookwrapper):
            implementation.function(*(arguments[name] for name in implementation.argnames))


def call_for(config_: pytest.Config, hook: str, plugins: list[object], **arguments: Any) -> Any:
    """Call ``hook`` for ``plugins`` alone; what they return."""
    others = [p for p in implementing_plugins(config_, hook) if not any(p is q for q in plugins)]
    return config_.pluginmanager.subset_hook_caller(hook, others)(**arguments)


def is_pytests_hook(name: str) -> bool:
    """Whether pytest itself specifies this hook (``_pytest.hookspec``)."""
    return hasattr(hookspec, name)


def own_attributes(thing: pytest.Config | pytest.Session) -> set[str]:
    """Attributes of the config or the session that are pytest's: what its constructors name, and what comes later."""
    found = set(_LATER_ATTRIBUTES)
    for kind in type(thing).__mro__:
        code = getattr(kind.__dict__.get("__init__"), "__code__", None)
        found.update(code.co_names if code is not None else ())
    return found


#: Set on ``Config`` and ``Session`` after they are made; the last two by xdist.
# fmt: off
_LATER_ATTRIBUTES = frozenset((
    "args", "args_source", "cache", "inicfg", "_inicfg", "known_args_namespace", "rootdir", "_rootpath", "_inipath",
    "_parser", "_initialpaths", "_initialpaths_with_parents", "items", "testscollected", "exitstatus", "config",
    "_fixturemanager", "_setupstate", "_notfound", "_collection_cache", "stash", "workerinput", "workeroutput",
))
# fmt: on


def stash_content(thing: Any) -> dict[Any, Any] | None:
    """What lies in the stash (``Stash._storage``)."""
    found: Any = getattr(getattr(thing, "stash", None), "_storage", None)
    return found if type(found) is dict else None


# ------------------------------------------------------------------------------------- options


def declared_options(parser: pytest.Parser) -> set[str]:
    """Every option that stands already (``Parser._groups``, ``_anonymous``; ``Argument.names``)."""
    groups: list[Any] = [*getattr(parser, "_groups", []), getattr(parser, "_anonymous", None)]
    return {name for group in groups for option in getattr(group, "options", []) for name in option.names()}


def ini_values(config: pytest.Config) -> dict[str, str]:
    """What the ini file says, as text (``Config.inicfg``, in pytest 9 ``_inicfg``: plain values, or with
    their origin)."""
    values: Any = vars(config).get("_inicfg") or vars(config).get("inicfg", {})
    return {str(name): repr(getattr(value, "value", value)) for name, value in values.items()}


def conftest_files(config: pytest.Config) -> list[str]:
    """The conftests that are loaded. Nobody opens one whose bytecode is cached, and several may bear one name
    (``PytestPluginManager._conftest_plugins``)."""
    loaded: Any = getattr(config.pluginmanager, "_conftest_plugins", ())
    return [str(file) for module in loaded if (file := getattr(module, "__file__", None))]


def plugin_names(config: pytest.Config) -> list[str]:
    """Installed plugins that are in force, by distribution."""
    return [_project_name(found) for _, found in config.pluginmanager.list_plugin_distinfo()]


@functools.cache
def _project_name(found: Any) -> str:
    """Parses the distribution's metadata: 2 ms each."""
    return str(found.project_name)


def selects_everything(config: pytest.Config) -> bool:
    """Whether the command line names no files (``Config.args_source``: where ``config.args`` came from)."""
    source: Any = getattr(config, "args_source", None)
    return getattr(source, "name", "") in ("INVOCATION_DIR", "TESTPATHS")


def place_of_argument(config: pytest.Config, argument: str) -> str:
    """The file or folder that an argument names or selects from (``_pytest.main.resolve_collection_argument``)."""
    name = argument.partition("[")[0].split("::")[0]
    if config.option.pyargs:
        with contextlib.suppress(Exception):  # of a parent package: pytest's own look-up shows it
            spec = importlib.util.find_spec(name)
            if spec is not None:
                name = str(next(iter(spec.submodule_search_locations or ()), spec.origin))
    return os.path.abspath(config.invocation_params.dir / name)


def after_import(session: pytest.Session, call: Callable[[object], None]) -> None:
    """Call ``call(collector)`` when a module's body has run (``FixtureManager.parsefactories``, which
    ``Module.collect`` calls next)."""
    manager: Any = getattr(session, "_fixturemanager", None)
    if manager is None:
        return
    plain = manager.parsefactories

    def parsefactories(*args: Any, **kwargs: Any) -> Any:
        call(args[0] if args else kwargs.get("node"))  # pytest 9.2: by keyword
        return plain(*args, **kwargs)

    manager.parsefactories = parsefactories


def cache_folder(config: pytest.Config) -> Path:
    """pytest's cache, whether it exists or not, as ``Cache.cache_dir_from_config`` finds it."""
    try:
        named = str(config.getini("cache_dir"))
    except ValueError:  # -p no:cacheprovider
        named = ".pytest_cache"
    return config.rootpath / Path(os.path.expandvars(named)).expanduser()


def rewriting_hook() -> Any:
    """The import hook of the pytest that is being configured; it rewrites assertions in plugins, too."""
    found = (finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook))
    return next(found, None)


def make_cache_folder(config: pytest.Config, name: str) -> Path:
    """As ``config.cache.mkdir(name)``, before there is ``config.cache``. Raises OSError."""
    return pytest.Cache(cache_folder(config), config, _ispytest=True).mkdir(name)


def package_folders() -> list[str]:
    """Where pytest's own code and pluggy's lie."""
    return [str(Path(str(module.__file__)).parent) for module in (pytest, _pytest, pluggy)]


# ------------------------------------------------------------------------------------- capture


def captured_files(config: pytest.Config) -> list[tuple[int, int, int | None]]:
    """Under ``--capture=fd``: (1 or 2, fd of the capture file, fd that keeps the original).

    Relies on ``CaptureManager._global_capturing.out/.err`` with ``tmpfile`` and ``targetfd_save``.
    """
    manager = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    found: list[tuple[int, int, int | None]] = []
    streams: Any = ((1, getattr(capturing, "out", None)), (2, getattr(capturing, "err", None)))
    for number, stream in streams:
        saved = getattr(stream, "targetfd_save", None)
        if saved is not None:
            found.append((number, stream.tmpfile.fileno(), saved))
    return found


def renew_capture(config: pytest.Config) -> None:
    """New files behind the objects of global capture: a fork shares them, offsets and all, with its siblings."""
    for _, capture_file, _ in captured_files(config):
        with tempfile.TemporaryFile(buffering=0) as own:
            os.dup2(own.fileno(), capture_file, inheritable=False)


def is_capturing_now(config: pytest.Config) -> bool:
    """Whether global capture is in force this moment (it is not between the phases of a test)."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    return bool(capturing is not None and getattr(capturing, "_state", None) == "started")


def apply_warning_filters(config: pytest.Config) -> None:
    """As pytest does for the length of a collection (``_pytest.config.apply_warning_filters``)."""
    if not sys.warnoptions:
        warnings.filterwarnings("always", category=DeprecationWarning)
        warnings.filterwarnings("always", category=PendingDeprecationWarning)
    _pytest.config.apply_warning_filters(
        config.getini("filterwarnings"), getattr(config.known_args_namespace, "pythonwarnings", None) or []
    )


def import_test_file(config: pytest.Config, path: Path) -> str:
    """Import a test file as its collection would, ahead of it; why it can't be, or ""."""
    try:
        _pytest.pathlib.import_path(
            path,
            mode=config.getoption("importmode"),
            root=config.rootpath,
            consider_namespace_packages=config.getini("consider_namespace_packages"),
        )
    except BaseException as error:  # a skip of the whole module is one; its collection shows what it is
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""


# ------------------------------------------------------------------------------------- terminal


def terminal_reporter(config: pytest.Config) -> Any:
    """Looked up at each use: sugar and instafail replace it."""
    return config.pluginmanager.get_plugin("terminalreporter")


def terminal_writer(config: pytest.Config) -> Any:
    """The writer of the reporter (``TerminalReporter._tw``), or None without a reporter."""
    return getattr(terminal_reporter(config), "_tw", None)


def relay_terminal(
    config: pytest.Config,
    write: Callable[[str, dict[str, bool]], None],
    ensure_newline: Callable[[], None] = lambda: None,
) -> None:
    """Send all that is written to the terminal writer to ``write(text, markup)``.

    Every method of TerminalWriter ends in ``write`` or (pytest 9.1) ``write_raw``. What stands in
    the terminal's line is known to the controller only (``TerminalReporter.ensure_newline``).
    """
    writer = terminal_writer(config)
    if writer is None:
        return

    def relayed(msg: str, *, flush: bool = False, **markup: bool) -> None:
        if msg:
            write(msg, markup)

    writer.write = relayed
    if hasattr(writer, "write_raw"):
        writer.write_raw = relayed
    writer.flush = lambda: None
    reporter = terminal_reporter(config)
    if hasattr(reporter, "ensure_newline"):
        reporter.ensure_newline = ensure_newline


class HeldTerminal:
    """Keeps what the terminal writer says, until it is released; nothing of it is seen if it is not."""

    def __init__(self, config: pytest.Config) -> None:
        self._writer = terminal_writer(config)
        self._file: Any = self._writer._file if self._writer is not None else None
        self._kept: list[str] = []
        if self._writer is not None:
            self._writer._file = self

    def write(self, text: str) -> int:
        self._kept.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def release(self) -> None:
        """Show all of it, and what follows at once."""
        if self._writer is not None and self._writer._file is self:
            self._writer._file = self._file
            self._file.write("".join(self._kept))
            self._file.flush()


def flush_terminal(config: pytest.Config) -> None:
    """Nothing of the terminal writer may be in a buffer when we fork or lend the terminal."""
    writer = terminal_writer(config)
    if writer is not None:
        writer.flush()


def set_interrupt_memo(config: pytest.Config, memo: Any) -> None:
    """Where an interrupt struck, for the last lines (``TerminalReporter._keyboardinterrupt_memo``)."""
    reporter = terminal_reporter(config)
    if reporter is not None and hasattr(reporter, "_keyboardinterrupt_memo"):
        reporter._keyboardinterrupt_memo = memo


def ensure_newline(config: pytest.Config) -> None:
    """End the line of dots (``TerminalReporter.ensure_newline``)."""
    reporter = terminal_reporter(config)
    if reporter is not None:
        reporter.ensure_newline()


def write_lines(config: pytest.Config, lines: Iterable[str]) -> None:
    """Lines of their own, as they are; where there is no reporter (``-p no:terminal``) to standard output."""
    writer = terminal_writer(config)
    if writer is None:
        print(*lines, sep="\n", flush=True)
        return
    ensure_newline(config)
    for line in lines:
        writer.line(line)
    writer.flush()


#: Whether the controller writes a log file, in a process that configures itself.
_LOGGED_ELSEWHERE = pytest.StashKey[bool]()


def close_log_file(config: pytest.Config) -> None:
    """A process that configures itself must not open (and empty) the controller's ``--log-file``."""
    if hasattr(config.option, "log_file"):
        config.stash[_LOGGED_ELSEWHERE] = bool(config.option.log_file or config.getini("log_file"))
        config.option.log_file = os.devnull


def has_log_file(config: pytest.Config) -> bool:
    """Whether ``--log-file`` is in force."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(plugin, "log_file_handler", None)
    if handler is not None and config.stash.get(_LOGGED_ELSEWHERE, False):
        return True
    return handler is not None and getattr(handler, "baseFilename", os.devnull) != os.devnull


def relay_log_file(config: pytest.Config, write: Callable[[str], None], *, always: bool) -> None:
    """Send ``--log-file`` through ``write`` (``LoggingPlugin.log_file_handler.stream``)."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(plugin, "log_file_handler", None)
    if handler is None or not (always or has_log_file(config)):
        return
    handler.stream = _TextSink(write)


def write_log_file(config: pytest.Config, text: str) -> None:
    """The controller's end of :func:`relay_log_file`."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    stream = getattr(getattr(plugin, "log_file_handler", None), "stream", None)
    if stream is not None:
        stream.write(text)
        stream.flush()


def relay_live_log(config: pytest.Config, write: Callable[[str, str | None], None]) -> None:
    """Send live logging to ``write(text, when)`` (``LoggingPlugin.log_cli_handler``).

    Its newlines and headings depend on what hooks in the controller logged before.
    """
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler: Any = getattr(plugin, "log_cli_handler", None)
    if hasattr(handler, "_when"):  # without log_cli it is a null handler
        handler.emit = lambda record: write(handler.format(record), handler._when)


def write_live_log(config: pytest.Config, text: str, when: str | None) -> None:
    """The controller's end of :func:`relay_live_log`."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler: Any = getattr(plugin, "log_cli_handler", None)
    if not hasattr(handler, "_when"):
        return
    if handler._when != when:
        handler.set_when(when)
    formatter, handler.formatter = handler.formatter, _AsItIs()
    try:
        handler.emit(logging.makeLogRecord({"msg": text}))
    finally:
        handler.formatter = formatter


class _AsItIs(logging.Formatter):
    """For a record that is formatted already."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)


class _TextSink:
    """As much of a text stream as a logging handler uses."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing to close."""


# ------------------------------------------------------------------------------------- junit


def junit(config: pytest.Config) -> Any:
    """LogXML, or None without ``--junitxml`` (``_pytest.junitxml.xml_key``)."""
    from _pytest.junitxml import xml_key

    return config.stash.get(xml_key, None)


def relay_junit(config: pytest.Config, call: Callable[[bool, str, tuple[Any, ...]], None]) -> None:
    """Send what tests add to the junit report to ``call(on_node, method, args)``."""
    xml = junit(config)
    if xml is None:
        return
    xml.add_global_property = lambda name, value: call(False, "add_global_property", (name, value))
    xml.node_reporter = lambda report: _NodeReporterRelay(call)


def stand_in_for_junit(config: pytest.Config, path: str) -> None:
    """What fixtures ask for where there is a junit report, in a child that is not to write one."""
    from _pytest.junitxml import LogXML, xml_key

    class Unwritten(LogXML):
        def pytest_sessionfinish(self) -> None:
            """The controller writes."""

    if junit(config) is None:
        family: Any = config.getini("junit_family")
        xml = Unwritten(path, config.option.junitprefix, family=family)
        config.stash[xml_key] = xml
        config.pluginmanager.register(xml)


class _NodeReporterRelay:
    """Stands for junit's node reporter in a child: calls travel, nothing is kept."""

    def __init__(self, call: Callable[[bool, str, tuple[Any, ...]], None]) -> None:
        self._call = call

    def __getattr__(self, method: str) -> Callable[..., None]:
        def relayed(self: _NodeReporterRelay, *args: Any) -> None:
            self._call(True, method, args)

        relayed.__qualname__ = f"_NodeReporter.{method}"
        return MethodType(relayed, self)


# Tracebacks show these as values of arguments.
_NodeReporterRelay.__module__, _NodeReporterRelay.__qualname__ = "_pytest.junitxml", "_NodeReporter"


# ------------------------------------------------------------------------------------- reports


def node_id_types() -> tuple[type, ...]:
    """What a report keeps its node id as, besides text (pytest 9.2: ``_pytest.nodeid.NodeId``)."""
    with contextlib.suppress(ImportError, AttributeError):
        return (importlib.import_module("_pytest.nodeid").NodeId,)
    return ()


def replace_statistics(
    config: pytest.Config, make: Callable[[dict[str, list[Any]], Callable[[Any], str]], Any]
) -> Any:
    """Put ``make(old, category of a report)`` in the place of ``TerminalReporter.stats``; None without a reporter."""
    reporter = terminal_reporter(config)
    if type(getattr(reporter, "stats", None)) is not dict:
        return None

    def classify(report: Any) -> str:
        try:
            return str(config.hook.pytest_report_teststatus(report=report, config=config)[0])
        except Exception:  # of a report that no plugin classifies
            return ""

    reporter.stats = make(reporter.stats, classify)
    return reporter.stats


def own_protocol(config: pytest.Config) -> bool:
    """Whether no plugin runs items but pytest's own (pluggy: ``HookImpl.wrapper``, ``hookwrapper``)."""
    runner = config.pluginmanager.get_plugin("runner")
    return all(
        implementation.plugin is runner or implementation.wrapper or implementation.hookwrapper
        for implementation in config.hook.pytest_runtest_protocol.get_hookimpls()
    )


def failed_subtests(config: pytest.Config, item: pytest.Item) -> int:
    """How many subtests of ``item`` failed so far in this process (pytest 9's stash)."""
    if _subtests_key is None:
        return 0
    counts: Any = config.stash.get(_subtests_key, None)
    key: Any = getattr(item, "id", item.nodeid)
    return int(counts.get(key, 0)) if counts else 0


def is_subtest(report: pytest.TestReport) -> bool:
    """Whether it is of a part of a test (``SubtestReport``; pytest-subtests: ``SubTestReport``), within its call."""
    return type(report).__name__.lower() == "subtestreport"


def set_failed_subtests(config: pytest.Config, item: pytest.Item, count: int) -> None:
    """What pytest 9 keys the flip of a passing parent on, in the process that shows it."""
    if _subtests_key is not None and _subtests_key in config.stash:
        key: Any = getattr(item, "id", item.nodeid)
        config.stash[_subtests_key][key] = count


def internal_error_text(config: pytest.Config, error: BaseException) -> str:
    """What ``Config.notify_exception`` would print of it, without the prefix."""
    excinfo = pytest.ExceptionInfo.from_exception(error)
    style = "long" if getattr(config.option, "fulltrace", False) else "native"
    return str(
        excinfo.getrepr(
            funcargs=True,
            showlocals=getattr(config.option, "showlocals", False),
            style=style,  # type: ignore[arg-type]
        )
    )


# ------------------------------------------------------------------------------------- session


def teardown_everything(session: pytest.Session) -> None:
    """What pytest's own sessionfinish does to fixtures that still stand (``_setupstate``)."""
    session._setupstate.teardown_exact(None)


def fixture_definitions(session: pytest.Session) -> list[Any]:
    """Every fixture definition (``FixtureManager._get_all_fixture_defs``; before pytest 9.2 ``_arg2fixturedefs``)."""
    manager: Any = getattr(session, "_fixturemanager", None)
    everything = getattr(manager, "_get_all_fixture_defs", None)
    if everything is not None:
        return list(everything())
    known = getattr(manager, "_arg2fixturedefs", {})
    return [definition for definitions in known.values() for definition in definitions]


def fixture_of(item: pytest.Item, name: str) -> Any:
    """The definition that ``item`` would use for ``name``, or None (``_fixtureinfo``)."""
    info: Any = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", {}).get(name) if info is not None else None
    return definitions[-1] if definitions else None


def visible_fixture(item: pytest.Item, name: str) -> Any:
    """What ``request.getfixturevalue(name)`` would find in ``item``, or None (``FixtureManager.getfixturedefs``)."""
    manager: Any = getattr(item.session, "_fixturemanager", None)
    if fixture_of(item, name) is None and manager is not None and hasattr(item, "_request"):
        definitions = manager.getfixturedefs(name, item)
        return definitions[-1] if definitions else None
    return fixture_of(item, name)


def fixture_value(definition: Any) -> Any:
    """What a fixture gave that is set up; None where it gave that, or nothing (``FixtureDef.cached_result``)."""
    cached = definition.cached_result
    return cached[0] if cached is not None else None


def replace_fixture_function(definition: Any, function: Callable[[], None]) -> None:
    """Call this instead, without arguments (``FixtureDef.func``, ``argnames``)."""
    definition.func, definition.argnames = function, ()


def is_parametrised(session: pytest.Session, item: pytest.Item, name: str) -> bool:
    """Whether ``name``, or what it depends on as ``item`` sees it, has several values (``CallSpec2.params``)."""
    waiting, seen = [name], set()
    while waiting:
        each = waiting.pop()
        definition = visible_fixture(item, each)
        if each in seen or definition is None:
            continue
        seen.add(each)
        waiting += definition.argnames
        if definition.params:
            return True
    return any(
        seen & set(getattr(getattr(other, "callspec", None), "params", ()))
        and visible_fixture(other, name) is visible_fixture(item, name)
        for other in session.items
    )


def set_up_fixture(session: pytest.Session, item: pytest.Item, name: str) -> None:
    """Set one session- or package-scoped fixture up as ``item`` would, but not the item itself.

    Relies on ``SetupState.stack`` and ``Function._request``.
    """
    for node in item.listchain()[:-1]:
        if isinstance(node, pytest.Module | pytest.Class):
            break
        session._setupstate.stack.setdefault(node, ([node.teardown], None))
    request: Any = item._request  # type: ignore[attr-defined]
    session._setupstate.stack[item] = ([], None)  # pytest 9.1: or it says that the item is torn down
    try:
        request.getfixturevalue(name)
    finally:
        session._setupstate.stack.pop(item, None)
        item._initrequest()  # type: ignore[attr-defined]


def take_setup(session: pytest.Session) -> dict[Any, Any]:
    """Take what stands set up out of the session; nothing is torn down by it (``SetupState.stack``)."""
    stack = dict(session._setupstate.stack)
    session._setupstate.stack.clear()
    return stack


def restore_setup(session: pytest.Session, stack: dict[Any, Any]) -> None:
    """The other end of :func:`take_setup`."""
    session._setupstate.stack.update(stack)


@contextlib.contextmanager
def captured_into(item: pytest.Item, when: str) -> Iterator[None]:
    """Capture what is printed meanwhile as if ``item`` printed it (``CaptureManager.item_capture``)."""
    manager: Any = item.config.pluginmanager.get_plugin("capturemanager")
    if manager is None or not manager.is_globally_capturing():
        yield
        return
    with manager.item_capture(when, item):
        yield


def report_sections(item: pytest.Item) -> list[Any]:
    """What was captured for ``item``; may be cut (``Item._report_sections``)."""
    sections: list[Any] = item._report_sections
    return sections


@contextlib.contextmanager
def warnings_of(item: pytest.Item) -> Iterator[list[dict[str, Any]]]:
    """The warnings of what runs inside, for :func:`show_warnings` (``_pytest.warnings``)."""
    kept: list[dict[str, Any]] = []
    if not item.config.pluginmanager.hasplugin("warnings"):
        yield kept
        return
    from _pytest.warnings import catch_warnings_for_item

    hook: Any = SimpleNamespace(call_historic=kept.append)
    with catch_warnings_for_item(
        item.config, SimpleNamespace(pytest_warning_recorded=hook), when="runtest", item=item
    ):
        yield kept


def show_warnings(item: pytest.Item, kept: list[dict[str, Any]]) -> None:
    """As pytest shows those of a test."""
    for each in kept:
        item.ihook.pytest_warning_recorded.call_historic(kwargs=each)


def temporary_factory(config: pytest.Config) -> Any:
    """``TempPathFactory``, or None with ``-p no:tmpdir`` (``config._tmp_path_factory``)."""
    return getattr(config, "_tmp_path_factory", None)


def use_basetemp(config: pytest.Config, directory: Callable[[], Path]) -> None:
    """Ask ``directory()`` for the base temporary directory when it is first needed."""
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


def drop_pending_exceptions(config: pytest.Config) -> None:
    """Unraisable and thread exceptions of the collection are the first test's to show, once.

    Relies on the stash keys of ``_pytest.unraisableexception`` and ``_pytest.threadexception``
    (pytest 8.4 and 9: deques).
    """
    from _pytest.threadexception import thread_exceptions
    from _pytest.unraisableexception import unraisable_exceptions

    keys: tuple[Any, ...] = (unraisable_exceptions, thread_exceptions)
    for key in keys:
        pending: Any = config.stash.get(key, None)
        if pending:
            pending.clear()


def expression_error(option: str, text: str) -> str:
    """Why pytest would refuse this expression of ``-k`` or ``-m``, as pytest says it; "" where it would not."""
    from _pytest.mark import _parse_expression

    if not text.strip():
        return ""
    wrong = f"Wrong expression passed to '{option}'"
    try:
        _parse_expression(text.lstrip(), wrong)
    except pytest.UsageError as error:
        return str(error)
    except (RecursionError, MemoryError, ValueError, SyntaxError) as error:  # nested too deeply, for one
        return f"{wrong}: {text}: {type(error).__name__}"
    return ""


def rewritten(config: pytest.Config, path: Path) -> Any:
    """The code of a file whose asserts pytest rewrites."""
    from _pytest.assertion.rewrite import _rewrite_test

    return _rewrite_test(path, config)[1]


def stderr_is_real() -> bool:
    """Whether fd 2 is open (a daemon may have closed it)."""
    try:
        os.fstat(2)
    except OSError:
        return False
    return sys.__stderr__ is not None
