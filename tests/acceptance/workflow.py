"""Runs the jobs of ``examples/ci`` here: their commands in order, each job in a clean clone.

As much of YAML and of the services as those files use; what it does not know fails. Installing is left out: what is
installed here is what is tested.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
_EXPRESSION = re.compile(r"\$\{\{ ([\w.]+) \}\}")


# ------------------------------------------------------------------------------------- YAML


def load(text: str) -> Any:
    """Block mappings and lists, literal and folded blocks, plain and quoted scalars, lists in brackets, anchors."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [(at, line) for at, line in enumerate(lines) if line.strip() and not line.strip().startswith("#")]
    return _Reader(lines, kept).block(0)


class _Reader:
    def __init__(self, lines: list[str], kept: list[tuple[int, str]]) -> None:
        self.lines, self.kept, self.at = lines, kept, 0
        self.anchors: dict[str, Any] = {}

    def block(self, indent: int) -> Any:
        found: Any = None
        while self.at < len(self.kept):
            number, line = self.kept[self.at]
            deep = len(line) - len(line.lstrip())
            if deep < indent:
                break
            assert deep == indent, line
            if line.lstrip().startswith("- "):
                found = [] if found is None else found
                found.append(self._item(number, line, indent))
            else:
                found = {} if found is None else found
                key, _, value = line.strip().partition(":")
                self.at += 1
                found[key] = self._value(value.strip(), number, indent)
        return found

    def _item(self, number: int, line: str, indent: int) -> Any:
        text = line.strip().removeprefix("- ")
        if re.match(r"[\w-]+:( |$)", text):
            self.kept[self.at] = (number, line.replace("- ", "  ", 1))
            return self.block(indent + 2)
        self.at += 1
        return self._value(text, number, indent)

    def _value(self, value: str, number: int, indent: int) -> Any:
        if value.startswith("&"):
            self.anchors[value[1:]] = found = self._value("", number, indent)
            return found
        if value.startswith("*"):
            return self.anchors[value[1:]]
        if value == "|":
            return "\n".join(self._literal(number, indent))
        if value == ">-":
            return " ".join(self._literal(number, indent))
        if value.startswith("["):
            return [_scalar(each.strip()) for each in value.strip("[]").split(",")]
        if value:
            return _scalar(value)
        deeper = self.at < len(self.kept) and _indent(self.kept[self.at][1]) > indent
        return self.block(_indent(self.kept[self.at][1])) if deeper else None

    def _literal(self, number: int, indent: int) -> Iterator[str]:
        rest = self.lines[number + 1 :]
        for line in rest:
            if line and _indent(line) <= indent:
                break
            yield line.strip()
        while self.at < len(self.kept) and _indent(self.kept[self.at][1]) > indent:
            self.at += 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _scalar(text: str) -> Any:
    return int(text) if text.isdigit() else text.strip('"')


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
    ref: str = "refs/heads/main"

    def __post_init__(self) -> None:
        self.jobs = load((EXAMPLES / "github-actions.yml").read_text(encoding="utf-8"))["jobs"]

    def begin(self) -> None:
        """Another run of the workflow."""
        self.run_id += 1
        self.artifacts.clear()

    def job(self, name: str, shard: int = 0) -> Job:
        folder = self.top / f"{self.run_id}-{name}-{shard}"
        job = Job(folder)
        values = {
            "matrix.shard": str(shard),
            "runner.os": "Linux",
            "github.run_id": str(self.run_id),
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
            self._run(step["name"], _EXPRESSION.sub(lambda found: values[found[1]], step["run"]), job)
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

    def _run(self, name: str, command: str, job: Job) -> None:
        status, job.output[name] = shell(command, job.folder, self.environ)
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
        if (job.folder / given["path"]).exists():  # else the service warns
            shutil.copytree(job.folder / given["path"], kept)
            self.caches[given["key"]] = kept

    # -- artifacts ---------------------------------------------------------------------------------

    def _upload(self, job: Job, given: Mapping[str, Any]) -> None:
        """Hidden files are left out, and so are modes and times."""
        kept = self.top / "artifacts" / f"{self.run_id}-{given['name']}"
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
