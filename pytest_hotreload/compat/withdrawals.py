"""What plugins change in what was already logged: the terminal's statistics, and the session's count of failures.

A plugin that runs a test again (pytest-rerunfailures with subtests) takes back what the first try reported.
It does so in the child, whose terminal reporter shows nothing; the controller's is told.
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
    """What tells a report from all others of its test, in every process; None for what is no report."""
    if not isinstance(report, pytest.TestReport):
        return None
    return report.nodeid, report.when, report.start, report.stop


class Statistics(dict[str, list[Any]]):
    """``TerminalReporter.stats`` in a child: filled when somebody looks, and able to tell what was changed.

    ``classify``: the category of a report.
    """

    def __init__(self, inherited: dict[str, list[Any]], classify: Callable[[Any], str]) -> None:
        super().__init__(inherited)
        self._classify = classify
        self._logged: list[Any] = []
        self._before: dict[str, list[Any]] | None = None

    def log(self, report: Any) -> None:
        """A report was logged in this child."""
        self._logged.append(report)

    def catch_up(self) -> None:
        """Somebody looks."""
        if self._before is None:
            self._before = {}
            self._before = {name: list(reports) for name, reports in dict.items(self)}
        while self._logged:
            report = self._logged.pop(0)
            category = self._classify(report)
            dict.setdefault(self, category, []).append(report)
            self._before.setdefault(category, []).append(report)

    def changes(self) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
        """(taken out, put in) since the last time, as (category, report)."""
        before, self._before = self._before, None
        if before is None:
            return [], []
        now = dict(dict.items(self))
        names = [*before, *(name for name in now if name not in before)]
        old = [(name, each) for name in names for each in before.get(name, ())]
        new = [(name, each) for name in names for each in now.get(name, ())]
        return _without(old, new), _without(new, old)


def _without(these: Iterable[tuple[str, Any]], those: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """By identity: a report may compare as it likes."""
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
    """In a child: notes what is logged, and finds what was changed of it."""

    def __init__(self, config: pytest.Config, session: pytest.Session) -> None:
        self._config, self._session = config, session
        self._failed = session.testsfailed
        self.statistics = pytest_output.replace_statistics(config, Statistics)

    def logged(self, report: Any) -> None:
        """Before the session counts it."""
        if report.failed and not hasattr(report, "wasxfail"):
            self._failed += 1
        if self.statistics is not None:
            self.statistics.log(report)

    def changes(self) -> StatsChanged | None:
        """What the controller must be told, if anything."""
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
    """In the controller."""
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
    """The report, out of its category; an empty one is removed, since some code asks for its name alone."""
    for name in (category, *(other for other in list(stats) if other != category)):
        for place, report in enumerate(stats.get(name, ())):
            if key_of(report) == key:
                found = stats[name].pop(place)
                if not stats[name]:
                    del stats[name]
                return found
    return None
