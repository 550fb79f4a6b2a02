"""``pytest-hotreload serve``: keeps a template ready for attached runs."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pytest

from pytest_hotreload import plugin
from pytest_hotreload.commands.foundations import Foundations
from pytest_hotreload.imports import analysis
from pytest_hotreload.options import serve_minutes
from pytest_hotreload.process.fork_messages import Gone, Refused, Started, Warmed
from pytest_hotreload.watch import attach_messages, beginning, messages, screen
from pytest_hotreload.watch.attach_server import AttachServer
from pytest_hotreload.watch.endpoint import OccupiedError
from pytest_hotreload.watch.environment import WatchedEnvironment
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.protocol import Ready
from pytest_hotreload.watch.signals import SignalPipe
from pytest_hotreload.watch.template_processes import TemplateProcesses

#: Seconds between two looks at what the server stands on, which take 1 ms.
_CHECK = 5.0
#: Signals with which a user, a shell or the system ends the server.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(arguments: Sequence[str], idle: float | None) -> int:
    """Serve the project to which these pytest arguments belong.

    ``idle``: minutes without a run, 0 for no limit; None if a run started this server, and the ini file decides.
    Returns the exit status: 0 after ``stop`` or the idle time, or if the ini file turns such a server off; 1 on
    failure, 128 + the number of the signal that ended the server.
    """
    folder = str(Path.cwd())
    if beginning.entries_in_front() and sys.path[:1] != [folder]:
        sys.path.insert(0, folder)  # runs are what `python -m pytest` would be
    environment = dict(os.environ)  # plugins that are imported next may change them
    plugin.stand_aside()
    given = list(arguments)
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        given += ["-p", _own_name(given)]  # the template parks in this plugin
    start = _Start(given, idle, environment)
    try:
        return int(pytest.main(given, plugins=[start]))  # pytest reports what is wrong with the arguments
    except _Over:
        return start.status[0]


def _own_name(arguments: Sequence[str]) -> str:
    """The name under which this plugin is also given elsewhere: pytest refuses one plugin under two names."""
    given = {*arguments, *os.environ.get("PYTEST_ADDOPTS", "").split()}
    given.update(os.environ.get("PYTEST_PLUGINS", "").split(","))
    return plugin.__name__ if given & {plugin.__name__, f"-p{plugin.__name__}"} else "hotreload"


class _Over(BaseException):
    """Ends pytest early. A BaseException, so that no ``except Exception`` stops it."""


class _Start:
    """Starts the server where a watch starts, when pytest knows its ini and nothing of the project is imported."""

    def __init__(self, arguments: list[str], idle: float | None, environment: Mapping[str, str]) -> None:
        self.arguments, self.idle, self.environment = arguments, idle, environment
        self.status: list[int] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Generator[None, object, object]:
        if not self.status:
            self.status.append(self._serve(early_config))
            raise _Over
        return (yield)

    def _serve(self, config: pytest.Config) -> int:
        started = self.idle is None
        idle = serve_minutes(config) if self.idle is None else self.idle
        if idle is None:
            return 0
        return Server(config, self.arguments, idle, self.environment, started=started).run()


class Server:
    """The server's event loop.

    ``started``: whether a run started this server. Nobody waits for such a server or knows that it exists: before its
    template is warm, runs are cold, and where ``serve`` would start a new template, it ends.
    """

    def __init__(
        self,
        config: pytest.Config,
        arguments: Sequence[str],
        idle: float,
        environment: Mapping[str, str],
        *,
        started: bool = False,
    ) -> None:
        self.config, self.idle = config, idle
        self.screen = screen.Screen(sys.stdout, clear=False)
        self.selector = selectors.DefaultSelector()
        self.environment = WatchedEnvironment(config.rootpath)
        self.processes = TemplateProcesses(
            arguments,
            config.invocation_params.dir,
            lambda process: self.selector.register(process, selectors.EVENT_READ, process),
            self.selector.unregister,
            environment,
        )
        self.attachments = AttachServer(
            "serve",
            str(config.rootpath),
            self.processes,
            self.selector,
            self._renewed,
            self._stop,
            self._gone,
        )
        self.foundations = Foundations(config.rootpath, self.environment.changed if started else None)
        if started:
            self.attachments.starting = attach_messages.STARTING
        self.processes.barred += config.getini("hotreload_not_warm")
        #: The exit status, once the server ends.
        self.over: int | None = None
        self._greeted = self._retired = False
        self._warm: list[str] = []

    def run(self) -> int:
        """Serve until the end, and return the exit status."""
        signals = SignalPipe(_ENDING)
        self.selector.register(signals, selectors.EVENT_READ, lambda: self._signalled(signals.read()))
        try:
            self.attachments.open()
            self.processes.start_template()
            self._warm = analysis.analyse(
                self.config, analysis.probable_test_files(self.config), minimum=1
            ).modules
            while self.over is None:
                self._turn()
        except (OSError, OccupiedError) as error:
            self.screen.notice(attach_messages.not_served(error))
            return 1
        finally:
            self.attachments.prepared.close()
            self.processes.close()
            self.attachments.close()
        return self.over

    def _turn(self) -> None:
        waits = (self.attachments.wait(), self._left(), _CHECK)
        ready = self.selector.select(min(seconds for seconds in waits if seconds is not None))
        for key, _ in ready:
            if not isinstance(key.data, Process):
                key.data()
            elif key.data.state != "gone":
                self._hear(key.data)
        self.attachments.tick()
        if not ready and not self._retired:
            self._gone()
        self._mind_end()

    def _mind_end(self) -> None:
        if self.over is None and self._left() == 0:
            self.screen.notice(attach_messages.idle(self.idle))
            self.over = 0
        if self.over is None and self._retired and not self.attachments.busy:
            self.over = 0

    def _left(self) -> float | None:
        """Seconds until the server ends because it is idle; None while it is busy, not ready, or has no limit."""
        if not self.idle or not self._greeted or self.attachments.busy:
            return None
        return max(self.attachments.idle_since + self.idle * 60 - time.monotonic(), 0.0)

    def _hear(self, process: Process) -> None:
        for source, message in self.processes.hear(process):
            if source.kind == "prepared" or isinstance(message, Started | Gone | Refused):
                self.attachments.hear(source, message)
            elif message is None:
                self._lost(source)
            elif source is self.processes.template and isinstance(message, Ready):
                self.processes.warm([*self._warm, *self.attachments.learned])
            elif isinstance(message, Warmed):
                self._greet(message)
                self.attachments.advance()

    def _greet(self, warmed: Warmed) -> None:
        if not self._greeted:
            self._greeted, self.attachments.idle_since = True, time.monotonic()
            self.attachments.starting = ""
            self.screen.line(attach_messages.serving(str(self.config.rootpath), warmed, self.idle))

    def _lost(self, process: Process) -> None:
        if process is self.processes.template:
            self.processes.close_template()
            self.screen.notice(attach_messages.not_served(messages.TEMPLATE_ENDED))
            self.over = 1
        self.attachments.hear(process, None)

    def _renewed(self) -> str:
        reason = self.environment.changed() or self.processes.unfit
        if reason:
            self.screen.notice(messages.new_template(reason))
            self.processes.start_template()
        return reason

    def _gone(self) -> str:
        """Retire if what this server stands on is gone. Returns the reason, or "".

        Runs go on; nobody else can attach, and a new server may be started.
        """
        reason = self.foundations.gone()
        if reason:
            self.screen.notice(attach_messages.stopping(reason))
            self._retired = True
            self.attachments.close_endpoint()
        return reason

    def _stop(self) -> None:
        self.over = 0

    def _signalled(self, numbers: bytes) -> None:
        if numbers:
            self.over = 128 + numbers[0]
