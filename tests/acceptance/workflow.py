"""Runs the jobs of ``examples/ci`` here: their commands in order, each job in a clean clone.

As much of the services as those files use; what it does not know fails. Installing is left out: what is
installed here is what is tested.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
_EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")


def load(text: str) -> Any:
    return yaml.safe_load(text)


# ------------------------------------------------------------------------------------- jobs


def clone(repository: Path, folder: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(repository), str(folder)], check=True)


def shell(command: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and output of a step; installing does nothing."""
    if command == "pip install -r requirements.txt pytest-hotreload":
        return 0, ""
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@dataclass
class Job:
    """What became of one. ``output`` of each command by the name of its step; ``failed``: the names of steps."""

    folder: Path
    output: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@dataclass
class Service:
    """``caches``: key -> folder, the newest last; ``artifacts``: name -> folder."""

    repository: Path
    top: Path
    environ: Mapping[str, str]
    caches: dict[str, Path] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    run_id: int = 0
    attempt: int = 1
    ref: str = "refs/heads/main"

    def __post_init__(self) -> None:
        self.jobs = load((EXAMPLES / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]

    def begin(self) -> None:
        """Another run of the workflow."""
        self.run_id += 1
        self.attempt = 1
        self.artifacts.clear()

    def job(self, name: str, shard: int = 0) -> Job:
        folder = self.top / f"{self.run_id}-{self.attempt}-{name}-{shard}"
        job = Job(folder)
        values = {
            "matrix.shard": str(shard),
            "runner.os": "Linux",
            "github.run_id": str(self.run_id),
            "github.run_attempt": str(self.attempt),
            "github.ref": self.ref,
        }
        for step in self.jobs[name]["steps"]:
            if self._is_due(step.get("if"), job):
                self._step(step, job, values)
        return job

    def _is_due(self, condition: str | None, job: Job) -> bool:
        if condition is None:
            return not job.failed
        known = {
            "!cancelled()": True,
            f"github.ref == '{self.ref}'": True,
            "github.ref == 'refs/heads/main'": False,
        }
        terms = condition.removeprefix("${{ ").removesuffix(" }}").split(" && ")
        return all({**known, f"github.ref == '{self.ref}'": True}[term] for term in terms)

    def _step(self, step: Mapping[str, Any], job: Job, values: Mapping[str, str]) -> None:
        given = {
            name: _EXPRESSION.sub(lambda found: values[found[1]], value) if isinstance(value, str) else value
            for name, value in step.get("with", {}).items()
        }
        if "run" in step:
            variables = {
                name: _EXPRESSION.sub(lambda found: values[found[1]], value)
                for name, value in step.get("env", {}).items()
            }
            self._run(step["name"], step["run"], job, variables)
            return
        action = step["uses"].partition("@")[0].rpartition("/")[2]
        actions = {
            "checkout": self._checkout,
            "setup-python": lambda _job, _given: None,
            "restore": self._restore,
            "save": self._save,
            "upload-artifact": self._upload,
            "download-artifact": self._download,
        }
        actions[action](job, given)

    def _run(self, name: str, command: str, job: Job, variables: Mapping[str, str]) -> None:
        status, job.output[name] = shell(command, job.folder, {**self.environ, **variables})
        if status:
            job.failed.append(name)

    def _checkout(self, job: Job, _: Mapping[str, Any]) -> None:
        clone(self.repository, job.folder)

    # -- caches ------------------------------------------------------------------------------------

    def _restore(self, job: Job, given: Mapping[str, Any]) -> None:
        """The newest whose key begins so."""
        found = [key for key in self.caches if key.startswith(given["restore-keys"])]
        if found:
            shutil.copytree(self.caches[found[-1]], job.folder / given["path"])

    def _save(self, job: Job, given: Mapping[str, Any]) -> None:
        kept = self.top / "caches" / given["key"]
        if kept.exists():  # as the service, which never writes a key again
            return
        if (job.folder / given["path"]).exists():  # else the service warns
            shutil.copytree(job.folder / given["path"], kept)
            self.caches[given["key"]] = kept

    # -- artifacts ---------------------------------------------------------------------------------

    def _upload(self, job: Job, given: Mapping[str, Any]) -> None:
        """Hidden files are left out, and so are modes and times."""
        kept = self.top / "artifacts" / f"{self.run_id}-{given['name']}"
        if kept.exists():
            assert given.get("overwrite"), f"a second attempt cannot write {given['name']}"
            shutil.rmtree(kept)
        source = job.folder / given["path"]
        if not source.exists():
            return
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        base = source.parent if source.is_file() else source
        for path in files:
            name = path.relative_to(base)
            if not any(part.startswith(".") for part in name.parts):
                (kept / name).parent.mkdir(parents=True, exist_ok=True)
                (kept / name).write_bytes(path.read_bytes())
        self.artifacts[given["name"]] = kept

    def _download(self, job: Job, given: Mapping[str, Any]) -> None:
        to = job.folder / given["path"]
        if "name" in given:
            shutil.copytree(self.artifacts[given["name"]], to, dirs_exist_ok=True)
            return
        prefix = given["pattern"].removesuffix("*")
        for name, kept in self.artifacts.items():
            if name.startswith(prefix):
                shutil.copytree(kept, to / name)
