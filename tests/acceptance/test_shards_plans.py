"""What a shard says: which one it is, its plan, what it predicts and what came of it; and what it refuses."""

from __future__ import annotations

import json
import re

import pytest

from pytest_hotreload.ci.plan import Plan, as_json

from .compare import Result
from .keeping import said

#: Seconds of each file: two shards of 0.4, whatever the machine, and the first file is half of one.
SLEEPS = {"a": 0.4, "b": 0.2, "c": 0.1, "d": 0.1}
FILES = {
    "pytest.ini": "[pytest]\n",
    **{
        f"test_{name}.py": f"import time\ndef test_{name}(): time.sleep({seconds})\n"
        for name, seconds in SLEEPS.items()
    },
}
_SECONDS = re.compile(r"\d+(\.\d+)? s\b")


def timings(**seconds: float) -> str:
    files = {f"test_{name}.py": each for name, each in seconds.items()}
    return json.dumps({"schema": "hotreload-timings/1", "files": files})


def letters(result: Result) -> str:
    """The letters of what ran."""
    return "".join(sorted(nodeid.rpartition("_")[2] for nodeid in result.outcomes))


def lines(result: Result) -> list[str]:
    """What is said of shards, without figures of this machine, records, and the plan's fingerprint."""
    kept = [
        line
        for line in said(result)
        if not line.startswith(("unchanged since their last run: ", "template: "))
    ]
    kept = [re.sub(r"plan [0-9a-f]{12}", "plan PLAN", line) for line in kept]
    return [
        re.sub(r" \([+-]\d+ %\)", " (OFF)", re.sub(r"took (< )?\d[\d.]* (min( \d\d s)?|m?s)", "took S", line))
        if "took" in line
        else line
        for line in kept
    ]


def test_a_plan_is_made_once_and_used_by_each(project):
    project.write({**FILES, "timings.json": timings(a=0.4, b=0.2, c=0.1, d=0.1)})
    made = project.run("--shard=1/2", "--timings=timings.json", "--shard-plan=made/plan.json", slots=1)
    assert (made.status, made.outcomes) == (0, {})
    header = [
        "shard 1/2: 1 of 4 test files · plan PLAN, by durations",
        "predicted: 400 ms here, 400 ms to 400 ms on all 2, balance 1.00",
    ]
    assert lines(made) == [
        *header,
        "plan PLAN: 4 test files on 2 shards, written to made/plan.json",
        "predicted: 400 ms to 400 ms a shard, balance 1.00",
    ]
    plan = json.loads((made.root / "made/plan.json").read_text())
    assert plan["owners"] == {"test_a.py": 1, "test_b.py": 2, "test_c.py": 2, "test_d.py": 2}
    assert not (made.root / ".pytest_cache/d/hotreload/records-5/tree").exists()

    # Whatever is known meanwhile, and under which numbers: the plan holds.
    project.write({"timings.json": timings(a=9)})
    runs = [project.run(f"--shard={n}/2", "--shard-from=made/plan.json", slots=1) for n in (1, 2)]
    assert [letters(run) for run in runs] == ["a", "bcd"]
    assert [run.status for run in runs] == [0, 0]
    assert lines(runs[0])[:2] == header
    assert plan["fingerprint"] in runs[0].raw
    assert plan["fingerprint"] in runs[1].raw
    closing = lines(runs[1])[-1]
    assert re.fullmatch(r"shard 2/2, plan PLAN: 3 test files took S, predicted 400 ms( \(OFF\))?", closing), (
        closing
    )


def test_other_timings_make_another_plan_and_that_shows(project):
    """Two machines that restored different caches: the fingerprints tell."""
    project.write({**FILES, "one.json": timings(a=1, b=1), "two.json": timings(a=5, b=1)})
    plans = [
        re.findall(
            r"plan ([0-9a-f]{12})",
            project.run(f"--shard={n}/2", f"--timings={name}.json", "--co", slots=1).raw,
        )
        for n, name in ((1, "one"), (2, "one"), (2, "two"))
    ]
    assert [len(set(each)) for each in plans] == [1, 1, 1]
    assert plans[0] == plans[1] != plans[2]


def test_a_shard_that_has_nothing(project):
    """Is no failure; a whole selection that has nothing is pytest's."""
    project.write({**FILES, "empty/test_none.py": "", "timings.json": timings(a=1, b=1, c=1, d=1)})
    result = project.run("--shard=5/5", "--timings=timings.json", "test_a.py", "test_b.py", slots=1)
    assert (result.status, result.outcomes) == (0, {})
    assert lines(result)[-1] == "shard 5/5 has no tests to run: the selected tests belong to other shards"
    assert project.run("--shard=1/1", "empty", slots=1).status == 5
    whole = [project.run(f"--shard={n}/2", "empty", slots=1).status for n in (1, 2)]
    assert sorted(whole) == [0, 5]


