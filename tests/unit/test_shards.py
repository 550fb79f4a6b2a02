"""The assignment of files to shards, by properties, and plan files that are refused."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.ci.plan import Plan, Shard, as_json, by_hash, from_json, make
from pytest_hotreload.ci.timings import Cost, Timings

_NAMES = st.lists(
    st.sampled_from(["tests", "a", "b", "unit", "é", "with space"]), min_size=1, max_size=3
).flatmap(lambda folders: st.integers(0, 40).map(lambda n: "/".join([*folders, f"test_{n}.py"])))
_FILES = st.lists(_NAMES, unique=True, max_size=30)
_SECONDS = st.floats(0, 1000, allow_nan=False)
_OF = st.integers(1, 9)
#: Of a law: 40 suites in 0.5 s.
_some = settings(max_examples=40, deadline=None)
_PACKAGES = ("numpy", "torch", "django")


@st.composite
def _timings(draw: st.DrawFn, files: list[str]) -> Timings:
    """Of some of the files, and of some that are gone."""
    known = draw(st.lists(st.sampled_from(files), unique=True)) if files else []
    known += draw(st.lists(st.just("gone/test_gone.py"), max_size=1))
    needs = st.frozensets(st.sampled_from(_PACKAGES))
    costs = {name: Cost(draw(_SECONDS), draw(needs)) for name in known}
    return Timings(costs, draw(st.dictionaries(st.sampled_from(_PACKAGES), _SECONDS)))


_SUITES = _FILES.flatmap(lambda files: st.tuples(st.just(files), _timings(files)))


def _only(costs: Mapping[str, float]) -> Timings:
    return Timings({name: Cost(seconds) for name, seconds in costs.items()})


def _named(seconds: list[float]) -> dict[str, float]:
    return {f"test_{number:04}.py": each for number, each in enumerate(seconds)}


# ------------------------------------------------------------------------------------- union and disjointness


@_some
@given(_SUITES, _OF, _NAMES)
def test_each_file_has_one_shard(suite: tuple[list[str], Timings], of: int, unplanned: str) -> None:
    """Planned or not."""
    files, timings = suite
    plan = make(files, timings, of)
    shards = [Shard(plan, number) for number in range(1, of + 1)]
    for file in {*files, unplanned}:
        assert [shard.own(file) for shard in shards].count(True) == 1
    assert sorted(itertools.chain.from_iterable(shard.files for shard in shards)) == sorted(files)
    assert all(shard.others == len(files) - len(shard.files) for shard in shards)


@_some
@given(_SUITES, _OF, st.randoms(use_true_random=False))
def test_order_does_not_matter(suite: tuple[list[str], Timings], of: int, shuffler: random.Random) -> None:
    files, timings = suite
    mixed, costs = files.copy(), list(timings.files.items())
    shuffler.shuffle(mixed)
    shuffler.shuffle(costs)
    other = make(mixed, Timings(dict(costs), dict(reversed(list(timings.warm.items())))), of)
    assert as_json(other) == as_json(make(files, timings, of))


@_some
@given(_SUITES, _OF)
def test_separators_do_not_matter(suite: tuple[list[str], Timings], of: int) -> None:
    files, timings = suite
    plan = make(files, timings, of)
    windows = {name.replace("/", "\\"): cost for name, cost in timings.files.items()}
    other = make([name.replace("/", "\\") for name in files], Timings(windows, timings.warm), of)
    assert as_json(other) == as_json(plan)
    assert all(plan.owner(name.replace("/", "\\")) == plan.owner(name) for name in [*files, "x/y.txt"])


def test_hash_seed_and_random_seed_do_not_matter() -> None:
    """In other interpreters: sets of names come in another order there."""
    program = """
import random, sys
from pytest_hotreload.ci.plan import as_json, make
from pytest_hotreload.ci.timings import Cost, Timings
random.seed(sys.argv[1])
files = [f"tests/test_{number}.py" for number in range(60)]
random.shuffle(files)
needs = {"numpy", "torch", "django", "scipy"}
costs = {name: Cost(int(name[11:-3]) % 7 / 3, frozenset(sorted(needs)[: int(name[11:-3]) % 5])) for name in set(files)}
plan = make(set(files), Timings(costs, {name: 1.5 for name in needs}), 7)
print(as_json(plan), [plan.owner(f"unplanned/{number}") for number in range(60)])
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", program, seed],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_an_unplanned_file_keeps_its_shard() -> None:
    """The numbers are part of the contract between machines: another version may not deal otherwise unnoticed."""
    owners = [
        by_hash(name, 4)
        for name in ("tests/test_a.py", "tests/test_b.py", "docs/usage.md", "é.txt", "\udc80")
    ]
    assert owners == [1, 3, 2, 2, 2]


