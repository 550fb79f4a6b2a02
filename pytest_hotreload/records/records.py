"""The records of a run: loaded and judged before the tests, and written after them.

No error in this module fails a run: a record that cannot be read counts as missing, and a failed write is
reported in one line.
"""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.imports import bytecode
from pytest_hotreload.imports.analysis import open_project, scan
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.records import (
    affected_messages,
    couplings,
    epoch,
    epoch_changes,
    functions,
    last_run,
    plan_durations,
    unchanged,
)
from pytest_hotreload.records.conflicts import keys_of
from pytest_hotreload.records.dependencies import (
    Dependencies,
    Searched,
    as_draft,
    first_party_roots,
    project_folders,
)
from pytest_hotreload.records.early_imports import import_again
from pytest_hotreload.records.file_outcome import FileOutcome
from pytest_hotreload.records.functions import FunctionRecords, FunctionsRan
from pytest_hotreload.records.observer import Observation, Observed, Observer, canonical, on_path
from pytest_hotreload.world import BUILTINS, contextlib, os

__builtins__ = BUILTINS

#: An input is trusted only if its last change is older than this when the run begins. The margin covers the
#: resolution of coarse file systems and files that an editor is still writing.
YOUNG_NS: int = bytecode.YOUNG_NS
#: A file state that no file has: a read with this state makes the record unsettled.
_NEVER = (0, 0, 0, 0)
#: The recorded name of a process of which the only known fact is that it was left behind.
_LEFT = "left behind"
#: Options that name files which pytest and its plugins write at the end, when nothing is observed.
_REPORTS = ("xmlpath", "log_file", "report_log", "htmlpath", "json_report_file")
#: Kinds of verdicts for which no input is compared, or none differs.
_WITHOUT_INPUTS = ("fresh", "unknown", "epoch", "unsettled", "failed")
_Method = TypeVar("_Method", bound=Callable[..., Any])
_OWN_REPORTS = ("hotreload_report", "hotreload_trace", "hotreload_results")


def _kept(
    instead: Callable[..., Any], passes: tuple[type[Exception], ...] = ()
) -> Callable[[_Method], _Method]:
    """Decorates a method so that it never fails a run, whatever the collected files changed in the process.

    See docs/design/worlds.md. An exception in the method costs the records of this run; ``instead`` is then
    called with the same arguments and its result is returned. Exceptions in ``passes`` are raised.
    """

    def wrapped(method: _Method) -> _Method:
        @functools.wraps(method)
        def kept(self: RunRecords, *args: Any, **kwargs: Any) -> Any:
            if not self.lost:
                try:
                    with ORIGINAL_NAMES:
                        return method(self, *args, **kwargs)
                except passes:
                    raise
                except Exception as error:
                    self.give_up(error)
            return instead(self, *args, **kwargs)

        return kept  # type: ignore[return-value]

    return wrapped


class Verdict(NamedTuple):
    """Whether a test file's record holds now."""

    file: str
    #: A kind that ``_native.RecordStore.check`` returns ("fresh" if the record holds), or the kind of a
    #: reason for which the file may not be reused.
    kind: str
    #: The subject of ``kind``; for a file that may not be reused, the reason in words.
    detail: str = ""

    @property
    def fresh(self) -> bool:
        return self.kind == "fresh"


