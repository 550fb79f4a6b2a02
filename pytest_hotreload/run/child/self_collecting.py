"""A self-collecting child: a template's fork, or a fresh interpreter, with a pytest session of its own.

Such a child resembles a worker of xdist: it goes through pytest's whole start with its own arguments, then
runs the items that it was given (matched by node id), or becomes the fork point of its slot.
Its own terminal output, JUnit file and cache are never seen; its reports are sent like those of any child.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import Any

from pytest_hotreload._native import keep_frozen
from pytest_hotreload.ci.ownership import ShardFilter
from pytest_hotreload.ci.plan import Shard
from pytest_hotreload.compat import (
    controller_hooks,
    handover,
    junit,
    plugins,
    pytest_output,
    pytest_session,
)
from pytest_hotreload.compat.worker_id import hide_worker
from pytest_hotreload.compat.xdist import join_convention
from pytest_hotreload.process import adoption, fork_state
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.fork_messages import Gone, SlotCollected, Start
from pytest_hotreload.process.fork_server import serve
from pytest_hotreload.process.messages import ENVIRONMENT, Ended, Missing
from pytest_hotreload.process.slots import TRAVELLING, SlotFiles
from pytest_hotreload.records.collection_hooks import EventOwners
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.run import spawn
from pytest_hotreload.run.child import child, reset
from pytest_hotreload.run.child.context import ChildContext, SlotEnd
from pytest_hotreload.run.child.entry import AdoptedChild, ChildFactory, seed_of
from pytest_hotreload.run.child.reporter import Reporter
from pytest_hotreload.run.fixtures.shared import leave_out
from pytest_hotreload.run.gathered import carry
from pytest_hotreload.world import BUILTINS, faulthandler, functools, os, pytest, select, signal, sockets

__builtins__ = BUILTINS

#: Options that belong to the controller alone: they write files, select again, stop the run or ask the user.
_NEUTRAL: dict[str, Any] = {
    "xmlpath": None,
    "pastebin": None,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "stepwise_skip": False,
    "stepwise_reset": False,
    "cacheclear": False,
    "report_log": None,
    "durations": None,
    "hotreload_json_lines": False,
}


def disable_session_plugins(config: pytest.Config) -> None:
    """Disable options and plugins that belong to the controller alone.

    A self-collecting process calls this before pytest is configured.
    """
    for name, value in _NEUTRAL.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    controller_hooks.silence_adapters(config)
    plugins.stop_xdist(config)
    plugins.configure_coverage(config)
    pytest_output.close_log_file(config)


class SelfCollectingChild:
    """The plugin of a self-collecting child, from before the first conftest to its exit."""

    def __init__(
        self, start: Start, descriptors: list[int], lifeline: int, path: Sequence[str] = (), why: str = ""
    ) -> None:
        #: The reason for which a fresh interpreter started over what a fork of the template had begun.
        self.why = why
        self._beginning = spawn.SpawnOrigin(start, tuple(descriptors), lifeline, path, dict(os.environ))
        assert start.assignment is not None
        self.start, self.order, self.lifeline = start, start.assignment, lifeline
        files = SlotFiles.received(descriptors[:TRAVELLING])
        channel = Channel(sockets.socket(fileno=descriptors[TRAVELLING]))
        self.control = descriptors[TRAVELLING + 1] if self.order.serve else -1
        self.real = (os.dup(1), os.dup(2))
        self.errors: list[str] = []
        self.collected = self.served = False
        self.place = ChildContext(
            channel=channel,
            files=files,
            worker_id=self.order.worker_id,
            slot=start.slot,
            lifeline=lifeline,
            real=self.real,
            own_group=start.own_group,
            workerinput=None if self.order.workerinput is None else dict(self.order.workerinput),
            environ=dict(self.order.environ),
            name=self.order.name,
            item=self.order.wanted[0][0] if self.order.wanted else 0,
        )

    @classmethod
    def spawned(cls) -> SelfCollectingChild | None:
        """Make the plugin in a fresh interpreter that a controller started; None in any other process."""
        named = os.environ.pop(ENVIRONMENT, "")
        if not named:
            return None
        named, _, order = named.partition(";")
        lifeline, *descriptors = (int(number) for number in named.split(","))
        for descriptor in (lifeline, *descriptors):
            os.set_inheritable(descriptor, False)
        if order:
            start, why = spawn.read_order(int(order))
            return cls(start, descriptors, lifeline, why=why)
        channel = Channel(sockets.socket(fileno=os.dup(descriptors[TRAVELLING])))
        _, start = channel.receive()
        channel.close()
        return cls(start, descriptors, lifeline)

    # -- before conftests --------------------------------------------------------------------

    def begin(self, config: pytest.Config) -> None:
        """Set up the worker identity and the output, before any conftest is loaded."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        reset.lead_process_group(self.place)
        os.environ.update(self.place.environ)
        if self.place.workerinput is None:
            hide_worker(config)
        else:
            config.workerinput = self.place.workerinput  # type: ignore[attr-defined]
        config.workeroutput = {}  # type: ignore[attr-defined]
        join_convention(config, several=self.place.workerinput is not None)
        plugins.keep_coverage_files(config)
        fork_state.randomness(seed_of(self.order.randomness, self.order.name))
        files = self.place.files.fds
        os.dup2(files["printed_out"], 1)
        os.dup2(files["printed_err"], 2)
        config.pluginmanager.register(self, "hotreload-apart")
        if not self.order.serve:
            reset.share(self.place)
        adoption.on_difference(functools.partial(self._start_over, config))
        if self.order.observe:
            self.place.observer = observer = Observer(config)
            if self.order.serve:
                observer.collecting()
                config.pluginmanager.register(EventOwners(observer), "hotreload-event-owners")
            else:
                observer.running(alone=True)

    def _start_over(self, config: pytest.Config, module: str, why: str) -> None:
        """Start over in a fresh interpreter.

        The template's native code is unusable in this process, and can't be initialized a second time.
        """
        for number, descriptor in zip((1, 2), self.real, strict=True):
            os.dup2(descriptor, number)
        spawn.start_over(
            config, self._beginning, f"{module} was imported ahead under other conditions ({why})"
        )

    def failed(self, error: BaseException) -> None:
        """Report every item as missing, because pytest did not start. Does not return."""
        self.errors.append(f"{type(error).__name__}: {error}")
        self._leave(None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        self.xmlpath = getattr(config.option, "xmlpath", None)
        disable_session_plugins(config)
        plugins.serve_no_retries(config)
        if self.order.args is not None:
            config.args = list(self.order.args)
        self.reporter: Reporter | None = None
        try:
            return (yield)
        except BaseException as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._leave(config)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self.xmlpath:
            junit.stand_in(config, self.xmlpath)
        plugins.stand_in_for_xdist()
        self.reporter = Reporter(config)
        config.pluginmanager.register(self.reporter, "hotreload-reporter")
        pytest_output.relay_terminal(config, lambda _text, _markup: None)
        if isinstance(self.order.shard, Shard):
            config.pluginmanager.register(ShardFilter(config, self.order.shard), "hotreload-owned")
        # pytest's own plugin has just pointed faulthandler to stderr; a crash is explained in the slot's
        # file.
        faulthandler.enable(file=self.place.files.fds["fault"])
        reset.temporary(config, self.place, self.reporter)

    # -- collected ---------------------------------------------------------------------------

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._note(excinfo)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._note(excinfo)

    def _note(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note the error that ended pytest; it is the reason for tests that were not found by then."""
        self.errors.append(str(excinfo.getrepr(style="short")))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.collected = True
        leave_out(session, self.order.cleared)
        found = {item.nodeid: item for item in session.items}
        items = {index: found[nodeid] for index, nodeid in self.order.wanted if nodeid in found}
        reason = "\n\n".join(self.errors) or (
            "this test was collected with the whole selection, but is not found when its file is collected alone"
        )
        if self.order.serve:
            self._serve(session, items, reason)
            return True
        for index, nodeid in self.order.wanted:
            if nodeid not in found:
                self.place.channel.put(index, Missing(reason))
        self.place.channel.flush()
        if items:
            self._run(session, items)
        return True

    def _run(self, session: pytest.Session, items: dict[int, pytest.Item]) -> None:
        session.testsfailed = self.start.failed
        reporter = self._resume(session)
        pytest_session.begin_cleanups(session.config)
        self.inherited = fork_state.inventory()
        reporter.gathered = carry.note(session, plugins.participants(session.config))
        ordered = [(index, items[index]) for index in self.start.indices if index in items]
        child.Runner(session, reporter, self.place).run_guarded(iter([(ordered, None)]))
        pytest_output.relay_terminal(session.config, lambda _text, _markup: None)
        keep_frozen()  # pytest runs the garbage collector at its end: 80 ms each in a heavy suite

    def _resume(self, session: pytest.Session) -> Reporter:
        assert self.reporter is not None
        reset.redirect_output(session.config, self.place)
        for name in ("printed_out", "printed_err"):
            os.ftruncate(self.place.files.fds[name], 0)
        reset.debugger(self.place, self.reporter)
        self.reporter.prepare(session)
        self.reporter.install(log_file=self.order.log_file)
        self.reporter.wake(self.place)
        return self.reporter

    # -- a slot process ------------------------------------------------------------------------

    def _serve(self, session: pytest.Session, items: dict[int, pytest.Item], missing: str) -> None:
        """Act as the fork point of this slot until the controller closes it."""
        assert self.reporter is not None
        self.reporter.prepare(session)
        plugins.find_participants(session.config)
        plugins.flush_coverage()
        self.reporter.gathered = carry.note(session, plugins.participants(session.config))
        inherited = fork_state.inventory()
        fork_state.flush_before_fork(inherited)
        reset.freeze_gc()
        end = SlotEnd(
            self.place.channel.socket,
            self.place.files,
            self.order.worker_id,
            self.place.workerinput,
            dict(self.order.environ),
        )
        factory = ChildFactory(
            session=session,
            reporter=self.reporter,
            items=items,
            slots={self.start.slot: end},
            lifeline=self.lifeline,
            real=self.real,
            randomness=self.order.randomness,
            inherited=inherited,
            direct=False,
            several_files=False,
            observer=self.place.observer,
            missing=missing,
        )
        self.channel_of_slot = control = Channel(sockets.socket(fileno=self.control))  # open until the exit
        control.descriptors = []
        if self.place.observer is not None:
            control.send(-1, SlotCollected(self.place.observer.end_before_forks()))
        child_of_slot = None
        try:
            serve(control, factory.unwind, self.lifeline)
        except AdoptedChild as adopted:
            child_of_slot = adopted
        except BaseException:
            os._exit(70)
        if child_of_slot is not None:
            child_of_slot.run()
        if self.place.observer is not None:
            self.place.observer.close()
        self.served = True  # the controller needs no more children: pytest continues to its end

    # -- the end -------------------------------------------------------------------------------

    def _serve_nothing(self, reason: str) -> None:
        """Report tests that are given to this slot as missing, because the slot process did not start."""
        control = Channel(sockets.socket(fileno=self.control))
        closed = False
        while not closed:
            select.select([control], [], [])
            frames, closed = control.drain()
            for start in (message for _, message in frames if isinstance(message, Start)):
                for index in start.indices:
                    self.place.channel.put(index, Missing(reason))
                self.place.channel.put(start.indices[0], Ended(b"", (), (), None))
                self.place.channel.flush()
                control.send(-1, Gone(start.token, 0, ()))

    def _all_missing(self, reason: str) -> None:
        for index, _ in self.order.wanted:
            self.place.channel.put(index, Missing(reason))

    def _leave(self, config: pytest.Config | None) -> None:
        """Send the final message and exit at once: a normal exit after a fork crashes with some packages."""
        status = 1
        try:
            inherited = getattr(self, "inherited", None) or fork_state.inventory()
            if self.served:
                fork_state.leave(inherited)
                os._exit(0)
            reporter = getattr(self, "reporter", None)
            if not self.collected:
                reason = "\n\n".join(self.errors) or "pytest ended before it collected the file"
                if self.order.serve:
                    self._serve_nothing(reason)
                    os._exit(0)
                self._all_missing(reason)
            output = handover.output(config) if config is not None else b""
            if config is not None and hasattr(self, "inherited"):  # else no test has begun
                pytest_session.run_cleanups(config)
            fixtures = reporter.fixtures if reporter is not None else {}
            index = reporter.index if reporter is not None else -1
            message = child.last_message(inherited, output, fixtures, self.place.observer)
            message = message._replace(at_exit=child.printed_at_exit(self.place), started_over=self.why)
            self.place.channel.acknowledged = False
            self.place.channel.put(index, message._replace(frames=self.place.channel.in_the_end()))
            self.place.channel.flush()
            status = 0
        except BaseException:  # the exit status reports the failure
            fork_state.print_fatal_traceback()
        finally:
            fork_state.flush(sys.stdout)
            os._exit(status)
