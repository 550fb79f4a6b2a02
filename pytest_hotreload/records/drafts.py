"""Makes the drafts of records: what a run noted and observed about its test files, in the form that the store takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_hotreload.imports import bytecode
from pytest_hotreload.imports.analysis import open_project
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.records import functions, unchanged
from pytest_hotreload.records.couplings import Couplings
from pytest_hotreload.records.dependencies import (
    Dependencies,
    Searched,
    as_draft,
    first_party_roots,
    project_folders,
)
from pytest_hotreload.records.distributions import Distributions
from pytest_hotreload.records.file_outcome import FileOutcome
from pytest_hotreload.records.functions import FunctionRecords
from pytest_hotreload.records.observer import Observed, Observer
from pytest_hotreload.records.run_notes import RunNotes
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: A file state that no file has: a read with this state makes the record unsettled.
_NEVER = (0, 0, 0, 0)
#: The recorded name of a process of which the only known fact is that it was left behind.
_LEFT = "left behind"


@dataclass(frozen=True)
class Drafts:
    """What the drafts of one run are made of."""

    config: pytest.Config
    observer: Observer
    #: What was observed before the first fork.
    collected: Observed
    notes: RunNotes
    epoch: str
    #: Test file -> the epoch of its record, if another one.
    epochs: Mapping[str, str]
    #: The inputs of the epoch, by name.
    inputs: Mapping[str, str]
    #: Files of modules that were imported before this plugin: nobody knows which of their functions ran.
    early: AbstractSet[str]
    #: Those of them of which it is not known what their imports read.
    unseen: AbstractSet[str]
    #: The couplings that doctor found, with absolute paths.
    couplings: Couplings

    def make(
        self, settings: Mapping[str, Sequence[str]], ran_functions: FunctionRecords
    ) -> dict[str, dict[str, Any]]:
        """The drafts of these files. A file that is gone has none. ``settings``: file -> its settings."""
        dependencies = Dependencies(
            self.observer, open_project(self.config), self.collected, list(self.notes.files)
        )
        observed = [each for path in settings for each in self.notes.files[path].observed]
        dependencies.read_all(dependencies.loaded_files(observed))
        there = {path: self.notes.files[path] for path in settings if dependencies.has_read(path)}
        roots = first_party_roots(self.observer)
        searched = Searched(roots, project_folders(self.observer, roots))
        coupled = self._coupled_files(dependencies, there)
        all_found = {
            path: dependencies.of(path, ran.observed, coupled.get(path, ())) for path, ran in there.items()
        }
        files = {file for found in all_found.values() for file in found.closure}
        used = files.union(*(found.reads for found in all_found.values()))
        young = unchanged.changed_since(
            {file: since for file, since in self.notes.held.items() if file in used}, self.notes.margin_ns
        )
        doubtful = bytecode.discard_doubtful(files, keep=self.notes.watched)
        if not self.notes.margin_ns:
            doubtful = {file for file in doubtful if not unchanged.is_current(self.config, file)}
        distributions = Distributions(self.inputs, site_folders())
        drafts: dict[str, dict[str, Any]] = {}
        for path, ran in there.items():
            found = all_found[path]
            used = {*found.closure, *found.reads}
            found.reads.update(dict.fromkeys((doubtful | young | self.unseen) & used, _NEVER))
            found.started += [_LEFT] if ran.left else []
            draft = {**self._facts(path, ran), **as_draft(found, searched)}
            draft["functions"] = ran_functions.draft(
                found.closure,
                [each.functions for each in ran.observed if each.functions is not None],
                {*found.sources, *self.early},
                ran.told,
                "" if found.is_divisible else functions.STARTS_PROCESSES,
            )
            draft["flags"] = [*found.flags, *settings[path], *(["left a process"] if ran.left else [])]
            at_import, later = dependencies.project.third_party(path)
            draft["modules"] = modules = distributions.of([*at_import, *later])
            draft["distributions"] = distributions.versions(modules.values())
            drafts[path] = draft
        return drafts

    def _coupled_files(self, dependencies: Dependencies, whole: Iterable[str]) -> dict[str, set[str]]:
        """Coupled test file (found by doctor) -> the collected files on which it may depend.

        Those are the files that import the module in question, or all collected files if the module is not
        first-party or not known.
        """
        found: dict[str, set[str]] = {}
        for path in self.couplings.keys() & set(whole):
            dependencies.read_all(self.notes.all_files)
            files = {self.observer.file_of(name) if name else "" for name in self.couplings[path]}
            needed = (
                dependencies.importers(self.notes.all_files, file) if file else self.notes.all_files
                for file in files
            )
            found[path] = set().union(*needed) - {path}
        return found

    def _facts(self, path: str, ran: FileOutcome) -> dict[str, Any]:
        told = set(ran.told)
        return {
            "epoch": self.epochs.get(path, self.epoch),
            "outcome": "passed" if ran.clean else "failed",
            "tests": [
                [nodeid, ran.outcomes[index], ran.seconds.get(index, 0.0)]
                for index, nodeid in ran.nodeids.items()
                if index in told
            ],
            "costs": {
                "collection": self.notes.collection.get(path, 0.0),
                "fixtures": ran.fixtures,
                "imports": self.notes.imports.get(path, 0.0),
            },
            "declared": sorted(self.notes.declared[path]),
            "serial": sorted(self.notes.serial[path]),
        }
