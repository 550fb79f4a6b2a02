"""Private interfaces of pytest about output: capture, the terminal, logs, warnings.

Checked on pytest 8.4.2, 9.0 and 9.2.0 with pluggy 1.5 to 1.7. Each function names what it relies on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from types import MethodType, SimpleNamespace
from typing import Any

import _pytest
import _pytest.config
import _pytest.pathlib
from _pytest.logging import caplog_records_key

from pytest_hotreload.world import BUILTINS, contextlib, io, os, pytest, tempfile, warnings

__builtins__ = BUILTINS

#: ``inspect.CO_GENERATOR``: the flag in the code of a generator function.
_GENERATOR = 0x20


def captured_files(config: pytest.Config) -> list[tuple[int, int, int | None]]:
    """Return (1 or 2, descriptor of the capture file, descriptor of the original) under ``--capture=fd``.

    Relies on ``CaptureManager._global_capturing.out/.err`` with ``tmpfile`` and ``targetfd_save``.
    """
    manager = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    found: list[tuple[int, int, int | None]] = []
    streams: Any = ((1, getattr(capturing, "out", None)), (2, getattr(capturing, "err", None)))
    for number, stream in streams:
        saved = getattr(stream, "targetfd_save", None)
        file: Any = getattr(stream, "tmpfile", None)  # sys.stdout or sys.stderr, which a test may have closed
        if saved is not None and not file.closed:
            found.append((number, file.fileno(), saved))
    return found


def saved_descriptors(config: pytest.Config) -> dict[int, int]:
    """Return 0, 1 and 2 -> the descriptor that keeps the original under ``--capture=fd``; {} for other captures.

    Relies on ``CaptureManager._global_capturing.in_/.out/.err`` with ``targetfd_save``.
    """
    capturing = getattr(config.pluginmanager.get_plugin("capturemanager"), "_global_capturing", None)
    streams = [getattr(capturing, name, None) for name in ("in_", "out", "err")]
    saved = [getattr(stream, "targetfd_save", None) for stream in streams]
    return {number: each for number, each in enumerate(saved) if each is not None}


def capture_descriptors(config: pytest.Config) -> set[int]:
    """Return all descriptors that ``--capture=fd`` opened (``tmpfile`` besides the above)."""
    capturing = getattr(config.pluginmanager.get_plugin("capturemanager"), "_global_capturing", None)
    files = (getattr(getattr(capturing, name, None), "tmpfile", None) for name in ("in_", "out", "err"))
    return {*saved_descriptors(config).values(), *(file.fileno() for file in files if file is not None)}


def renew_capture(config: pytest.Config) -> None:
    """Put new files behind the objects of global capture, since a fork shares files and offsets with its siblings."""
    for _, capture_file, _ in captured_files(config):
        with tempfile.TemporaryFile(buffering=0) as own:
            os.dup2(own.fileno(), capture_file, inheritable=False)


def is_capturing_now(config: pytest.Config) -> bool:
    """Return whether global capture is active at this moment (between the phases of a test it is not)."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    return bool(capturing is not None and getattr(capturing, "_state", None) == "started")


def apply_warning_filters(config: pytest.Config) -> None:
    """Apply the filters that pytest applies during a collection (``_pytest.config.apply_warning_filters``)."""
    if not sys.warnoptions:
        warnings.filterwarnings("always", category=DeprecationWarning)
        warnings.filterwarnings("always", category=PendingDeprecationWarning)
    _pytest.config.apply_warning_filters(
        config.getini("filterwarnings"), getattr(config.known_args_namespace, "pythonwarnings", None) or []
    )


def terminal_reporter(config: pytest.Config) -> Any:
    """Return the terminal reporter. Looked up at each use, because sugar and instafail replace it."""
    return config.pluginmanager.get_plugin("terminalreporter")


def terminal_writer(config: pytest.Config) -> Any:
    """Return the reporter's writer (``TerminalReporter._tw``), or None without a reporter."""
    return getattr(terminal_reporter(config), "_tw", None)


