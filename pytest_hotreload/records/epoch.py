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
        yield name.replace("_", "-").lower(), version.partition("-py")[0]


def _digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return "unreadable"


class Distributions:
    """Maps modules to their distributions.

    ``versions``: distribution -> version; the mapping may have other entries, too.
    """

    def __init__(self, versions: Mapping[str, str], folders: Iterable[str]) -> None:
        self._versions, self._folders = versions, list(folders)
        self._names: dict[str, str] | None = None

    def of(self, modules: Iterable[str]) -> dict[str, str]:
        """Dotted name -> distribution, sorted.

        Leaves out the standard library and modules without a distribution.
        """
        tops = ((name, name.partition(".")[0]) for name in sorted(set(modules)))
        found = {name: self._distribution_of(top) for name, top in tops if top not in sys.stdlib_module_names}
        return {name: each for name, each in found.items() if each in self._versions}

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """Distribution -> version for these names, sorted."""
        return {name: self._versions[name] for name in sorted(set(names))}

    def _distribution_of(self, top: str) -> str:
        """The distribution of a top-level module, which mostly has the module's name.

        For any other name all distributions are read (40 ms).
        """
        name = top.replace("_", "-").lower()
        if name in self._versions:
            return name
        if self._names is None:
            self._names = distribution_of(self._folders)
        return self._names.get(top, "")


def distribution_of(folders: Iterable[str]) -> dict[str, str]:
    """Top-level module -> distribution, for distributions that list modules (``top_level.txt``, ``RECORD``)."""
    found: dict[str, str] = {}
    for folder in map(Path, folders):
        for metadata in sorted(folder.glob("*.dist-info")):
            name = metadata.name.partition("-")[0].replace("_", "-").lower()
            for top in _top_levels(metadata):
                found.setdefault(top, name)
    return found


def _top_levels(metadata: Path) -> set[str]:
    try:
        named = metadata / "top_level.txt"
        if named.is_file():
            return set(named.read_text(encoding="utf-8").split())
        lines = (metadata / "RECORD").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    firsts = (line.partition(",")[0].strip('"').partition("/") for line in lines)
    return {
        first if rest else first.partition(".")[0]
        for first, _, rest in firsts
        if not first.endswith((".dist-info", ".data")) and first not in ("..", "__pycache__")
    }
