"""The child: a fork that runs one group of items, streams what happens, and leaves.

It is forked from the collected controller between two tests, so the world that its tests see is
plain pytest's; this module resets the few things that two processes must not share, and says of
each which trap it closes. The order matters: what can kill us first, then what can be heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import compat, forks, reset
from .channel import Channel
from .conflicts import address_in_use
from .observation import Observed, Observer
from .others import coverage_bytes, participants, restart_coverage
from .protocol import (
    Amended,
    Collided,
    Ended,
    Exited,
    FixtureCost,
    InternalError,
    Interrupted,
    ItemFinished,
    ItemStarted,
    Junit,
    Logged,
    LoggedLive,
    Message,
    NewlineEnsured,
    PdbShown,
    Printed,
    Reported,
    StopAsked,
    Warned,
    Wrote,
)
from .serialise import pack_report, pack_warning
from .world import BUILTINS, MODULES, contextlib, low_threads, os, pickle, pytest, signal, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    import warnings

    from .slots import SlotFiles

#: Hooks that are the controller's: in the child they only reach :class:`Reporter`.
#: ``session`` also counts failures, so that ``-x`` tears down as plain pytest does.
RELAYED_HOOKS = (
    "pytest_runtest_logstart",
    "pytest_runtest_logreport",
    "pytest_runtest_logfinish",
    "pytest_warning_recorded",
)


@dataclass
class Place:
    """What a child is given besides its items.

    ``real``: duplicates of the controller's fd 1 and 2, for a debugger. ``lifeline``: the read end
    of a pipe that closes when the controller dies. ``direct``: this child owns the terminal.
    """

    channel: Channel
    files: SlotFiles
    worker_id: str
    lifeline: int
    real: tuple[int, int]
    direct: bool = False
    own_group: bool = True
    workerinput: dict[str, Any] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    name: str = ""
    first: bool = True
    observer: Observer | None = None


class Reporter:
    """The one listener in a child: every event of a test becomes a message.

    Registered by the controller before the first fork, so that no child pays for it; it does
    nothing until :meth:`wake`.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.awake = False
        self.index = -1
        self.fixtures: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self.in_setup = False
        self._failed = False
        self._last: Any = None
        self._last_payload = b""
        self._fixture: tuple[tuple[str, str], float] | None = None

    def prepare(self, session: pytest.Session) -> None:
        """In the controller, once: what :meth:`wake` will keep of each relayed hook."""
        self.kept = {
            hook: compat.keep_only(
                self.config,
                hook,
                [self, session] if hook == "pytest_runtest_logreport" else [self],
            )
            for hook in RELAYED_HOOKS
        }

    def wake(self, place: Place, *, log_file: bool = False) -> None:
        """In the child: from now on every event goes to the channel."""
        self.thread = low_threads.get_ident()
        self.channel, self.files, self.progress = place.channel, place.files, place.files.progress
        self.channel.acknowledged = place.direct
        self.channel.before_send = self.collect_printed
        self.place, self.awake = place, True
        for hook, implementations in self.kept.items():
            compat.set_implementations(self.config, hook, implementations)
        compat.relay_terminal(
            self.config,
            self._write,
            lambda: self.put(NewlineEnsured()),
        )
        compat.relay_live_log(self.config, lambda text, when: self.put(LoggedLive(text, when)))
        compat.relay_log_file(self.config, lambda text: self.put(Logged(text)), always=log_file)
        compat.relay_junit(self.config, self._junit)

    def put(self, message: Message) -> None:
        """Queue ``message`` behind what was printed past the capture before it."""
        self.collect_printed()
        self.channel.put(self.index, message)

    def collect_printed(self) -> None:
        """Move what bypassed the capture into the stream, at this very place of it."""
        if self.channel.acknowledged:
            return
        for fd, data in self.files.take_printed():
            self.channel.put(self.index, Printed(fd, data))

    def _write(self, text: str, markup: Mapping[str, bool]) -> None:
        """Another thread may not use the channel, and may be about to end the process
        (pytest-timeout's thread method): what it writes goes where it survives."""
        if low_threads.get_ident() == self.thread:
            self.put(Wrote(text, markup))
        else:
            os.write(self.files.fds["printed_out"], text.encode("utf-8", "replace"))

    def _junit(self, on_node: bool, method: str, args: tuple[Any, ...]) -> None:
        self.put(Junit(on_node, method, args))

    # -- hooks ---------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self.awake:
            self.progress.write(self.index, 1, time.monotonic())
            self.in_setup = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if self.awake:
            self.progress.write(self.index, 2, time.monotonic())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        if self.awake:
            self.progress.write(self.index, 3, time.monotonic())

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        """A fixture's time ends where the next one begins, or with the report of the setup.

        Not a wrapper: its frame would stand in the traceback of each fixture that fails.
        """
        if self.awake:
            self._end_fixture()
            if self.in_setup and fixturedef.scope in ("session", "package"):
                self._fixture = (fixturedef.argname, fixturedef.scope), time.monotonic()

    def _end_fixture(self) -> None:
        if self._fixture is not None:
            key, began = self._fixture
            self._fixture = None
            self.fixtures.setdefault(key, []).append((began, time.monotonic() - began))

    def pytest_runtest_logstart(self) -> None:
        if self.awake:
            self.put(ItemStarted())
            if self._failed:
                self._failed = False
                self.channel.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[Any]) -> None:
        if self.awake and call.excinfo is not None:
            address = address_in_use(call.excinfo.value)
            if address is not None:
                self.put(Collided(address))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.awake:
            return
        self._end_fixture()
        self.in_setup = False
        self._failed = self._failed or report.failed
        item = self.item
        failed = compat.failed_subtests(self.config, item) if item is not None else 0
        self._last, self._last_payload = report, pack_report(self.config, report)
        self.put(Reported(self._last_payload, failed))
        # A setup that passed shows nothing: it rides with the next message.
        if report.when != "setup" or not report.passed:
            self.channel.flush()

    def pytest_runtest_logfinish(self) -> None:
        if self.awake:
            self.put(ItemFinished())
            self.progress.write(self.index, 4, time.monotonic())
            if not self._failed:
                self.channel.flush()  # else with the item's warnings: the controller may stop behind it

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        if self.awake:
            self.put(Warned(*pack_warning(warning_message), when, nodeid, location))

    @pytest.hookimpl(wrapper=True)
    def pytest_exception_interact(self, report: Any) -> Any:
        try:
            return (yield)
        finally:  # a debugger that is quit raises
            self._interacted(report)

    def pytest_leave_pdb(self) -> None:
        if self.awake:
            reset.give_terminal_back(self.config, self.place, self)

    def _interacted(self, report: Any) -> None:
        if not self.awake or not isinstance(report, pytest.TestReport):
            return
        if hasattr(report, "_pdbshown"):
            self.put(PdbShown())
        if report is not self._last:
            return  # a plugin that logs by itself (rerunfailures) will do so later
        payload = pack_report(self.config, report)
        if payload != self._last_payload:
            self.put(Amended(payload))

    item: pytest.Item | None = None


