"""Leaves everything that a shard does not own out of the collection, before it is imported.

Ownership is by file in the tree of collectors: an item belongs to the outermost file from which it was
collected, whichever plugin created it. Doctests, custom items of a conftest and Python tests are therefore
treated alike, and a file is either collected as in plain pytest or not at all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from pytest_hotreload.ci.plan import Shard
from pytest_hotreload.ci.timings import named
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.process.installed import site_folders
from pytest_hotreload.world import os, pytest

#: Files of installed distributions are named as if they were in this folder: the real one differs between
#: machines.
_INSTALLED = "site-packages"


class PlanNames:
    """The names of files in plans: relative to the root, with "/"."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inside = root.rstrip(os.sep) + os.sep
        with ORIGINAL_NAMES:  # a conftest may have replaced what finds the folders
            folders = site_folders()
        self._installed = sorted((folder + os.sep for folder in folders), key=lambda each: -len(each))

    def of(self, path: str) -> str:
        if path.startswith(self._inside):
            return named(path[len(self._inside) :])
        for folder in self._installed:
            if path.startswith(folder):
                return named(f"{_INSTALLED}/{path[len(folder) :]}")
        return named(os.path.relpath(path, self._root))


class ShardFilter:
    """A plugin of each process that collects for a shard; it keeps the files of other shards out."""

    def __init__(self, config: pytest.Config, shard: Shard) -> None:
        self.config, self.shard = config, shard
        self.names = PlanNames(str(config.rootpath))
        #: Files of other shards that are not in the plan.
        self.found: set[str] = set()
        self._places: tuple[str, ...] = ()
        self._looked_into = self._failed_before()

    def _failed_before(self) -> frozenset[str]:
        """With ``--lf``: the files with failed tests, whichever shard owns them.

        If none of the failed tests exists any more, ``--lf`` runs everything. To know that, each shard must
        collect all of these files.
        """
        cache = getattr(self.config, "cache", None)
        if cache is None or not getattr(self.config.option, "lf", False):
            return frozenset()
        failed: Any = cache.get("cache/lastfailed", {})
        return frozenset(named(str(nodeid).partition("::")[0]) for nodeid in failed)

    def _leaves_out(self, path: str) -> bool:
        name = self.names.of(path)
        return not self.shard.own(name) and name not in self._looked_into

    def _is_own(self, item: pytest.Item) -> bool:
        return self.shard.own(self.names.of(str(_file_of(item).path)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Remove foreign files from the arguments: pytest calls no ``pytest_ignore_collect`` for files named there."""
        config = session.config
        named_here = config.args
        places = [pytest_config.place_of_argument(config, each) for each in named_here]
        self._places = tuple(dict.fromkeys(places))
        both = zip(named_here, places, strict=True)
        config.args = [each for each, place in both if not self._is_foreign(place)]
        try:
            return (yield)
        finally:
            config.args = named_here

    def _is_foreign(self, place: str) -> bool:
        if not Path(place).is_file() or not self._leaves_out(place):
            return False
        self.found.add(self.names.of(place))
        return True

    def _is_selected(self, path: str) -> bool:
        """Whether a path is below an argument. pytest also visits folders on the way to the selected ones."""
        return any(path == place or path.startswith(place.rstrip(os.sep) + os.sep) for place in self._places)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Ignore a planned file of another shard.

        The file is known to be a test file, so no plugin needs to see it.
        """
        path = str(collection_path)
        return True if self.names.of(path) in self.shard.plan.owners and self._leaves_out(path) else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collect_file(self, file_path: Path) -> Generator[None, list[Any], list[Any]]:
        """Let the plugins decide whether an unplanned file is a test file.

        An unused collector imports nothing.
        """
        collectors = yield
        path = str(file_path)
        if collectors and self._leaves_out(path):
            if self._is_selected(path):
                self.found.add(self.names.of(path))
            return []
        return collectors

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Remove foreign items: those without a file, from a folder's collector, and those collected for ``--lf``."""
        if not self._looked_into:
            items[:] = self._own(items)
        result = yield
        items[:] = self._own(items)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_deselected(self, items: Any) -> None:
        """Hide foreign items from later hooks.

        An item collected only for ``--lf`` is deselected by its owner.
        """
        if self._looked_into and isinstance(items, list):
            items[:] = self._own(items)

    def _own(self, items: Iterable[pytest.Item]) -> list[pytest.Item]:
        return [item for item in items if self._is_own(item)]


def _file_of(item: pytest.Item) -> Any:
    """The outermost file among the item's collectors, or the item itself if it has none."""
    files = [node for node in item.listchain() if isinstance(node, pytest.File)]
    return files[0] if files else item
