"""The records of a run: loaded and judged before the tests, and written after them.

No error in this module fails a run: a record that cannot be read counts as missing, and a failed write is
reported in one line.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.imports import bytecode
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.records import (
    affected_messages,
    couplings,
    functions,
    last_run,
    options_selection,
    plan_durations,
    unchanged,
)
from pytest_hotreload.records.conflicts import keys_of
from pytest_hotreload.records.drafts import Drafts
from pytest_hotreload.records.early_imports import import_again
from pytest_hotreload.records.failures import never_fails_the_run, text_of
from pytest_hotreload.records.functions import FunctionRecords, FunctionsRan
from pytest_hotreload.records.observer import Observed, Observer, joined
from pytest_hotreload.records.run_epochs import RunEpochs
from pytest_hotreload.records.run_notes import RunNotes
from pytest_hotreload.records.verdicts import WITHOUT_INPUTS, Verdict, still_lead_there
from pytest_hotreload.world import BUILTINS, contextlib, os

__builtins__ = BUILTINS

#: Options that name files which pytest and its plugins write at the end, when nothing is observed.
_REPORTS = ("xmlpath", "log_file", "report_log", "htmlpath", "json_report_file")
_OWN_REPORTS = ("hotreload_report", "hotreload_trace", "hotreload_results")


class RunRecords(RunNotes):
    """Loads, judges and writes the records of one run, and observes its inputs."""

    def __init__(self, config: pytest.Config, environment: Mapping[str, str]) -> None:
        """Begin to observe. Called before the first conftest is loaded."""
        #: ``environment``: the environment variables before the first conftest.
        super().__init__()
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
        self.verdicts: dict[str, Verdict] = {}
        self.changes: list[tuple[str, str | None, str | None]] = []
        self.collected = Observed()
        #: The functions that ran in each slot process while it collected.
        self._ran_in_slots: list[FunctionsRan | None] = []
        self._notes: list[str] = []
        self._epochs = RunEpochs(config, self.environment)
        self._loaded = False
        self.store: RecordStore | None = None
        self._refused: OSError | None = None
        #: The reason in words for which this run keeps no records, or "".
        self.lost = ""

    # -- failures ----------------------------------------------------------------------------------

    def give_up(self, error: Exception) -> None:
        """Note that this run keeps no records, because of ``error``."""
        self.lost = text_of(error)

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

    @never_fails_the_run(lambda _: None)
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
            self.collected = joined([self.collected, more])._replace(functions=ran)

    def slot_collected(self, observed: Observed) -> None:
        """Note what a slot process observed while it collected by itself; its children name only what came later."""
        self.collected = joined([self.collected, observed])._replace(functions=self.collected.functions)
        self._ran_in_slots.append(observed.functions)

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
        self.margin_ns = 0 if told else bytecode.YOUNG_NS

    @never_fails_the_run(lambda records: records.declared_conflicts())
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

    @never_fails_the_run(lambda _: None)
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

    @never_fails_the_run(lambda records, paths: records.all_unknown(paths))
    def judge(self, paths: Iterable[str]) -> None:
        """Set the verdict of each test file. A second call does nothing."""
        if self.verdicts:
            return
        files = sorted(set(paths))
        store = self.opened()
        if store is None:
            self.verdicts = {file: Verdict(file, "unknown") for file in files}
            return
        found = store.check(files, epochs=self._epochs.current(store), environment=self.environment)
        verdicts = [Verdict(file, kind, detail) for file, (_, kind, detail) in zip(files, found, strict=True)]
        moved = [verdict.file for verdict in verdicts if verdict.kind == "layout"]
        still = still_lead_there(self.config, self.observer.root, store, moved) if moved else set()
        for verdict in verdicts:
            self.verdicts[verdict.file] = Verdict(verdict.file, "fresh") if verdict.file in still else verdict
        self.changes = self._epochs.changes(store, verdicts)

    @never_fails_the_run(lambda *_: [])
    def touched(self, changes: Sequence[str], names: Sequence[str]) -> list[Verdict]:
        """Test files whose records contain one of ``changes`` (with any content) or list the folder of a name."""
        store, root = self.opened(), str(self.config.rootpath)
        found = store.affected(changes, names=names) if store is not None else []
        return [Verdict(str(Path(root, file)), kind, detail) for file, kind, detail in found]

    @never_fails_the_run(lambda *_: None)
    def affected_tests(self, file: str) -> set[str] | None:
        """The tests of an affected file that ran what changed, by the verdicts; None if any test may be concerned."""
        store = self.opened()
        found = store.affected_tests(file) if store is not None else None
        return None if found is None else set(found)

    @never_fails_the_run(lambda *_: [])
    def changed_functions(self, verdict: Verdict) -> list[str]:
        """The functions that changed and that the file ran; [] if more than functions changed."""
        store = self.opened()
        if verdict.kind != "content" or store is None:
            return []
        return store.changed_functions(verdict.file, verdict.detail) or []

    @never_fails_the_run(lambda _: {})
    def concerning_changes(self) -> dict[str, list[tuple[str, list[str] | None]]]:
        """Affected test file -> the files whose content changed, each with the changed functions that it ran.

        None instead of functions if more changed, or if it is not known what ran. To be called before :meth:`save`,
        which replaces the records.
        """
        store = self.opened()
        affected = [v.file for v in self.verdicts.values() if v.kind not in WITHOUT_INPUTS]
        found = {file: store.concerning_changes(file) for file in affected} if store is not None else {}
        return {file: changes for file, changes in found.items() if changes}

    @never_fails_the_run(lambda _: [])
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

    # -- after the tests -----------------------------------------------------------------------------

    @never_fails_the_run(lambda records: records.remove_refuted(), passes=(OSError,))
    def save(self) -> None:
        """Write the new records and remove those that no longer hold.

        Raises OSError if the store cannot be written.
        """
        sure = not (self.partial_by_name or getattr(self.config.option, "lf", False))
        ended = {path for path, ran in self.files.items() if sure and ran.whole}
        store = self.opened()
        if store is None:
            raise self._refused or OSError("no folder")
        whole = ended - self.partial
        selected = ended & self.partial & self.narrowed_by_options
        whole |= selected - (self._known_better(store) if selected else set())
        partly = {path for path, ran in self.files.items() if path not in whole and ran.extends}
        kept = {*whole, *partly}
        store.remove([path for path, ran in self.files.items() if path not in kept and ran.refutes])
        partly.intersection_update(self._recorded(store.files()) if partly else ())
        if whole or partly:
            measured = self._write(store, whole, partly)
        if whole:
            self._note_when(store, whole)
            if not self.is_part:
                plan_durations.save(self._folder(), measured, keep=store.files())
        if not self.filtered:
            store.prune()
        store.save()

    def _known_better(self, store: RecordStore) -> set[str]:
        """The test files whose record says more than that of a part which this run's options selected.

        That is the record of the whole file; only if it holds, where this run selects what every run selects. Else it
        is also the record of what every run selects.
        """
        usual, by_epoch = self.usual_selection, store.files_by_epoch()
        epochs = [self._epochs.of(store, selection) for selection in ("", usual)]
        of_whole, of_usual = (self._recorded(by_epoch.get(epoch, ())) for epoch in epochs)
        if options_selection.of(self.config) == usual:
            return {path for path in of_whole if path in self.verdicts and self.verdicts[path].fresh}
        return of_whole | of_usual

    def _recorded(self, files: Collection[str]) -> set[str]:
        """Files of the store, by both names of the root."""
        root = self.config.rootpath
        return {str(folder / file) for folder in {root, root.resolve()} for file in files}

    def _write(
        self, store: RecordStore, whole: Collection[str], partly: Collection[str]
    ) -> dict[str, plan_durations.Measured]:
        """Write the records of the files that ran whole, and extend those of which a part ran.

        Returns what was measured of the former.
        """
        ran_functions = FunctionRecords([self.collected.functions, *self._ran_in_slots])
        epochs, usual = self._epochs.current(store), self._epochs.of(store, self.usual_selection)
        # The setting of a part does not become that of the file.
        settings = {**dict.fromkeys(whole, tuple(self.setting())), **dict.fromkeys(partly, ())}
        drafts = Drafts(
            self.config,
            self.observer,
            self.collected,
            self,
            epochs[0],
            dict.fromkeys(self.partial, epochs[-1]),
            self._epochs.inputs(),
            self._early,
            self._unseen,
            self.coupled(),
        ).make(settings, ran_functions)
        extend = functools.partial(store.extend_all, epochs=[*epochs, usual])
        for write, files in ((store.put_all, whole), (extend, partly)):
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

    @never_fails_the_run(lambda _: {})
    def last_runs(self) -> dict[str, last_run.Last]:
        """Test file (absolute) -> its last run, as far as that is known."""
        root = self.config.rootpath
        return {str(root / name): last for name, last in last_run.load(self._folder()).items()}

    def _folder(self) -> Path:
        cache: Any = self.config.cache
        folder: Path = cache.mkdir("hotreload")
        return folder

    @never_fails_the_run(lambda _: [])
    def setting(self) -> list[str]:
        """Settings outside the epoch that may alter an outcome: the isolation mode and the current folder."""
        isolate = self.config.getoption("hotreload_isolate")
        folder = os.path.relpath(self.config.invocation_params.dir, self.config.rootpath)
        return [f"isolate={isolate}"] * (isolate != "file") + [f"folder={folder}"] * (folder != ".")

    @never_fails_the_run(lambda _: {})
    def coupled(self) -> couplings.Couplings:
        """The couplings that doctor found, with absolute paths."""
        root = str(self.config.rootpath)
        return {str(Path(root, file)): names for file, names in couplings.load(self._folder()).items()}

    # -- texts ---------------------------------------------------------------------------------------

    @never_fails_the_run(lambda _: [])
    def notes(self) -> list[str]:
        """The problems with the store, in words."""
        return list(dict.fromkeys([*self._notes, *self.store.notes()])) if self.store is not None else []

    @never_fails_the_run(lambda _: "")
    def summary(self) -> str:
        """One line with the number of records that held, and the reasons of the others."""
        kinds = Counter(verdict.kind for verdict in self.verdicts.values())
        return affected_messages.records(len(self.verdicts), kinds, self.changes)


def report_files(config: pytest.Config) -> tuple[str, ...]:
    """The files that this run writes about itself: reports, logs and traces, as absolute paths."""
    given = (getattr(config.option, name, None) for name in (*_REPORTS, *_OWN_REPORTS))
    folder = config.invocation_params.dir
    return tuple(os.path.abspath(folder / path) for path in given if isinstance(path, str) and path)