class Runner:
    """Runs groups of items in this process and says how it ended."""

    def __init__(self, session: pytest.Session, reporter: Reporter, place: Place) -> None:
        self.session, self.reporter, self.place = session, reporter, place
        self.config = session.config

    def run(self, items: Sequence[tuple[int, pytest.Item]], after: pytest.Item | None) -> bool:
        """Run the items; ``after`` is the one that follows in this process. False: stop."""
        for place, (index, item) in enumerate(items):
            following = items[place + 1][1] if place + 1 < len(items) else after
            self.reporter.index, self.reporter.item = index, item
            self.reporter.progress.write(index, 0, time.monotonic())
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.session.shouldfail:
                self.reporter.put(StopAsked(str(self.session.shouldfail), failed=True))
                return False
            if self.session.shouldstop:
                self.reporter.put(StopAsked(str(self.session.shouldstop)))
                return False
        return True

    def run_guarded(self, feed: Any) -> int | None:
        """Run all that ``feed()`` yields; every way out of pytest's protocol becomes a message."""
        try:
            for items, after in feed:
                if not self.run(items, after):
                    break
            compat.teardown_everything(self.session)
        except pytest.exit.Exception as error:
            self._after_stop(Exited(str(error.msg), error.returncode, _memo(error)))
        except KeyboardInterrupt as error:
            self._after_stop(Interrupted(_memo(error)))
        except BaseException as error:
            self._after_stop(InternalError(compat.internal_error_text(self.config, error)))
        return None

    def _after_stop(self, message: Message) -> None:
        """Fixtures are torn down before the run ends, as pytest's sessionfinish does."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(BaseException):  # the reason to stop is what the user must see
            compat.teardown_everything(self.session)
        self.reporter.put(message)


def _memo(error: BaseException) -> bytes | None:
    """Where it struck, as pytest's last lines show it."""
    try:
        return pickle.dumps(pytest.ExceptionInfo.from_exception(error).getrepr(funcargs=True))
    except Exception:
        return None


def live(
    session: pytest.Session,
    reporter: Reporter,
    place: Place,
    feed: Any,
    inherited: forks.Inherited,
) -> None:
    """All of a forked child's life; never returns."""
    status = 1
    try:
        inherited.modules = len(MODULES)
        reset.survive(place)
        reset.silence(session.config, place)
        forks.randomness(place.seed)
        reset.temporary(session.config, place, reporter)
        reset.worker(session.config, place)
        reset.debugger(place, reporter)
        restart_coverage()
        if not place.first:
            compat.drop_pending_exceptions(session.config)
        reporter.wake(place)
        if place.observer is not None:
            place.observer.running(place.files.page)
        Runner(session, reporter, place).run_guarded(feed)
        reporter.put(farewell(session, reporter, inherited, place.observer))
        reporter.channel.flush()
        status = 0
    except BaseException:
        forks.last_words()
    finally:
        os._exit(status)


def farewell(
    session: pytest.Session, reporter: Reporter, inherited: forks.Inherited, observer: Observer | None
) -> Ended:
    """What pytest does after the last test, as far as it is this process's part."""
    config = session.config
    output = getattr(config, "workeroutput", {})
    for hook_owner in participants(config):
        compat.call_for(
            config,
            "pytest_sessionfinish",
            [hook_owner],
            session=session,
            exitstatus=session.exitstatus or (1 if session.testsfailed else 0),
        )
    reporter.progress.write(reporter.index, 5, time.monotonic())
    reset.speak(config)
    message = last_message(inherited, output, reporter.fixtures, observer)
    reporter.collect_printed()
    return message


def last_message(
    inherited: forks.Inherited,
    output: Mapping[str, Any],
    fixtures: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
    observer: Observer | None,
) -> Ended:
    """Do what an interpreter does at its exit, and say how it went."""
    observed = _observed(observer)
    modules = forks.new_modules(inherited)
    measured = coverage_bytes()
    forks.leave(inherited)
    return Ended(
        workeroutput=output,
        fixtures=tuple(FixtureCost(name, scope, tuple(setups)) for (name, scope), setups in fixtures.items()),
        modules=modules,
        coverage=measured,
        observed=observed,
    )


def _observed(observer: Observer | None) -> Observed | None:
    """None where it can't be told, as of a child that died: then there is no record of its file."""
    if observer is None or not observer.active:
        return None
    try:
        return observer.end()
    except Exception:
        return None
