"""Runs ``pytest`` and ``pytest-hotreload`` in a project, as a user does."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import warm
from .compare import Project

#: What is younger than 2 s when a run begins makes a record unsettled.
SETTLED_SECONDS = 2.1


class Said(NamedTuple):
    """``lines``, ``errors``: of standard output and error; the root is ``<root>``."""

    status: int
    lines: list[str]
    errors: list[str]


def projects(top: Path, files: Mapping[str, Mapping[str, str]]) -> dict[str, Project]:
    """One project for each name, all of them old enough to be trusted."""
    made = {}
    for name, content in files.items():
        # A first run that writes bytecode changes each folder: what can be imported there is in doubt for 2 s.
        environ = {"PYTEST_ADDOPTS": "-p hotreload", "PYTHONDONTWRITEBYTECODE": "1"}
        made[name] = Project(top / name, environ=environ)
        made[name].write(content)
    time.sleep(SETTLED_SECONDS)
    return made


def say(project: Project, *words: str, cwd: str = ".", **environ: str) -> Said:
    """``words``: "pytest" or "pytest-hotreload", and its arguments."""
    program = {"pytest": "pytest", "pytest-hotreload": "pytest_hotreload.cli"}[words[0]]
    root = project.root("forks")
    command = [sys.executable, "-m", program, *words[1:]]
    started = warm.start(command, root / cwd, {**project._environ("forks"), **environ}, cold=project.cold)
    texts = started.communicate(timeout=60)
    out, err = (text.replace(str(root), "<root>").splitlines() for text in texts)
    return Said(started.wait(), out, err)


def run(project: Project, *arguments: str, status: int = 0) -> None:
    """An ordinary run, that writes records."""
    said = say(project, "pytest", "--hotreload", *arguments)
    assert said.status == status, said


def records(project: Project) -> Path:
    """Where they are."""
    return project.root("forks") / ".pytest_cache" / "d" / "hotreload" / "records-5"
