"""The least coverage of a suite that runs in shards: no shard fails by it, and the merge compares the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import cli

from .compare import Project, Result
from .keeping import said

pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")

#: Of the ten statements of lib.py each shard runs seven or eight, and both together nine.
FILES = {
    "pytest.ini": "[pytest]\n",
    "lib.py": "".join(f"def {name}():\n    return '{name}'\n" for name in "abcde"),
    "test_a.py": "import lib\ndef test_a(): assert lib.a() + lib.b() == 'ab'\n",
    "test_b.py": "import lib\ndef test_b(): assert lib.c() + lib.d() == 'cd'\n",
    "timings.json": '{"schema": "hotreload-timings/1", "files": {"test_a.py": 2, "test_b.py": 1}}',
}
LIMIT = 85


@pytest.fixture
def project(project: Project) -> Project:
    project.plugins = ["pytest_cov"]
    project.write(FILES)
    return project


def shard(project: Project, number: int, *args: str, of: int = 2) -> Result:
    out = project.root("forks") / "test-results" / str(number)
    project.environ["COVERAGE_FILE"] = str(out / ".coverage")
    words = ("--timings=timings.json", f"--hotreload-json={out}/results.json", "--cov=lib", "--cov-report=")
    return project.run(f"--shard={number}/{of}", *words, *args, slots=2)


def lifted(result: Result) -> list[str]:
    return [line for line in said(result) if "the coverage of shard" in line]


@pytest.fixture
def merge(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    def command(*words: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.chdir(project.root("forks"))
        status = cli.main(["merge", "test-results", *words])
        out, err = capsys.readouterr()
        return status, [line for line in out.splitlines() if "coverage is" in line], err.splitlines()

    return command


def test_no_shard_fails_by_the_limit_and_the_merge_compares_the_whole(project, merge):
    for number in (1, 2):
        result = shard(project, number, f"--cov-fail-under={LIMIT}")
        assert result.status == 0, result.raw
        assert lifted(result) == [
            (
                f"the coverage of shard {number}/2 is not compared with the limit of 85 %; hint: pytest-hotreload "
                "merge DIR --fail-under 85 compares that of all shards"
            )
        ]
        assert "fail-under" not in result.raw.replace("--fail-under", "")
    assert merge("--fail-under", "85") == (
        0,
        ["hotreload: coverage is 90.00 %, at least the 85 % of --fail-under"],
        [],
    )
    written = ("--json", "whole/results.json", "--coverage", "whole/.coverage")
    assert merge("--fail-under", "90.5", *written) == (
        1,
        ["hotreload: coverage is 90.00 %, less than the 90.5 % of --fail-under"],
        [],
    )
    whole = project.root("forks") / "whole"
    assert json.loads((whole / "results.json").read_text())["exitstatus"] == 1
    assert (whole / ".coverage").exists()
    assert merge() == (0, [], [])


def test_the_limit_of_coverages_configuration(project, merge):
    project.write({".coveragerc": "[report]\nfail_under = 95\nprecision = 1\n"})
    for number in (1, 2):
        result = shard(project, number)
        assert (result.status, len(lifted(result))) == (0, 1), result.raw
    less = "hotreload: coverage is 90.00 %, less than the 95 % of fail_under of coverage's configuration"
    assert merge("--coverage", "whole/.coverage") == (1, [less], [])
    assert merge("--coverage", "whole/.coverage", "--fail-under", "90")[0] == 0


def test_a_single_shard_is_the_whole(project):
    result = shard(project, 1, "--cov-fail-under=95", of=1)
    assert (result.status, lifted(result)) == (1, [])


def test_plans_and_lists_have_no_coverage(project):
    for words in (["--shard-plan=plan.json"], ["--co"]):
        result = shard(project, 1, "--cov-fail-under=95", *words)
        assert (result.status, lifted(result)) == (0, []), result.raw


def test_what_cannot_be_compared_is_refused(project, merge):
    for number in (1, 2):
        assert shard(project, number).status == 0
    root: Path = project.root("forks")
    (root / "lib.py").unlink()
    status, _, errors = merge("--fail-under", "50")
    assert (status, len(errors)) == (2, 1)
    assert errors[0].startswith("hotreload: coverage can't merge its data: No source for code")
    (root / "test-results/2/.coverage").unlink()
    assert merge("--fail-under", "50")[2] == ["hotreload: there is no coverage data from shard 2/2"]
    with pytest.raises(SystemExit) as ended:
        merge("--fail-under", "101")
    assert ended.value.code == 2
