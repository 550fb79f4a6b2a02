"""Determines the modules that the template warms: the Rust half reports which third-party modules test files share."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hotreload._native import Project
from pytest_hotreload.imports import fallback_parser
from pytest_hotreload.process.installed import is_installed, site_folders

if TYPE_CHECKING:
    import pytest

#: The name of the parse cache below pytest's cache folder; it contains the version.
_CACHE = "hotreload-imports-v1.json"


@dataclass
class Analysis:
    """The result of the analysis of a suite's imports."""

    #: Modules to warm, in the suite's order.
    modules: list[str] = field(default_factory=list)
    #: Module -> the reason why it is kept out.
    quarantine: dict[str, str] = field(default_factory=dict)
    #: (path, line, message) of each problem.
    diagnostics: list[tuple[str, int | None, str]] = field(default_factory=list)


def analyse(config: pytest.Config, test_files: Sequence[str], *, minimum: int) -> Analysis:
    """Find the modules that at least ``minimum`` of the test files reach when they are imported.

    Never raises: what can't be analysed is not warmed, and is named in the diagnostics.
    """
    files = [file for file in test_files if file.endswith(".py")]
    try:
        project = open_project(config)
        scan(project, files)
        found = Analysis(
            project.shared(files, min(minimum, max(len(files), 1))),
            dict(project.quarantine(files)),
            list(project.diagnostics()),
        )
    except (OSError, ValueError, KeyError) as error:
        return Analysis(diagnostics=[("", None, f"no module is imported ahead: {error}")])
    try:
        project.save()
    except OSError as error:
        found.diagnostics.append(("", None, f"the parse cache can't be written: {error}"))
    # Files that a link or PYTHONPATH adds to the project lie outside of it, but are source code as well.
    found.modules = [
        name
        for name in found.modules
        if name not in found.quarantine
        and (name.partition(".")[0] in sys.stdlib_module_names or third_party([name]))
    ]
    return found


def open_project(config: pytest.Config) -> Project:
    """Open the project of this run, as pytest sees it."""
    return Project(
        str(config.rootpath),
        sys_path=[entry or str(Path.cwd()) for entry in sys.path],
        stdlib=sorted(sys.stdlib_module_names),
        site_dirs=site_folders(),
        import_mode=str(config.getoption("importmode")),
        editable=editable_installs(),
        namespace_packages=bool(config.getini("consider_namespace_packages")),
        cache_file=_cache_file(config),
    )


def _cache_file(config: pytest.Config) -> str | None:
    """Return the path of the parse cache, or None without a cache folder; then the files are parsed anew."""
    cache = getattr(config, "cache", None)
    try:
        return None if cache is None else str(cache.mkdir("hotreload") / _CACHE)
    except OSError:
        return None


def scan(project: Project, files: Sequence[str]) -> None:
    """Read all files; files that the fast parser rejects are read by the interpreter's own parser."""
    while rejected := project.scan(files):
        for path in rejected:
            read = fallback_parser.imports_of(path)
            project.supply(path, read.imports, read.effects, read.diagnostic, read.line)


def probable_test_files(config: pytest.Config) -> list[str]:
    """Return the files that pytest would probably collect, for warming and counting."""
    patterns: Sequence[str] = config.getini("python_files")
    skipped = set(config.getini("norecursedirs"))
    found: list[str] = []
    for argument in config.args or config.getini("testpaths") or [str(config.rootpath)]:
        place = config.invocation_params.dir / str(argument).split("::")[0]
        if place.is_file():
            found.append(str(place))
        for folder, folders, files in os.walk(place):
            folders[:] = sorted(
                name
                for name in folders
                if not (_is_skipped(name, skipped) or _is_environment(Path(folder, name)))
            )
            names = (name for name in sorted(files) if any(Path(name).match(each) for each in patterns))
            found += [str(Path(folder, name)) for name in names]
    return list(dict.fromkeys(found))


def _is_skipped(name: str, patterns: set[str]) -> bool:
    return name == "__pycache__" or any(Path(name).match(pattern) for pattern in patterns)


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def third_party(names: Iterable[str]) -> list[str]:
    """Return the modules that lie in a folder of installed packages; only these may be imported into the template."""
    return [name for name in names if _is_third_party(name.partition(".")[0])]


def is_third_party(top: str) -> bool:
    """Return whether all of a top-level module lies in folders of installed packages."""
    spec = PathFinder.find_spec(top)
    if spec is None or top in sys.stdlib_module_names:
        return False
    places = (
        [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    )
    return bool(places) and all(is_installed(place) for place in places)


_is_third_party = functools.cache(is_third_party)


def editable_installs() -> dict[str, str]:
    """Return the editable installs that use a finder (setuptools): top-level module -> its folder."""
    found: dict[str, str] = {}
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", ""))
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            found.update({str(name): str(path) for name, path in mapping.items()})
    return found
