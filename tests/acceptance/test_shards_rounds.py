"""Shards that run one after the other in one checkout: each test runs once, whatever the shards themselves measure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .compare import Project, Result
from .keeping import said

SHARDS = 3
#: Each file reads how long it takes: the first run of all and the shards measure opposite durations.
FILES = {
    "pytest.ini": "[pytest]\n",
    **{
        f"test_{name}.py": f"""\
            import os, time

            def test_{name}():
                time.sleep({{"up": {at}, "down": 6 - {at}}}[os.environ["PACE"]] * 0.05)
            """
        for at, name in enumerate("abcdefg")
    },
}
EVERYTHING = {f"test_{name}.py::test_{name}" for name in "abcdefg"}
_PLAN = re.compile(r"plan ([0-9a-f]{12})")


@pytest.fixture
def project(project: Project) -> Project:
    project.environ["PACE"] = "up"
    project.write(FILES)
    return project


def shard(project: Project, number: int, *args: str, of: int = SHARDS) -> Result:
    result = project.run(f"--shard={number}/{of}", *args, slots=1)
    assert result.status == 0, result.raw
    return result


def plan(result: Result) -> str:
    (found,) = set(_PLAN.findall(said(result)[0]))
    return str(found)


def warned(result: Result) -> list[str]:
    return [line for line in said(result) if "over the same files" in line]


def exactly_once(results: list[Result]) -> None:
    """The shards ran every test, none of them twice, and they had one plan."""
    ran = [nodeid for result in results for nodeid in result.outcomes]
    assert sorted(ran) == sorted(EVERYTHING)
    assert len({plan(result) for result in results}) == 1
    assert [line for result in results for line in warned(result)] == []


def measured(project: Project, *args: str) -> Result:
    result = project.run("--hotreload", *args, slots=2)
    assert result.status == 0, result.raw
    return result


def merge(root: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest_hotreload.cli",
        "merge",
        "test-results",
        "--records",
        ".pytest_cache",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_durations(project):
    """Each shard leaves records; the next plan is made as if it had not."""
    results = [shard(project, number) for number in range(1, SHARDS + 1)]
    exactly_once(results)
    assert all("by the hash of their paths" in said(result)[0] for result in results)


@pytest.mark.slow
def test_with_durations(project):
    """The shards measure other durations than the run of all did."""
    measured(project)
    project.environ["PACE"] = "down"
    first = [shard(project, number) for number in range(1, SHARDS + 1)]
    exactly_once(first)
    assert all("by durations" in said(result)[0] for result in first)
    again = [shard(project, number) for number in (3, 1, 2)]
    exactly_once(again)
    assert plan(again[0]) == plan(first[0])


@pytest.mark.slow
def test_a_run_of_all_moves_the_plan_and_the_next_shard_says_so(project):
    """Between two shards: the one line says which shards had another plan. A round that ended is not told of."""
    first = shard(project, 1)
    measured(project)
    second = shard(project, 2)
    assert plan(first) != plan(second)
    (line,) = warned(second)
    assert line == (
        f"plan {plan(second)} over the same files differs from plan {plan(first)}, with which shard 1/3 ran here: put "
        "together, their tests may have run twice or never; hint: run all 3 shards again, or give each "
        "--shard-from a plan that --shard-plan wrote"
    )
    third, once_more = shard(project, 3), shard(project, 1)
    assert [warned(third), warned(once_more)] == [[], []]
    ran = [nodeid for result in (once_more, second, third) for nodeid in result.outcomes]
    assert sorted(ran) == sorted(EVERYTHING)

    project.environ["PACE"] = "down"
    measured(project)
    exactly_once([shard(project, number) for number in range(1, SHARDS + 1)])


@pytest.mark.slow
def test_what_tells_of_no_other_plan(project):
    """Other files, another number of shards, a list of tests, a plan that is written, and a run without a cache."""
    shard(project, 1)
    measured(project)
    for args, of in (
        (["test_a.py", "test_b.py"], SHARDS),
        ([], 2),
        (["--co"], SHARDS),
        (["--shard-plan=plan.json"], SHARDS),
        (["-pno:cacheprovider"], SHARDS),
        (["--no-cache"], SHARDS),
    ):
        assert warned(project.run(f"--shard=2/{of}", *args, slots=1)) == [], args
    assert len(warned(shard(project, 2))) == 1


@pytest.mark.slow
def test_a_plan_file_is_compared_too(project):
    project.run("--shard=1/3", "--shard-plan=plan.json", slots=1)
    one = shard(project, 1, "--shard-from=plan.json")
    measured(project)
    two = shard(project, 2, "--shard-from=plan.json")
    assert (warned(one), warned(two)) == ([], [])
    three = shard(project, 3)
    assert len(warned(three)) == 1
    assert "with which shards 1/3 and 2/3 ran here" in warned(three)[0]


@pytest.mark.parametrize(
    "narrowed",
    [
        ["test_a.py"],
        ["test_a.py::test_a"],
        ["-k", "test_a or test_b"],
        ["--lf"],
        ["--deselect=test_b.py"],
        ["--ignore=test_b.py"],
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_a_narrowed_run_moves_no_plan(project, narrowed):
    measured(project)
    before = plan(shard(project, 1))
    project.environ["PACE"] = "down"
    project.run("--hotreload", *narrowed, slots=2)
    exactly_once([shard(project, 1), shard(project, 2), shard(project, 3)])
    assert plan(shard(project, 1)) == before


def test_what_addopts_leaves_out_is_no_part_of_the_whole(project):
    """A run as the project's runs are moves the durations; one that leaves out more does not."""
    ini = "[pytest]\nmarkers = slow\naddopts = -m 'not slow' --ignore=test_g.py\n"
    project.write({"pytest.ini": ini, "test_s.py": "import pytest\n@pytest.mark.slow\ndef test_s(): pass\n"})
    for more, by in ((["-m", "not slow or x"], "hash"), ([], "durations")):
        measured(project, *more)
        made = project.run("--shard=1/3", "--shard-plan=plan.json", slots=1).json("plan.json")
        assert made["by"] == by
    assert sorted(made["timings"]["files"]) == [f"test_{name}.py" for name in "abcdef"]


