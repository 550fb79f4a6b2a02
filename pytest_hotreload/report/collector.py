"""Gathers the timeline of a run in the controller, if a report or a trace was requested.

Without such a request the collector does not exist.

The data about children comes from messages that are sent anyway: reports have a begin and a duration, and
fork points report ends and CPU seconds. In addition, the collector times the controller's own phases, and its
imports during the collection.
"""

from __future__ import annotations

import platform
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_hotreload.compat import console, pytest_session
from pytest_hotreload.imports import analysis
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import proc, user_file
from pytest_hotreload.records.file_outcome import OUTCOMES, outcome_of, seconds_of
from pytest_hotreload.report.failure_reports import FailureReports
from pytest_hotreload.report.import_times import ImportTimes, by_package
from pytest_hotreload.report.page import page
from pytest_hotreload.report.timeline import (
    REUSED,
    Child,
    CollectionSpan,
    ItemSpan,
    Phase,
    Span,
    Timeline,
    lay_out,
)
from pytest_hotreload.report.trace import trace
from pytest_hotreload.world import os, pytest, time

if TYPE_CHECKING:
    from pytest_hotreload.options import Options
    from pytest_hotreload.process.messages import Ended
    from pytest_hotreload.records.records import RunRecords
    from pytest_hotreload.records.totals import Totals
    from pytest_hotreload.report.run_view import RunningChild, Shows

#: A process that is older than this, in seconds, did not start for this run.
_OLDEST = 600.0
#: Outcomes, the worst one last.
_ORDER = ("passed", REUSED, *OUTCOMES[1:])


