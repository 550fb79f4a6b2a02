"""``--shard m/n``: runs this machine's part of the suite.

Each shard finds the test files without importing any, reads the timings, and computes the plan for all
shards; or all shards read one plan. Then each collects the files that it owns, as plain pytest would.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_hotreload.ci import plan as ci_plan
from pytest_hotreload.ci import rounds, shard_messages, timings
from pytest_hotreload.ci.ownership import PlanNames, ShardFilter
from pytest_hotreload.ci.plan import Plan, Shard
from pytest_hotreload.ci.timings import Timings
from pytest_hotreload.compat import console, coverage_limit
from pytest_hotreload.imports.analysis import probable_test_files
from pytest_hotreload.options import Options
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process import user_file
from pytest_hotreload.records import plan_durations
from pytest_hotreload.records.file_outcome import seconds_of
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.world import contextlib, os, pytest, time

_KEY = pytest.StashKey[Shard]()


def shard_of(config: pytest.Config) -> Shard | None:
    """The shard of this session, or None before the session starts and without ``--shard``."""
    return config.stash.get(_KEY, None)


class Sharding:
    """A plugin of the controller that makes or reads the plan, and reports about the shard."""

    def __init__(self, config: pytest.Config, chosen: Options, records: RunRecords | None) -> None:
        assert chosen.shard is not None
        self.config, self.options, self.records, self.asked = config, chosen, records, chosen.shard
        self.names = PlanNames(str(config.rootpath))
        self.notes: list[str] = []
        self.seconds = 0.0
        self.ran: set[str] = set()
        self.empty = False

    # -- before the collection ---------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Make the plan, when the cache exists and nothing is collected.

        Raises :class:`pytest.UsageError`.
        """
        with ORIGINAL_NAMES:  # a conftest may have replaced what hashes names or reads files
            if self.asked.touch:
                with contextlib.suppress(OSError):
                    Path(self.asked.touch).touch()
            plan = self._read_plan() if self.options.shard_from is not None else self._make_plan()
        self.shard = self.config.stash[_KEY] = Shard(plan, self.asked.number)
        if self.records is not None:
            self.records.is_part |= plan.of > 1
        self.owned = ShardFilter(self.config, self.shard)
        self.config.pluginmanager.register(self.owned, "hotreload-owned")

    def _read_plan(self) -> Plan:
        file = str(self.options.shard_from)
        try:
            plan = ci_plan.from_json(self._place(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise shard_messages.plan_unreadable(file, _why(error)) from None
        if plan.of != self.asked.of:
            raise shard_messages.other_count(file, plan.of, self.asked.of)
        return plan

    def _make_plan(self) -> Plan:
        known = self._given() if self.options.timings else self._recorded()
        listed = [self.names.of(path) for path in self._not_ignored(probable_test_files(self.config))]
        return ci_plan.make([*listed, *self._unlisted(known, set(listed))], known, self.asked.of)

    def _place(self, file: str) -> Path:
        return self.config.invocation_params.dir / file

    # -- files -----------------------------------------------------------------------------------------

    def _unlisted(self, known: Timings, listed: set[str]) -> Iterator[str]:
        """Files that ran before although no pattern names them: doctests, items of plugins, files behind a link."""
        arguments = (str(each).split("::")[0] for each in self.config.args)
        places = [os.path.abspath(self._place(each)) for each in arguments]
        for name in sorted(known.files.keys() - listed):
            path = os.path.normpath(self.config.rootpath / name)
            below = any(path == place or path.startswith(place.rstrip(os.sep) + os.sep) for place in places)
            if below and Path(path).is_file() and list(self._not_ignored([path])):
                yield name

    def _not_ignored(self, paths: Iterable[str]) -> Iterator[str]:
        """The paths that the command line does not ignore.

        Conftests may ignore more files, which only costs balance.
        """
        option = self.config.option
        folders = [os.path.abspath(each) for each in getattr(option, "ignore", None) or ()]
        globs = [os.path.abspath(each) for each in getattr(option, "ignore_glob", None) or ()]
        for path in paths:
            above = {path, *map(str, Path(path).parents)} if folders or globs else ()
            if not any(
                each in folders or any(fnmatch.fnmatch(each, glob) for glob in globs) for each in above
            ):
                yield path

    # -- timings ---------------------------------------------------------------------------------------

    def _given(self) -> Timings:
        """Timings from the named files. An unusable file costs balance and one line."""
        found = []
        for file in self.options.timings:
            try:
                found.append(timings.of_text(self._place(file).read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                self.notes.append(shard_messages.unusable(file, _why(error)))
        return timings.merged(found) if found else Timings()

    def _recorded(self) -> Timings:
        """Timings from whole runs and merges: what a single shard measures must not move the next plan."""
        folder = self._folder()
        known = plan_durations.load(folder) if folder is not None else {}
        # A file outside the root is named by its path on this machine.
        return timings.of_measured(
            {self.names.of(file) if os.path.isabs(file) else file: each for file, each in known.items()}
        )

    def _folder(self) -> Path | None:
        """Our folder in pytest's cache, or None if this run has no cache."""
        cache = getattr(self.config, "cache", None)
        if cache is None or not self.options.records:
            return None
        try:
            folder: Path = cache.mkdir("hotreload")
        except OSError:
            return None
        return folder

    # -- texts -----------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        if console.is_quiet(self.config):
            return []
        return shard_messages.header(self.shard, self.asked.source)

    def _warn(self) -> None:
        plan = self.shard.plan
        if plan.of > 1 and plan.owners and plan.by == "hash" and self.options.shard_from is None:
            console.notice(self.config, shard_messages.no_timings(self.notes))
        elif self.notes:
            console.notice(self.config, shard_messages.some_ignored(self.notes))

    def _begin(self) -> None:
        """Warn if an earlier shard of this checkout had another plan."""
        folder = self._folder()
        if folder is None or self.shard.of == 1 or self.config.option.collectonly:
            return
        with ORIGINAL_NAMES:
            other = rounds.begin(folder, self.shard)
        if other is not None:
            console.notice(self.config, shard_messages.another_plan(self.shard, other.plan, other.began))

    def _lift_coverage_limit(self) -> None:
        """Leave ``--cov-fail-under`` to the merge: a shard runs a part of the tests."""
        limit = coverage_limit.lift(self.config) if self.shard.of > 1 else None
        asks = self.options.shard_plan is not None or self.config.option.collectonly
        if limit is not None and not asks:
            console.notice(self.config, shard_messages.limit_lifted(self.shard, limit))

    # -- collecting and running ------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool | None:
        self._warn()
        self._lift_coverage_limit()
        if self.options.shard_plan is None:
            self._begin()
            return None
        file = self.options.shard_plan
        try:
            with ORIGINAL_NAMES:
                user_file.write(self._place(file), ci_plan.as_json(self.shard.plan).encode())
        except OSError as error:
            raise shard_messages.plan_unwritable(file, _why(error)) from None
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: Any) -> Generator[None, Any, Any]:
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            if collector.getparent(pytest.File) is not None:
                self.seconds += time.perf_counter() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += seconds_of(report, "duration")
        self.ran.add(report.nodeid.partition("::")[0])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Exit with status 0 if this shard has no tests but other shards have some.

        If the whole selection is empty, pytest's status stays.
        """
        if session.exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED:
            return
        others = self.shard.of > 1 and bool(self.shard.others or self.owned.found)
        if others or self.options.shard_plan is not None:
            session.exitstatus = pytest.ExitCode.OK
            self.empty = self.options.shard_plan is None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if console.is_quiet(self.config):
            return
        if self.options.shard_plan is not None:
            for line in shard_messages.planned(self.shard.plan, self.options.shard_plan):
                terminalreporter.write_line(line)
        elif self.empty:
            terminalreporter.write_line(shard_messages.nothing_here(self.shard))
        elif self.ran:
            terminalreporter.write_line(shard_messages.achieved(self.shard, len(self.ran), self.seconds))


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
