"""Rerun of a watch: an ordinary pytest session in a fork, which runs the affected tests and reports to the watcher.

The rerun waits before ``pytest_configure``. When the watcher sends changes, the rerun answers with the affected test
files; when the watcher sends :class:`Go`, the rerun runs like any other session, apart from the tests it leaves out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_hotreload._native import make_own, own_pages
from pytest_hotreload.compat import console, pytest_config, pytest_output, pytest_session
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.heartbeat import Pulse, Quiet, limit
from pytest_hotreload.records import epoch
from pytest_hotreload.records.file_outcome import FAILED, OUTCOMES, outcome_of
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.watch import messages as watch_messages
from pytest_hotreload.watch.protocol import (
    Alone,
    Began,
    Changed,
    Collected,
    CollectionFailed,
    Finished,
    Go,
    ItemOutcome,
    Lend,
    Lent,
    Loaded,
    Pages,
    Refresh,
    RerunInterrupted,
    Returned,
    RunningTests,
    Select,
    Stopped,
    Unconfirmed,
    Waiting,
    WhatRuns,
    both,
)
from pytest_hotreload.watch.standby import park
from pytest_hotreload.watch.standby.affected import Affects
from pytest_hotreload.watch.standby.learned import LoadedBuilder
from pytest_hotreload.watch.standby.preload import FirstParty
from pytest_hotreload.world import contextlib, os, pytest, select, signal, time

if TYPE_CHECKING:
    from pytest_hotreload.options import Options
    from pytest_hotreload.run.interfaces import RunControl

#: Modules of debuggers that are controlled by an editor: while a person thinks, nothing happens.
_DEBUGGERS = ("pydevd", "debugpy")
#: Bytes of :class:`Pages` that are handled between two checks of the channel: 256 runs, some 1,000 pages, 3 ms.
_PIECE: Final = 4096


class RerunSession:
    """The rerun's plugin and its connection to the watcher. The constructor returns when the watcher sends ``Go``."""

    def __init__(
        self,
        config: pytest.Config,
        options: Options,
        records: RunRecords | None,
        channel: Channel,
        first_party: FirstParty,
        pulse: Pulse,
    ) -> None:
        self.config, self.records, self.channel = config, records, channel
        self.first_party, self.pulse = first_party, pulse
        self._quiet, self._edited = Quiet(), False
        self._known_seconds: dict[str, dict[str, float]] = {}
        self.affects = Affects(config, records, first_party.known)
        self.inherited = fork_state.inventory()
        self._outcomes, self._texts = dict[str, str](), dict[str, str]()
        #: The files of the tests that run, and of those that were to run before their last outcomes were looked at.
        self._files, self._selected = dict[str, str](), dict[str, str]()
        self._finished: set[str] = set()
        #: The files whose collection began.
        self._entered: set[str] = set()
        self._failed = ""
        self._alone = False
        self.after_all: Callable[[], None] | None = None
        #: All test files; None until pytest has collected them and selected among their tests.
        self.collected: tuple[str, ...] | None = None
        self._held: pytest_output.HeldTerminal | None = None
        if records is not None:
            epoch.inputs(config, records.environment)  # cached, and therefore read before a user waits
        ini = json.dumps(pytest_config.ini_values(config), sort_keys=True)
        outside = tuple(self.affects.outside)
        self._answer(Waiting(str(config.rootpath), options.slots, options.direct, ini, outside))
        #: The order of the watcher.
        self.go = self._wait()
        self._begin()

    def _answer(self, message: Any) -> None:
        """Send an answer before the run. If the watcher is gone, the process ends."""
        try:
            self.channel.send(-1, message)
        except OSError:
            os._exit(0)

    def _wait(self) -> Go:
        while True:
            try:
                _, message = self.channel.receive()
            except EOFError:
                os._exit(0)  # the watcher no longer needs this rerun
            if isinstance(message, Go):
                return message
            if isinstance(message, Refresh):
                self.affects.load(message.known)
            elif isinstance(message, Pages):
                self._make_own(message.pages)
            elif isinstance(message, Select):
                self._answer(self.affects.answer(message))

    def _make_own(self, pages: bytes) -> None:
        """Write to these shared pages early, since the first write costs a page fault and a copy.

        A message from the watcher ends this.
        """
        for start in range(0, len(pages), _PIECE):
            if select.select([self.channel], [], [], 0)[0]:
                return
            make_own(pages[start : start + _PIECE])

    def _begin(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.began = time.monotonic()
        if self.records is not None:
            self.records.after_fork(self.first_party.held, told=self.go.told)
        self.pulse.beat("what pytest and its plugins configure")
        self._environment, self._path = dict(os.environ), list(sys.path)
        self._variables: frozenset[str] = frozenset()
        self._path_changed = False
        pytest_output.renew_capture(self.config)
        park.finalize(self._finish)
        option, go = self.config.option, self.go
        option.no_header = True
        option.keyword = both(option.keyword, go.keyword)
        option.markexpr = both(option.markexpr, go.marker)
        # A collection error elsewhere must not prevent the wanted files from running.
        option.continue_on_collection_errors |= go.files is not None
        option.usepdb = option.usepdb or go.debug
        self._wanted = set(go.files or ())
        #: The paths that a narrow collection enters: the wanted files, and all folders above them.
        self._ways = self._wanted.union(*(map(str, Path(file).parents) for file in self._wanted))
        if go.files is not None and not go.collect_all:
            self.config.args[:] = pytest_config.arguments_among(self.config, self._ways)

    # -- collection --------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out what leads to no wanted file; of the rest pytest decides."""
        if self.go.collect_all or self.go.files is None:
            return None
        return None if str(collection_path) in self._ways else True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        before, now = self._environment, os.environ
        self._variables = frozenset(name for name in {*before, *now} if before.get(name) != now.get(name))
        self._path_changed = self._path != sys.path
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Before pytest's first line."""
        if self.go.preview:
            pytest_session.store_no_results(self.config)
            pytest_session.skip_last_collection(self.config)
        if self.go.hold:
            self._held = pytest_output.HeldTerminal(self.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> None:
        """Within the first collector's warnings."""
        self.pulse.beat(f"the collection of {collector.nodeid or '.'}")
        if isinstance(collector, pytest.File):
            self._entered.add(str(collector.path))
        if self.first_party.warned:
            self.first_party.warn_again()
            self.first_party.warned = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.records is not None:
            self.records.filtered = self.records.filtered or self.go.files is not None
            self.records.is_part |= self.go.files is not None
        self.collected = tuple(dict.fromkeys(str(item.path) for item in items))
        kept: list[pytest.Item] = []
        left_out: list[pytest.Item] = []
        for item in items:
            (kept if self._is_wanted(item) else left_out).append(item)
        items[:] = kept
        self._selected = {item.nodeid: str(item.path) for item in kept}
        if left_out and not self.go.collect_all:
            self.config.hook.pytest_deselected(items=left_out)

    def _is_wanted(self, item: pytest.Item) -> bool:
        go, path = self.go, str(item.path)
        return (
            (go.files is None or path in self._wanted)
            and (not go.nodeids or item.nodeid in go.nodeids)
            and (not go.path or go.path in os.path.relpath(path, self.config.rootpath))
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Also called while a collection fails: for a path that does not exist, or an expression that is none."""
        self.pulse.beat("what follows the collection")
        if self.collected is None:
            return
        files = tuple(dict.fromkeys(str(item.path) for item in session.items))
        self._files |= {item.nodeid: str(item.path) for item in session.items}
        filtered = self.go.keyword or self.go.marker
        complete = not filtered and (self.go.files is None or self.go.collect_all)
        ignored = sorted(file for file in self._wanted - self._entered if os.path.exists(file))
        self._tell(Collected(self.collected, complete, files, tuple(ignored)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed = self._failed or report.nodeid
            path = self.config.rootpath / report.nodeid.split("::")[0]
            self._tell(CollectionFailed(str(path), report.nodeid, report.longreprtext))

    # -- the tests ---------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = outcome_of(report)
        known = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(known, outcome, key=OUTCOMES.index)
        if report.failed:
            self._texts[report.nodeid] = report.longreprtext

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        outcome = self._outcomes.get(nodeid)
        if outcome is None:
            return
        self._finished.add(nodeid)
        if outcome in FAILED:
            self._failed = self._failed or nodeid
        self._tell(ItemOutcome(self._files.get(nodeid, ""), nodeid, outcome, self._texts.get(nodeid, "")))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        self.pulse.beat("the end of the session")
        result = yield
        for nodeid in self._texts.keys() - self._finished:  # failed, then a debugger was quit
            self.pytest_runtest_logfinish(nodeid)
        if self._held is not None and not self._failed and self.go.files:
            self._held.release()
        self.seconds = time.monotonic() - self.began
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        self.interrupted()

    def interrupted(self) -> None:
        """Report the interrupt, and ignore further SIGINTs during teardown.

        The watcher handles the second Ctrl-C by ending the watch.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._tell(RerunInterrupted())

    def begins(self, nodeid: str, path: str) -> None:
        """Report a test that begins in this process."""
        self.pulse.beat(nodeid, self._limit(nodeid, path))
        self._tell(Began(nodeid))

    def _limit(self, nodeid: str, path: str) -> float:
        """Seconds for which this test may do nothing; infinite if a debugger is loaded."""
        if not sys.modules.keys().isdisjoint(_DEBUGGERS):
            return math.inf
        if path not in self._known_seconds:
            self._known_seconds[path] = self.affects.seconds(path)
        return limit(self._known_seconds[path].get(nodeid, 0.0), self.go.patience)

    # -- the watcher -------------------------------------------------------------------------------

    @property
    def apart(self) -> bool:
        """Whether the tests run in children, because they have ended the process that ran them itself."""
        return self.go.apart

    @property
    def together(self) -> bool:
        """Whether the tests of several files run in this process."""
        return self.go.together

    @property
    def preview(self) -> bool:
        """Whether another rerun of the same files follows, whose result counts."""
        return self.go.preview

    def fileno(self) -> int:
        """The channel to the watcher, to which the run loop listens in the same way as to its children."""
        return self.channel.fileno()

    def listen(self, run: RunControl) -> None:
        """Handle the watcher's messages while tests run."""
        frames, closed = self.channel.drain()
        if closed:
            raise KeyboardInterrupt
        for _, message in frames:
            if isinstance(message, Changed):
                self._edited = True
                stopped = run.stop_files(self._to_stop(message))
                if stopped:
                    self._stopped(stopped)
            elif isinstance(message, WhatRuns):
                self._tell(RunningTests(tuple(run.what_runs())))

    def _to_stop(self, changes: Changed) -> set[str]:
        """The test files that stop because of an edit."""
        if self.go.yields and self.affects.concerns(changes):
            return self._wanted
        return {*self.affects.affected(changes), *changes.paths}

    def turn(self, run: RunControl) -> None:
        """Note a turn of the run loop, and end hanging children once a file has been edited that may affect them."""
        self.pulse.beat("the tests")
        if not self._edited or self.config.option.usepdb or run.direct:
            return
        for name, path, seconds in run.hanging(self._quiet, self._limit):
            self._stopped(run.stop_files({path}, hanging=True), (name, seconds))

    def _stopped(self, files: list[str], hanging: tuple[str, float] | None = None) -> None:
        """Report stopped files to the user and the watcher.

        The notice is printed here, where an incomplete line is known; if this run shows no output, the watcher
        prints it.
        """
        told = self._held is None and pytest_output.terminal_reporter(self.config) is not None
        if told:
            stopped = watch_messages.yielded if self.go.yields else watch_messages.changed_meanwhile
            text = stopped(len(files)) if hanging is None else watch_messages.hangs(*hanging)
            console.notice(self.config, text)
        self._tell(Stopped(tuple(files), told, hanging))

    def borrow(self) -> None:
        """Request the terminal, and wait until the watcher reads no keys."""
        self.channel.send(-1, Lend())
        while True:
            _, message = self.channel.receive()
            if isinstance(message, Lent):
                return

    def give_back(self) -> None:
        """Return the terminal: the watcher may read keys again."""
        self.channel.send(-1, Returned())

    def runs_alone(self) -> None:
        """Report that from now on the rerun reads no messages until its end."""
        self._alone = True
        self._tell(Alone())

    def _tell(self, message: Any) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(-1, message)

    def _finish(self, status: int) -> None:
        """Report the end of the session, and then what the rerun learned. The last step of the process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is over: the watcher handles Ctrl-C again
        if self._held is not None and self._failed:
            self._tell(Unconfirmed(self._failed))
        seconds = getattr(self, "seconds", time.monotonic() - self.began)
        self._tell(Finished(status, seconds, self._unfinished()))
        pages = own_pages() if self._alone else b""
        try:
            if self.after_all is not None:
                self.after_all()
        finally:
            self._tell(self._learned(pages))

    def _unfinished(self) -> tuple[str, ...] | None:
        if self.collected is None:
            return None
        by_results, skipped = pytest_session.selects_by_results(self.config)
        # What an earlier outcome keeps out now, after everything else has selected, still has to run.
        tests = self._selected if by_results else self._files
        later = self._wanted.difference(self._selected.values()) if skipped else ()
        unfinished = {file for nodeid, file in tests.items() if nodeid not in self._outcomes}
        return tuple(sorted(unfinished.union(file for file in later if os.path.exists(file))))

    def _learned(self, pages: bytes) -> Loaded:
        """The message from which the watcher plans the next fork points."""
        learned = LoadedBuilder(self.config, self.records, self.first_party.observer, self.inherited)
        return learned.message(self._variables, self._path_changed, pages)