# ------------------------------------------------------------------------------------- balance


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=8), max_size=40), st.integers(1, 9))
def test_files_of_which_nothing_is_known_are_dealt_in_turns(names: set[str], of: int) -> None:
    """To within one file."""
    plan = make(names, Timings(), of)
    loads = [len(plan.files(number)) for number in range(1, of + 1)]
    assert sum(loads) == len(plan.owners)
    assert max(loads) - min(loads) <= 1


def _shortest(seconds: list[int], of: int) -> int:
    """The best that can be done, by trying everything."""
    best = sum(seconds)
    for dealt in itertools.product(range(of), repeat=len(seconds)):
        loads = [0] * of
        for shard, each in zip(dealt, seconds, strict=True):
            loads[shard] += each
        best = min(best, max(loads))
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 3))
def test_no_plan_is_longer_than_lpt_may_be(seconds: list[int], of: int) -> None:
    """(4/3 - 1/(3m)) of the optimum, where nothing has to be warmed."""
    costs = _named([float(each) for each in seconds])
    plan = make(costs, _only(costs), of)
    bound = (4 / 3 - 1 / (3 * of)) * _shortest(seconds, of)
    assert max(plan.predicted) <= bound + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6), st.floats(0.5, 1.6))
def test_many_files_are_dealt_within_two_percent(of: int, seed: int, spread: float) -> None:
    drawn = random.Random(seed)
    costs = _named([drawn.lognormvariate(0, spread) for _ in range(50 * of)])
    plan = make(costs, _only(costs), of)
    least = max(math.fsum(costs.values()) / of, *costs.values())
    assert max(plan.predicted) <= 1.02 * least


@_some
@given(_SUITES, _OF)
def test_what_is_predicted_is_what_was_dealt(suite: tuple[list[str], Timings], of: int) -> None:
    files, timings = suite
    plan = make(files, timings, of)
    known = sorted(timings.files[name].seconds for name in files if name in timings.files)
    if not known:
        assert (plan.by, plan.predicted, plan.dominating) == ("hash", [], None)
        return
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    for number, seconds in enumerate(plan.predicted, 1):
        own = [timings.files.get(name, Cost(middle)) for name in plan.files(number)]
        needed = frozenset().union(*(cost.needs for cost in own))
        warming = math.fsum(timings.warm.get(name, 0.0) for name in needed)
        assert seconds == pytest.approx(math.fsum(cost.seconds for cost in own) + warming, abs=1e-4)


def test_an_unknown_file_counts_as_the_median() -> None:
    """So it goes beside the shorter one."""
    plan = make(["new.py", "long.py", "short.py"], _only({"long.py": 9, "short.py": 1}), 2)
    assert plan.predicted == [9.0, 6.0]
    assert [plan.owner(name) for name in ("long.py", "new.py", "short.py")] == [1, 2, 2]


def test_files_that_take_no_time_are_spread() -> None:
    costs = _named([0.0] * 8)
    plan = make(costs, _only(costs), 4)
    assert [len(plan.files(number)) for number in (1, 2, 3, 4)] == [2, 2, 2, 2]


def test_what_is_costly_to_import_is_imported_on_few_shards() -> None:
    """Twenty files need torch, eighty do not: dealt by their seconds, all four shards would import it."""
    heavy = {f"heavy/test_{number}.py": Cost(0.5, frozenset({"torch"})) for number in range(20)}
    light = {f"light/test_{number}.py": Cost(0.5) for number in range(80)}
    timings = Timings({**heavy, **light}, {"torch": 5.0})
    plan = make(timings.files, timings, 4)
    warmed = {plan.owner(name) for name in heavy}
    assert len(warmed) == 1
    assert sum(plan.predicted) == 20 * 0.5 + 5 + 80 * 0.5
    assert max(plan.predicted) == 20 * 0.5 + 5
    blind = make(timings.files, Timings({name: Cost(0.5) for name in timings.files}), 4)
    assert len({blind.owner(name) for name in heavy}) == 4


def test_what_is_needed_by_more_than_a_shard_can_take_is_imported_twice() -> None:
    """One shard with all of torch's files would end last by far."""
    timings = Timings({name: Cost(1.0, frozenset({"torch"})) for name in _named([0.0] * 40)}, {"torch": 2.0})
    plan = make(timings.files, timings, 4)
    assert plan.predicted == [12.0] * 4


