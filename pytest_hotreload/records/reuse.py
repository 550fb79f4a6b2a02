"""``--reuse``: a test file whose inputs did not change need not run, because its last pass is still valid.

The decision is made when the run begins, after all plugins that select and order tests. Reused tests stay
among the items and are reported in their place, as reused. In doubt a file runs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from pytest_hotreload.compat import console, plugins
from pytest_hotreload.options import Options
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process.messages import ItemFinished, ItemStarted
from pytest_hotreload.records import affected, messages
from pytest_hotreload.records.declarations import Declarations
from pytest_hotreload.records.file_outcome import CLEAN
from pytest_hotreload.records.last_run import Last, name_of
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.records.verdicts import Verdict
from pytest_hotreload.world import BUILTINS, pytest, time

__builtins__ = BUILTINS

#: The number of tests that are named for a file whose reuse would have been wrong.
_FEW = 3

Tests = list[tuple[str, str]]
#: The result of ``_native.RecordStore.results``: flags, paths that the tests write, the tests.
Result = tuple[list[str], list[str], Tests]


@dataclass
class Judged:
    """The verdicts on a run's test files."""

    #: Test file that can be reused -> its tests as (node id, recorded outcome).
    held: dict[str, Tests] = field(default_factory=dict)
    #: The reasons for which the other files run.
    others: list[Verdict] = field(default_factory=list)


class ReportSink(Protocol):
    """Receives the messages of an item (:class:`run.replay.Replay`)."""

    def feed(self, index: int, message: Any) -> None: ...
    def complete(self, index: int) -> None: ...


def judge(
    config: pytest.Config, records: RunRecords, declarations: Declarations, items: Iterable[pytest.Item]
) -> Judged:
    """Decide which files need not run, if these items are the ones requested."""
    files: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[str(item.path)].append(item)
    records.judge(files)
    fresh = sorted(path for path in files if records.verdicts[path].fresh)
    results = records.store.results(fresh) if records.store is not None else []
    known = dict(zip(fresh, results, strict=False))
    # Without fresh records there may be no store.
    doubts = _Doubts(config, records, declarations) if fresh else None
    judged = Judged()
    for path in sorted(files):
        result = known.get(path)
        verdict = records.verdicts[path]
        if doubts is not None and verdict.fresh:
            verdict = doubts.about(path, files[path], result) or verdict
        if result is not None and verdict.fresh:
            judged.held[path] = result[2]
        else:
            judged.others.append(verdict)
    return judged


class _Doubts:
    """Finds a reason for which a file with a fresh record runs nevertheless."""

    def __init__(self, config: pytest.Config, records: RunRecords, declarations: Declarations) -> None:
        self.records, self.declarations = records, declarations
        self.setting = records.setting()
        self.coupled = records.coupled()
        cache: Any = config.cache
        failed = cache.get("cache/lastfailed", {})
        #: Failed tests from pytest's cache, including those of runs that kept no records.
        self.failed = set(failed) if isinstance(failed, dict) else set()

    def about(self, path: str, items: Sequence[pytest.Item], result: Result | None) -> Verdict | None:
        if result is None:  # the record has gone meanwhile, or can no longer be read
            return Verdict(path, "unknown")
        flags, writes, tests = result
        return (
            self._forbidden(path, items)
            or self._did(path, flags, writes)
            or self._other_setting(path, flags)
            or self._asked(path, items, tests)
        )

    def _forbidden(self, path: str, items: Sequence[pytest.Item]) -> Verdict | None:
        marks = (mark for item in items for mark in item.iter_markers("hotreload"))
        if any(mark.kwargs.get("reuse", True) is not True for mark in marks):
            return _doubt(path, "marker")
        forbidden = self.declarations.no_reuse(path)
        return _doubt(path, "declared", ", ".join(sorted(forbidden))) if forbidden else None

    def _other_setting(self, path: str, flags: Sequence[str]) -> Verdict | None:
        setting = sorted(flag for flag in flags if "=" in flag)
        if setting == sorted(self.setting):
            return None
        return _doubt(path, "setting", ", ".join(setting) or "the defaults")

    def _did(self, path: str, flags: Sequence[str], writes: Sequence[str]) -> Verdict | None:
        """Find inputs that no record contains, and effects that other test files would miss."""
        if "network" in flags:
            return _doubt(path, "network")
        if "subprocess" in flags and not self.records.declared[path]:
            return _doubt(path, "subprocess")
        if "left a process" in flags:
            return _doubt(path, "left")
        if path in self.coupled:
            return _doubt(path, "coupled")
        return _doubt(path, "writes", writes[0]) if writes else None

    def _asked(self, path: str, items: Sequence[pytest.Item], tests: Tests) -> Verdict | None:
        """Compare the items with the recorded tests.

        Tests of a file share a process, so each may need those before it.
        """
        nodeids = [item.nodeid for item in items]
        if nodeids != [nodeid for nodeid, _ in tests]:
            return _doubt(path, "tests")
        if not {outcome for _, outcome in tests} <= CLEAN:
            return _doubt(path, "outcome")
        return _doubt(path, "cache") if self.failed.intersection(nodeids) else None


