"""Transfers plugins' changes to logged reports: the terminal's statistics, and the session's count of failures.

A plugin that runs a test again (pytest-rerunfailures with subtests) withdraws the reports of the first try.
The plugin does so in the child, whose terminal reporter shows nothing, so the controller has to apply the
change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pytest_hotreload.compat import pytest_output
from pytest_hotreload.compat.pickling import pack
from pytest_hotreload.compat.unpickling import loads
from pytest_hotreload.process.messages import ReportKey, StatsChanged
from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def key_of(report: Any) -> ReportKey | None:
    """Return the key that identifies a report in every process, or None if the object is no report."""
    if not isinstance(report, pytest.TestReport):
        return None
    return report.nodeid, report.when, report.start, report.stop


class Statistics(dict[str, list[Any]]):
    """Replaces ``TerminalReporter.stats`` in a child: filled when it is read, and able to report changes."""

    def __init__(self, inherited: dict[str, list[Any]], classify: Callable[[Any], str]) -> None:
        super().__init__(inherited)
        #: Returns the category of a report.
        self._classify = classify
        self._logged: list[Any] = []
        self._before: dict[str, list[Any]] | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be a plain dict in another process."""
        return dict, (dict(dict.items(self)),)

    def log(self, report: Any) -> None:
        """Note a report that was logged in this child."""
        self._logged.append(report)

    def catch_up(self) -> None:
        """Fill in the logged reports, before an access."""
        if self._before is None:
            self._before = {}
            self._before = {name: list(reports) for name, reports in dict.items(self)}
        while self._logged:
            report = self._logged.pop(0)
            category = self._classify(report)
            dict.setdefault(self, category, []).append(report)
            self._before.setdefault(category, []).append(report)

    def changes(self) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
        """Return (removed, added) since the last call, each as (category, report)."""
        before, self._before = self._before, None
        if before is None:
            return [], []
        now = dict(dict.items(self))
        names = [*before, *(name for name in now if name not in before)]
        old = [(name, each) for name in names for each in before.get(name, ())]
        new = [(name, each) for name in names for each in now.get(name, ())]
        return _without(old, new), _without(new, old)


def _without(these: Iterable[tuple[str, Any]], those: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Compare by identity, because reports may define equality as they like."""
    known = {(name, id(each)) for name, each in those}
    return [(name, each) for name, each in these if (name, id(each)) not in known]


def _looks(method: str) -> Any:
    plain = getattr(dict, method)

    def looked(self: Statistics, *args: Any, **kwargs: Any) -> Any:
        self.catch_up()
        return plain(self, *args, **kwargs)

    return looked


_METHODS = (
    "__contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ "
    "__ror__ __setitem__ clear copy get items keys pop popitem setdefault update values"
)
for _method in _METHODS.split():
    setattr(Statistics, _method, _looks(_method))


class Withdrawals:
    """Notes, in a child, which reports are logged, and finds the changes to them."""

    def __init__(self, config: pytest.Config, session: pytest.Session) -> None:
        self._config, self._session = config, session
        self.statistics = pytest_output.replace_statistics(config, Statistics)
        self.begin()

    def begin(self) -> None:
        """Count failures from here on."""
        self._failed = self._session.testsfailed

    def logged(self, report: Any) -> None:
        """Note a report, before the session counts it."""
        if report.failed and not hasattr(report, "wasxfail"):
            self._failed += 1
        if self.statistics is not None:
            self.statistics.log(report)

    def changes(self) -> StatsChanged | None:
        """Return the changes that the controller must apply, or None."""
        failed = self._session.testsfailed - self._failed
        removed, added = self.statistics.changes() if self.statistics is not None else ([], [])
        if not (failed or removed or added):
            return None
        self._failed = self._session.testsfailed
        return StatsChanged(
            tuple((name, key_of(each)) for name, each in removed),
            tuple((name, key_of(each), pack(each, self._config)) for name, each in added),
            failed,
        )


def apply(config: pytest.Config, session: pytest.Session, item: pytest.Item, message: StatsChanged) -> None:
    """Apply a child's changes, in the controller."""
    session.testsfailed = max(0, session.testsfailed + message.failed)
    stats: dict[str, list[Any]] | None = getattr(pytest_output.terminal_reporter(config), "stats", None)
    if stats is None:
        return
    taken: dict[ReportKey, Any] = {}
    for category, key in message.removed:
        if key is not None:
            taken[key] = _take(stats, category, key)
    for category, key, data in message.added:
        known = taken.get(key) if key is not None else None
        stats.setdefault(category, []).append(known if known is not None else loads(data, config, item))


def _take(stats: dict[str, list[Any]], category: str, key: ReportKey) -> Any:
    """Remove the report from its category and return it.

    An empty category is removed too, since some code only checks whether its name exists.
    """
    for name in (category, *(other for other in list(stats) if other != category)):
        for place, report in enumerate(stats.get(name, ())):
            if key_of(report) == key:
                found = stats[name].pop(place)
                if not stats[name]:
                    del stats[name]
                return found
    return None
