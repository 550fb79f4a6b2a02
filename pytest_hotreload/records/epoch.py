"""The epoch: the inputs on which all records of a run depend, each with a name.

A record from another epoch is not fresh, and the message names the exact input that differs.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.records.distributions import normalised

#: Increased whenever the content of a record, or the way in which it is judged, changes.
SCHEMA: Final = "5"

#: Environment variables that alter the interpreter or pytest itself; their values are part of the epoch.
_VARIABLES: Final = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PYTEST_ADDOPTS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTEST_PLUGINS",
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "TZ",
)

#: Modules that run when an interpreter starts, beside ``.pth`` files; the last are setuptools' for editable installs,
#: which say where the checkout lies.
_AT_START: Final = ("sitecustomize", "usercustomize", "__editable__")

#: Options about selection, output or caches, which alter no outcome. All other options count, including those
#: of unknown plugins. Checked with pytest 8.4 and 9.2.
_NEUTRAL: Final = frozenset(
    {
        "affected",
        "affected_since",
        "cache_show",
        "cacheclear",
        "code_highlight",
        "collectonly",
        "color",
        "console_output_style",
        "continue_on_collection_errors",
        "debug",
        "deselect",
        "dist",
        "distload",
        "durations",
        "durations_min",
        "failedfirst",
        "file_or_dir",
        "fold_skipped",
        "force_short_summary",
        "fulltrace",
        "help",
        "ignore",
        "ignore_glob",
        "junitprefix",
        "keyword",
        "last_failed_no_failures",
        "lf",
        "log_cli_level",
        "log_file",
        "log_file_level",
        "log_file_mode",
        "markexpr",
        "maxfail",
        "maxprocesses",
        "maxworkerrestart",
        "newfirst",
        "no_header",
        "no_summary",
        "numprocesses",
        "pastebin",
        "px",
        "quiet",
        "reportchars",
        "report_log",
        "setuponly",
        "setupplan",
        "setupshow",
        "show_fixtures_per_test",
        "showcapture",
        "showfixtures",
        "showlocals",
        "stepwise",
        "stepwise_reset",
        "stepwise_skip",
        "tbstyle",
        "testrunuid",
        "traceconfig",
        "tx",
        "usepdb",
        "usepdb_cls",
        "trace",
        "verbose",
        "version",
        "xfail_tb",
        "xmlpath",
    }
)


def inputs(config: pytest.Config, environment: Mapping[str, str]) -> dict[str, str]:
    """Name -> value of each global input. ``environment``: the variables before the first conftest."""
    found = {
        "records": SCHEMA,
        "python": f"{platform.python_implementation()} {sys.version}",
        "abi": str(sysconfig.get_config_var("SOABI")),
        "platform": f"{sys.platform} {platform.machine()}",
        "interpreter flags": json.dumps(_flags(), sort_keys=True),
        "plugins": " ".join(sorted(set(pytest_config.plugin_names(config)))),
        "ini": json.dumps(pytest_config.ini_values(config), sort_keys=True),
        "arguments": json.dumps(_arguments(vars(config.option)), sort_keys=True),
    }
    found.update({f"environment {name}": environment[name] for name in _VARIABLES if name in environment})
    found.update(distributions(sys.path))
    return found


def _flags() -> dict[str, str]:
    """All flags by name: since Python 3.14, some of them (``gil``, ``context_aware_warnings``) are not in the tuple."""
    fields = vars(type(sys.flags)).items()
    return {
        name: str(getattr(sys.flags, name)) for name, field in fields if inspect.ismemberdescriptor(field)
    }


def _arguments(options: Mapping[str, Any]) -> dict[str, str]:
    """The options that may alter an outcome."""
    return {
        name: repr(value)
        for name, value in options.items()
        if name not in _NEUTRAL and not name.startswith("hotreload") and value not in (None, False, [], ())
    }


def distributions(path: Iterable[str]) -> dict[str, str]:
    """Name -> version of every installed distribution on the search path, from the names of metadata folders.

    The first one found counts, as for the import system. Reading 100 METADATA files would take 30 ms.
    """
    found: dict[str, str] = {}
    for folder in path:
        try:
            changed = Path(folder).stat().st_mtime_ns
        except OSError:
            continue
        for name, version in _metadata_in(folder, changed):
            found.setdefault(name, version)
    return dict(sorted(found.items()))


@functools.cache
def _metadata_in(folder: str, _changed: int) -> list[tuple[str, str]]:
    """The metadata folders in a folder, cached by its time, which each installation or removal changes."""
    return list(_read_metadata(folder))


def _read_metadata(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(entry.name for entry in Path(folder).iterdir())
    except OSError:
        return
    for entry in names:
        stem, _, suffix = entry.rpartition(".")
        if suffix == "pth" or (suffix == "py" and stem.startswith(_AT_START)):
            yield f"start file {entry}", _digest(Path(folder, entry))
        if suffix not in ("dist-info", "egg-info"):
            continue
        name, _, version = stem.partition("-")
        if suffix == "egg-info" and not version:
            version = "in development"
        yield normalised(name), version.partition("-py")[0]


def _digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return "unreadable"