def _doubt(path: str, kind: str, detail: str = "") -> Verdict:
    return Verdict(path, f"reuse {kind}", messages.reason(kind, detail))


class Reuse:
    """A plugin of the controller that decides which files are reused, and reports their tests."""

    def __init__(
        self,
        config: pytest.Config,
        chosen: Options,
        records: RunRecords | None,
        declarations: Declarations,
    ) -> None:
        self.config, self.records, self.declarations = config, records, declarations
        self.verifying = chosen.reuse == "verify"
        self.off = _why_off(config, chosen, records)
        self.judged: Judged | None = None
        #: The files that are reused.
        self.taken: dict[str, Tests] = {}
        #: Lines about files that would have been reused wrongly.
        self.wrong: list[str] = []
        self._verified = self._shown = 0
        self._last: Mapping[str, Last] = {}
        self._now = time.time()

    def decide(self, items: Sequence[pytest.Item]) -> None:
        """Choose the reused files. Called once, before the first child."""
        if self.records is None or self.off:
            return
        try:
            with ORIGINAL_NAMES:
                judged = judge(self.config, self.records, self.declarations, items)
                if not self.verifying and judged.held:
                    self._last = self.records.last_runs()
        except Exception as error:  # then all files run
            self.records.give_up(error)
        else:
            self.judged = judged
            self.taken = {} if self.verifying else judged.held

    def tell(self, items: Sequence[pytest.Item], sink: ReportSink) -> None:
        """Feed the reports of reused tests to the sink, as a child would have sent them."""
        seen = Counter[str]()
        for index, item in enumerate(items):
            path = str(item.path)
            if path in self.taken:
                for message in (ItemStarted(), self._report(item, seen[path]), ItemFinished()):
                    sink.feed(index, message)
                sink.complete(index)
                seen[path] += 1

    def _report(self, item: pytest.Item, nth: int) -> pytest.TestReport:
        """The only report of an item that is reused. ``nth``: the item's position in its file."""
        path = str(item.path)
        last = self._last.get(path)
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome="skipped",
            longrepr=(path, (item.location[1] or 0) + 1, messages.reused(last, self._now)),
            when="setup",
        )
        at = datetime.fromtimestamp(last.at, timezone.utc).isoformat() if last is not None else None
        extra: Any = report
        extra.reused = {"at": at, "revision": last.revision or None if last is not None else None}
        extra.recorded = self.taken[path][nth][1]
        return report

    # -- hooks -------------------------------------------------------------------------------------

    def pytest_report_collectionfinish(self) -> list[str]:
        return [console.PREFIX + self.off] if self.off else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return ("reused", "r", "REUSED") if hasattr(report, "reused") else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._shown += hasattr(report, "reused")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for text in self.wrong:
            terminalreporter.write_line(console.PREFIX + text, red=True)

    # -- the end -----------------------------------------------------------------------------------

    def verify(self, session: pytest.Session) -> None:
        """Compare the outcomes with those that would have been reused.

        Called before the records are written.
        """
        if not self.verifying or self.judged is None or self.records is None:
            return
        by_file: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for path, ran in self.records.files.items():
            by_file[path] = {ran.nodeids[index]: outcome for index, outcome in ran.outcomes.items()}
        for path, tests in self.judged.held.items():
            now = by_file[path]
            differing = [
                (nodeid, then, now[nodeid]) for nodeid, then in tests if now.get(nodeid, then) != then
            ]
            self._verified += bool(differing) or now.keys() == {nodeid for nodeid, _ in tests}
            if differing:
                shown = name_of(path, self.config.rootpath)
                self.wrong.append(messages.wrong_reuse(shown, differing, _FEW))
                self.records.spoiled(path)
        if self.wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def summary(self) -> list[str]:
        """The closing lines of a run in which files were judged."""
        judged, records = self.judged, self.records
        if judged is None or records is None:
            return []
        lines = []
        if self._shown:
            lasts = {self._last[path] for path in self.taken if path in self._last}
            lines.append(messages.count(self._shown, lasts, self._now))
        if self.verifying:
            lines.append(messages.verified(self._verified, len(self.wrong)))
        kinds = Counter(verdict.kind for verdict in judged.others)
        lines.append(messages.hits(len(judged.held) + len(judged.others), kinds, records.changes))
        lines = [console.PREFIX + line for line in lines]
        if self.config.get_verbosity() > 0:
            lines += ["  " + reason for reason in affected.explain(self.config, judged.others, self.records)]
        return lines


def _why_off(config: pytest.Config, chosen: Options, records: RunRecords | None) -> str:
    """The reason in one line for which nothing is reused, or ""."""
    if chosen.force and chosen.reuse == "on":
        return messages.FORCED
    if records is None:
        return messages.IN_WORKER if chosen.isolate == "worker" and chosen.records else messages.NO_RECORDS
    if chosen.reuse == "on" and plugins.measures_coverage():
        return messages.COVERAGE
    return messages.TRACED if getattr(config.option, "trace", False) else ""
