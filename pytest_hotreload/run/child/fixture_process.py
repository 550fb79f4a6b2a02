"""A fixture process: sets session and package fixtures up once, forks children that inherit them, and tears them down.

The process runs no test. What its setups print belongs to the first test, in pytest's order, that uses the
fixtures: the process keeps it, and the child that runs this test inherits it and shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from pytest_hotreload._native import children_of
from pytest_hotreload.compat import plugins, pytest_fixtures, pytest_output, pytest_session
from pytest_hotreload.compat.debugger import call_before
from pytest_hotreload.compat.reports import pack_report
from pytest_hotreload.compat.worker_id import SetupWatch
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.fixture_messages import (
    FixturesBegin,
    FixturesEnded,
    FixturesReady,
    SetUp,
    WantedFixture,
)
from pytest_hotreload.process.fork_server import Unwind, serve
from pytest_hotreload.process.inheritance import Inheritance
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.slots import SlotFiles
from pytest_hotreload.run.child import reset
from pytest_hotreload.run.child.context import ChildContext
from pytest_hotreload.run.fixtures import declaration, known, teardown
from pytest_hotreload.run.fixtures.shared import Shared, set_up_one
from pytest_hotreload.world import BUILTINS, contextlib, os, pathlib, pytest, signal, sockets, time

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from pytest_hotreload.process.fork_messages import Start
    from pytest_hotreload.records.observer import Observer
    from pytest_hotreload.run.child.context import SlotEnd
    from pytest_hotreload.run.child.reporter import Reporter
    from pytest_hotreload.run.gathered.carry import GatheredState

    class Factory(Protocol):
        """Makes the children of this process, as :class:`run.child.entry.ChildFactory` does."""

        session: pytest.Session
        reporter: Reporter
        items: Mapping[int, pytest.Item]
        slots: Mapping[int, SlotEnd]
        lifeline: int
        real: tuple[int, int]
        inherited: fork_state.Inherited
        observer: Observer | None
        after_fork: list[tuple[Callable[[Any], None], Any]]

        def unwind(self, start: Start, descriptors: list[int]) -> None:
            """In a child: leave the fork point's stack, by :class:`Unwind`."""

        def seed(self, what: str) -> int:
            """Return a seed for the random generators of a process."""


#: A reader of the worker id in the process for the whole run: each slot gets a process.
_READS_WORKER_ID = "it reads the worker id"


def _found(
    inheritance: Inheritance, definition: Any, gathered: GatheredState | None, *, is_known: bool
) -> str:
    """Return what children can't inherit, in words, or ""; what opens its connections again closes them first."""
    value = pytest_fixtures.fixture_value(definition)
    known.let_go(value)
    variables = pytest_fixtures.fixture_locals(definition)
    if not is_known:
        why = teardown.doubt_of_values(definition.func, [value, *variables.values()])
        # Not its arguments, such as the configuration, which others hold anyway.
        own = [value, *(each for name, each in variables.items() if name not in definition.argnames)]
        holder = gathered.holder_of(own) if gathered is not None else ""
        if why or holder:
            return why or f"the session-end hooks of {holder} read it"
    why = inheritance.what_is_new()
    if why and known.let_go_around(value, variables):
        why = inheritance.what_is_new()
    return why


def _refuse_terminal() -> None:
    raise RuntimeError("a debugger needs the terminal, which only the process of a test gets")