class TimelineCollector:
    """Gathers the timeline: the controller's plugin from before the first conftest to the session's end."""

    def __init__(
        self, config: pytest.Config, options: Options, records: RunRecords | None, totals: Totals
    ) -> None:
        self.config, self.options, self.records, self.totals = config, options, records, totals
        age = process_age()
        self._wall, self._clock = time.time() - age, time.monotonic() - age
        self.timeline = Timeline(began=self._wall)
        self._marks: list[tuple[str, float]] = [("start", 0.0), ("conftests", age)]
        self._numbers: dict[int, int] = {}
        self._assigned: dict[int, int] = {}
        self._by_nodeid: dict[str, int] = {}
        self._taken: Any = None
        self._imports: dict[str, float] = {}
        self._began: dict[object, float] = {}
        self._written: list[str] = []
        self._failed: list[str] = []
        self.failures = FailureReports(config)
        self.import_times = ImportTimes()
        self.import_times.begin()

    def now(self) -> float:
        """Return the seconds since the start of this process."""
        return time.monotonic() - self._clock

    def mark(self, name: str) -> None:
        """Begin a phase of the controller."""
        self._marks.append((name, self.now()))

    # -- collection ------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        self.mark("collection")
        if self.records is None:  # otherwise the records measure imports
            pytest_session.after_import(session, self._imported)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: Any) -> Generator[None, Any, Any]:
        file = collector if isinstance(collector, pytest.Directory) else collector.getparent(pytest.File)
        if file is None:
            return (yield)
        began = self._began[collector] = self.now()
        try:
            report = yield
        finally:
            del self._began[collector]
            shown = self._shown(file.path) + ("/" if isinstance(collector, pytest.Directory) else "")
            self._collected(collector, shown, began)
        if report.outcome == "failed":
            self.timeline.errors += 1
            self.failures.collected(report)
        return report

    def _collected(self, collector: object, file: str, began: float) -> None:
        now = self.now()
        if isinstance(collector, pytest.File | pytest.Directory):
            self.timeline.collection.append(CollectionSpan(file, began, now, now - began))
        elif self.timeline.collection and self.timeline.collection[-1].file == file:
            self.timeline.collection[-1].seconds += now - began

    def _imported(self, node: object) -> None:
        began = self._began.get(node)
        if began is not None and isinstance(node, pytest.Module):
            self._imports[str(node.path)] = self.now() - began

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self.import_times.end()
        self.mark("preparation")
        for item in session.items:
            self._by_nodeid.setdefault(item.nodeid, len(self.timeline.tests))
            self.timeline.tests.append(ItemSpan(item.nodeid, self._shown(item.path)))

    def _shown(self, path: str | os.PathLike[str]) -> str:
        return os.path.relpath(path, self.config.rootpath).replace(os.sep, "/")

    # -- the run ---------------------------------------------------------------------------------

    def started(self, running: RunningChild) -> None:
        """Record that a child was requested."""
        timeline, alone = self.timeline, running.group.alone
        how = "spawn" if running.point.kind == "spawn" else "apart" if alone else "fork"
        if not timeline.children:
            self.mark("run")
        while len(timeline.slots) <= running.slot.index:
            timeline.slots.append("")
        timeline.slots[running.slot.index] = running.slot.worker_id
        self._numbers[running.token] = len(timeline.children)
        file = self._shown(running.group.path)
        timeline.children.append(
            Child(running.slot.index, file, running.began - self._clock, end=-1.0, how=how)
        )
        self.given(running, running.group.indices)

    def given(self, running: RunningChild, indices: Sequence[int]) -> None:
        """Record that a child received further items."""
        number = self._numbers[running.token]
        self.timeline.children[number].order += indices
        self._assigned.update(dict.fromkeys(indices, number))

    def ended(self, running: RunningChild, ended: Ended | None) -> None:
        """Record that a child ended; without ``ended``, the child did not end well."""
        child = self.timeline.children[self._numbers[running.token]]
        child.end = self.now()
        child.cpu = running.spent if running.spent >= 0 else None
        if running.collided is not None:
            child.ending = "stopped: it shares an address with another child, and ran again alone"
        elif ended is None:
            child.ending = running.because or console.status_text(running.status or 0)
        for cost in running.ended.fixtures if running.ended is not None else ():
            child.setups += [
                Span(cost.name, at - self._clock, at - self._clock + took) for at, took in cost.setups
            ]

    def over(self) -> None:
        """Record that no child is alive any more, or that the remaining children are about to be ended."""
        now, last = self.now(), 0.0
        for child in self.timeline.children:
            if child.end < 0:
                child.end, child.ending = now, "ended with the run"
            last = max(last, child.end)
        if self.timeline.children:
            self._marks.append(("last reports", last))
        self.mark("end")

    def advance(self, replay: Shows) -> None:
        """Show the reports that can be shown, and add up the time that this takes."""
        began = time.monotonic()
        try:
            replay.advance()
        finally:
            self.timeline.replayed += time.monotonic() - began

    def report(self, index: int, report: pytest.TestReport) -> None:
        """Record a report that is about to be shown."""
        self._taken = report
        self.failures.report(report)
        test = self.timeline.tests[index]
        outcome = REUSED if getattr(report, "reused", None) is not None else outcome_of(report)
        test.outcome = max(test.outcome or "passed", outcome, key=_ORDER.index)
        if pytest_session.is_subtest(report) or outcome == REUSED:
            return
        child = self._assigned.get(index)
        if child is None:
            child = self._plain_child(index)
        begin = seconds_of(report, "start") - self._wall
        test.phases.append(Phase(str(report.when), begin, begin + seconds_of(report, "duration"), child))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record reports that bypass the run loop: from pytest's loop, shared fixtures or reuse."""
        if report is self._taken:
            return
        index = self._by_nodeid.get(report.nodeid)
        if index is None:
            index = self._by_nodeid[report.nodeid] = len(self.timeline.tests)
            self.timeline.tests.append(ItemSpan(report.nodeid, report.nodeid.partition("::")[0]))
        self.report(index, report)

    def _plain_child(self, index: int) -> int:
        """Return the number of the child that counts for a test which no child was given.

        That is the controller itself if it runs the tests, otherwise the last child.
        """
        timeline = self.timeline
        if not timeline.children:
            self.mark("run")
            timeline.slots.append("plain pytest")
            timeline.children.append(Child(0, "", self.now(), how="plain"))
        child = timeline.children[-1]
        child.order.append(index)
        if child.how == "plain":
            child.end = max(child.end, self.now())
        self._assigned[index] = len(timeline.children) - 1
        return self._assigned[index]

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep the text of an error that ends the run."""
        self.failures.internal(str(excrepr))

    # -- the end ---------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.import_times.end()
        wanted = [("report", self.options.report, page), ("trace", self.options.trace, trace)]
        finished = False
        for what, path, make in wanted:
            if path is None:
                continue
            try:
                with ORIGINAL_NAMES:
                    if not finished:
                        self._finish(int(exitstatus))
                        finished = True
                    user_file.write(path, make(self.timeline).encode("utf-8", "backslashreplace"))
            except Exception as error:  # a report is optional, so its failure never fails a run
                self._failed.append(console.not_written(what, path, error))
            else:
                self._written.append(console.written(what, path))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not console.is_quiet(self.config):
            for text in self._written:
                terminalreporter.write_line(console.PREFIX + text)
        for text in self._failed:
            terminalreporter.write_line(console.PREFIX + text, yellow=True)

    def _finish(self, exitstatus: int) -> None:
        """Complete the timeline, because no further event will come."""
        timeline = self.timeline
        if self._marks[-1][0] == "run":
            self.mark("end")
        timeline.seconds = self.now()
        ends = [at for _, at in self._marks[1:]] + [timeline.seconds]
        timeline.phases = [Span(name, at, end) for (name, at), end in zip(self._marks, ends, strict=True)]
        timeline.exitstatus = exitstatus
        timeline.cpu = sum(os.times()[:4])
        for test in timeline.tests:
            if test.outcome == "passed" and not any(phase.when == "call" for phase in test.phases):
                test.outcome = ""  # interrupted after its setup
        lay_out(timeline)
        timeline.failures = self.failures.failures()
        imports = self._imports if self.records is None else self.records.imports
        by_file = {self._shown(path): seconds for path, seconds in imports.items()}
        for each in timeline.collection:
            each.imports = by_file.get(each.file)
        if self.import_times.measured:
            timeline.imports = by_package(self.import_times, analysis.third_party)
        timeline.saving = self.totals.saving
        timeline.facts = self._facts()
        timeline.shard = shard_of(self.config)

    def _facts(self) -> dict[str, str]:
        return {
            "project": self.config.rootpath.name,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "pytest": pytest.__version__,
            "system": f"{platform.system()} {platform.machine()}",
            "isolation": self.options.isolate,
        }


def process_age() -> float:
    """Return the seconds since this process started.

    The result is 0 if the system does not report the start, or if the process did not start for this run.
    """
    try:
        began = proc.started(os.getpid())
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began if began else 0.0
    except (OSError, AttributeError):
        return 0.0
    return age if 0.0 <= age <= _OLDEST else 0.0


def shard_of(config: pytest.Config) -> Mapping[str, Any] | None:
    """Return what the plan of shards says about this run, or None without a plan.

    The sharding plugin, which few runs have, holds the plan.
    """
    shard: Any = getattr(config.pluginmanager.get_plugin("hotreload-sharding"), "shard", None)
    if shard is None:
        return None
    plan = shard.plan
    return {
        "shard": shard.number,
        "of": shard.of,
        "fingerprint": plan.fingerprint,
        "loads": list(plan.predicted),
    }
