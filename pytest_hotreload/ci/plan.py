"""Assigns test files to shards: a pure function of the files, the timings and the number of shards.

Every shard computes the plan for itself, so nothing else may have an influence: no order of files, no hash
seed, no clock. Ownership is total: a file that is not in the plan has an owner, too. Even if the machines
find different files, no test runs twice or never.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from pytest_hotreload.ci.timings import PLAN_SCHEMA, Cost, Timings, as_data, from_data, mapping, named, parsed
from pytest_hotreload.shard_options import MOST_SHARDS

#: Increased whenever equal inputs would be assigned differently.
ALGORITHM: Final = 2
_KEYS: Final = frozenset({"schema", "algorithm", "fingerprint", "of", "by", "owners", "timings"})
#: Plans whose length exceeds the shortest by at most this many percent are compared by their total work: the
#: end of a shard cannot be predicted more precisely.
_ALIKE: Final = 2
#: Limits of a shard's load, in percent of the least possible; below the limit a file prefers a shard on which
#: its imports are warm. 0 is LPT. On 100 suites of `benchmarks.shards` with costly imports the longest shard
#: was 37 % longer with LPT alone; 14 steps instead of these 4 made it 1 % shorter, and took three times as
#: long.
_TARGETS: Final = (0, 100, 105, 125)


@dataclass(frozen=True)
class Plan:
    """An assignment of test files to shards."""

    #: The number of shards, which are numbered from 1.
    of: int
    #: File -> shard.
    owners: Mapping[str, int]
    #: "durations" or "hash".
    by: str
    #: The timings of these files from which the plan was made.
    timings: Timings = field(default_factory=Timings)

    def owner(self, file: str) -> int:
        """The shard that runs a file, even if the file is not in the plan."""
        name = named(file)
        return self.owners.get(name) or by_hash(name, self.of)

    def files(self, number: int) -> list[str]:
        """The planned files of a shard."""
        return [file for file, owner in self.owners.items() if owner == number]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the assignment. Timings that lead to the same plan give the same fingerprint."""
        decided = [ALGORITHM, self.of, sorted(self.owners.items())]
        return hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:12]

    @cached_property
    def predicted(self) -> list[float]:
        """The predicted seconds of each shard, or [] without timings."""
        if self.by == "hash":
            return []
        jobs = _jobs(self.owners, self.timings)
        loads = [_Load() for _ in range(self.of)]
        warm = _micros(self.timings.warm)
        for name, job in jobs.items():
            loads[self.owners[name] - 1].take(name, job, warm)
        return [load.micros / 1e6 for load in loads]

    @property
    def balance(self) -> float:
        """The longest shard divided by the mean: 1 is even. 1 without timings."""
        return max(self.predicted) / self.mean if self.mean else 1.0

    @property
    def mean(self) -> float:
        """The mean of the shards' predicted seconds."""
        return sum(self.predicted) / self.of

    @cached_property
    def dominating(self) -> tuple[str, float] | None:
        """The longest file and its seconds, if it alone takes longer than the mean of the shards."""
        if self.by == "hash":
            return None
        warm = _micros(self.timings.warm)
        name, job = min(
            _jobs(self.owners, self.timings).items(), key=lambda each: (-each[1].alone(warm), each[0])
        )
        seconds = job.alone(warm) / 1e6
        return (name, seconds) if self.of > 1 and seconds > self.mean else None


@dataclass(frozen=True)
class Shard:
    """One shard of a plan; ``number`` counts from 1."""

    plan: Plan
    number: int

    @property
    def of(self) -> int:
        """The number of shards in the plan."""
        return self.plan.of

    def own(self, file: str) -> bool:
        """Whether this shard runs a file. The file's name is relative to the root."""
        return self.plan.owner(file) == self.number

    @property
    def files(self) -> list[str]:
        """The planned files of this shard."""
        return self.plan.files(self.number)

    @property
    def others(self) -> int:
        """The number of planned files that other shards own."""
        return len(self.plan.owners) - len(self.files)


def by_hash(name: str, of: int) -> int:
    """The shard of a file that is not in the plan."""
    return int.from_bytes(_digest(name)[:8], "big") % of + 1


def _digest(name: str) -> bytes:
    return hashlib.sha256(named(name).encode("utf-8", "surrogatepass")).digest()


def _in_turns(names: Iterable[str], of: int) -> dict[str, int]:
    """Assign files without timings: one to each shard in turns, in the order of their hashes.

    Shards differ by at most one file. Neighbours by name are often alike, and the hash keeps them from always
    going to the same shards.
    """
    dealt = {
        name: at % of + 1 for at, name in enumerate(sorted(names, key=lambda name: (_digest(name), name)))
    }
    return dict(sorted(dealt.items()))


def make(files: Iterable[str], timings: Timings, of: int) -> Plan:
    """Assign the files to ``of`` shards."""
    names = sorted({named(file) for file in files})
    known = Timings({named(file): cost for file, cost in timings.files.items()}, timings.warm).only(names)
    if not known.files:
        return Plan(of, _in_turns(names, of), "hash")
    jobs, warm = _jobs(names, known), _micros(known.warm)
    loads = _deal_best(jobs, warm, of)
    owners = {name: number for number, load in enumerate(loads, 1) for name in load.names}
    return Plan(of, dict(sorted(owners.items())), "durations", known)


