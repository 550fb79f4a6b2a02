"""Totals of a run, for the closing lines and for the next run (durations by file)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_hotreload.process.fork_messages import Warmed
from pytest_hotreload.process.messages import Ended
from pytest_hotreload.records.file_outcome import seconds_of
from pytest_hotreload.records.saving import Saving, Usage, start_of_a_worker
from pytest_hotreload.world import BUILTINS, pytest, time

__builtins__ = BUILTINS

#: The key of the durations in pytest's cache: {path relative to the root: seconds}.
DURATIONS_KEY = "hotreload/durations"
#: Third-party modules that a child imported although it was forked from the template: {name: seconds}.
LEARNED_KEY = "hotreload/learned"
#: A larger number in the cache was not measured: 30 years.
MOST_SECONDS = 1e9
#: A fixture that takes less than this, in all children together, is never named.
_COSTLY_FIXTURE = 0.5
#: Fixtures are not named if their repetition takes less than this share of the run.
_COSTLY_SHARE = 0.1


@dataclass
class Totals:
    """Collects the totals of one run."""

    durations: dict[str, float] = field(default_factory=dict)
    files: int = 0
    children: int = 0
    #: The slots that had a fork of the collected session.
    forked_in: set[int] = field(default_factory=set)
    #: CPU seconds that this process had used for other work when this session began.
    earlier_cpu: float = 0.0
    #: CPU seconds of the tests in children.
    tests_cpu: float = 0.0
    #: The resources that were used by the end of the collection.
    collected: Usage = field(default_factory=Usage)
    #: What the run saved; complete once the last child has ended.
    saving: Saving = field(default_factory=Saving)
    began: float = field(default_factory=time.monotonic)
    #: Name -> (seconds, children).
    fixtures: dict[str, tuple[float, int]] = field(default_factory=dict)
    #: Fixtures that were set up once: name -> (seconds of a setup, setups, groups that inherited the value).
    fixtures_once: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    #: Costly fixtures that each child set up: (name, seconds of a setup, groups that use it, reason).
    fixtures_refused: list[tuple[str, float, int, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    fell_back: list[str] = field(default_factory=list)
    modules: dict[str, int] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)
    warmed: Warmed | None = None
    #: Warm function -> the seconds that it took.
    warm_functions: dict[str, float] = field(default_factory=dict)
    #: Module -> the reason for which it is kept out of the template.
    quarantine: dict[str, str] = field(default_factory=dict)
    measured: dict[int, float] = field(default_factory=dict)
    #: The number of files after which a child was rewound, and the seconds that this took.
    rewound: int = 0
    rewind_seconds: float = 0.0
    #: The reason for which a child was not rewound -> how often.
    rewind_refusals: dict[str, int] = field(default_factory=dict)
    #: What children printed at their exit, as (1 or 2, data).
    at_exit: list[tuple[int, bytes]] = field(default_factory=list)

    def run_begins(self) -> None:
        """Note the resources that were used by the end of the collection."""
        self.collected = Usage.now()
        self.saving = Saving(start=start_of_a_worker(time.process_time() - self.earlier_cpu))

    def run_ended(self) -> None:
        """Complete what the run saved, after the last child and its fork point were waited for."""
        self.saving = self.saving._replace(
            workers=len(self.forked_in), run=Usage.now().cpu - self.collected.cpu, tests=self.tests_cpu
        )

    def report(self, index: int, report: pytest.TestReport) -> None:
        """Add the duration of a report that was shown."""
        self.measured[index] = self.measured.get(index, 0.0) + seconds_of(report, "duration")

    def ended(self, ended: Ended) -> None:
        """Add the totals of a child that ended normally."""
        self.at_exit += ended.at_exit
        self.tests_cpu += ended.tests_cpu
        self.notices += [text for text in ended.notices if text not in self.notices]
        for cost in ended.fixtures:
            seconds, times = self.fixtures.get(cost.name, (0.0, 0))
            self.fixtures[cost.name] = (seconds + cost.seconds, times + 1)
        for module in ended.modules:
            self.modules[module] = self.modules.get(module, 0) + 1

    def costly_fixtures(self, slots: int) -> tuple[dict[str, tuple[float, int]], float]:
        """Session fixtures that cost a large part of the run, and the wall seconds that a remedy would save.

        With ``--hotreload-isolate=worker`` each slot sets such a fixture up once; as a shared fixture it is
        set up once for all. The saving is divided among the slots in both cases.
        """
        costs = {n: (s, t) for n, (s, t) in self.fixtures.items() if t > 1 and s >= _COSTLY_FIXTURE}
        saved = sum(seconds * (1 - 1 / times) for seconds, times in costs.values()) / slots
        return (costs, saved) if saved > _COSTLY_SHARE * (time.monotonic() - self.began) else ({}, 0.0)


def load(config: pytest.Config, totals: Totals) -> None:
    """Load what earlier runs measured and learned from pytest's cache; a corrupt entry counts as empty."""
    root = config.rootpath
    totals.durations = {str(root / path): each for path, each in _numbers(config, DURATIONS_KEY).items()}
    totals.learned = _numbers(config, LEARNED_KEY)


def learned(config: pytest.Config) -> list[str]:
    """Third-party modules that children of earlier runs had to import."""
    return list(_numbers(config, LEARNED_KEY))


def _numbers(config: pytest.Config, key: str) -> dict[str, float]:
    cache = getattr(config, "cache", None)
    stored: Any = cache.get(key, {}) if cache is not None else {}
    if not isinstance(stored, dict):
        return {}
    return {
        name: float(number)
        for name, number in stored.items()
        if isinstance(name, str) and isinstance(number, int | float) and 0 <= number < MOST_SECONDS
    }


def save(config: pytest.Config, items: list[pytest.Item], totals: Totals) -> None:
    """Merge what this run measured and learned into the cache. Raises OSError if it cannot be written."""
    cache = getattr(config, "cache", None)
    if cache is None or hasattr(config, "workerinput"):
        return
    seconds = dict(totals.durations)
    measured: dict[str, float] = {}
    for index, spent in totals.measured.items():
        path = str(items[index].path)
        measured[path] = measured.get(path, 0.0) + spent
    seconds.update(measured)
    root = str(config.rootpath) + "/"
    if measured:
        set_entry(
            cache, DURATIONS_KEY, {p.removeprefix(root): round(s, 4) for p, s in sorted(seconds.items())}
        )
    learned = {**dict.fromkeys(totals.modules, 0.0), **totals.learned}
    if totals.warmed is not None:
        learned.update({name: totals.warmed.costs.get(name, cost) for name, cost in learned.items()})
    if learned != totals.learned:
        set_entry(cache, LEARNED_KEY, learned)


def set_entry(cache: pytest.Cache, key: str, value: Mapping[str, Any]) -> None:
    """Set a cache entry. pytest's warning about a failed write becomes an OSError, which we report in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pytest.PytestCacheWarning)
        try:
            cache.set(key, value)
        except pytest.PytestCacheWarning as warning:
            raise OSError(str(warning)) from None
