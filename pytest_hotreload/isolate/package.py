"""Finds the imports of a package: the modules that its template holds, and the reasons against others.

The analysis runs in the caller, and imports nothing of the package.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from pytest_hotreload._native import Project
from pytest_hotreload.imports import analysis
from pytest_hotreload.isolate import messages
from pytest_hotreload.isolate.errors import IsolationError
from pytest_hotreload.process import installed

#: Folders without modules, or with those of another interpreter.
_SKIPPED = {"__pycache__", "node_modules"}


@dataclass(frozen=True)
class Warmth:
    """The modules that a template imports, and the search path for them."""

    #: Third-party modules, in the order of the source.
    modules: tuple[str, ...] = ()
    #: The `sys.path` for these imports.
    path: tuple[str, ...] = ()
    #: The package, of which nothing may be imported.
    own: str = ""

    def is_same(self, other: Warmth) -> bool:
        """Whether a template for this can serve for ``other``.

        A different order alone requires no new template.
        """
        return set(self.modules) == set(other.modules) and self.path == other.path


class Package:
    """A package (or a single module), given by its name, and an analyser that remembers its parsed sources."""

    def __init__(self, name: object, *, ignored: Iterable[str], include: Iterable[str]) -> None:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise IsolationError(
                f"{name!r} is not the name of a package",
                hint='give its dotted name, as in isolate_imports("my_package")',
            )
        self.name = name
        self._ignored, self._include = _names("ignored_modules", ignored), _names("include", include)
        self._project: tuple[tuple[str, ...], Project] | None = None

    def look(self) -> tuple[Warmth, list[str]]:
        """Read the package's current sources.

        Returns what to warm, and a line for each import that is not warm. Raises :class:`IsolationError` if
        the package does not exist.
        """
        importlib.invalidate_caches()
        files = list(_sources(_places(self.name)))
        wanted: list[str] = []
        lines: list[str] = []
        try:
            wanted, lines = self._read(files)
        except (OSError, ValueError, KeyError) as error:
            lines.append(messages.unanalysed(error))
        wanted += [name for name in self._include if name not in wanted]
        path = [entry for entry in _search_path() if _is_installed_folder(entry)]
        path += [entry for entry in _homes(self._include) if entry not in path]
        return Warmth(tuple(wanted), tuple(path), self.name), lines

    def _read(self, files: Sequence[str]) -> tuple[list[str], list[str]]:
        project = self._opened()
        analysis.scan(project, files)
        quarantine = project.quarantine(files)
        top = self.name.partition(".")[0]
        is_installed = functools.cache(_is_installed)
        wanted = [
            name
            for name in project.shared(files, 1)
            if name.partition(".")[0] != top
            and not self._is_ignored(name)
            and is_installed(name.partition(".")[0])
        ]
        lines = [messages.unread(*each) for each in project.diagnostics()]
        lines += [messages.missing(*each) for each in project.missing()]
        lines += [messages.quarantined(name, quarantine[name]) for name in wanted if name in quarantine]
        return [name for name in wanted if name not in quarantine], lines

    def _opened(self) -> Project:
        """The analyser for the current search path, which remembers what it parsed. Its root is "/".

        Everything that is neither installed nor part of the standard library is therefore first-party: the
        package's own roots, entries of PYTHONPATH, and other packages in development.
        """
        path = tuple(_search_path())
        if self._project is None or self._project[0] != path:
            project = Project(
                os.sep,
                sys_path=path,
                stdlib=sorted(sys.stdlib_module_names),
                site_dirs=installed.site_folders(),
                import_mode="package",
                editable=analysis.editable_installs(),
            )
            self._project = path, project
        return self._project[1]

    def _is_ignored(self, name: str) -> bool:
        return any(name == each or name.startswith(each + ".") for each in self._ignored)


def _names(parameter: str, given: Iterable[str]) -> tuple[str, ...]:
    names = tuple(given)
    if isinstance(given, str) or not all(isinstance(name, str) for name in names):
        raise IsolationError(
            f"{parameter} is {given!r}, not a collection of module names",
            hint=f'give a tuple, as in {parameter}=("matplotlib",)',
        )
    return names


def _search_path() -> list[str]:
    """The caller's `sys.path`, with "" replaced by the current folder."""
    return [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109


# ------------------------------------------------------------------------------- the package's files


def _places(name: str) -> list[str]:
    """The folders of a package (a namespace package may have several), or the file of a module.

    Imports nothing.
    """
    top, *rest = name.split(".")
    spec = _spec(top)
    places: list[str] = []
    if spec is not None and spec.submodule_search_locations:
        places = list(spec.submodule_search_locations)
    elif spec is not None and spec.has_location and str(spec.origin).endswith(".py"):
        places = [str(spec.origin)]
    for part in rest:
        places = _inside(places, part)
    if not places:
        raise IsolationError(
            f"there is no package {name!r} with Python sources",
            hint="install it, or put the folder that holds it on sys.path",
        )
    return [str(Path(place).absolute()) for place in places]


def _spec(top: str) -> ModuleSpec | None:
    """The spec that an import would find: on the path first, then by the finders of editable installs."""
    found = PathFinder.find_spec(top)
    for finder in sys.meta_path if found is None else ():
        if finder is not PathFinder and (found := finder.find_spec(top, None)) is not None:
            break
    return found


def _inside(folders: Iterable[str], name: str) -> list[str]:
    """The place of a package or module in a package's folders.

    The import system's finders would require an import of that package.
    """
    portions = []
    for folder in folders:
        package, module = Path(folder, name), Path(folder, f"{name}.py")
        if (package / "__init__.py").is_file() or module.is_file():
            return [str(package if package.is_dir() else module)]
        if package.is_dir():
            portions.append(str(package))
    return portions


def _sources(places: Iterable[str]) -> Iterator[str]:
    """All Python files, in a deterministic order: the files of a package come before those of its subpackages."""
    for place in places:
        if Path(place).is_file():
            yield place
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(
                name
                for name in folders
                if name not in _SKIPPED and name[0] != "." and not Path(folder, name, "pyvenv.cfg").is_file()
            )
            ours = sorted(name for name in names if name.endswith(".py"))
            yield from (str(Path(folder, name)) for name in sorted(ours, key="__init__.py".__ne__))


# ------------------------------------------------------------------------------- installed modules


def _is_installed(top: str) -> bool:
    """Whether a top-level module belongs to the standard library or to the installed packages."""
    return top in sys.stdlib_module_names or analysis.is_third_party(top)


def _is_installed_folder(entry: str) -> bool:
    return installed.is_installed(entry + os.sep) or _is_standard(entry)


def _is_standard(entry: str) -> bool:
    places = installed.standard_folders()
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    return Path(entry).name == archive or any(
        entry == place or entry.startswith(place + os.sep) for place in places
    )


def _homes(names: Iterable[str]) -> Iterator[str]:
    """The folders of `sys.path` that contain the modules named by ``include``."""
    for name in names:
        spec = PathFinder.find_spec(name.partition(".")[0])
        if spec is not None and spec.has_location and spec.origin:
            origin = Path(spec.origin)
            yield str(origin.parent.parent if spec.submodule_search_locations else origin.parent)
