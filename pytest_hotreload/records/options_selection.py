"""The tests that pytest's own options select: ``-m``, ``-k`` and ``--deselect``.

The record of a file of which they leave tests out holds for the same options only: they are part of its epoch.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: The name of the selection among the inputs of an epoch.
INPUT = "selection"
#: Attribute of ``Config.option`` -> the option.
OPTIONS = {"markexpr": "-m", "keyword": "-k", "deselect": "--deselect"}


def of(config: pytest.Config) -> str:
    """Return the selection of this run as a text, "" if these options select everything."""
    return text(vars(config.option))


def text(values: Mapping[str, Any]) -> str:
    """Return the selection by these values of the options, "" if they select everything."""
    given = {option: values.get(name) for name, option in OPTIONS.items()}
    return " ".join(
        f"{option} {json.dumps(sorted(value) if isinstance(value, list) else value)}"
        for option, value in given.items()
        if value
    )


def recorded(store: RecordStore) -> dict[str | None, set[str]]:
    """Return selection -> the test files whose record is of what it selects; None if that is not known any more.

    The selection of records of whole files is "".
    """
    found = defaultdict[str | None, set[str]](set)
    for epoch, files in store.files_by_epoch().items():
        inputs = store.epoch_changes(epoch, {})
        then = {name: value for name, value, _ in inputs} if inputs is not None else {INPUT: None}
        found[then.get(INPUT, "")].update(files)
    return found
