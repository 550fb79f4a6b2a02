"""Conftests whose hooks concern tests outside of their folder.

pytest calls most hooks of a conftest for the tests below it only. These hooks get the tests of all folders, or the
values of their parameters: ``tests/slow/conftest.py`` may mark, sort or drop any test. So the record of every test
file depends on such a conftest, and on what it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType

import pytest

from pytest_hotreload._native import RecordStore
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.records.places import canonical
from pytest_hotreload.records.verdicts import Verdict
from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS

_HOOKS = ("pytest_collection_modifyitems", "pytest_collection_finish", "pytest_make_parametrize_id")


def conftests(config: pytest.Config, is_first_party: Callable[[str], bool]) -> list[str]:
    """The loaded conftests of the project that have such hooks."""
    plugins = [plugin for hook in _HOOKS for plugin in pytest_config.implementing_plugins(config, hook)]
    names = {plugin.__file__ for plugin in plugins if isinstance(plugin, ModuleType) and plugin.__file__}
    files = {canonical(name) for name in names if os.path.basename(name) == "conftest.py"}
    return sorted(file for file in files if is_first_party(file))


def concerning(conftests: Iterable[str], test_file: str) -> set[str]:
    """Those of the conftests that are not above the test file, which depends on the others anyway."""
    return {file for file in conftests if not test_file.startswith(os.path.dirname(file) + os.sep)}


def dependents(store: RecordStore, conftests: Iterable[str]) -> dict[str, set[str]]:
    """Conftest -> the test files (as in the store) whose records depend on it. To be called before ``check``."""
    return {conftest: {file for file, _, _ in store.affected([conftest])} for conftest in conftests}


def without(known: dict[str, set[str]], verdicts: Iterable[Verdict], root: str) -> list[Verdict]:
    """New verdicts of the files whose record holds, but was made without one of these conftests.

    ``known``: conftest -> the test files (absolute) whose records depend on it.
    """
    found = []
    for verdict in verdicts:
        unknown = sorted(c for c in concerning(known, verdict.file) if verdict.file not in known[c])
        if verdict.fresh and unknown:
            found.append(Verdict(verdict.file, "hooks", os.path.relpath(unknown[0], root)))
    return found
