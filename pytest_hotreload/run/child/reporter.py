"""Turns every event of a test in a child into a message to the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_hotreload._native import look_for_contention
from pytest_hotreload.compat import controller_hooks, junit, pytest_config, pytest_output, pytest_session
from pytest_hotreload.compat.call_infos import pack_call
from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.reports import pack_report, pack_warning
from pytest_hotreload.compat.teamcity import Comparisons
from pytest_hotreload.compat.withdrawals import Withdrawals
from pytest_hotreload.process.messages import (
    Amended,
    Collided,
    Ended,
    Gathered,
    Interacted,
    ItemFinished,
    ItemRan,
    ItemStarted,
    Junit,
    Logged,
    LoggedLive,
    Message,
    NeedsFixture,
    NewlineEnsured,
    PdbShown,
    Printed,
    Reported,
    Warned,
    Wrote,
)
from pytest_hotreload.records.conflicts import address_in_use
from pytest_hotreload.run.child import reset
from pytest_hotreload.world import BUILTINS, contextlib, low_threads, os, pytest, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    import warnings

    from pytest_hotreload.process.slots import SlotFiles
    from pytest_hotreload.records.function_marks import FunctionMarks
    from pytest_hotreload.run.child.context import ChildContext
    from pytest_hotreload.run.gathered.carry import GatheredState

#: The exit status of a child that could not send its results.
UNSAID = 70

#: Hooks that belong to the controller: in the child they only reach :class:`Reporter`.
#: ``session`` also counts failures, so that ``-x`` tears down as plain pytest does.
RELAYED_HOOKS = (
    "pytest_runtest_logstart",
    "pytest_runtest_logreport",
    "pytest_runtest_logfinish",
    "pytest_warning_recorded",
)


class Reporter:
    """Turns every event of a test in a child into a message to the controller.

    The controller registers the reporter before the first fork, so that no child pays for the registration.
    The reporter does nothing until :meth:`wake`.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.awake = False
        self.index = -1
        self.fixtures: dict[tuple[str, str], list[tuple[float, float]]] = {}
        #: Session and package fixtures whose setup began in the call of a test -> the seconds until the next event.
        self.requested: dict[str, float] = {}
        self.in_setup = False
        self.gathered: GatheredState | None = None
        self.reports = 0
        self.called = False
        #: Fixtures that another process holds for the slot of this child.
        self.elsewhere: tuple[tuple[str, bool], ...] = ()
        self._sent_before = 0
        #: Set in a process that records which functions run.
        self.marks: FunctionMarks | None = None
        self._comparisons = Comparisons()
        self._last: Any = None
        self._last_payload = b""
        self._fixture: tuple[tuple[str, str], float] | None = None
        #: The index of an item -> the seconds and the messages of setups that a fixture process made for it.
        self._inherited: dict[int, tuple[float, list[Any]]] = {}

    def prepare(self, session: pytest.Session) -> None:
        """In the controller, once: choose the hook implementations that :meth:`wake` will keep."""
        self.session = session
        self.kept = {
            hook: pytest_config.keep_only(
                self.config,
                hook,
                [self, session] if hook == "pytest_runtest_logreport" else [self],
            )
            for hook in RELAYED_HOOKS
        }
        self.kept |= controller_hooks.left_to_children(self.config)
        self.tells_of_exceptions = bool(controller_hooks.adapters(self.config))

    def install(self, *, log_file: bool = False) -> None:
        """In the child, once in each process: take over the hooks and the outputs whose events will be sent.

        Nothing here depends on the file, so a rewound child finds it done.
        """
        self.thread = low_threads.get_ident()
        for hook, implementations in self.kept.items():
            pytest_config.set_implementations(self.config, hook, implementations)
        self.withdrawals = Withdrawals(self.config, self.session)
        pytest_output.relay_terminal(
            self.config,
            self._write,
            lambda: self.put(NewlineEnsured()),
        )
        pytest_output.relay_live_log(self.config, lambda text, when: self.put(LoggedLive(text, when)))
        pytest_output.relay_log_file(self.config, lambda text: self.put(Logged(text)), always=log_file)
        junit.relay(self.config, self._junit)

    def wake(self, place: ChildContext) -> None:
        """In the child, after :meth:`install`: send every event to the channel from now on."""
        self.channel, self.files, self.progress = place.channel, place.files, place.files.progress
        self.channel.acknowledged = place.direct
        self.channel.before_send = self.collect_printed
        self.place, self.awake = place, True
        self.withdrawals.begin()

    def listen(self, channel: Any, files: SlotFiles) -> None:
        """In a fixture process, after :meth:`install`: pass every event to ``channel`` from now on."""
        self.channel, self.files, self.awake = channel, files, True

    def sleep(self) -> None:
        """In a fixture process: pass no more events on, and forget the setups, which are no child's."""
        self.collect_printed()
        self.awake, self._fixture = False, None
        self.fixtures.clear()
        self.requested.clear()

    def inherits(self, index: int, seconds: float, messages: list[Any]) -> None:
        """In a fixture process: keep the output of a setup for the child that runs this item."""
        before, earlier = self._inherited.get(index, (0.0, []))
        self._inherited[index] = before + seconds, earlier + messages

    def put(self, message: Message) -> None:
        """Queue ``message`` after earlier output that bypassed the capture. On failure, the child exits."""
        try:
            self.collect_printed()
            self.channel.put(self.index, message)
        except Exception as error:
            self.give_up(f"{type(message).__name__} could not be sent", error)

    def put_last(self, message: Ended) -> None:
        """Send the last message, with the count of all messages."""
        self.collect_printed()
        self.put(message._replace(frames=self.channel.in_the_end()))
        self.flush()

    def flush(self) -> None:
        """Send the queued messages. If that fails, the child exits."""
        try:
            self.channel.flush()
        except Exception as error:
            self.give_up("nothing more could be sent", error)

    def give_up(self, what: str, error: Exception) -> None:
        """Exit because a message could not be sent.

        The reason is shown with the test, so that no result is lost silently.
        """
        with contextlib.suppress(OSError):
            os.write(self.files.fds["fault"], f"{what}: {error!r}\n".encode("utf-8", "replace"))
        os._exit(UNSAID)

    def put_gathered(self, *, live: bool = False, last: bool = False) -> None:
        """Queue the data that plugins gathered since the last call."""
        if self.gathered is not None:
            payload = self.gathered.changes(live=live, last=last, item=self.item if live else None)
            if payload is not None:
                self.put(Gathered(payload))

    def collect_printed(self) -> None:
        """Queue the output that bypassed the capture as messages, at its place among the other messages."""
        if self.channel.acknowledged:
            return
        for fd, data in self.files.take_printed():
            self.channel.put(self.index, Printed(fd, data))

    def _write(self, text: str, markup: Mapping[str, bool]) -> None:
        """Relay text to the terminal.

        Another thread may not use the channel, and may be about to end the process (pytest-timeout's thread
        method), so the text of another thread goes to a file, which survives.
        """
        if low_threads.get_ident() == self.thread:
            self.put(Wrote(text, markup))
        else:
            os.write(self.files.fds["printed_out"], text.encode("utf-8", "replace"))

    def _junit(self, on_node: bool, method: str, args: tuple[Any, ...]) -> None:
        self.put(Junit(on_node, method, pack(args, self.config)))

    # -- hooks ---------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self.awake:
            self.note_phase(1)
            self.in_setup = True
            for message in self._inherited.get(self.index, (0.0, []))[1]:
                self.put(message)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if self.awake:
            self.called = True
            self.note_phase(2)
            if self.marks is not None:
                self.marks.call()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if self.awake:
            self.note_phase(3)
            if self.marks is not None:
                self.marks.teardown(item, nextitem)

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        """Note the start of a fixture's setup.

        The setup's time ends when the next fixture's setup begins, or with the report of the test's setup.

        This hook is not a wrapper, because its frame would appear in the traceback of each failing fixture.
        """
        if self.awake:
            if self.elsewhere:
                key = f"{fixturedef.baseid}::{fixturedef.argname}"
                for each, held in self.elsewhere:
                    if each == key:
                        self._stop_for(fixturedef.argname, held=held)
            self._end_fixture()
            if self.marks is not None:
                self.marks.fixture(fixturedef.scope)
            if fixturedef.scope in ("session", "package"):
                self._fixture = (fixturedef.argname, fixturedef.scope), time.monotonic()

    def _stop_for(self, name: str, *, held: bool) -> None:
        """Stop this child, because another process sets the fixture up: the rest of the file runs from there.

        The messages of this test are dropped. If some were sent already, the child goes on, unless the process
        holds the fixture.
        """
        if not self.channel.drop_queued(self.channel.sent - self._sent_before) and not held:
            return
        self.put(NeedsFixture(name))
        self.flush()
        self.awake = False
        pytest.exit(f"{name} is set up in another process")

    def _end_fixture(self) -> None:
        if self._fixture is not None:
            key, began = self._fixture
            self._fixture = None
            spent = time.monotonic() - began
            if self.in_setup:
                self.fixtures.setdefault(key, []).append((began, spent))
            else:
                self.requested[key[0]] = spent

    def pytest_runtest_logstart(self) -> None:
        if self.awake:
            self._tell_changes()
            self.put(ItemStarted())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[Any]) -> None:
        if self.awake and call.when == "setup" and self.index in self._inherited and self.item is not None:
            call.duration += self._inherited[self.index][0]
            pytest_output.join_sections(self.item)
        if self.awake and call.excinfo is not None:
            address = address_in_use(call.excinfo.value)
            if address is not None:
                self.put(Collided(address))

    @pytest.hookimpl(tryfirst=True)  # before the session counts the report, see ``compat/withdrawals.py``
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.awake:
            return
        self.reports += 1
        try:
            self._report(report)
        except Exception as error:  # an internal error here would end the whole run
            self.give_up("a report could not be prepared", error)

    def _report(self, report: pytest.TestReport) -> None:
        self._end_fixture()
        self.in_setup = False
        if report.failed:
            look_for_contention()  # the controller reads the page before the report
        item = self.item
        self._tell_changes()
        failed = pytest_session.failed_subtests(self.config, item) if item is not None else 0
        if self.gathered is not None:
            self.put_gathered(live=True)
            self.gathered.hold(report)
        self._comparisons.hold(report)
        self._last, self._last_payload = report, pack_report(self.config, report)
        if self.gathered is not None:
            self.gathered.release(report)
        self._comparisons.release(report)
        self.put(Reported(self._last_payload, failed, report.failed))
        self.withdrawals.logged(report)
        # A setup or a teardown that passed shows nothing. The report of the former is sent with the next one, that
        # of the latter with the end of the item, which follows at once.
        if report.when not in ("setup", "teardown") or not report.passed:
            self.flush()

    def _tell_changes(self) -> None:
        changes = self.withdrawals.changes()
        if changes is not None:
            self.put(changes)

    def pytest_runtest_logfinish(self) -> None:
        if self.awake:
            if self.gathered is not None and self.item is not None and self.item.session.shouldfail:
                self.put_gathered()  # the controller stops after this item
            self._tell_changes()
            self.put(ItemFinished())

    def note_phase(self, phase: int) -> None:
        """Note the item and its phase in the page that the controller reads."""
        if not self.channel.is_copied():
            self.progress.write(self.index, phase, time.monotonic())

    def begins(self, index: int, item: pytest.Item) -> None:
        """Start an item; the runner calls this directly, without pytest's hooks."""
        self.index, self.item = index, item
        self.reports, self.called, self._sent_before = 0, False, self.channel.sent
        self.note_phase(0)

    def ran(self) -> None:
        """End an item whose protocol has returned; the runner calls this directly, without pytest's hooks."""
        self._tell_changes()
        self.put(ItemRan(self.reports, self.called))
        self.flush()  # with the item's warnings: the controller may stop after this item
        self.note_phase(4)

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        if self.awake:
            self.put(Warned(*pack_warning(self.config, warning_message), when, nodeid, location))

    @pytest.hookimpl(wrapper=True)
    def pytest_exception_interact(self, call: Any, report: Any) -> Any:
        try:
            return (yield)
        finally:  # a debugger raises when the user quits
            self._interacted(call, report)

    def pytest_leave_pdb(self) -> None:
        if self.awake:
            reset.give_terminal_back(self.config, self.place, self)

    def _interacted(self, call: Any, report: Any) -> None:
        if not self.awake or not isinstance(report, pytest.TestReport):
            return
        if hasattr(report, "_pdbshown"):
            self.put(PdbShown())
        # A plugin that logs reports by itself (rerunfailures) will log this one later.
        logged = report is self._last
        payload = pack_report(self.config, report) if logged or self.tells_of_exceptions else b""
        if logged and payload != self._last_payload:
            self.put(Amended(payload))
        if self.tells_of_exceptions:
            self.put(Interacted(pack_call(self.config, call), b"" if logged else payload))

    item: pytest.Item | None = None
