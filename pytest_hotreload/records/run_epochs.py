"""The epochs of a run's records: the inputs on which the outcome of every test may depend, by fingerprint.

The record of a file of which ``-m``, ``-k`` or ``--deselect`` left tests out has an epoch of its own, with this
selection among its inputs, so it holds for the same selection only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.records import epoch, epoch_changes, options_selection
from pytest_hotreload.records.verdicts import Verdict
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


#: The selection of a run without such options, where it differs from that of a record.
_EVERYTHING = "all tests"


class RunEpochs:
    """The epochs in which this run judges and writes records. The inputs are read once."""

    def __init__(self, config: pytest.Config, environment: Mapping[str, str]) -> None:
        self._config, self._environment = config, environment
        self._inputs: dict[str, str] = {}
        #: Selection -> epoch: the store writes each down.
        self._known: dict[str, str] = {}

    def inputs(self) -> dict[str, str]:
        """Name -> value of the inputs of the epoch of whole files."""
        self._inputs = self._inputs or epoch.inputs(self._config, self._environment)
        return self._inputs

    def of(self, store: RecordStore, selection: str) -> str:
        """The epoch of records of the tests that a selection leaves; of whole files, if it is ""."""
        if selection not in self._known:
            more = {options_selection.INPUT: selection} if selection else {}
            self._known[selection] = store.epoch({**self.inputs(), **more})
        return self._known[selection]

    def current(self, store: RecordStore) -> list[str]:
        """The epochs of records that may hold in this run: of whole files, and of what its options select of them."""
        return [
            self.of(store, selection) for selection in dict.fromkeys(("", options_selection.of(self._config)))
        ]

    def changes(self, store: RecordStore, verdicts: Iterable[Verdict]) -> list[epoch_changes.Change]:
        """The inputs that differ from the most common other epoch among the records."""
        others = Counter(verdict.detail for verdict in verdicts if verdict.kind == "epoch")
        if not others:
            return []
        now = {**self.inputs(), options_selection.INPUT: options_selection.of(self._config) or _EVERYTHING}
        changes = store.epoch_changes(others.most_common(1)[0][0], now) or []
        # The record of a whole file holds for each selection.
        changes = [
            change for change in changes if change[0] != options_selection.INPUT or change[1] is not None
        ]
        return epoch_changes.named(self._config, changes)
