"""Maps the modules that a test file imports to the distributions that installed them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from pytest_hotreload.world import BUILTINS, os

__builtins__ = BUILTINS


class Distributions:
    """Maps modules to their distributions.

    ``versions``: distribution -> version; the mapping may have other entries, too.
    """

    def __init__(self, versions: Mapping[str, str], folders: Iterable[str]) -> None:
        self._versions = versions
        self._folders = list(folders)
        self._installed: list[_Installed] | None = None
        self._names: dict[str, str] = {}

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

        For any other name the distributions are asked for it, in the order of their names.
        """
        name = normalised(top)
        if name in self._versions:
            return name
        if top not in self._names:
            if self._installed is None:
                self._installed = _installed_in(self._folders)
            self._names[top] = next((each.name for each in self._installed if each.provides(top)), "")
        return self._names[top]


class _Installed:
    """A distribution in a folder, which is asked for the top-level modules that it installed."""

    def __init__(self, metadata: Path, beside: AbstractSet[str]) -> None:
        self.name = normalised(metadata.name.partition("-")[0])
        self._metadata = metadata
        #: The top-level modules in the same folder.
        self._beside = beside
        self._recorded: set[str] | None = None
        try:
            self._listed = set((metadata / "top_level.txt").read_text(encoding="utf-8").split())
            self._has_list = True
        except (OSError, UnicodeDecodeError) as error:
            self._listed, self._has_list = set(), not isinstance(error, FileNotFoundError)

    def provides(self, top: str) -> bool:
        """Whether ``top_level.txt`` names this module, or in its absence ``RECORD`` does.

        ``RECORD`` has all files, and to read those of 120 distributions takes 20 ms; so it is only asked for a module
        that is there.
        """
        if self._has_list:
            return top in self._listed
        if top not in self._beside:
            return False
        if self._recorded is None:
            self._recorded = self._read_record()
        return top in self._recorded

    def _read_record(self) -> set[str]:
        try:
            lines = (self._metadata / "RECORD").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return set()
        return {_top_of(line.partition(",")[0].strip('"')) for line in lines}


def _installed_in(folders: Iterable[str]) -> list[_Installed]:
    found = []
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        tops = {_top_of(name) for name in names}
        found += [
            _Installed(Path(folder, name), tops) for name in sorted(names) if name.endswith(".dist-info")
        ]
    return found


def _top_of(file: str) -> str:
    """The top-level module of an installed file, relative to its folder; "yaml" of "yaml/nodes.py"."""
    return file.partition("/")[0].partition(".")[0]


def normalised(name: str) -> str:
    """The form in which names of distributions are compared, and top-level modules with them."""
    return name.replace("_", "-").lower()
