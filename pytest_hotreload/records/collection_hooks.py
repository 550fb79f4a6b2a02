"""Hooks that note for the records what is collected, and for which file events are recorded meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pytest_hotreload._native import observe_for
from pytest_hotreload.compat import hypothesis, pytest_config, pytest_session
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.records import options_selection
from pytest_hotreload.records.declarations import Declarations
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.records.records import RunRecords
from pytest_hotreload.world import BUILTINS, pytest, time

__builtins__ = BUILTINS

#: Options that keep tests or whole files out.
_NARROWING = ("keyword", "markexpr", "lf", "ignore", "ignore_glob", "deselect", "stepwise")


class EventOwners:
    """A plugin of each process that collects and observes: attributes events to the test file that caused them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: Any) -> Generator[None, Any, Any]:
        """Attribute events to the file that is collected, including those of its classes."""
        file = collector.getparent(pytest.File)
        if file is None:
            return (yield)
        before = observe_for(str(file.path))
        try:
            return (yield)
        finally:
            observe_for(before)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        reads = hypothesis.reader_of_sources(config, items)
        if reads is not None and self._observer.active:
            self._observer.without_sources(reads)
        return (yield)


class Bookkeeper:
    """A plugin of the controller, active between its configuration and the first fork."""

    def __init__(self, records: RunRecords, declarations: Declarations) -> None:
        self.records, self.declarations = records, declarations
        self._began: dict[object, float] = {}
        #: Test file -> the number of its tests that pytest's own options left out.
        self._left_out = Counter[str]()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        pytest_session.after_import(session, self._imported)
        self.records.partial_by_name |= any("::" in argument for argument in session.config.args)
        self.records.filtered = _filters(session.config)
        with ORIGINAL_NAMES:
            usual = pytest_config.usual_options(session.config, _NARROWING)
            self.records.usual_selection = options_selection.text(usual)
        self.records.is_part |= _narrows(session.config, usual)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: Any) -> Generator[None, Any, Any]:
        """Note how long the collection of a file takes, including that of its classes."""
        file = collector.getparent(pytest.File)
        if file is None:
            return (yield)
        path = str(file.path)
        began = self._began[collector] = time.perf_counter()
        try:
            return (yield)
        finally:
            costs = self.records.collection
            costs[path] = costs.get(path, 0.0) + time.perf_counter() - began
            del self._began[collector]

    def _imported(self, node: object) -> None:
        """Note the import time of this collector's module, which has just been imported."""
        began = self._began.get(node)
        if began is not None and isinstance(node, pytest.Module):
            self.records.imports[str(node.path)] = time.perf_counter() - began

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        before = _by_file(items)
        self.records.all_files |= before.keys()
        self._left_out.clear()
        result = yield
        after = _by_file(items)
        partial = {path for path, count in before.items() if after[path] != count}
        self.records.partial |= partial
        self.records.narrowed_by_options |= {
            path for path in partial if before[path] - after[path] == self._left_out[path]
        }
        self._declare(items)
        return result

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what pytest's own options leave out; plugins and conftests call this hook, too."""
        if pytest_session.is_called_by_selection():
            self._left_out.update(_by_file(items))

    def _declare(self, items: Sequence[pytest.Item]) -> None:
        """Note what the ini and the markers declare for the files that stay."""
        for path in {str(item.path) for item in items}:
            self.records.declared[path] |= self.declarations.depends(path)
        for path, names in self.declarations.serial(items).items():
            self.records.serial[path] |= names
        for item in items:
            for mark in item.iter_markers("hotreload"):
                globs = mark.kwargs.get("depends", ())
                self.records.declared[str(item.path)] |= {globs} if isinstance(globs, str) else set(globs)


def _by_file(items: Sequence[pytest.Item]) -> Counter[str]:
    return Counter(str(item.path) for item in items)


def _filters(config: pytest.Config) -> bool:
    """Whether something keeps whole files out, or drops tests without a report (``--lf``)."""
    narrowed = any(getattr(config.option, name, None) for name in _NARROWING)
    return narrowed or not pytest_config.selects_everything(config)


def _narrows(config: pytest.Config, usual: Mapping[str, Any]) -> bool:
    """Whether this run is less than the runs of this project: what ``addopts`` leaves out is never run."""
    chosen = {name: getattr(config.option, name, None) for name in _NARROWING}
    narrowed = any(value and value != usual[name] for name, value in chosen.items())
    everything = pytest_config.selects_everything(config) or pytest_config.names_folders(config)
    return narrowed or not everything
