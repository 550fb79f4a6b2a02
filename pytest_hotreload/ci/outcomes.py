"""Gathers the outcome of each test of this run from pytest's hooks, for the results file and for GitHub.

Only pytest's hooks are used, so children, files that run in place and plain pytest are handled in the same
way.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_hotreload.ci import results_file
from pytest_hotreload.ci.ownership import PlanNames
from pytest_hotreload.ci.sharding import shard_of
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.records.file_outcome import FAILED, OUTCOMES, outcome_of, seconds_of
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.records.totals import Totals
from pytest_hotreload.world import BUILTINS, pytest, time

__builtins__ = BUILTINS

#: The number of characters kept from the end of a failure's text: some 50 lines. GitHub shows at most 1 MiB
#: of a summary.
_MOST_TEXT = 4000


@dataclass
class ItemResult:
    """The result of one test."""

    nodeid: str
    file: str
    outcome: str = "passed"
    seconds: float = 0.0
    reused: dict[str, str] | None = None
    #: The end of a failure's text.
    text: str = ""
    message: str = ""
    #: The place of a failure.
    path: str = ""
    line: int = 0
    finished: bool = False
    begins_again: bool = False

    @property
    def complete(self) -> bool:
        """Whether the test has an outcome.

        A test that was interrupted in its call has only passed its setup.
        """
        return self.finished or self.outcome in FAILED


@dataclass
class Broken:
    """A collection error, or pytest's internal error if there is no node id."""

    nodeid: str
    text: str