class RunRecords:
    """Loads, judges and writes the records of one run, and observes its inputs."""

    def __init__(self, config: pytest.Config, environment: Mapping[str, str]) -> None:
        """Begin to observe. Called before the first conftest is loaded."""
        #: ``environment``: the environment variables before the first conftest.
        self.config, self.environment = config, dict(environment)
        #: The time at which the run began, on the clock of file times.
        self.started_ns = unchanged.file_time_now()
        self._offset = unchanged.clock_offset()
        self.observer = Observer(config)
        self.observer.collecting()
        ORIGINAL_NAMES.accept()
        early = self.observer.loaded()
        seen = import_again(early)
        self.observer.add(seen.rows)
        #: Files of modules that were imported before this plugin: nobody knows which of their functions ran.
        self._early = {file for _, file in early}
        #: The same, if what their imports read is not known.
        self._unseen = self._early if seen.why else set()
        #: The reason in words for which these inputs are unknown, or "".
        self.doubt = affected_messages.unseen_import(seen.module, seen.why) if seen.why else ""
        #: Test file (absolute) -> its outcome in this run.
        self.files: defaultdict[str, FileOutcome] = defaultdict(FileOutcome)
        #: Test files of which not all tests were selected.
        self.partial: set[str] = set()
        #: All collected test files.
        self.all_files: set[str] = set()
        #: ``partial_by_name``: single tests were requested by name. ``filtered``: whole files may be missing.
        self.partial_by_name = self.filtered = False
        #: Whether this run is a part of the suite: one of several shards, or narrowed to some tests or files.
        #: Such a run must not move the durations from which shards are planned.
        self.is_part = False
        self.declared: defaultdict[str, set[str]] = defaultdict(set)
        self.serial: defaultdict[str, set[str]] = defaultdict(set)
        self.collection: dict[str, float] = {}
        self.imports: dict[str, float] = {}
        #: File that a fork point of a watch loaded or read -> the time since which it may have been held.
        self.held: Mapping[str, int] = {}
        #: How much older than the run an input must be.
        self.margin_ns = YOUNG_NS
        #: Whether this is a rerun in a watch.
        self.watched = False
        self.verdicts: dict[str, Verdict] = {}
        self.changes: list[tuple[str, str | None, str | None]] = []
        self.collected = Observed()
        self._notes: list[str] = []
        self._inputs: dict[str, str] = {}
        self._epoch = ""
        self._loaded = False
        self.store: RecordStore | None = None
        self._refused: OSError | None = None
        #: The reason in words for which this run keeps no records, or "".
        self.lost = ""

    # -- failures ----------------------------------------------------------------------------------

    def give_up(self, error: Exception) -> None:
        """Note that this run keeps no records, because of ``error``."""
        try:
            self.lost = f"{type(error).__name__}: {error}".splitlines()[0]
        except Exception:  # the error may be of a class that a test defines
            self.lost = "an error that has no text"

    def declared_conflicts(self) -> dict[str, frozenset[str]]:
        """The result of :meth:`conflicts` without any record."""
        return {path: keys_of((), (), self.serial[path]) for path in self.files if self.serial[path]}

    def all_unknown(self, paths: Iterable[str]) -> None:
        """The effect of :meth:`judge` without any record: every verdict is "unknown"."""
        self.verdicts.update({file: Verdict(file, "unknown") for file in {*paths, *self.verdicts}})

    def remove_refuted(self) -> None:
        """Remove records that a failure refutes, when :meth:`save` cannot write new ones."""
        with contextlib.suppress(Exception), ORIGINAL_NAMES:
            if self.store is not None:
                self.store.remove([path for path, ran in self.files.items() if ran.refutes])
                self.store.save()

    # -- before the tests -------------------------------------------------------------------------

    @_kept(lambda _: None)
    def stop_collecting(self) -> None:
        """End the observation of the collection. Called before the first fork; idempotent."""
        if self.observer.active:
            self.collected = self.observer.end_before_forks()

    @contextlib.contextmanager
    def sharing(self) -> Iterator[None]:
        """Observe the setup of shared fixtures, and attribute everything seen to all tests of the run."""
        self.stop_collecting()
        self.observer.running()
        try:
            yield
        finally:
            more = self.observer.end_before_forks()
            ran = functions.joined(
                self.collected.functions or FunctionsRan(), more.functions or FunctionsRan()
            )
            self.collected = Observed(
                self.collected.rows + more.rows, self.collected.modules + more.modules, ran
            )

    def close(self) -> None:
        """Stop observing for good."""
        self.observer.close()

    def after_fork(self, held: Mapping[str, int] | None = None, *, told: bool = False) -> None:
        """Begin the run of a rerun in a watch, which is a fork.

        ``held``: files that the fork points hold already, each with the time since which it may have been
        held.
        ``told``: the system reports each change to the watcher, and the watcher waited until nothing changed
        for longer than one step of the clock of file times. An earlier change therefore has an older time.
        """
        self.started_ns = unchanged.file_time_now()
        self._offset = unchanged.clock_offset()
        self.held, self.watched = held or {}, True
        self.margin_ns = 0 if told else YOUNG_NS

    @_kept(lambda records: records.declared_conflicts())
    def conflicts(self) -> dict[str, frozenset[str]]:
        """Test file -> keys of the resources that it may not share with a file that runs at the same time."""
        store, root = self.opened(), self.config.rootpath
        known = {
            str(folder / file): (ports, writes)
            for file, ports, writes in (store.conflicts() if store is not None else ())
            # A test file may be named through a link to the root or without it; the store accepts both, too.
            for folder in (root, root.resolve())
        }
        found = {}
        for path in self.files:
            ports, writes = known.get(path, ([], []))
            keys = keys_of(ports, writes, self.serial[path])
            if keys:
                found[path] = keys
        return found

    @_kept(lambda _: None)
    def opened(self) -> RecordStore | None:
        """The loaded store, or None if it cannot be opened; :meth:`save` reports that error."""
        if not self._loaded:
            self._loaded = True
            try:
                self.store = RecordStore(str(self._folder()), str(self.config.rootpath))
            except OSError as error:
                self._refused = error
            else:
                self.store.leave_out(report_files(self.config))
                self.store.load()
                self._notes = self.store.notes()
        return self.store

    @_kept(lambda records, paths: records.all_unknown(paths))
    def judge(self, paths: Iterable[str]) -> None:
        """Set the verdict of each test file. A second call does nothing."""
        if self.verdicts:
            return
        files = sorted(set(paths))
        store = self.opened()
        if store is None:
            self.verdicts = {file: Verdict(file, "unknown") for file in files}
            return
        self._set_epoch(store)
        found = store.check(files, epoch=self._epoch, environment=self.environment)
        verdicts = [Verdict(file, kind, detail) for file, (_, kind, detail) in zip(files, found, strict=True)]
        moved = [verdict.file for verdict in verdicts if verdict.kind == "layout"]
        still = self.still_lead_there(store, moved) if moved else set()
        for verdict in verdicts:
            self.verdicts[verdict.file] = Verdict(verdict.file, "fresh") if verdict.file in still else verdict
        self.changes = self._epoch_changes(store, verdicts)

    def _set_epoch(self, store: RecordStore) -> None:
        if not self._epoch:
            self._inputs = epoch.inputs(self.config, self.environment)
            self._epoch = store.epoch(self._inputs)

    @_kept(lambda *_: [])
    def touched(self, changes: Sequence[str], names: Sequence[str]) -> list[Verdict]:
        """Test files whose records contain one of ``changes`` (with any content) or list the folder of a name."""
        store, root = self.opened(), str(self.config.rootpath)
        found = store.affected(changes, names=names) if store is not None else []
        return [Verdict(str(Path(root, file)), kind, detail) for file, kind, detail in found]

    def still_lead_there(self, store: RecordStore, files: Sequence[str]) -> set[str]:
        """The files whose imports still resolve to the recorded files, although modules near them came or went."""
        project, root = open_project(self.config), self.observer.root
        known: dict[str, set[str]] = {}
        dynamic: dict[str, dict[str, str | None]] = {}
        starts: dict[str, set[str]] = {}
        for file in files:
            record = json.loads(store.get(file) or "{}")
            known[file] = {str(Path(root, path)) for path, _ in record.get("closure", ())}
            names = record.get("dynamic", {}).items()
            dynamic[file] = {name: path and str(Path(root, path)) for name, path in names}
            coupled = {str(Path(root, path)) for path in record.get("coupled_with", ())}
            starts[file] = {file, *coupled, *filter(None, dynamic[file].values())}
        # Done first, so that a module that appears while names are resolved shows as a change.
        store.look_at_layouts(list(files))
        scan(project, sorted(set().union(*starts.values())))
        still, on_path = set(), functools.cache(_beside)
        for file in files:
            reached = {path for start in starts[file] for path in project.closure(start)}
            same = all((project.locate(file, n) or on_path(n)) == path for n, path in dynamic[file].items())
            # A closure that is smaller than the recorded one is a difference, too.
            if reached == known[file] and same:
                still.add(file)
        store.confirm(sorted(still))
        return still

    def _epoch_changes(
        self, store: RecordStore, verdicts: Iterable[Verdict]
    ) -> list[tuple[str, str | None, str | None]]:
        """The inputs that differ from the most common other epoch among the records."""
        others = Counter(verdict.detail for verdict in verdicts if verdict.kind == "epoch")
        if not others:
            return []
        changes = store.epoch_changes(others.most_common(1)[0][0], self._inputs) or []
        return epoch_changes.named(self.config, changes)

    @_kept(lambda *_: None)
    def affected_tests(self, file: str) -> set[str] | None:
        """The tests of an affected file that ran what changed, by the verdicts; None if any test may be concerned."""
        store = self.opened()
        found = store.affected_tests(file) if store is not None else None
        return None if found is None else set(found)

    @_kept(lambda *_: [])
    def changed_functions(self, verdict: Verdict) -> list[str]:
        """The functions that changed and that the file ran; [] if more than functions changed."""
        store = self.opened()
        if verdict.kind != "content" or store is None:
            return []
        return store.changed_functions(verdict.file, verdict.detail) or []

    @_kept(lambda _: {})
    def concerning_changes(self) -> dict[str, list[tuple[str, list[str] | None]]]:
        """Affected test file -> the files whose content changed, each with the changed functions that it ran.

        None instead of functions if more changed, or if it is not known what ran. To be called before :meth:`save`,
        which replaces the records.
        """
        store = self.opened()
        affected = [v.file for v in self.verdicts.values() if v.kind not in _WITHOUT_INPUTS]
        found = {file: store.concerning_changes(file) for file in affected} if store is not None else {}
        return {file: changes for file, changes in found.items() if changes}

    @_kept(lambda _: [])
    def without_effect(self) -> list[str]:
        """A line for each file whose content changed and that affects no test file."""
        store = self.opened()
        causes = {verdict.detail for verdict in self.verdicts.values() if not verdict.fresh}
        changes = store.content_changes() if store is not None else []
        return [
            affected_messages.without_effect(file, names)
            for file, names in changes
            if names is not None and file not in causes
        ]

    # -- during the run ----------------------------------------------------------------------------

    def selected(self, items: Sequence[pytest.Item]) -> None:
        """Note the items that will run."""
        for index, item in enumerate(items):
            self.files[str(item.path)].nodeids[index] = item.nodeid

    def report(self, item: pytest.Item, index: int, report: pytest.TestReport) -> None:
        """Note a report that was shown."""
        self.files[str(item.path)].report(index, report)

    def child_ended(self, path: str, observed: Observed | None, fixtures: float) -> None:
        """Note that a child of this file ended normally."""
        ran = self.files[path]
        ran.fixtures += fixtures
        if observed is None:
            ran.spoiled = True
        else:
            ran.observed.append(observed)

    def contended(self, paths: Iterable[str], kind: str, subject: str) -> None:
        """Note a conflict of these files that the run showed: "bind" for an address, "write" for a path."""
        for path in paths:
            self.files[path].observed.append(Observed((Observation("", kind, subject, None),)))

    def spoiled(self, path: str) -> None:
        """Note that a child of this file died, so that its observations are lost."""
        self.files[path].spoiled = True

    def stopped(self, path: str) -> None:
        """Note that this file was stopped because of an edit. That says nothing against its record."""
        self.files[path].stopped = True

    def begins_anew(self, path: str) -> None:
        """Note that the whole file runs once more.

        Only what is seen then counts, however the first child ended.
        """
        self.files[path].spoiled = False

    def left_processes(self, path: str) -> None:
        """Note that a child of this file left processes behind."""
        self.files[path].left = True

    # -- after the tests -----------------------------------------------------------------------------

    @_kept(lambda records: records.remove_refuted(), passes=(OSError,))
    def save(self) -> None:
        """Write the new records and remove those that no longer hold.

        Raises OSError if the store cannot be written.
        """
        sure = not (self.partial_by_name or getattr(self.config.option, "lf", False))
        whole = {p for p, ran in self.files.items() if sure and ran.whole and p not in self.partial}
        store = self.opened()
        if store is None:
            raise self._refused or OSError("no folder")
        partly = {path for path, ran in self.files.items() if path not in whole and ran.extends}
        kept = {*whole, *partly}
        store.remove([path for path, ran in self.files.items() if path not in kept and ran.refutes])
        partly.intersection_update(self._recorded(store) if partly else ())
        if whole or partly:
            self._set_epoch(store)
            measured = self._write(store, whole, partly)
        if whole:
            self._note_when(store, whole)
            if not self.is_part:
                plan_durations.save(self._folder(), measured, keep=store.files())
        if not self.filtered:
            store.prune()
        store.save()

    def _recorded(self, store: RecordStore) -> set[str]:
        """The test files that have a record, by both names of the root."""
        root = self.config.rootpath
        files = store.files()
        return {str(folder / file) for folder in {root, root.resolve()} for file in files}

    def _write(
        self, store: RecordStore, whole: Collection[str], partly: Collection[str]
    ) -> dict[str, plan_durations.Measured]:
        """Write the records of the files that ran whole, and extend those of which a part ran.

        Returns what was measured of the former.
        """
        ran_functions = FunctionRecords(self.collected.functions)
        # The setting of a part does not become that of the file.
        settings = {**dict.fromkeys(whole, tuple(self.setting())), **dict.fromkeys(partly, ())}
        drafts = self._drafts(settings, ran_functions)
        for write, files in ((store.put_all, whole), (store.extend_all, partly)):
            written = {path: json.dumps(draft) for path, draft in drafts.items() if path in files}
            if written:
                write(
                    written,
                    started_ns=self._settled_before(),
                    environment=self.environment,
                    before=ran_functions.before(),
                )
        root = self.config.rootpath
        measured = {path: draft for path, draft in drafts.items() if path in whole}
        return {
            last_run.name_of(path, root): plan_durations.of_record(draft) for path, draft in measured.items()
        }

    def _drafts(
        self, settings: Mapping[str, Sequence[str]], ran_functions: FunctionRecords
    ) -> dict[str, dict[str, Any]]:
        """The drafts of these files. A file that is gone has none. ``settings``: file -> its settings."""
        dependencies = Dependencies(
            self.observer, open_project(self.config), self.collected, list(self.files)
        )
        observed = [each for path in settings for each in self.files[path].observed]
        dependencies.read_all(dependencies.loaded_files(observed))
        there = {path: self.files[path] for path in settings if dependencies.has_read(path)}
        roots = first_party_roots(self.observer)
        searched = Searched(roots, project_folders(self.observer, roots))
        coupled = self._coupled_files(dependencies, there)
        all_found = {
            path: dependencies.of(path, ran.observed, coupled.get(path, ())) for path, ran in there.items()
        }
        files = {file for found in all_found.values() for file in found.closure}
        used = files.union(*(found.reads for found in all_found.values()))
        young = unchanged.changed_since(
            {file: since for file, since in self.held.items() if file in used}, self.margin_ns
        )
        doubtful = bytecode.discard_doubtful(files, keep=self.watched)
        if not self.margin_ns:
            doubtful = {file for file in doubtful if not unchanged.is_current(self.config, file)}
        distributions = epoch.Distributions(self._inputs, site_folders())
        drafts: dict[str, dict[str, Any]] = {}
        for path, ran in there.items():
            found = all_found[path]
            used = {*found.closure, *found.reads}
            found.reads.update(dict.fromkeys((doubtful | young | self._unseen) & used, _NEVER))
            found.started += [_LEFT] if ran.left else []
            draft = {**self._facts(path, ran), **as_draft(found, searched)}
            draft["functions"] = ran_functions.draft(
                found.closure,
                [each.functions for each in ran.observed if each.functions is not None],
                {*found.sources, *self._early},
                ran.told,
                functions.STARTS_PROCESSES if "subprocess" in found.flags else "",
            )
            draft["flags"] = [*found.flags, *settings[path], *(["left a process"] if ran.left else [])]
            at_import, later = dependencies.project.third_party(path)
            draft["modules"] = modules = distributions.of([*at_import, *later])
            draft["distributions"] = distributions.versions(modules.values())
            drafts[path] = draft
        return drafts

    def _settled_before(self) -> int:
        """The time before which an input must have been changed; 0 if the clock was put back.

        A later change may have replaced the content that ran. After the clock was put back, file times prove
        nothing.
        """
        return 0 if unchanged.was_put_back(self._offset) else self.started_ns - self.margin_ns

    def _note_when(self, store: RecordStore, whole: Iterable[str]) -> None:
        now = last_run.Last(self.started_ns // 10**9, last_run.revision(self.config.rootpath))
        ran = {last_run.name_of(path, self.config.rootpath): now for path in whole}
        last_run.save(self._folder(), ran, keep=store.files())

    @_kept(lambda _: {})
    def last_runs(self) -> dict[str, last_run.Last]:
        """Test file (absolute) -> its last run, as far as that is known."""
        root = self.config.rootpath
        return {str(root / name): last for name, last in last_run.load(self._folder()).items()}

    def _folder(self) -> Path:
        cache: Any = self.config.cache
        folder: Path = cache.mkdir("hotreload")
        return folder

    @_kept(lambda _: [])
    def setting(self) -> list[str]:
        """Settings outside the epoch that may alter an outcome: the isolation mode and the current folder."""
        isolate = self.config.getoption("hotreload_isolate")
        folder = os.path.relpath(self.config.invocation_params.dir, self.config.rootpath)
        return [f"isolate={isolate}"] * (isolate != "file") + [f"folder={folder}"] * (folder != ".")

    def _coupled_files(self, dependencies: Dependencies, whole: Iterable[str]) -> dict[str, set[str]]:
        """Coupled test file (found by doctor) -> the collected files on which it may depend.

        Those are the files that import the module in question, or all collected files if the module is not
        first-party or not known.
        """
        coupled = self.coupled()
        found: dict[str, set[str]] = {}
        for path in coupled.keys() & set(whole):
            dependencies.read_all(self.all_files)
            files = {self.observer.file_of(name) if name else "" for name in coupled[path]}
            needed = (
                dependencies.importers(self.all_files, file) if file else self.all_files for file in files
            )
            found[path] = set().union(*needed) - {path}
        return found

    @_kept(lambda _: {})
    def coupled(self) -> couplings.Couplings:
        """The couplings that doctor found, with absolute paths."""
        root = str(self.config.rootpath)
        return {str(Path(root, file)): names for file, names in couplings.load(self._folder()).items()}

    def _facts(self, path: str, ran: FileOutcome) -> dict[str, Any]:
        told = set(ran.told)
        return {
            "epoch": self._epoch,
            "outcome": "passed" if ran.clean else "failed",
            "tests": [
                [nodeid, ran.outcomes[index], ran.seconds.get(index, 0.0)]
                for index, nodeid in ran.nodeids.items()
                if index in told
            ],
            "costs": {
                "collection": self.collection.get(path, 0.0),
                "fixtures": ran.fixtures,
                "imports": self.imports.get(path, 0.0),
            },
            "declared": sorted(self.declared[path]),
            "serial": sorted(self.serial[path]),
        }

    # -- texts ---------------------------------------------------------------------------------------

    @_kept(lambda _: [])
    def notes(self) -> list[str]:
        """The problems with the store, in words."""
        return list(dict.fromkeys([*self._notes, *self.store.notes()])) if self.store is not None else []

    @_kept(lambda _: "")
    def summary(self) -> str:
        """One line with the number of records that held, and the reasons of the others."""
        kinds = Counter(verdict.kind for verdict in self.verdicts.values())
        return affected_messages.records(len(self.verdicts), kinds, self.changes)


def report_files(config: pytest.Config) -> tuple[str, ...]:
    """The files that this run writes about itself: reports, logs and traces, as absolute paths."""
    given = (getattr(config.option, name, None) for name in (*_REPORTS, *_OWN_REPORTS))
    folder = config.invocation_params.dir
    return tuple(os.path.abspath(folder / path) for path in given if isinstance(path, str) and path)


def _beside(name: str) -> str | None:
    """The file of a module that ``sys.path`` contains but the project does not. Imports nothing."""
    file = on_path(name)
    return None if file is None else canonical(file)
