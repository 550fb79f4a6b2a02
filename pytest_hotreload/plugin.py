"""pytest's hooks: picks this process's role and hands over to it.

Nothing here runs without ``--hotreload`` (or the ini), and a pytest inside a test of ours meets an
inert plugin.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import pytest

from . import compat, options, others, terminal, totals

_KEY = pytest.StashKey["Active"]()
#: The process that a run belongs to: an inner pytest (pytester) in it or in a child stays plain.
_owner: int | None = None


class Active:
    """One session under hotreload: its options, and what becomes of it."""

    def __init__(self, config: pytest.Config, chosen: options.Options) -> None:
        self.config, self.options = config, chosen
        self.lifeline = os.pipe()
        self.totals = totals.Totals()
        self.quarantine: dict[str, str] = {}
        self.loop: Any = None
        self.ran = False

    def close(self) -> None:
        for descriptor in self.lifeline:
            os.close(descriptor)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str]
) -> Generator[None, object, object]:
    global _owner
    namespace = early_config.known_args_namespace
    if not options.wanted(early_config, namespace) or _owner is not None:
        return (yield)
    others.refuse(namespace)
    chosen = options.read(early_config, namespace)
    _owner = os.getpid()
    active = early_config.stash[_KEY] = Active(early_config, chosen)
    early_config.add_cleanup(lambda: _forget(active))
    _join_xdist_convention(early_config, chosen)
    return (yield)


def _forget(active: Active) -> None:
    global _owner
    if _owner == os.getpid():
        _owner = None
        active.close()


def _join_xdist_convention(config: pytest.Config, chosen: options.Options) -> None:
    from . import nodes

    if config.pluginmanager.hasplugin("xdist"):
        return
    config.pluginmanager.register(nodes.Fixtures(), "hotreload-fixtures")
    if chosen.slots > 1:
        config.pluginmanager.register(nodes.StandIn(), "xdist")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    if _KEY in config.stash:
        others.stop_xdist(config)
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if _KEY in config.stash:
        from .child import Reporter

        config.pluginmanager.register(Run(config.stash[_KEY]), "hotreload-run")
        config.pluginmanager.register(Reporter(config), "hotreload-reporter")


class Run:
    """The hooks of a controller."""

    def __init__(self, active: Active) -> None:
        self.active = active
        self.config = active.config

    def pytest_report_header(self) -> list[str]:
        return terminal.header(
            self.active.options,
            "imports warmed by collection",
            self.active.quarantine,
            self.config.get_verbosity(),
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        config = self.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            return None  # pytest says what plain pytest says
        if config.option.collectonly or not session.items or getattr(config.option, "setupplan", 0):
            return None
        reason = others.needs_plain(config, session.items)
        if reason:
            terminal.notice(config, terminal.left_to_plain(reason))
            return None
        self._run(session)
        return True

    def _run(self, session: pytest.Session) -> None:
        from .controller import RunLoop

        active = self.active
        active.totals.start_cpu = time.process_time()
        active.totals.durations = totals.load_durations(self.config)
        reporter = self.config.pluginmanager.get_plugin("hotreload-reporter")
        active.loop = RunLoop(session, active.options, reporter, active.totals, active.lifeline)
        active.ran = True
        active.loop.run()

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self) -> None:
        loop = self.active.loop
        if loop is not None and loop.replay.memo is not None:
            compat.set_interrupt_memo(self.config, loop.replay.memo)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        active = self.active
        if not active.ran:
            return
        try:
            totals.save_durations(self.config, session.items, active.totals)
        except OSError as error:
            active.totals.notices.append(terminal.no_cache(error))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        active = self.active
        if not active.ran or self.config.get_verbosity() < 0:
            return
        for text in active.totals.notices:
            terminalreporter.write_line(terminal.PREFIX + text, yellow=True)
        terminalreporter.write_line(
            terminal.closing(
                active.totals.files,
                active.totals.children,
                active.options.slots,
                active.totals.start_cpu,
                active.totals.fell_back,
            )
        )
