"""The child: a fork that runs one group of items, sends what happens to the controller, and exits.

The child is forked from the collected controller between two tests, so its tests see the same state as in
plain pytest. The resets in ``reset.py`` change only what two processes must not share. Their order matters:
first the resets that decide when the child is killed, then those of its output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import handover, pytest_session
from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.plugins import coverage_bytes, restart_coverage
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.messages import (
    ChildInterrupted,
    Ended,
    Exited,
    FixtureCost,
    Gathered,
    InternalError,
    Message,
    StopAsked,
)
from pytest_hotreload.records.function_marks import FunctionMarks
from pytest_hotreload.records.saving import Usage, cpu_of_tests
from pytest_hotreload.run.child import reset
from pytest_hotreload.world import BUILTINS, MODULES, contextlib, os, pytest, signal

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.records.observer import Observed, Observer
    from pytest_hotreload.run.child.context import ChildContext
    from pytest_hotreload.run.child.reporter import Reporter


class Runner:
    """Runs groups of items in this process, and reports how the run ended."""

    def __init__(self, session: pytest.Session, reporter: Reporter, place: ChildContext) -> None:
        self.session, self.reporter, self.place = session, reporter, place
        self.config = session.config

    def run(self, items: Sequence[tuple[int, pytest.Item]], after: pytest.Item | None) -> bool:
        """Run the items. Returns False if the run must stop.

        ``after`` is the item that follows in this process.
        """
        for place, (index, item) in enumerate(items):
            following = items[place + 1][1] if place + 1 < len(items) else after
            self.reporter.begins(index, item)
            gathered = self.reporter.gathered
            if gathered is not None:
                gathered.item_begins(item)
            marks = self.reporter.marks
            if marks is not None:
                marks.begins(index)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.reporter.channel.is_copied():
                os._exit(0)  # it would run the rest a second time, over files that belong to the child
            if marks is not None:
                marks.ends()
            if gathered is not None and (found := gathered.item_ended(item)) is not None:
                self.reporter.put(Gathered(found))
            self.reporter.ran()
            if self.session.shouldfail:
                self.reporter.put(StopAsked(str(self.session.shouldfail), failed=True))
                return False
            if self.session.shouldstop:
                self.reporter.put(StopAsked(str(self.session.shouldstop)))
                return False
        return True

    def run_guarded(self, feed: Any) -> bool:
        """Run all items that ``feed`` yields; every exception from pytest's protocol becomes a message.

        Returns whether all items ran.
        """
        complete = True
        try:
            for items, after in feed:
                if not self.run(items, after):
                    complete = False
                    break
                if after is not None:  # another file follows in this process
                    self.reporter.put_gathered()
            pytest_session.teardown_everything(self.session)
            self.reporter.put_gathered(last=True)
            return complete
        except pytest.exit.Exception as error:
            self._after_stop(Exited(str(error.msg), error.returncode, self._memo(error)))
        except KeyboardInterrupt as error:
            self._after_stop(ChildInterrupted(self._memo(error)))
        except BaseException as error:
            self._after_stop(InternalError(pytest_session.internal_error_text(self.config, error)))
        return False

    def _after_stop(self, message: Message) -> None:
        """Tear fixtures down before the run ends, as pytest does in ``pytest_sessionfinish``."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(BaseException):  # the user must see the reason of the stop
            pytest_session.teardown_everything(self.session)
        self.reporter.put_gathered(last=True)
        self.reporter.put(message)

    def _memo(self, error: BaseException) -> bytes | None:
        """Return where the exception was raised, as pytest's last lines show it."""
        try:
            return pack(pytest.ExceptionInfo.from_exception(error).getrepr(funcargs=True), self.config)
        except Exception:
            return None


def enter(
    session: pytest.Session, reporter: Reporter, place: ChildContext, inherited: fork_state.Inherited
) -> None:
    """Reset what does not depend on the file, once in each process."""
    inherited.modules = len(MODULES)
    reset.lead_process_group(place)
    reset.redirect_output(session.config, place)
    reporter.install()


def run(
    session: pytest.Session,
    reporter: Reporter,
    place: ChildContext,
    feed: Any,
    inherited: fork_state.Inherited,
) -> bool:
    """Run the items of a forked child, from the resets that depend on the file to the last message.

    Returns whether all items ran.
    """
    fork_state.randomness(place.seed)
    reset.temporary(session.config, place, reporter)
    reset.worker(session.config, place)
    reset.debugger(place, reporter)
    restart_coverage()
    pytest_session.begin_cleanups(session.config)
    if not place.first:
        pytest_session.drop_pending_exceptions(session.config)
    reporter.wake(place)
    reset.share(place)
    if place.observer is not None:
        place.observer.running(alone=True)
        reporter.marks = FunctionMarks()
    before = Usage.now()
    complete = Runner(session, reporter, place).run_guarded(feed)
    spent = cpu_of_tests(before, Usage.now())
    message = final_message(session, reporter, inherited, place.observer)
    reporter.put_last(message._replace(tests_cpu=spent))
    return complete


def final_message(
    session: pytest.Session, reporter: Reporter, inherited: fork_state.Inherited, observer: Observer | None
) -> Ended:
    """Finish this process's part of the session's end, and return the child's last message."""
    config = session.config
    notices = tuple(handover.finish(session))
    output = handover.output(config)
    reporter.note_phase(5)
    reporter.collect_printed()
    reset.restore_output(config)
    pytest_session.run_cleanups(config)
    message = last_message(inherited, output, reporter.fixtures, observer)
    requested = tuple(reporter.requested.items())
    return message._replace(notices=notices, at_exit=printed_at_exit(reporter.place), requested=requested)


def printed_at_exit(place: ChildContext) -> tuple[tuple[int, bytes], ...]:
    """Return the output since the last message; nothing if this process printed to the terminal itself."""
    return () if place.direct else tuple(place.files.take_printed())


def last_message(
    inherited: fork_state.Inherited,
    output: bytes,
    fixtures: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
    observer: Observer | None,
) -> Ended:
    """Do what an interpreter does at its exit, and return the last message."""
    observed = _observed(observer)
    modules = fork_state.new_modules(inherited)
    measured = coverage_bytes()
    fork_state.leave(inherited)
    replaced = fork_state.replaced_files(inherited)
    return Ended(
        workeroutput=output,
        fixtures=tuple(FixtureCost(name, scope, tuple(setups)) for (name, scope), setups in fixtures.items()),
        modules=modules,
        coverage=measured,
        observed=observed,
        replaced=replaced,
    )


def _observed(observer: Observer | None) -> Observed | None:
    """Return what the observer saw; None if that failed, as after a crash: then the file gets no record."""
    if observer is None or not observer.active:
        return None
    try:
        return observer.end()
    except Exception:
        return None