def relay_terminal(
    config: pytest.Config,
    write: Callable[[str, dict[str, bool]], None],
    ensure_newline: Callable[[], None] = lambda: None,
) -> None:
    """Send everything that is written to the terminal writer to ``write(text, markup)``.

    Every method of TerminalWriter ends in ``write`` or (pytest 9.1) ``write_raw``. Only the controller knows
    the content of the terminal's current line (``TerminalReporter.ensure_newline``).
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
    """Buffers the terminal writer's output until it is released; otherwise the output is never shown."""

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
        """Show the buffered output, and all later output immediately."""
        if self._writer is not None and self._writer._file is self:
            self._writer._file = self._file
            self._file.write("".join(self._kept))
            self._file.flush()


def flush_terminal(config: pytest.Config) -> None:
    """Flush the terminal writer, before a fork and before the terminal is lent."""
    writer = terminal_writer(config)
    if writer is not None:
        writer.flush()


def ensure_newline(config: pytest.Config) -> None:
    """End the line of dots (``TerminalReporter.ensure_newline``)."""
    reporter = terminal_reporter(config)
    if reporter is not None:
        reporter.ensure_newline()


def write_lines(config: pytest.Config, lines: Iterable[str]) -> None:
    """Write each line unchanged, to the terminal, or to standard output without a reporter (``-p no:terminal``)."""
    writer = terminal_writer(config)
    if writer is None:
        print(*lines, sep="\n", flush=True)
        return
    ensure_newline(config)
    for line in lines:
        writer.line(line)
    writer.flush()


#: Whether the controller writes a log file; set in a process that configures itself.
_LOGGED_ELSEWHERE = pytest.StashKey[bool]()


def close_log_file(config: pytest.Config) -> None:
    """Redirect ``--log-file``: a process that configures itself must not open (and empty) the controller's file."""
    if hasattr(config.option, "log_file"):
        config.stash[_LOGGED_ELSEWHERE] = bool(config.option.log_file or config.getini("log_file"))
        config.option.log_file = os.devnull


def has_log_file(config: pytest.Config) -> bool:
    """Return whether ``--log-file`` is in effect."""
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
    handler.stream = _TextSink(write, str(handler.encoding or "utf-8"))


def write_log_file(config: pytest.Config, text: str) -> None:
    """Write text that :func:`relay_log_file` sent, in the controller."""
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    stream = getattr(getattr(plugin, "log_file_handler", None), "stream", None)
    if stream is not None:
        stream.write(text)
        stream.flush()


def relay_live_log(config: pytest.Config, write: Callable[[str, str | None], None]) -> None:
    """Send live logging to ``write(text, when)`` (``LoggingPlugin.log_cli_handler``).

    The newlines and headings of live logging depend on what hooks in the controller logged before.
    """
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler: Any = getattr(plugin, "log_cli_handler", None)
    if hasattr(handler, "_when"):  # without log_cli it is a null handler
        handler.emit = lambda record: write(handler.format(record), handler._when)


def write_live_log(config: pytest.Config, text: str, when: str | None) -> None:
    """Write text that :func:`relay_live_log` sent, in the controller."""
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
    """The formatter for records that are already formatted."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)


class _TextSink:
    """The part of a text stream that a logging handler uses."""

    def __init__(self, write: Callable[[str], None], encoding: str) -> None:
        self._write, self._encoding = write, encoding

    def write(self, text: str) -> None:
        """Raise ``UnicodeEncodeError`` for what the file cannot take; pytest's handler then drops the record."""
        text.encode(self._encoding)
        self._write(text)

    def flush(self) -> None:
        """Do nothing: no text is buffered."""

    def close(self) -> None:
        """Do nothing: there is no file."""


def divert_terminal(config: pytest.Config) -> Any:
    """Let everything that is written to the terminal disappear; return a file that leads to standard output.

    The file has a descriptor of its own, which no capture of output replaces. Relies on
    ``TerminalWriter._file``, and on capture being suspended while pytest is configured.
    """
    writer = terminal_writer(config)
    if writer is not None:
        writer._file, writer.hasmarkup = Nowhere(), False
    return os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")