# ------------------------------------------------------------------------------------- dealing


class _Job(NamedTuple):
    """A file's cost. Microseconds are integers, so that sums do not depend on their order."""

    micros: int
    needs: frozenset[str]

    def alone(self, warm: Mapping[str, int]) -> int:
        """The file's microseconds on a shard on which nothing is warm."""
        return self.micros + sum(warm[name] for name in self.needs)


def _micros(seconds: Mapping[str, float]) -> dict[str, int]:
    return {name: round(each * 1e6) for name, each in seconds.items()}


def _jobs(names: Iterable[str], timings: Timings) -> dict[str, _Job]:
    """The costs of files. A file without timings gets the median of those with timings."""
    known = sorted(round(cost.seconds * 1e6) for cost in timings.files.values())
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) // 2
    unknown = Cost(middle / 1e6)
    warm = timings.warm.keys()
    costs = {name: timings.files.get(name, unknown) for name in names}
    return {name: _Job(round(cost.seconds * 1e6), cost.needs & warm) for name, cost in costs.items()}


@dataclass
class _Load:
    """The files assigned to one shard, and their cost."""

    micros: int = 0
    warmed: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)

    def warming(self, job: _Job, warm: Mapping[str, int]) -> int:
        """The microseconds that the file's imports would add to this shard."""
        return sum(warm[name] for name in job.needs - self.warmed) if job.needs else 0

    def take(self, name: str, job: _Job, warm: Mapping[str, int]) -> None:
        self.micros += job.micros + self.warming(job, warm)
        self.warmed |= job.needs
        self.names.append(name)


def _deal_best(jobs: Mapping[str, _Job], warm: Mapping[str, int], of: int) -> list[_Load]:
    """The shortest plan found; among plans of about equal length, the one with the least work."""
    order = sorted(jobs, key=lambda name: (-jobs[name].alone(warm), name))
    least = max(
        (sum(job.micros for job in jobs.values()) + sum(warm.values())) // of, jobs[order[0]].alone(warm)
    )
    targets = _TARGETS if warm else (0,)
    plans = [_deal(order, jobs, warm, of, least * target // 100) for target in targets]
    longest = [max(load.micros for load in plan) for plan in plans]
    alike = [
        (sum(load.micros for load in plan), most, at)
        for at, (plan, most) in enumerate(zip(plans, longest, strict=True))
        if most * 100 <= min(longest) * (100 + _ALIKE)
    ]
    return plans[min(alike)[2]]


def _deal(
    order: Sequence[str], jobs: Mapping[str, _Job], warm: Mapping[str, int], of: int, target: int
) -> list[_Load]:
    """Assign the longest file first, each to the shard that would end first with it.

    Among shards that would end before ``target``, a shard that has to import less for the file is preferred.
    """
    loads = [_Load() for _ in range(of)]
    for name in order:
        job = jobs[name]

        def rank(load: _Load, job: _Job = job) -> tuple[bool, int, int, int]:
            warming = load.warming(job, warm)
            end = load.micros + job.micros + warming
            return (end > target, warming if end <= target else 0, end, len(load.names))

        min(loads, key=rank).take(name, job, warm)
    return loads


# ------------------------------------------------------------------------------------- plan files


def as_json(plan: Plan) -> str:
    """A plan as the text of a file, which is the same for every shard that reads it."""
    data = {
        "schema": PLAN_SCHEMA,
        "algorithm": ALGORITHM,
        "fingerprint": plan.fingerprint,
        "of": plan.of,
        "by": plan.by,
        "owners": dict(sorted(plan.owners.items())),
        "timings": as_data(plan.timings),
    }
    return json.dumps(data, indent=1) + "\n"


def from_json(text: str) -> Plan:
    """Read a plan.

    Raises :class:`ValueError` with the reason: a plan that was only partly understood would lose tests.
    """
    data = parsed(text)
    if data.get("schema") != PLAN_SCHEMA:
        raise ValueError(f"its schema is {data.get('schema')!r}, not {PLAN_SCHEMA!r}")
    if data.get("algorithm") != ALGORITHM:
        raise ValueError(f"its algorithm is {data.get('algorithm')!r}, but this version uses {ALGORITHM}")
    if data.keys() != _KEYS:
        raise ValueError(f"its keys are not those of a plan: {', '.join(sorted(data.keys() ^ _KEYS))}")
    of = data["of"]
    if not _is_count(of, MOST_SHARDS):
        raise ValueError(f"it is for {of!r} shards")
    owners = mapping(data["owners"], "owners")
    for name, owner in owners.items():
        if not _is_count(owner, of) or name != named(name):
            raise ValueError(f"{name}: its shard is {owner!r}")
    timings = from_data(mapping(data["timings"], "timings"))
    if data["by"] != ("durations" if timings.files else "hash") or not timings.files.keys() <= owners.keys():
        raise ValueError("its timings do not match its files")
    plan = Plan(of, dict(owners), data["by"], timings)
    if plan.fingerprint != data["fingerprint"]:
        raise ValueError("it was changed after it was written: its fingerprint does not match")
    return plan


def _is_count(data: Any, most: int) -> bool:
    return isinstance(data, int) and not isinstance(data, bool) and 1 <= data <= most
