"""The watcher: the process that the user started. Waits for edits, keys and processes, and decides what runs next.

A single loop waits for all of these at once. The watcher learns about the suite from reruns, and imports no code of
the project.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import sys
import time
from collections.abc import Collection

import pytest

from pytest_hotreload._native import Changes
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.imports import analysis
from pytest_hotreload.options import Options
from pytest_hotreload.process.fork_messages import Gone, Refused, Started, Warmed
from pytest_hotreload.records import messages
from pytest_hotreload.watch import attach_messages, screen
from pytest_hotreload.watch import messages as watch_messages
from pytest_hotreload.watch.attach_server import AttachServer
from pytest_hotreload.watch.edits import Edits
from pytest_hotreload.watch.endpoint import OccupiedError
from pytest_hotreload.watch.environment import WatchedEnvironment, discard_bytecode
from pytest_hotreload.watch.file_events import FileEvents
from pytest_hotreload.watch.key_bindings import Commands
from pytest_hotreload.watch.keyboard import Keyboard
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.processes import WatchProcesses
from pytest_hotreload.watch.protocol import Changed, Go, Loaded, Ready, Unfit, Waiting
from pytest_hotreload.watch.requests import PendingEdit, RunRequest
from pytest_hotreload.watch.reruns import RerunQueue
from pytest_hotreload.watch.results import Results
from pytest_hotreload.watch.signals import SignalPipe
from pytest_hotreload.watch.terminal_loan import TerminalLoan

#: Seconds within which a second Ctrl-C ends the watch at once.
_SECOND = 2.0
#: Seconds in which records may be written at the end: five times the time for 5,000 records (docs/design/records.md).
_SAVING = 5.0
#: The exit status after a Ctrl-C, as in a shell: 128 + SIGINT.
_INTERRUPTED = 130


def watch(config: pytest.Config, options: Options) -> None:
    """Run the watcher until the user ends it, then exit the process. Raises :class:`pytest.UsageError`."""
    namespace = config.known_args_namespace
    for option, text in (("-k", namespace.keyword), ("-m", namespace.markexpr)):
        if wrong := pytest_config.expression_error(option, text):
            raise pytest.UsageError(wrong)
    status = Watch(config, options).run()
    sys.stdout.flush()
    raise SystemExit(status)


class Watch:
    """The watcher's loop, and the actions that its parts request."""

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config, self.options = config, options
        self.root = str(config.rootpath)
        verbose = int(getattr(config.known_args_namespace, "verbose", 0) or 0) > 0
        self.screen = screen.Screen(sys.stdout, clear=options.clear, verbose=verbose)
        self.results = Results()
        self.environment = WatchedEnvironment(config.rootpath)
        self.selector = selectors.DefaultSelector()
        arguments = [str(argument) for argument in config.invocation_params.args]
        self.processes = WatchProcesses(
            arguments,
            config.invocation_params.dir,
            lambda process: self.selector.register(process, selectors.EVENT_READ, process),
            self.selector.unregister,
        )
        self.attachments = AttachServer("watch", self.root, self.processes, self.selector, self._renewed)
        self.processes.barred += config.getini("hotreload_not_warm")
        self.edits = Edits(self.root, self.results, self.screen)
        self.loan = TerminalLoan(self)
        self.reruns = RerunQueue(self, self.edits, self.processes, self.results, self.screen, self.loan)
        #: Whether edits wait.
        self.paused = False
        #: The exit status as soon as the watch is to end; None before.
        self.over: int | None = None
        self._news = self._renewal = ""
        self._broken = self._greeted = self._listening = self._input_over = False
        self._warm: list[str] = []
        self._variables: frozenset[str] = frozenset()
        self._interrupted = -_SECOND
        self._leaving = -_SAVING

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until the end of the watch. Returns the exit status."""
        self._signals = SignalPipe([signal.SIGINT])
        self.selector.register(self._signals, selectors.EVENT_READ, self.hear_signals)
        self.events = FileEvents(self.root, self.edits, self.screen)
        self.selector.register(self.events.fileno(), selectors.EVENT_READ, self._look)
        if self.environment.events is not None:
            self.selector.register(
                self.environment.events, selectors.EVENT_READ, self.environment.note_events
            )
        self._mind_reader()
        # Before the terminal's modes change: the template restores them if this process is killed.
        self.processes.start_template()
        self.keyboard = Keyboard()
        self._commands = Commands(self, self.reruns, self.results, self.screen, self.keyboard, self.config)
        try:
            self._begin()
            self._loop()
        finally:
            self.keyboard.close()
            self.processes.close()
            self.attachments.close()
            self.events.close()
            self._signals.close()
        return self.over or 0

    def _loop(self) -> None:
        while self.over is None or self._is_saving():
            self._turn()

    def _is_saving(self) -> bool:
        """Whether the latest rerun is writing its records, which the next watch begins with."""
        return self.reruns.ending is not None and time.monotonic() < self._leaving + _SAVING

    def _begin(self) -> None:
        self.screen.clear()
        if self.options.report or self.options.trace:
            self.screen.notice(watch_messages.left_out(self.options.reports))
        try:
            self.attachments.open()
        except (OSError, OccupiedError) as error:
            self.screen.notice(attach_messages.not_attachable(error))
        if self.options.reuse != "off":
            self.screen.notice(messages.IN_WATCH)
        self._guessed = analysis.probable_test_files(self.config)
        self._warm = analysis.analyse(self.config, self._guessed, minimum=1).modules
        first = self.options.watch_first
        nothing = RunRequest(Go(files=(), collect_all=True, hold=True), "none")
        self.reruns.run_request = nothing if first == "none" else RunRequest(Go(first=first), "first")

    def _turn(self) -> None:
        if self.processes.give_up():
            self._replan()
        self._advance()
        self._mind_keys()
        most = self.reruns.timeout(self.environment.debounce_seconds if self.over is None else _SAVING)
        waits = (most, *self.reruns.mind(), self.attachments.wait())
        ready = self.selector.select(min(each for each in waits if each is not None))
        if not ready and self.reruns.idle:
            self._look_around()
        for key, _ in ready:
            if not isinstance(key.data, Process):
                key.data()
            elif key.data.state != "gone":
                self._hear(key.data)
        self.attachments.tick()

    def _advance(self) -> None:
        """Start what can be started now: a rerun first, then the fork points that prepare the next one."""
        processes = self.processes
        if self.over is not None:
            return
        if self._renewal and self.reruns.idle:
            self._renew()
        if not self.reruns.idle:
            return
        if self._broken:
            if self._input_over:
                self.quit()
            return
        wanted = self.reruns.run_request is not None or (
            not self.paused and self.edits.runnable_changes().paths
        )
        if self._input_over and not wanted:
            self.quit()
        elif wanted and processes.current_chain():
            self.reruns.begin(self.edits.take() if self.reruns.takes_edits else PendingEdit())
        elif wanted or not self.reruns.current:
            processes.build()
            if processes.settled:
                processes.park_all(self.results.known)

    def _look_around(self) -> None:
        """Renew the template if the environment changed and two equal checks show that the installer has finished."""
        reason = self.environment.settled_change()
        if reason:
            self.renew(reason)

    def _mind_keys(self) -> None:
        wanted = self.keyboard.listening and not self.loan.held
        if wanted and not self._listening:
            try:
                self.selector.register(self.keyboard, selectors.EVENT_READ, self._keys)
            except PermissionError:  # a file or /dev/null: nothing to wait for except its end
                self._input_over = True
                return
        elif self._listening and not wanted:
            self.selector.unregister(self.keyboard)
        self._listening = wanted

    def _keys(self) -> None:
        descriptor = self.keyboard.fileno()
        for key in self.keyboard.read():
            self._commands.do(key)
        if self.keyboard.closed:
            self.selector.unregister(descriptor)
            self._listening = False
            if self.keyboard.is_terminal:
                self.quit()
            self._input_over = True  # pending runs are finished first, so that the exit status has a meaning

    def _mind_reader(self) -> None:
        """Register standard output if it is a pipe: the end of a pager is noticed before the next write."""
        with contextlib.suppress(OSError, ValueError):
            output = sys.stdout.fileno()
            if stat.S_ISFIFO(os.fstat(output).st_mode):
                self.selector.register(output, selectors.EVENT_READ, self.screen.reader_gone)

    # -- changes -----------------------------------------------------------------------------------

    def _look(self) -> None:
        for changes, burst in self.events.read(lambda: self.reruns.busy):
            told = burst.changed or burst.created or burst.deleted
            if changes.paths:
                self._changed(changes, burst)
            elif burst.saved and not told and self.reruns.current is None:
                self.screen.line(watch_messages.saved(burst.saved, self.root))

    def _changed(self, changes: Changed, burst: Changes) -> None:
        discard_bytecode(changes.paths)
        self.edits.changed(changes, burst, running=self.reruns.running)
        held = bool(self.processes.chain)
        if not self.processes.changed(changes) and held:
            self._news = watch_messages.new_points(watch_messages.shown(changes.paths, self.root))
        self._broken = False
        reason = self.environment.affected_paths(changes.paths) or self.environment.changed()
        if self.reruns.current is not None:
            self.reruns.current.edited.update(changes.paths)
        reason = reason or self.processes.unfit
        if not reason and self.processes.is_stuck:
            reason = watch_messages.late(watch_messages.shown(changes.paths, self.root))
        if reason:
            self.renew(reason)
        else:
            self.reruns.changed(changes)

    # -- actions for other parts ---------------------------------------------------------------------

    def ask(self, run_request: RunRequest) -> None:
        """Run this request next, and cancel the current rerun."""
        self.reruns.cancel()
        self._broken = False
        self.reruns.run_request = run_request
        self._renewed()

    def lend_terminal(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the watcher reads no keys."""
        return self.keyboard.lend()

    @property
    def told_of_all(self) -> bool:
        """Whether the operating system notifies the watcher of each change."""
        return self.events.told_of_all

    @property
    def renews(self) -> bool:
        """Whether a new template is about to be started."""
        return bool(self._renewal)

    def renew(self, reason: str) -> None:
        """Start a new template, as soon as the current rerun has finished its teardown."""
        self._renewal = reason
        self.reruns.cancel()

    def _renew(self) -> None:
        self._news, self._renewal = watch_messages.new_template(self._renewal), ""
        self.screen.notice(self._news)
        self.edits.forget_modules()
        self._broken = False
        self.processes.start_template()
        self.reruns.run_request = self.reruns.run_request or RunRequest(Go(first="affected"), "first")

    def news(self) -> str:
        """The reason for new fork points or a new template, in words.

        The reason is returned once, then "" until there is another one.
        """
        news, self._news = self._news, ""
        return news

    def _renewed(self) -> str:
        """Request a new template before a run that is asked for, if the environment changed or a module is unfit.

        Returns the reason, or "".
        """
        reason = self.environment.changed() or self.processes.unfit
        if reason:
            self.renew(reason)
        return reason

    def broken(self, what: str) -> None:
        """Report a problem because of which nothing can run before the next change."""
        self._broken = True
        self.screen.line(watch_messages.broken(what), "red")

    def greet(self, waiting: Waiting) -> None:
        """Show the header, once."""
        if not self._greeted:
            self._greeted = True
            self.screen.line(watch_messages.header(self.processes.warmed, len(self._guessed), waiting.slots))

    def loaded(self, message: Loaded) -> None:
        """Take in what a rerun learned, and plan the next fork points."""
        self.processes.refresh(self.results.known)
        self.processes.learn(message.pages)
        self.events.learn(message)
        self.events.follow(dict(message.outside))
        fresh = [name for name in message.third_party if name not in self._warm]
        if fresh:
            self._warm += fresh
            self.processes.cut(0)  # the next fork points need the template with these modules
            self.processes.warm(fresh)
            if self.edits.knows_modules:  # not after the first run, for which all modules are new
                self.screen.notice(watch_messages.third_party(fresh))
        self.edits.learn(message)
        self._variables = message.variables
        if not message.search_path:  # otherwise nothing can be imported before pytest_configure
            self._replan()

    def _replan(self) -> None:
        """Plan the fork points that the chain lacks, and request them."""
        processes = self.processes
        orders = self.edits.plan(processes.held, processes.refused)
        processes.run_request([order._replace(written=self._variables) for order in orders])

    # -- processes -----------------------------------------------------------------------------------

    def _hear(self, process: Process) -> None:
        for source, message in self.processes.hear(process):
            self.events.follow_used(message)
            if isinstance(message, Unfit):
                self._unfit(source)
            elif source.kind == "rerun":
                if message is None:
                    self.reruns.gone(source)
                else:
                    self.reruns.hear(source, message)
            elif isinstance(message, Started | Gone | Refused):
                self.attachments.hear(source, message)
            elif message is None:
                self._lost(source)
            elif source is self.processes.template and isinstance(message, Ready):
                self.processes.warm([*self._warm, *self.attachments.learned])
            elif isinstance(message, Warmed):
                self.attachments.advance()
            elif isinstance(message, Ready) and message.refused:
                self._replan()

    def _unfit(self, process: Process) -> None:
        """Handle the end of a process for which the template is unfit: its work is repeated from a new template."""
        self.reruns.begin_again(process)
        self.processes.end(process)
        if reason := self.processes.unfit:  # each time, all installed files are looked at
            self.renew(reason)

    def _lost(self, process: Process) -> None:
        if process.kind == "template":
            if process is self.processes.template:
                self.processes.close_template()
                self.broken(watch_messages.TEMPLATE_ENDED)
            self.attachments.hear(process, None)
        elif not self.processes.chain:
            self.broken(watch_messages.NO_START)

    # -- the end -------------------------------------------------------------------------------------

    def quit(self) -> None:
        """End the watch, after the key or at the end of the input."""
        unknown: Collection[object] = self.results.failing or self.results.pending or self.edits.blocked
        unfinished = self._broken or self.reruns.run_request is not None or self.reruns.current is not None
        self.over = 1 if unknown or unfinished else 0
        self._leaving = time.monotonic()

    def hear_signals(self) -> None:
        """Handle the signals received so far. While the terminal is lent, a Ctrl-C belongs to the debugger."""
        if signal.SIGINT not in self._signals.read() or self.loan.held:
            return
        now = time.monotonic()
        if not self.reruns.running or now - self._interrupted < _SECOND:
            self.over = _INTERRUPTED
        self._interrupted = now
        self.reruns.cancel(has_heard=True)