def test_the_file_that_dominates_is_named() -> None:
    costs = {"big.py": 30.0, "a.py": 5.0, "b.py": 5.0}
    assert make(costs, _only(costs), 2).dominating == ("big.py", 30.0)
    assert make(costs, _only(costs), 1).dominating is None
    even = _named([1.0] * 4)
    assert make(even, _only(even), 2).dominating is None


# ------------------------------------------------------------------------------------- fingerprint


@_some
@given(_SUITES, _OF)
def test_a_fingerprint_is_of_who_runs_what(suite: tuple[list[str], Timings], of: int) -> None:
    files, timings = suite
    plan = make(files, timings, of)
    assert make(files, timings, of + 1).fingerprint != plan.fingerprint
    assert make([*files, "one/more.py"], timings, of).fingerprint != plan.fingerprint
    moved = {name: owner % of + 1 for name, owner in plan.owners.items()}
    assert (Plan(of, moved, plan.by, plan.timings).fingerprint == plan.fingerprint) == (moved == plan.owners)


def test_other_timings_have_another_fingerprint_only_if_they_deal_otherwise() -> None:
    files = ["a.py", "b.py", "c.py"]
    before = make(files, _only({"a.py": 3, "b.py": 2, "c.py": 1}), 2)
    longer = make(files, _only({"a.py": 3.1, "b.py": 2, "c.py": 1}), 2)
    other = make(files, _only({"a.py": 1, "b.py": 2, "c.py": 3}), 2)
    assert longer.fingerprint == before.fingerprint != other.fingerprint


# ------------------------------------------------------------------------------------- plan files


@_some
@given(_SUITES, _OF)
def test_a_plan_survives_its_file(suite: tuple[list[str], Timings], of: int) -> None:
    files, timings = suite
    plan = make(files, timings, of)
    read = from_json(as_json(plan))
    assert read == plan
    assert (read.fingerprint, read.predicted) == (plan.fingerprint, plan.predicted)


_PLAN = make(["a.py", "b.py", "c.py"], _only({"a.py": 3, "b.py": 2}), 2)

WRONG: dict[str, tuple[str | dict[str, object], str]] = {
    "no json": ("{", "Expecting"),
    "another thing": ("[1]", "the file: not an object"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "of another kind": ({"schema": "hotreload-results/1"}, "its schema is 'hotreload-results/1'"),
    "newer": ({"schema": "hotreload-plan/2"}, "its schema is 'hotreload-plan/2'"),
    "another algorithm": ({"algorithm": 1}, "its algorithm is 1, but this version uses 2"),
    "more": ({"extra": 1}, "its keys are not those of a plan: extra"),
    "less": ({"by": None}, "its keys are not those of a plan: by"),
    "no shards": ({"of": 0}, "it is for 0 shards"),
    "true shards": ({"of": True}, "it is for True shards"),
    "fewer shards": ({"of": 1}, "its shard is 2"),
    "no owners": ({"owners": []}, "owners: not an object"),
    "a shard that is none": ({"owners": {"a.py": 3}}, "a.py: its shard is 3"),
    "a name of another system": ({"owners": {"a\\b.py": 1}}, "its shard is 1"),
    "moved": ({"owners": {"a.py": 2, "b.py": 2, "c.py": 2}}, "it was changed after it was written"),
    "a file less": ({"owners": {"a.py": 1, "b.py": 2}}, "it was changed after it was written"),
    "timings of others": ({"timings": {"files": {"d.py": 1.0}}}, "its timings do not match its files"),
    "dealt otherwise": ({"by": "hash"}, "its timings do not match its files"),
    "negative": ({"timings": {"files": {"a.py": -1}}}, "a.py: -1 is not a number of seconds"),
    "no number": ({"timings": {"files": {"a.py": math.nan}}}, "a.py: nan is not a number of seconds"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_that_is_wrong_is_refused(name: str) -> None:
    change, why = WRONG[name]
    if isinstance(change, str):
        text = change
    else:
        data = {**json.loads(as_json(_PLAN)), **change}
        text = json.dumps({key: value for key, value in data.items() if value is not None})
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - looked at below
        from_json(text)
    assert why in str(caught.value)


@_some
@given(st.integers(0, 10**6), st.characters(codec="ascii"))
def test_a_plan_with_one_other_character_is_the_same_or_refused(at: int, character: str) -> None:
    """A disk's fault, or a hand's: never another dealing."""
    text = as_json(_PLAN)
    at %= len(text)
    try:
        read = from_json(text[:at] + character + text[at + 1 :])
    except ValueError:
        return
    assert (read.of, read.owners) == (_PLAN.of, _PLAN.owners)
