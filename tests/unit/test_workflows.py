"""The workflow files, ours and those of examples/ci: pinned actions, least permissions, time limits, no kept tokens.

`make lint-workflows` asks zizmor and the schemas of the services; these rules need neither of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))  # the scripts import each other by their names
import matrix  # noqa: E402
from extras import load_toml  # noqa: E402

EXAMPLES = ROOT / "examples" / "ci"
OURS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITHUB = [*OURS, EXAMPLES / "github-actions.yml"]
#: All that a job may be granted, and why: (workflow, job, permission).
GRANTED = {
    ("docs", "publish", "pages"): "the site is published",
    ("docs", "publish", "id-token"): "the service asks which workflow publishes",
    ("release", "publish", "id-token"): "trusted publishing, and attestations",
    ("release", "publish", "attestations"): "provenance is stored",
}
_PINNED = re.compile(
    r"^\s*(?:- )?uses: (?P<action>[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$"
)
_USES = re.compile(r"^\s*(?:- )?uses:")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from load(path)["jobs"].items()


def steps(path: Path) -> Iterator[Mapping[str, Any]]:
    for _, job in jobs(path):
        yield from job["steps"]


def pins() -> dict[str, set[tuple[str, str]]]:
    """Action's repository -> (commit, version) of each use."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in GITHUB:
        for line in path.read_text(encoding="utf-8").splitlines():
            pinned = _PINNED.match(line)
            if pinned:
                repository = "/".join(pinned["action"].split("/")[:2])
                found.setdefault(repository, set()).add((pinned["commit"], pinned["version"]))
    return found


def test_the_workflows_are_here():
    assert [path.stem for path in OURS] == ["check", "docs", "release"]


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if _USES.match(line)]
    assert lines
    assert [line for line in lines if not _PINNED.match(line)] == []


def test_each_action_has_one_commit():
    assert {action: uses for action, uses in pins().items() if len(uses) != 1} == {}


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_permissions_are_granted_by_job(path):
    assert load(path)["permissions"] == {}
    for name, job in jobs(path):
        granted = job["permissions"]
        more = {kind: access for kind, access in granted.items() if (kind, access) != ("contents", "read")}
        assert {(path.stem, name, kind) for kind in more} <= GRANTED.keys(), name
        assert set(more.values()) <= {"write"}


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_each_job_has_a_time_limit(path):
    limits = {name: job.get("timeout-minutes", 0) for name, job in jobs(path)}
    assert {name: limit for name, limit in limits.items() if not 1 <= limit <= 90} == {}


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_no_checkout_keeps_its_token(path):
    kept = [step for step in steps(path) if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert [step for step in kept if step.get("with", {}).get("persist-credentials") is not False] == []


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_no_command_contains_an_expression(path):
    """What others may write (a branch's name) would run as a part of the command; a variable is only a value."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_a_second_attempt_can_write(path):
    """Caches have keys of each attempt, and artifacts are replaced."""
    for step in steps(path):
        action = str(step.get("uses", "")).partition("@")[0]
        if action == "actions/cache/save":
            assert step["with"]["key"].endswith("-${{ github.run_id }}-${{ github.run_attempt }}")
        elif action == "actions/upload-artifact":
            assert step["with"].get("overwrite") is True, step["name"]
        assert action != "actions/cache", "saves in each run, also in that of a pull request"


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_only_main_writes_caches(path):
    conditions = [step.get("if", "") for step in steps(path) if "cache/save" in str(step.get("uses"))]
    assert all("github.ref == 'refs/heads/main'" in each for each in conditions)


def test_a_release_restores_no_cache_and_begins_with_a_tag():
    release = ROOT / ".github/workflows/release.yml"
    assert load(release)[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads "on" as true
    assert [step for step in steps(release) if "cache" in str(step.get("uses"))] == []
    needed = load(release)["jobs"]["publish"]["needs"]
    assert sorted([*needed, "publish"]) == sorted(load(release)["jobs"])


def test_the_matrix_is_that_of_the_makefile():
    test = load(ROOT / ".github/workflows/check.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert (test["python"], test["pytest"]) == ([*matrix.PYTHONS], [*matrix.PYTESTS])
    assert test["os"] == ["ubuntu-latest", "macos-latest"]
    newest = re.search(r"^PYTEST_VERSION \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == matrix.PYTESTS[-1]
    classifiers = load_toml(ROOT / "pyproject.toml")["project"]["classifiers"]
    versions = [line.rpartition(" ")[2] for line in classifiers if re.search(r":: 3\.\d+$", line)]
    assert versions == [*matrix.PYTHONS]


def test_the_job_that_a_branch_requires_needs_all_others():
    checked = load(ROOT / ".github/workflows/check.yml")["jobs"]
    assert sorted(checked["checked"]["needs"]) == sorted(checked.keys() - {"checked"})
    (step,) = checked["checked"]["steps"]
    assert step["run"] == f'test "$RESULTS" = "{" ".join(["success"] * len(checked["checked"]["needs"]))}"'


def test_every_target_that_a_workflow_makes_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = {
        word
        for path in OURS
        for step in steps(path)
        for line in str(step.get("run", "")).splitlines()
        if line.startswith("make ")
        for word in line.split()[1:]
        if "=" not in word
    }
    assert made
    assert {target for target in made if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_jobs_of_other_services_have_a_time_limit():
    """CircleCI has none for a job: it ends a job that prints nothing for ten minutes."""
    assert load(EXAMPLES / "gitlab-ci.yml")["default"]["timeout"] == "1 hour"
    for step in load(EXAMPLES / "buildkite.yml")["steps"]:
        if "label" in step:
            assert 1 <= step["timeout_in_minutes"] <= 90