def test_a_file_that_dominates_is_named(project):
    project.write({**FILES, "timings.json": timings(a=60, b=2, c=2, d=2)})
    result = project.run("--shard=2/2", "--timings=timings.json", "--co", slots=1)
    assert lines(result) == [
        "shard 2/2: 3 of 4 test files · plan PLAN, by durations",
        "predicted: 6.00 s here, 6.00 s to 1 min on all 2, balance 1.82",
        (
            "test_a.py takes 1 min, longer than a shard's mean of 33.0 s: more shards cannot make the run shorter; "
            "hint: split the file"
        ),
    ]


def test_timings_that_cannot_be_used_cost_balance_and_a_line(project):
    project.write({**FILES, "corrupt.json": "{", "good.json": timings(a=1)})
    result = project.run("--shard=1/1", "--timings=good.json", "--timings=corrupt.json", "--co", slots=1)
    (warning,) = [line for line in lines(result) if line.startswith("timings ignored: ")]
    assert re.fullmatch(r"timings ignored: corrupt\.json: Expecting .*", warning)
    runs = [
        project.run(f"--shard={n}/2", "--timings=corrupt.json", "--timings=none.json", slots=1)
        for n in (1, 2)
    ]
    assert sorted("".join(map(letters, runs))) == list("abcd")
    for run in runs:
        (warning,) = [line for line in lines(run) if line.startswith("no durations ")]
        assert re.fullmatch(
            r"no durations \(corrupt\.json: Expecting .*; none\.json: No such file or directory\): "
            "files are assigned to shards in turns, by the hash of their paths",
            warning,
        )


def test_durations_are_those_of_the_last_whole_run(project):
    """A run that left tests out measured something else."""
    project.write(FILES)
    first = project.run("--shard=1/1", slots=2)
    assert letters(first) == "abcd"
    project.run("test_a.py", "-k", "nothing", slots=1)
    plan = project.run("--shard=1/2", "--shard-plan=plan.json", slots=1).json("plan.json")
    assert plan["by"] == "durations"
    seconds = plan["timings"]["files"]
    assert {name: round(seconds[f"test_{name}.py"], 1) >= at for name, at in SLEEPS.items()} == dict.fromkeys(
        "abcd", True
    )
    assert plan["owners"]["test_a.py"] != plan["owners"]["test_b.py"]

    # What its disk spoilt is not known.
    spoilt = first.root / ".pytest_cache/d/hotreload/plan-durations-1.json"
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    plan = project.run("--shard=1/2", "--shard-plan=plan.json", slots=1).json("plan.json")
    assert (plan["by"], plan["timings"]["files"], len(plan["owners"])) == ("hash", {}, 4)


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        (
            {"CIRCLE_NODE_INDEX": "1", "CIRCLE_NODE_TOTAL": "2"},
            "CircleCI: CIRCLE_NODE_INDEX=1, CIRCLE_NODE_TOTAL=2",
        ),
        (
            {"TEST_SHARD_INDEX": "1", "TEST_TOTAL_SHARDS": "2", "TEST_SHARD_STATUS_FILE": "status"},
            "Bazel: TEST_SHARD_INDEX=1, TEST_TOTAL_SHARDS=2",
        ),
    ],
    ids=["CircleCI", "Bazel"],
)
def test_auto_says_what_it_read(project, variables, source):
    project.write({**FILES, "timings.json": timings(a=0.4, b=0.2, c=0.1, d=0.1)})
    project.environ.update(variables)
    result = project.run("--shard=auto", "--timings=timings.json", slots=2)
    assert letters(result) == "bcd"
    assert lines(result)[0] == f"shard 2/2 ({source}): 3 of 4 test files · plan PLAN, by durations"
    assert (result.root / "status").exists() == ("TEST_SHARD_STATUS_FILE" in variables)
    if "TEST_SHARD_STATUS_FILE" not in variables:
        assert letters(project.run("-k", "test_c or test_a", slots=2)) == "ac", (
            "without auto no test is dropped"
        )


REFUSED = {
    "off": (["--shard=1/2", "--no-hotreload"], "--shard and --no-hotreload contradict each other"),
    "no such shard": (["--shard=5/4"], "--shard 5/4: there is no shard 5 of 4"),
    "no plan": (
        ["--shard=1/2", "--shard-from=none.json"],
        "--shard-from none.json: No such file or directory",
    ),
    "corrupt plan": (["--shard=1/2", "--shard-from=corrupt.json"], "--shard-from corrupt.json: Expecting"),
    "plan for others": (["--shard=1/3", "--shard-from=plan.json"], "plan.json is a plan for 1 shard, but"),
    "no folder": (
        ["--shard=1/2", "--shard-plan=test_a.py/plan.json"],
        "--shard-plan test_a.py/plan.json: Not a directory",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_one_line(project, name):
    arguments, why = REFUSED[name]
    plan = as_json(Plan(1, {}, "hash"))
    project.write({"pytest.ini": "[pytest]\n", "test_a.py": "1 / 0", "plan.json": plan, "corrupt.json": "{"})
    result = project.run(*arguments, slots=1)
    assert result.status == 4
    (error,) = filter(None, result.errors)
    assert error.startswith("ERROR: hotreload: ")
    assert why in error
    assert "; hint: " in error