class Outcomes:
    """A plugin of the controller that gathers the results. ``version`` is this plugin's."""

    def __init__(
        self, config: pytest.Config, records: RunRecords | None, totals: Totals, version: str
    ) -> None:
        self.config, self.records, self.totals, self.version = config, records, totals, version
        self.started = datetime.now(timezone.utc)
        self._began = time.monotonic()
        #: The reason for which plain pytest runs the whole suite, or "".
        self.left_to_plain = ""
        self.stopped = ""
        self.session: pytest.Session | None = None
        self.errors: list[Broken] = []
        self._tests: defaultdict[str, list[ItemResult]] = defaultdict(list)
        self._expected: Counter[str] = Counter()
        self._file_of: dict[str, str] = {}
        self._deselected: dict[int, pytest.Item] = {}
        self._collected: dict[int, pytest.Item] = {}
        self._names = PlanNames(str(config.rootpath))
        self._files: dict[str, str] = {}
        #: Test file (absolute) -> what changed of its inputs, by its record.
        self._changes: dict[str, list[tuple[str, list[str] | None]]] = {}

    # -- the hooks -----------------------------------------------------------------------------

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        if isinstance(collector, pytest.File):
            name = self._names.of(str(collector.path))
            self._files.setdefault(name, str(collector.path))

    @pytest.hookimpl(trylast=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(Broken(report.nodeid, _end(report.longreprtext)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Count items as deselected that a plugin removes without a report."""
        before = list(items)
        result = yield
        stays = {item.nodeid for item in items}  # by node id: another object may replace an item
        gone = (item for item in before if item.nodeid not in stays and self._is_own(self._named(item)))
        self._deselected.update((id(item), item) for item in gone)
        return result

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._deselected.update((id(item), item) for item in items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected = {id(item): item for item in session.items}
        self._expected = Counter(item.nodeid for item in session.items)
        self._file_of = {item.nodeid: self._named(item) for item in session.items}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._test(report.nodeid)
        outcome = outcome_of(report)
        subtest = hasattr(report, "context")
        if subtest and outcome not in FAILED:
            return  # the test's own report follows
        if not subtest:
            test.seconds += seconds_of(report, "duration")
            self._follow(test, outcome, report)
        test.outcome = max(test.outcome, outcome, key=OUTCOMES.index)
        if outcome in FAILED:
            test.text = test.text or _end(report.longreprtext)
            test.message = test.message or _message(report)
            if not test.path:
                test.path, test.line = _place(report, self.config.rootpath)

    def _follow(self, test: ItemResult, outcome: str, report: pytest.TestReport) -> None:
        reused = getattr(report, "reused", None)
        if reused:
            test.reused = {key: str(reused.get(key) or "") for key in ("at", "revision")}
            test.finished = True
        if outcome == "rerun":
            test.begins_again = True
        elif report.when == "call" or outcome != "passed":
            test.begins_again = False
        if report.when == "teardown" and not test.begins_again:
            test.finished = True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._test(nodeid, again=False).finished = True

    def _test(self, nodeid: str, *, again: bool = True) -> ItemResult:
        """The result of a test.

        Several items may have one node id; their reports follow one after another.
        """
        known = self._tests[nodeid]
        if not known or (again and known[-1].finished and len(known) < self._expected[nodeid]):
            known.append(ItemResult(nodeid, self._file_of.get(nodeid, nodeid.partition("::")[0])))
        return known[-1]

    def _named(self, item: pytest.Item) -> str:
        """The file to which an item belongs in plans: the outermost file from which it was collected."""
        files = [node for node in item.listchain() if isinstance(node, pytest.File)]
        return self._names.of(str((files[0] if files else item).path))

    def _is_own(self, file: str) -> bool:
        """Whether this shard owns a file. Some files of other shards are collected, too (``--lf``)."""
        shard = shard_of(self.config)
        return shard is None or shard.own(file)

    def pytest_internalerror(self, excrepr: Any) -> None:
        self.errors.append(Broken("", _end(str(excrepr))))
        self.stopped = "an internal error"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Before new records replace those that the changes are compared with."""
        if self.records is not None:
            self._changes = self.records.concerning_changes()

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.stopped = str(excinfo.value) or excinfo.typename

    # -- results after the run --------------------------------------------------------------------

    @property
    def tests(self) -> Iterator[ItemResult]:
        """The tests with an outcome, in order."""
        return (test for tests in self._tests.values() for test in tests if test.complete)

    @property
    def bad(self) -> list[ItemResult]:
        return [test for test in self.tests if test.outcome in FAILED]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def exit_status(self) -> int:
        return int(getattr(self.session, "exitstatus", pytest.ExitCode.INTERNAL_ERROR))

    def document(self) -> dict[str, Any]:
        """The content of the results file."""
        tests, files = list(self.tests), self.files()
        return {
            "schema": results_file.SCHEMA,
            "version": self.version,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "saved_cpu": self.totals.saving.cpu,
            "exitstatus": self.exit_status,
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{platform.machine()}",
            "plan": plan_of(self.config, [each["file"] for each in files]),
            "collected": len(self._collected.keys() | self._deselected.keys()),
            "deselected": [item.nodeid for item in self._deselected.values()],
            "stopped": self._stopped(tests),
            "left_to_plain": self.left_to_plain or None,
            "tests": [_told(test) for test in tests],
            "errors": [{"nodeid": each.nodeid, "text": each.text} for each in self.errors],
            "files": files,
        }

    def _stopped(self, tests: list[ItemResult]) -> str | None:
        """The reason why some selected tests have no outcome, if there are any."""
        session: Any = self.session
        why = self.stopped or str(
            getattr(session, "shouldfail", "") or getattr(session, "shouldstop", "") or ""
        )
        short = len(tests) < len(self._collected.keys() - self._deselected.keys())
        if self.exit_status == pytest.ExitCode.USAGE_ERROR and not why:
            why = "a usage error"
        return (why or None) if short or self.exit_status not in (0, 1, 5) else None

    def files(self) -> list[dict[str, Any]]:
        """Each collected file with its costs.

        Costs that only records measure are left out if there are none.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        counts: Counter[str] = Counter()
        for test in self.tests:
            counts[test.file] += 1
            seconds[test.file] += test.seconds
        return [
            {
                "file": file,
                "tests": counts[file],
                "seconds": round(seconds[file], 4),
                **self._measured(self._files.get(file, "")),
                **self._changed(self._files.get(file, "")),
            }
            for file in sorted({*self._files, *counts})
            if self._is_own(file)
        ]

    def _changed(self, path: str) -> dict[str, list[dict[str, Any]]]:
        changes = self._changes.get(path, ())
        rows = [{"file": file, "functions": functions} for file, functions in changes]
        return {"changes": rows} if rows else {}

    def _measured(self, path: str) -> dict[str, float]:
        if self.records is None:
            return {}
        costs = {"imports": self.records.imports, "collection": self.records.collection}
        return {name: round(each.get(path, 0.0), 4) for name, each in costs.items()}


def plan_of(config: pytest.Config, met: Collection[str]) -> dict[str, Any] | None:
    """The part of the complete result that this run is, or None without shards. ``met``: the collected files.

    "Planned" files look like test files; a conftest or a plugin may leave them out. "Found" files are not in
    the plan and belong to another shard by the hash of their path.
    """
    shard = shard_of(config)
    if shard is None:
        return None
    owned: Any = config.pluginmanager.get_plugin("hotreload-owned")
    plan = shard.plan
    own = shard.files
    return {
        "fingerprint": plan.fingerprint,
        "shard": shard.number,
        "of": shard.of,
        "predicted": plan.predicted[shard.number - 1] if plan.predicted else None,
        "files": sorted(plan.owners),
        "own": own,
        "left_out": sorted(set(own) - set(met)),
        "found": sorted(getattr(owned, "found", ())),
    }


def _told(test: ItemResult) -> dict[str, Any]:
    told = {
        "nodeid": test.nodeid,
        "file": test.file,
        "outcome": test.outcome,
        "seconds": round(test.seconds, 4),
        "reused": test.reused,
    }
    return {**told, "text": test.text} if test.outcome in FAILED else told


def _end(text: str) -> str:
    """The end of a long text, from the beginning of a line."""
    if len(text) <= _MOST_TEXT:
        return text
    return text[-_MOST_TEXT:].partition("\n")[2] or text[-_MOST_TEXT:]


def _message(report: pytest.TestReport) -> str:
    """The exception's message, or else the last line of the text."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = str(getattr(crash, "message", "") or "")
    lines = [line for line in report.longreprtext.splitlines() if line.strip()]
    return said or (lines[-1] if lines else "")


def _place(report: pytest.TestReport, root: Path) -> tuple[str, int]:
    """The place of the failure if it is in the project, else the beginning of the test."""
    file, line, _ = report.location
    crash = getattr(report.longrepr, "reprcrash", None)
    crashed_at = str(getattr(crash, "path", "") or "")
    if Path(crashed_at).is_relative_to(root) and not is_installed(crashed_at):
        return crashed_at, int(getattr(crash, "lineno", 1))
    return str(root / file), (line or 0) + 1
