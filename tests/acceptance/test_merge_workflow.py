"""``examples/ci`` for GitHub: runs the workflow's commands in order, in clean clones, with every kind of cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from .repository import FILES, IDS, git, prepare
from .workflow import EXAMPLES, Service, load


@pytest.fixture
def service(tmp_path):
    return Service(*prepare(tmp_path))


def whole(service, job):
    """The outcomes of all, after a workflow; its parts agree."""
    document = json.loads((job.folder / "whole-results/results.json").read_text())
    assert ET.parse(job.folder / "whole-results/junit.xml").getroot().get("tests") == str(
        len(document["tests"])
    )
    assert service.artifacts["whole"].exists()
    return {test["nodeid"]: test["outcome"] for test in document["tests"]}


def shards(service, number):
    return {shard: service.job("test", shard) for shard in number}


def records(job):
    """``unchanged since their last run: 1 of 2 test files`` of a shard's summary, as numbers."""
    found = re.search(r"unchanged since their last run: (\d+) of (\d+) test files?", job.output["Test"])
    return (int(found[1]), int(found[2])) if found else (0, 0)


@pytest.mark.slow
def test_one_workflow_after_the_other(service):
    # The first: there are no records.
    service.begin()
    plan = service.job("plan")
    assert re.search(r"plan [0-9a-f]{12}: 5 test files on 3 shards", plan.output["Plan"])
    ran = shards(service, (1, 2, 3))
    assert [job.failed for job in ran.values()] == [[], [], []]
    merging = service.job("merge")
    assert merging.failed == []
    assert whole(service, merging) == dict.fromkeys(IDS, "passed")
    assert list(service.caches) == ["hotreload-Linux-1-1"]

    # The second: all records are there, whoever wrote them, and the plan goes by durations.
    older = service.caches["hotreload-Linux-1-1"]
    service.begin()
    plan = service.job("plan")
    assert "balance" in plan.output["Plan"]
    ran = shards(service, (1, 2, 3))
    held = [records(job) for job in ran.values()]
    assert sum(fresh for fresh, _ in held) == sum(files for _, files in held) == 5
    assert service.job("merge").failed == []

    # The third: a test fails, and the shards were given different caches: an older one, none, a corrupt one.
    failing = service.repository / "tests/test_a.py"
    failing.write_text("import lib\ndef test_a(): assert not lib.VALUE\n")
    git(service.repository, "commit", "-q", "-a", "-m", "break it")
    service.begin()
    service.job("plan")
    corrupt = service.top / "corrupt"
    shutil.copytree(older, corrupt)
    for path in corrupt.rglob("*.json"):
        path.write_bytes(path.read_bytes()[:50])
    for path in corrupt.rglob("durations"):
        path.write_text("{")
    restored = [{"hotreload-Linux-0-1": older}, {}, {"hotreload-Linux-0-1": corrupt}]
    kept, failed = dict(service.caches), []
    for shard, caches in enumerate(restored, 1):
        service.caches = caches
        failed += service.job("test", shard).failed
    service.caches = kept
    assert failed == ["Test"]
    merging = service.job("merge")
    assert merging.failed == ["Merge"]
    assert "hotreload: 3 shards: 1 failed, 5 passed in " in merging.output["Merge"]
    assert whole(service, merging) == {**dict.fromkeys(IDS, "passed"), "tests/test_a.py::test_a": "failed"}

    # A pull request mends it, and writes no records.
    failing.write_text(FILES["tests/test_a.py"])
    git(service.repository, "commit", "-q", "-a", "-m", "mend it")
    service.ref = "refs/pull/1/merge"
    service.begin()
    service.job("plan")
    ran = shards(service, (1, 2, 3))
    held = [records(job) for job in ran.values()]
    assert (sum(fresh for fresh, _ in held), sum(files for _, files in held)) == (4, 5)  # what failed, runs
    assert service.job("merge").failed == []
    assert list(service.caches) == [f"hotreload-Linux-{number}-1" for number in (1, 2, 3)]


@pytest.mark.slow
def test_a_shard_that_never_came(service):
    service.begin()
    service.job("plan")
    shards(service, (1, 3))
    merging = service.job("merge")
    assert merging.failed == ["Merge"]
    assert merging.output["Merge"] == "hotreload: shard 2/3 is missing\n"
    assert service.caches == {}


@pytest.mark.slow
def test_a_second_attempt_writes_what_it_found(service):
    """The service never writes a key again, so the second attempt has one of its own; artifacts are replaced."""
    service.begin()
    service.job("plan")
    failing = service.repository / "tests/test_a.py"
    failing.write_text("def test_a(): assert 0\n")
    git(service.repository, "commit", "-q", "-a", "-m", "break it")
    shards(service, (1, 2, 3))
    assert service.job("merge").failed == ["Merge"]
    failing.write_text(FILES["tests/test_a.py"])
    git(service.repository, "commit", "-q", "-a", "-m", "mend it")
    service.attempt = 2
    service.job("plan")
    assert [job.failed for job in shards(service, (1, 2, 3)).values()] == [[], [], []]
    merging = service.job("merge")
    assert merging.failed == []
    assert whole(service, merging) == dict.fromkeys(IDS, "passed")
    assert list(service.caches) == ["hotreload-Linux-1-1", "hotreload-Linux-1-2"]


def test_the_number_of_shards_is_one(service):
    """Of the matrix, of the plan, of each test command."""
    text = (EXAMPLES / "github-actions.yml").read_text(encoding="utf-8")
    matrix = load(text)["jobs"]["test"]["strategy"]["matrix"]["shard"]
    assert matrix == [1, 2, 3]
    assert set(re.findall(r"--shard \S*?/(\d+)", text)) == {"3"}
    for name in ("gitlab-ci.yml", "circleci.yml", "buildkite.yml"):
        other = (EXAMPLES / name).read_text(encoding="utf-8")
        assert set(re.findall(r"--shard \d/(\d+)|parallel(?:ism)?: (\d+)", other)) == {("4", ""), ("", "4")}


def test_options_are_known(tmp_path):
    """All that the examples give to pytest, and to merging."""

    def helped(*words):
        environ = {**os.environ, "PYTEST_ADDOPTS": "-p hotreload", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *words, "--help"],
            cwd=tmp_path,  # the checkout has no extension module
            capture_output=True,
            text=True,
            env=environ,
            check=True,
        )
        return set(re.findall(r"--[a-z][a-z-]+", done.stdout))

    known = helped("pytest") | helped("pytest_hotreload.cli", "merge")
    for path in sorted(EXAMPLES.glob("*.yml")):
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        commands = [line for line in lines if re.search(r"\bpytest |pytest-hotreload merge|^ +--", line)]
        options = {option for line in commands for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", line)}
        assert {"--shard", "--shard-plan", "--shard-from", "--hotreload-json", "--records"} <= options, (
            path.name
        )
        assert options <= known, path.name