class _Notes:
    """Takes the place of a child's channel: keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.acknowledged = False

    def put(self, _index: int, message: Any) -> None:
        self.messages.append(message)

    def flush(self) -> None:
        """Do nothing: the messages stay here."""


class FixtureProcess:
    """The process from its fork to its end. ``factory`` makes its children, ``start`` asked for it."""

    def __init__(self, factory: Factory, start: Start, descriptor: int) -> None:
        self.factory, self.start = factory, start
        self.order: SetUp = start.set_up
        self.session, self.config, self.reporter = factory.session, factory.session.config, factory.reporter
        self.control = Channel(sockets.socket(fileno=descriptor))
        self.control.descriptors = []
        self.files = SlotFiles()
        self.shared = Shared()
        #: The test that the teardown belongs to.
        self.last = factory.items.get(self.order.last, self.session.items[-1])
        self.pid = os.getpid()

    def run(self) -> Unwind:
        """Set up, serve, tear down and exit. Returns only in a child, which continues below this process's caller."""
        child: Unwind | None = None
        try:
            self._begin()
            try:
                ready = self._set_up()
            except KeyboardInterrupt:
                self._end()
            except Exception as error:
                self.control.send(-1, self._failed(error))
                raise
            self.control.send(-1, ready)
            serve(self.control, self.factory.unwind, self.factory.lifeline, kept=children_of(self.pid))
        except Unwind as unwound:
            child = unwound
        except BaseException:
            if os.getpid() == self.pid:
                fork_state.print_fatal_traceback()
            os._exit(70)
        if child is None:
            self._end()
        self.files.close()
        return child

    # -- setting up ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Reset what a fork must not inherit, as a child does, before anything of the project runs."""
        end_with(self.factory.lifeline)
        fork_state.forget_inherited()
        self.control.send(-1, FixturesBegin(self.pid))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        fork_state.randomness(self.factory.seed(f"fixtures {self.start.indices[0]}"))
        place = self._place()
        reset.redirect_output(self.config, place)
        if self.order.of_slot:
            reset.worker(self.config, place)
        self._use_basetemp(place.worker_id)
        self.reporter.install()
        call_before(_refuse_terminal)
        plugins.restart_coverage()

    def _place(self) -> ChildContext:
        slot = self.factory.slots[self.start.slot]
        return ChildContext(
            channel=self.control,
            files=self.files,
            worker_id=slot.worker_id,
            slot=self.start.slot,
            lifeline=self.factory.lifeline,
            real=self.factory.real,
            workerinput=slot.workerinput,
            environ=slot.environ,
        )

    def _use_basetemp(self, worker_id: str) -> None:
        """Give this process a temporary folder of its own; as a worker it may not use those of children."""
        base = pathlib.Path(self.order.basetemp)
        temporary = pytest_session.temporary_factory(self.config)
        if temporary is None or not self.order.basetemp:
            return
        if worker_id != "master" and temporary._basetemp is not None:
            temporary._basetemp = None

        def own() -> pathlib.Path:
            folder = base if worker_id == "master" else base / f"{worker_id}-fixtures"
            with contextlib.suppress(FileExistsError):
                os.mkdir(str(folder), 0o700)
            return folder

        pytest_session.use_basetemp(self.config, own)

    def _set_up(self) -> FixturesReady:
        pytest_session.begin_cleanups(self.config)
        observer = self.factory.observer
        if observer is not None:
            observer.running()
        inherited, refused, per_slot = [], [], []
        watch = SetupWatch()
        for wanted in self.order.wanted:
            with watch.watching() if self.order.watch_worker_id else contextlib.nullcontext():
                seconds, why = self._one(wanted, watch)
            if why == _READS_WORKER_ID:
                per_slot.append(wanted.key)
            elif why:
                refused.append((wanted.key, why))
            else:
                inherited.append((wanted.key, seconds))
        measured = plugins.coverage_bytes()
        if observer is not None:
            observer.hand_down()
        self._prepare_to_fork()
        return FixturesReady(tuple(inherited), tuple(refused), tuple(per_slot), measured)

    def _prepare_to_fork(self) -> None:
        """Flush, freeze, and take stock of what children must not end."""
        self.factory.inherited = fork_state.inventory()
        fork_state.flush_before_fork(self.factory.inherited)
        reset.freeze_gc()

    def _one(self, wanted: WantedFixture, watch: SetupWatch) -> tuple[float, str]:
        """Set one fixture up. Returns its seconds, and the reason for which children can't inherit it, or ""."""
        item = self.factory.items[wanted.first]
        definition = pytest_fixtures.visible_fixture(item, wanted.name)
        entry, after_fork = known.of(definition), declaration.after_fork_of(definition.func)
        used = pytest_fixtures.dependencies(item, wanted.name)
        processes = any(known.of(each).processes for each in used)

        def begin() -> Callable[[], str]:
            inheritance = Inheritance(processes=processes)

            def look() -> str:
                if entry.before_fork is not None:
                    entry.before_fork()
                if watch.read:
                    return _READS_WORKER_ID
                if after_fork is not None:
                    return ""
                return _found(inheritance, definition, self.reporter.gathered, is_known=bool(entry.module))

            return look

        notes = self._listen(item, wanted.first)
        began = time.monotonic()
        with pytest_output.logged_into(item, "setup"):
            why = set_up_one(self.session, item, wanted.name, self.shared, begin)
        seconds = time.monotonic() - began
        self.reporter.sleep()
        if not why:
            if self.reporter.gathered is not None:
                self.reporter.put_gathered()
            self.reporter.inherits(wanted.first, seconds, notes.messages)
            if after_fork is not None:
                self.factory.after_fork.append((after_fork, definition))
        return seconds, why

    def _listen(self, item: pytest.Item, index: int) -> _Notes:
        """Let the reporter keep what happens from now on."""
        notes = _Notes()
        self.reporter.listen(notes, self.files)
        self.reporter.index, self.reporter.item = index, item
        return notes

    def _tear_down(self) -> None:
        """Tear all fixtures down. Raises what plain pytest's last teardown would raise."""
        __tracebackhide__ = True
        errors = self.shared.tear_down(self.session, self.last)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise pytest_session.several_errors(errors)

    def _report_of(self, call: pytest.CallInfo[None]) -> bytes | None:
        """Return the packed report of a teardown that failed, or None."""
        if call.excinfo is None:
            return None
        item = self.last
        return pack_report(self.config, item.ihook.pytest_runtest_makereport(item=item, call=call))

    def _failed(self, error: Exception) -> FixturesReady:
        """Return what to tell of an error that is not one of a fixture."""
        why = f"sharing it failed: {type(error).__name__}: {error}".splitlines()[0]
        return FixturesReady((), tuple((wanted.key, why) for wanted in self.order.wanted), (), None)

    # -- the end ---------------------------------------------------------------------------------

    def _end(self) -> NoReturn:
        """Tear everything down, send what that printed, and exit."""
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            plugins.restart_coverage()
            notes = self._listen(self.last, self.order.last)
            with pytest_output.logged_into(self.last, "teardown"):
                call = pytest.CallInfo.from_call(self._tear_down, when="teardown")
            report = self._report_of(call)
            self.reporter.sleep()
            ended = FixturesEnded(report, tuple(notes.messages), plugins.coverage_bytes())
            reset.restore_output(self.config)
            pytest_session.run_cleanups(self.config)
            fork_state.leave(self.factory.inherited)
            self.control.send(-1, ended._replace(at_exit=tuple(self.files.take_printed())))
            status = 0
        except BaseException:
            fork_state.print_fatal_traceback()
        finally:
            os._exit(status)
