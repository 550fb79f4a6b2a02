"""``examples/ci`` for GitLab, CircleCI and Buildkite: runs the commands in order, in clean clones, with a failure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .repository import FILES, IDS, git, prepare
from .workflow import EXAMPLES, clone, load, shell

SHARDS = 4
AGENT = """\
#!{python}
import glob, os, shutil, sys
_, _, verb, pattern, *to = sys.argv
source, target = (".", os.environ["ARTIFACTS"]) if verb == "upload" else (os.environ["ARTIFACTS"], to[0])
names = [name for each in pattern.split(";") for name in glob.glob(each, root_dir=source, recursive=True)]
assert names, pattern
for name in names:
    if os.path.isfile(os.path.join(source, name)):
        os.makedirs(os.path.dirname(os.path.join(target, name)) or ".", exist_ok=True)
        shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
"""


class Machine:
    """Runs jobs. ``kept``: what is handed from one to the next. ``cache``: what stays from one run to the next."""

    def __init__(self, top: Path, example: str) -> None:
        self.repository, self.top, self.environ = prepare(top)
        self.said: Any = load((EXAMPLES / example).read_text(encoding="utf-8"))
        self.kept, self.cache = top / "kept", top / "cache"
        self.kept.mkdir()
        self.count = 0

    def clone(self) -> Path:
        self.count += 1
        folder = self.top / f"job-{self.count}"
        clone(self.repository, folder)
        return folder

    def run(self, folder: Path, commands: Sequence[str], **variables: str) -> tuple[int, str]:
        """One after the other, up to one that fails; its status, and the last output."""
        output = ""
        for command in commands:
            status, output = shell(command, folder, {**self.environ, **variables})
            if status:
                return status, output
        return 0, output

    def hand_on(self, folder: Path, paths: Sequence[str]) -> None:
        for path in paths:
            if (folder / path).is_dir():
                shutil.copytree(folder / path, self.kept / path, dirs_exist_ok=True)
            else:
                shutil.copyfile(folder / path, self.kept / path)

    def restore(self, folder: Path) -> None:
        if self.cache.exists():
            shutil.copytree(self.cache, folder / ".pytest_cache")

    def save(self, folder: Path) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        shutil.copytree(folder / ".pytest_cache", self.cache)


class GitLab(Machine):
    """Artifacts of all jobs are laid into the clone of those that need them; ``after_script`` runs in any case."""

    def job(self, name: str, index: int = 0) -> tuple[int, str]:
        job, folder = self.said[name], self.clone()
        variables = {
            "GITLAB_CI": "true",
            "CI_NODE_INDEX": str(index),
            "CI_NODE_TOTAL": str(job.get("parallel")),
        }
        assert job["cache"]["key"] == "hotreload"
        self.restore(folder)
        shutil.copytree(self.kept, folder, dirs_exist_ok=True)
        before = self.said["default"]["before_script"]
        result = self.run(folder, [*before, *job["script"]], **variables)
        if "after_script" in job:
            assert self.run(folder, job["after_script"], **variables)[0] == 0
        if result[0] == 0 or job["artifacts"].get("when") == "always":
            self.hand_on(folder, job["artifacts"]["paths"])
        if job["cache"]["policy"] == "$RECORDS" and (result[0] == 0 or job["cache"]["when"] == "always"):
            self.save(folder)
        return result

    def pipeline(self) -> tuple[list[int], int, str]:
        assert self.job("plan")[0] == 0
        shards = [self.job("test", index)[0] for index in range(1, SHARDS + 1)]
        return shards, *self.job("merge")


class CircleCI(Machine):
    """A step that fails ends its job."""

    def job(self, name: str, index: int = 0) -> tuple[int, str]:
        job, folder = self.said["jobs"][name], self.clone()
        variables = {"CIRCLE_NODE_INDEX": str(index), "CIRCLE_NODE_TOTAL": str(job.get("parallelism"))}
        result = (0, "")
        for step in job["steps"]:
            kind, given = self._step(step)
            if kind == "run" and result[0] == 0:
                status, output = self.run(folder, [given], **variables)
                result = (status, output or result[1])
            elif kind == "restore_cache":
                self.restore(folder)
            elif kind == "attach_workspace":
                shutil.copytree(self.kept, folder, dirs_exist_ok=True)
            elif kind == "persist_to_workspace" and result[0] == 0:
                self.hand_on(folder, given["paths"])
            elif kind == "save_cache" and (result[0] == 0 or given["when"] == "always"):
                self.save(folder)
        return result

    def _step(self, step: Any) -> tuple[str, Any]:
        """Kind and what is given; of one that has a condition the step that it is for, on the default branch."""
        named: tuple[str, Any] = next(iter(step.items())) if isinstance(step, dict) else (step, None)
        kind, given = named
        if kind != "when":
            return kind, given
        (inner,) = given["steps"]
        return self._step(inner)

    def pipeline(self) -> tuple[list[int], int, str]:
        assert self.job("plan")[0] == 0
        shards = [self.job("test", index)[0] for index in range(SHARDS)]
        return shards, *self.job("merge")


class Buildkite(Machine):
    """``$$`` is for the agent, which makes ``$`` of it; its own program carries artifacts."""

    def job(self, step: Mapping[str, Any], index: int = 0) -> tuple[int, str]:
        agent = self.top / "bin" / "buildkite-agent"
        if not agent.exists():
            python = (self.top / "bin" / "pytest").read_text().split()[2]
            agent.write_text(AGENT.replace("{python}", python))
            agent.chmod(0o755)
        variables = {
            "BUILDKITE_PARALLEL_JOB": str(index),
            "BUILDKITE_PARALLEL_JOB_COUNT": str(step.get("parallelism")),
            "BUILDKITE_BRANCH": "main",
            "BUILDKITE_PIPELINE_DEFAULT_BRANCH": "main",
            "RECORDS": str(self.cache),
            "ARTIFACTS": str(self.kept),
        }
        commands = [command.replace("$$", "$") for command in step["commands"]]
        return self.run(self.clone(), commands, **variables)

    def pipeline(self) -> tuple[list[int], int, str]:
        plan, test, merge = (
            step for step in self.said["steps"] if isinstance(step, dict) and "label" in step
        )
        assert self.job(plan)[0] == 0
        shards = [self.job(test, index)[0] for index in range(SHARDS)]
        result = self.job(merge)
        assert (self.kept / "junit.xml").exists()
        return shards, *result


@pytest.mark.parametrize(
    ("service", "example", "of_failed"),
    [
        (GitLab, "gitlab-ci.yml", 1),
        (CircleCI, "circleci.yml", 0),  # or the job that merges would not begin
        (Buildkite, "buildkite.yml", 1),
    ],
)
@pytest.mark.slow
def test_a_pipeline(
    service: type[GitLab | CircleCI | Buildkite], example: str, of_failed: int, tmp_path: Path
) -> None:
    machine = service(tmp_path, example)
    (machine.repository / "tests/test_a.py").write_text("def test_a(): assert 0\n")
    git(machine.repository, "commit", "-q", "-a", "-m", "break it")
    shards, status, _ = machine.pipeline()
    assert (sorted(shards), status) == ([0, 0, 0, of_failed], 1)
    cached = machine.cache / "v/cache/lastfailed"
    assert json.loads(cached.read_text()) == {"tests/test_a.py::test_a": True}
    results = machine.kept / "results.json"
    if results.exists():
        tests = json.loads(results.read_text())["tests"]
        assert {test["nodeid"]: test["outcome"] for test in tests} == {
            **dict.fromkeys(IDS, "passed"),
            "tests/test_a.py::test_a": "failed",
        }

    # Mended, and from another start: what an attempt handed on is gone, the cache stays.
    (machine.repository / "tests/test_a.py").write_text(FILES["tests/test_a.py"])
    git(machine.repository, "commit", "-q", "-a", "-m", "mend it")
    shutil.rmtree(machine.kept)
    machine.kept.mkdir()
    shards, status, said = machine.pipeline()
    assert (shards, status) == ([0, 0, 0, 0], 0)
    assert "4 shards: 6 passed in " in said or service is Buildkite
    assert json.loads(cached.read_text()) == {}
