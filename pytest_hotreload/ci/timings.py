"""Timings: the durations and requirements of test files, as measured, or from results, plans or a file of the user.

In any form, timings state a file's cost on any machine and, separately, the cost of importing a distribution,
which each shard pays once. Nothing here reads a disk.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pytest_hotreload.records.plan_durations import Measured

SCHEMA: Final = "hotreload-timings/1"
PLAN_SCHEMA: Final = "hotreload-plan/1"
RESULTS_SCHEMA: Final = "hotreload-results/1"
#: A smaller difference between imports is noise: 10 ms. A busy machine changes one import's time by as much.
_NOTICEABLE: Final = 0.01
#: A larger number was not measured: 30 years.
_MOST_SECONDS: Final = 1e9


class Cost(NamedTuple):
    """The cost of one test file."""

    #: Without the first imports of the distributions in ``needs``.
    seconds: float
    #: Distributions that the file imports.
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Timings:
    """The known costs of test files and of distributions."""

    #: Name with "/" -> cost.
    files: Mapping[str, Cost] = field(default_factory=dict)
    #: Distribution -> seconds of its first import, if known.
    warm: Mapping[str, float] = field(default_factory=dict)

    def only(self, names: Iterable[str]) -> Timings:
        """The part of the timings that concerns these files."""
        files = {name: self.files[name] for name in sorted(names) if name in self.files}
        needed = frozenset().union(*(cost.needs for cost in files.values()))
        return Timings(files, {name: self.warm[name] for name in sorted(needed) if name in self.warm})


def named(file: str) -> str:
    """A file's name in timings and plans, for either separator.

    A name with a backslash on one system and a slash on another must have the same owner. Two files whose
    names differ only in that share an owner.
    """
    return file.replace("\\", "/")


def merged(several: Sequence[Timings]) -> Timings:
    """Merge timings: the mean cost of a file, and the longest first import of a distribution.

    A shard that had a distribution warm measured no import.
    """
    if len(several) == 1:
        return several[0]
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    warm: dict[str, float] = {}
    for each in several:
        for name, cost in each.files.items():
            costs[name].append(cost)
        for name, seconds in each.warm.items():
            warm[name] = max(seconds, warm.get(name, 0.0))
    files = {
        name: Cost(
            math.fsum(cost.seconds for cost in found) / len(found),
            frozenset().union(*(cost.needs for cost in found)),
        )
        for name, found in costs.items()
    }
    return Timings(files, warm)


# ------------------------------------------------------------------------------------- measurements


def of_measured(measured: Mapping[str, Measured]) -> Timings:
    """Timings from the measurements of whole runs and merges, by file."""
    needs = {name: frozenset(each.needs) for name, each in measured.items()}
    warm, paid = _warm({name: each.imports for name, each in measured.items()}, needs)
    files = {
        name: Cost(max(each.seconds - paid.get(name, 0.0), 0.0), needs[name] & warm.keys())
        for name, each in measured.items()
    }
    return Timings(files, warm)


def _warm(
    imports: Mapping[str, float], needs: Mapping[str, frozenset[str]]
) -> tuple[dict[str, float], dict[str, float]]:
    """The time of each distribution's first import, and the part of it that each file paid.

    In a run, the first file that needs a distribution pays for its import, and all others find it warm.
    Records do not contain which file that was; the file with the longest import is assumed. Its time above
    the median is divided among the distributions that it paid for.
    """
    if not imports:
        return {}, {}
    usual = sorted(imports.values())[len(imports) // 2]
    payers: dict[str, str] = {}
    for file in sorted(imports, key=lambda file: (imports[file], file)):
        payers.update(dict.fromkeys(needs[file], file))
    bought: defaultdict[str, list[str]] = defaultdict(list)
    for distribution, file in payers.items():
        bought[file].append(distribution)
    warm, paid = {}, {}
    for file, distributions in bought.items():
        share = (imports[file] - usual) / len(distributions)
        if share >= _NOTICEABLE:
            warm.update(dict.fromkeys(distributions, share))
            paid[file] = imports[file] - usual
    return dict(sorted(warm.items())), paid


# ------------------------------------------------------------------------------------- files


def of_text(text: str) -> Timings:
    """Timings from the text of a file: timings, a plan, or results.

    Raises :class:`ValueError` with the reason.
    """
    data = parsed(text)
    schema = data.get("schema")
    if schema == SCHEMA:
        return from_data(data)
    if schema == PLAN_SCHEMA:
        return from_data(mapping(data.get("timings"), "timings"))
    if schema == RESULTS_SCHEMA:
        return _of_results(data)
    raise ValueError(f"its schema is {schema!r}, not the schema of timings, plans or results")


def parsed(text: str) -> Mapping[str, Any]:
    """Parse a JSON text that must be an object."""
    try:
        return mapping(json.loads(text), "the file")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_data(data: Mapping[str, Any]) -> Timings:
    """Timings from data: ``files`` (name -> seconds or {"seconds", "needs"}), ``warm`` (distribution -> seconds)."""
    files = {named(name): _cost(name, each) for name, each in mapping(data.get("files"), "files").items()}
    warm = mapping(data.get("warm", {}), "warm")
    return Timings(files, {name: number(each, f"warm: {name}") for name, each in warm.items()})


def as_data(timings: Timings) -> dict[str, Any]:
    """The data of timings, as :func:`from_data` reads it, in sorted order."""
    return {
        "files": {
            name: {"seconds": cost.seconds, "needs": sorted(cost.needs)} if cost.needs else cost.seconds
            for name, cost in sorted(timings.files.items())
        },
        "warm": dict(sorted(timings.warm.items())),
    }


def _cost(name: str, data: Any) -> Cost:
    if not isinstance(data, dict):
        return Cost(number(data, name))
    needs = data.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
        raise ValueError(f"{name}: its needs are not a list of names")
    return Cost(number(data.get("seconds"), name), frozenset(needs))


def _of_results(data: Mapping[str, Any]) -> Timings:
    files = {}
    for name, row in complete_files(data):
        spent = (number(row.get(key, 0.0), f"{name}: {key}") for key in ("seconds", "collection"))
        files[name] = Cost(sum(spent))
    return Timings(files)


def complete_files(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The files in results that ran completely: deselected and reused tests took no time, but would next time."""
    partial = {named(str(nodeid).partition("::")[0]) for nodeid in _rows(data, "deselected", str)}
    partial |= {
        named(str(test.get("file"))) for test in _rows(data, "tests", dict) if test.get("reused") is not None
    }
    for row in _rows(data, "files", dict):
        name = named(str(row.get("file")))
        if name not in partial:
            yield name, row


def _rows(data: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    rows = data.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, kind) for row in rows):
        raise ValueError(f"its {key} are not a list of valid entries")
    return rows


def mapping(data: Any, what: str) -> Mapping[str, Any]:
    """Check that ``data`` is an object, and return it."""
    if not isinstance(data, dict):
        raise ValueError(f"{what}: not an object")
    return data


def number(data: Any, what: str) -> float:
    """Check that ``data`` is a number of seconds, and return it."""
    if isinstance(data, bool) or not isinstance(data, int | float) or not 0 <= data < _MOST_SECONDS:
        raise ValueError(f"{what}: {data!r} is not a number of seconds")
    return float(data)
