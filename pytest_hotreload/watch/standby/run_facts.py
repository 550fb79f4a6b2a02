"""Facts that an attached run tells the server, so that the next run of its file can be prepared (``prepared.py``).

A prepared process imports a test file before pytest is configured; plain pytest imports it afterwards. Therefore the
hooks of the project that run in between are examined: a hook that does more than declare markers and read options may
change what the imports find.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process.installed import is_installed, standard_folders
from pytest_hotreload.watch.attach_protocol import RunFacts
from pytest_hotreload.world import contextlib, os

#: The hooks that pytest calls between the initial conftests and the import of a test file that is named.
_BETWEEN: Final = (
    "pytest_cmdline_main",
    "pytest_plugin_registered",
    "pytest_configure",
    "pytest_sessionstart",
    "pytest_report_header",
    "pytest_collection",
    "pytest_collectstart",
    "pytest_make_collect_report",
    "pytest_ignore_collect",
    "pytest_collect_directory",
    "pytest_collect_file",
    "pytest_pycollect_makemodule",
)
#: The names that such a hook may use: none of them changes anything but pytest's own settings.
_HARMLESS: Final = frozenset(
    {"addinivalue_line", "getoption", "getini", "option", "rootpath", "inipath", "invocation_params"}
)


class Notes:
    """The facts of this run, from the end of its initial conftests on."""

    def __init__(self, config: pytest.Config, *, is_active: bool) -> None:
        self._config, self._is_active = config, is_active
        self._environment, self._path = dict(os.environ), list(sys.path)
        #: None before the collection, and of a run that collects nothing.
        self.facts: RunFacts | None = None

    def collecting(self) -> None:
        """Compare, when the collection begins."""
        if self.facts is not None:
            return
        before, now = self._environment, dict(os.environ)
        written = frozenset(name for name in {*before, *now} if before.get(name) != now.get(name))
        early = self._path == sys.path and all(map(_is_harmless, _hooks_of_project(self._config)))
        self.facts = RunFacts(pytest_config.only_argument(self._config), early, written, self._is_active)


def _hooks_of_project(config: pytest.Config) -> list[Any]:
    """The functions of the project's own plugins and conftests that run before test files are imported."""
    ours = (str(Path(__file__).parents[2]), *pytest_config.package_folders(), *standard_folders())
    found = []
    for name in _BETWEEN:
        for function in pytest_config.hook_functions(config, name):
            code = _code(function)
            file = code.co_filename if code is not None else ""
            if not is_installed(file) and not file.startswith(ours):
                found.append(code)
    return found


def _code(function: Any) -> CodeType | None:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code if type(code) is CodeType else None


def _is_harmless(code: CodeType | None) -> bool:
    """Whether the code uses nothing but its arguments, and of these only what changes nothing else."""
    if code is None or code.co_freevars or any(type(each) is CodeType for each in code.co_consts):
        return False
    return _HARMLESS.issuperset(code.co_names)


#: The notes of this process, if it is an attached run.
_notes: Notes | None = None


def begin(config: pytest.Config, *, is_active: bool) -> None:
    """Begin the notes of an attached run, when its initial conftests are loaded. A pytest in a test has none."""
    global _notes
    _notes = _notes or Notes(config, is_active=is_active)


def collecting() -> None:
    """Note what has changed, when a collection begins in this process; do nothing if it is no attached run."""
    if _notes is not None:
        with contextlib.suppress(Exception):  # then nothing is prepared; plugins may hold anything as a hook
            _notes.collecting()


def facts() -> RunFacts | None:
    """The facts of this process; None if there is none."""
    return _notes.facts if _notes is not None else None