def test_a_run_of_a_folder_measures_that_folder(project):
    project.write({"more/test_more.py": "import time\ndef test_more(): time.sleep(0.3)\n"})
    measured(project, "more")
    made = project.run("--shard=1/3", "--shard-plan=plan.json", slots=1).json("plan.json")
    assert [*made["timings"]["files"]] == ["more/test_more.py"]
    measured(project, ".")
    made = project.run("--shard=1/3", "--shard-plan=plan.json", slots=1).json("plan.json")
    assert len(made["timings"]["files"]) == 8


@pytest.mark.slow
def test_a_merge_moves_the_plan(project):
    """The cache that it writes plans by what the shards measured, and remembers no round of them."""
    for number in range(1, SHARDS + 1):
        shard(project, number, f"--hotreload-json=test-results/{number}.json")
    merge(project.root("forks"))
    results = [shard(project, number) for number in range(1, SHARDS + 1)]
    exactly_once(results)
    assert all("by durations" in said(result)[0] for result in results)


@pytest.mark.slow
def test_a_damaged_memory_counts_as_none(project):
    measured(project)
    shard(project, 1)
    folder = project.root("forks") / ".pytest_cache/d/hotreload"
    names = {"plan-durations-1.json", "shards-1.json"}
    assert {path.name for path in folder.iterdir()} >= names
    for text in ("{", "[1]", '{"test_a.py": 3, "3 x": {"plan": 1}}', '{"a": {"plan": "p", "began": ["x"]}}'):
        for name in names:
            (folder / name).write_text(text)
        exactly_once([shard(project, number) for number in range(1, SHARDS + 1)])