class Nowhere(io.TextIOBase):
    """A file that drops everything."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


def replace_statistics(
    config: pytest.Config, make: Callable[[dict[str, list[Any]], Callable[[Any], str]], Any]
) -> Any:
    """Replace ``TerminalReporter.stats`` by ``make(old, classify)``, and return it; None without a reporter.

    ``classify`` returns the category of a report.
    """
    reporter = terminal_reporter(config)
    if type(getattr(reporter, "stats", None)) is not dict:
        return None

    def classify(report: Any) -> str:
        try:
            return str(config.hook.pytest_report_teststatus(report=report, config=config)[0])
        except Exception:  # no plugin classifies this report
            return ""

    reporter.stats = make(reporter.stats, classify)
    return reporter.stats


@contextlib.contextmanager
def captured_into(item: pytest.Item, when: str) -> Iterator[None]:
    """Capture the output of this block as if ``item`` had printed it (``CaptureManager.item_capture``)."""
    manager: Any = item.config.pluginmanager.get_plugin("capturemanager")
    if manager is None or not manager.is_globally_capturing():
        yield
        return
    with manager.item_capture(when, item):
        yield


@contextlib.contextmanager
def logged_into(item: pytest.Item, when: str) -> Iterator[None]:
    """Catch the log records of this block as if ``item`` had made them.

    Relies on ``LoggingPlugin._runtest_for``: a generator, and from pytest 9.1 on a context manager.
    """
    plugin: Any = item.config.pluginmanager.get_plugin("logging-plugin")
    if plugin is None or not hasattr(plugin, "_runtest_for"):
        yield
        return
    plugin.log_cli_handler.set_when(when)
    item.stash[caplog_records_key] = {}
    catching = plugin._runtest_for
    if type(catching) is MethodType and catching.__func__.__code__.co_flags & _GENERATOR:
        catching = contextlib.contextmanager(catching)
    with catching(item, when):
        yield


def join_sections(item: pytest.Item) -> None:
    """Join captured sections of one name, as if their output had been captured in one block."""
    joined: dict[tuple[str, str], str] = {}
    for when, key, content in item._report_sections:
        joined[when, key] = joined.get((when, key), "") + content
    item._report_sections[:] = [(when, key, content) for (when, key), content in joined.items()]


@contextlib.contextmanager
def capture_dropped(config: pytest.Config) -> Iterator[None]:
    """Capture the output of this block and drop it; with ``-s``, the output is shown.

    Relies on ``CaptureManager.resume_global_capture``, ``suspend_global_capture`` and ``read_global_capture``.
    """
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    if manager is None or not manager.is_globally_capturing():
        yield
        return
    manager.resume_global_capture()
    try:
        yield
    finally:
        manager.suspend_global_capture(in_=False)
        manager.read_global_capture()


def report_sections(item: pytest.Item) -> list[Any]:
    """Return the list of captured sections of ``item``, which the caller may shorten (``Item._report_sections``)."""
    sections: list[Any] = item._report_sections
    return sections


@contextlib.contextmanager
def warnings_of(item: pytest.Item) -> Iterator[list[dict[str, Any]]]:
    """Collect the warnings of this block, for :func:`show_warnings` (``_pytest.warnings``)."""
    kept: list[dict[str, Any]] = []
    if not item.config.pluginmanager.hasplugin("warnings"):
        yield kept
        return
    from _pytest.warnings import catch_warnings_for_item

    hook: Any = SimpleNamespace(call_historic=lambda *, kwargs: kept.append(kwargs))
    with catch_warnings_for_item(
        item.config, SimpleNamespace(pytest_warning_recorded=hook), when="runtest", item=item
    ):
        yield kept


def show_warnings(item: pytest.Item, kept: list[dict[str, Any]]) -> None:
    """Report the warnings as pytest reports those of a test."""
    for each in kept:
        item.ihook.pytest_warning_recorded.call_historic(kwargs=each)


def stderr_is_real() -> bool:
    """Return whether descriptor 2 is open (a daemon may have closed it)."""
    try:
        os.fstat(2)
    except OSError:
        return False
    return sys.__stderr__ is not None
