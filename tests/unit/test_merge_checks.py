"""The completeness of shards: everything that is removed from a complete set, or added to it, is noticed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.ci import merge_checks
from pytest_hotreload.ci.merge_checks import Result

Documents = list[dict[str, Any]]


def case(nodeid: str, outcome: str = "passed", **changes: Any) -> dict[str, Any]:
    file = nodeid.partition("::")[0]
    return {"nodeid": nodeid, "file": file, "outcome": outcome, "seconds": 0.1, "reused": None, **changes}


def documents(suite: dict[str, list[str]], owners: dict[str, int], of: int) -> Documents:
    """A sound set: ``suite`` is file -> outcomes, "deselected" among them."""
    made = []
    for number in range(1, of + 1):
        own = sorted(file for file, owner in owners.items() if owner == number)
        cases = [(f"{file}::test_{at}", outcome) for file in own for at, outcome in enumerate(suite[file])]
        tests = [case(nodeid, outcome) for nodeid, outcome in cases if outcome != "deselected"]
        bad = any(test["outcome"] in ("failed", "error") for test in tests)
        made.append(
            {
                "schema": "hotreload-results/1",
                "exitstatus": int(bad),
                "python": "3.12.1",
                "platform": "linux-x86_64",
                "plan": {
                    "fingerprint": "abc123",
                    "shard": number,
                    "of": of,
                    "predicted": None,
                    "files": sorted(suite),
                    "own": own,
                    "left_out": [],
                    "found": [],
                },
                "collected": len(cases),
                "deselected": [nodeid for nodeid, outcome in cases if outcome == "deselected"],
                "stopped": None,
                "tests": tests,
                "errors": [],
                "files": [{"file": file, "tests": len(suite[file]), "seconds": 0.1} for file in own],
            }
        )
    return made


def results(made: Documents) -> list[Result]:
    return [Result(Path(f"{at}.json"), document) for at, document in enumerate(made)]


def problems(made: Documents) -> list[str]:
    return merge_checks.problems(results(made))


OUTCOMES = st.sampled_from(["passed", "failed", "skipped", "error", "xfailed", "deselected"])


@st.composite
def sound(draw: st.DrawFn) -> Documents:
    of = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    suite = {f"test_{name}.py": draw(st.lists(OUTCOMES, max_size=4)) for name in names}
    owners = {file: draw(st.integers(1, of)) for file in suite}
    return draw(st.permutations(documents(suite, owners, of)))


@given(sound())
def test_a_sound_set_has_no_problem(made: Documents) -> None:
    assert problems(made) == []
    outcomes = {test["outcome"] for document in made for test in document["tests"]}
    assert merge_checks.status_of(results(made)) == int(bool(outcomes & {"failed", "error"}))


def _lose_the_shard(made: Documents, at: int) -> None:
    del made[at]


def _have_it_twice(made: Documents, at: int) -> None:
    made.append(copy.deepcopy(made[at]))


def _plan_otherwise(made: Documents, at: int) -> None:
    made[at]["plan"]["fingerprint"] = "other"


def _plan_more(made: Documents, at: int) -> None:
    for document in made:
        document["plan"]["files"] = [*document["plan"]["files"], "test_z.py"]


def _number_it_too_high(made: Documents, at: int) -> None:
    made[at]["plan"]["shard"] = made[at]["plan"]["of"] + 1


def _own_what_is_not_planned(made: Documents, at: int) -> None:
    made[at]["plan"]["own"] = [*made[at]["plan"]["own"], "elsewhere.py"]


def _find_what_nobody_runs(made: Documents, at: int) -> None:
    made[at]["plan"]["found"] = ["unplanned.py"]


def _lose_a_test(made: Documents, at: int) -> None:
    made[at]["tests"].pop()


def _have_a_test_twice(made: Documents, at: int) -> None:
    made[at]["tests"].append(made[at]["tests"][0])


def _deselect_what_ran(made: Documents, at: int) -> None:
    made[at]["deselected"].append(made[at]["tests"][0]["nodeid"])
    made[at]["collected"] += 1


def _collect_a_file_less(made: Documents, at: int) -> None:
    made[at]["files"].pop()


def _disown_a_file(made: Documents, at: int) -> None:
    made[at]["plan"]["own"].pop()


def _be_elsewhere(made: Documents, at: int) -> None:
    made[at]["platform"] = "darwin-arm64"


def _have_no_plan(made: Documents, at: int) -> None:
    made[at]["plan"] = None


def _run_what_is_anothers(made: Documents, at: int) -> None:
    made[at - 1]["tests"].append(made[at]["tests"][0])
    made[at - 1]["collected"] += 1


ALWAYS = [_have_it_twice, _plan_more, _number_it_too_high, _own_what_is_not_planned, _find_what_nobody_runs]
WITH_TESTS = [_lose_a_test, _have_a_test_twice, _deselect_what_ran]
WITH_FILES = [_collect_a_file_less, _disown_a_file]
WITH_OTHERS = [_lose_the_shard, _plan_otherwise, _be_elsewhere, _have_no_plan]


@given(sound(), st.data())
def test_each_loss_and_each_invention_is_noticed(made: Documents, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(made) - 1))
    faults = [*ALWAYS]
    faults += WITH_TESTS if made[at]["tests"] else []
    faults += WITH_FILES if made[at]["plan"]["own"] else []
    faults += WITH_OTHERS if len(made) > 1 else []
    faults += [_run_what_is_anothers] if len(made) > 1 and made[at]["tests"] else []
    data.draw(st.sampled_from(faults))(made, at)
    assert problems(made)


SUITE = {"test_a.py": ["passed", "failed"], "test_b.py": ["passed"], "test_c.py": ["skipped", "deselected"]}
OWNERS = {"test_a.py": 1, "test_b.py": 2, "test_c.py": 2}


def made() -> Documents:
    return documents(SUITE, OWNERS, 3)


def test_words() -> None:
    lost = made()
    del lost[1]
    assert problems(lost) == ["shard 2/3 is missing"]
    twice = made()
    twice.append(twice[1])
    assert problems(twice) == ["shard 2/3 was found 2 times: 1.json, 3.json"]
    other = made()
    other[2]["plan"]["fingerprint"] = "def456"
    assert problems(other) == [
        (
            "the shards belong to different plans: abc123 of 3 shards, 3 files (0.json, 1.json); def456 of 3 shards, "
            "3 files (2.json); hint: write one plan with --shard-plan=FILE, and run each shard with --shard-from=FILE"
        )
    ]
    short = made()
    del short[0]["tests"][1]
    assert problems(short) == [
        "shard 1/3: 1 results and 0 deselected tests do not add up to the 2 collected tests"
    ]
    worlds = made()
    worlds[2]["python"] = "3.13.0"
    assert problems(worlds) == [
        (
            "the shards ran on different platforms: Python 3.12 on linux-x86_64 (shard 1, 2); Python 3.13 on "
            "linux-x86_64 (shard 3); hint: merge the shards of one platform at a time"
        )
    ]
    worlds[2]["python"] = "3.12.9"
    assert problems(worlds) == []
    unplanned = made()
    unplanned[2]["plan"] = None
    assert problems(unplanned) == [
        "2.json: no plan, although there are 3 results files; hint: run each shard with --shard"
    ]
    both = made()
    both[2]["tests"].append(both[0]["tests"][0])
    both[2]["collected"] += 1
    assert problems(both) == [
        "shard 3/3 ran test_a.py, which belongs to another shard",
        "test_a.py::test_0 has a result in several shards: shard 1/3, shard 3/3",
    ]


def test_many_problems_of_a_kind_are_counted() -> None:
    suite = {f"test_{at:02}.py": ["passed"] for at in range(30)}
    broken = documents(suite, dict.fromkeys(suite, 1), 2)
    broken[0]["files"] = []
    found = problems(broken)
    assert found[0] == "shard 1/2 did not collect test_00.py, which belongs to it"
    assert found[10:] == ["and 20 more"]


def test_what_a_shard_left_out_it_says() -> None:
    left = made()
    left[1]["files"] = [each for each in left[1]["files"] if each["file"] != "test_b.py"]
    left[1]["tests"] = [each for each in left[1]["tests"] if each["file"] != "test_b.py"]
    left[1]["collected"] = 2
    assert problems(left) == ["shard 2/3 did not collect test_b.py, which belongs to it"]
    left[1]["plan"]["left_out"] = ["test_b.py"]
    assert problems(left) == []
    assert merge_checks.remarks(results(left)) == [
        "shard 2/3 collected nothing in test_b.py: not selected, ignored by a conftest, or deleted"
    ]


def test_one_that_was_interrupted_is_no_contradiction() -> None:
    stopped = made()
    del stopped[0]["tests"][0]
    stopped[0].update(stopped="KeyboardInterrupt", exitstatus=2)
    assert problems(stopped) == []
    assert merge_checks.status_of(results(stopped)) == 2
    assert merge_checks.remarks(results(stopped)) == [
        "shard 1/3 did not finish (KeyboardInterrupt): 1 of 2 tests have a result"
    ]
    stopped[0]["exitstatus"] = 0  # pytest.exit(returncode=0)
    assert merge_checks.status_of(results(stopped)) == 2
    stopped[0]["tests"] *= 4
    assert problems(stopped)  # more than was selected is never right


def test_failed_by_something_else() -> None:
    covered = documents({"test_a.py": ["passed"]}, {"test_a.py": 1}, 1)
    covered[0]["exitstatus"] = 1
    assert merge_checks.remarks(results(covered)) == [
        "shard 1/1 ended with exit status 1, although none of its tests failed"
    ]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((0, 0), 0),
        ((0, 1), 1),
        ((5, 1), 1),
        ((1, 2), 2),
        ((2, 6), 6),
        ((6, 4), 4),
        ((4, 3), 3),
        ((5, 0), 0),
        ((3, 0), 3),
    ],
)
def test_exit_status(statuses: tuple[int, int], status: int) -> None:
    pair = documents({"test_a.py": ["passed"], "test_b.py": []}, {"test_a.py": 1, "test_b.py": 2}, 2)
    for document, each in zip(pair, statuses, strict=True):
        document["exitstatus"] = each
    assert merge_checks.status_of(results(pair)) == status


def test_nothing_anywhere() -> None:
    none = documents({"test_a.py": []}, {"test_a.py": 1}, 2)
    none[0]["exitstatus"] = 5
    assert merge_checks.status_of(results(none)) == 5
    none[0]["exitstatus"] = 0  # nothing was affected
    assert merge_checks.status_of(results(none)) == 0
