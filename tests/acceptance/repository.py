"""A small repository for the jobs of ``examples/ci``, and the machine on which the jobs run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {f"tests/test_{name}.py": f"import lib\ndef test_{name}(): assert lib.VALUE\n" for name in "abcd"}
FILES = {
    **TESTS,
    "tests/test_e.py": "def test_e(): assert 1\ndef test_other(): pass\n",
    "lib.py": "VALUE = 1\n",
    "pytest.ini": "[pytest]\ntestpaths = tests\npythonpath = .\n",
    ".gitignore": ".pytest_cache\ntest-results\n__pycache__\n",
}
IDS = {f"tests/test_{name}.py::test_{name}" for name in "abcde"} | {"tests/test_e.py::test_other"}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def prepare(top: Path) -> tuple[Path, Path, dict[str, str]]:
    """The repository, the folder that it is in, and the environment of jobs: the programs are this interpreter's."""
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("there is no git, or no bash")
    repository = top / "repository"
    for name, text in FILES.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    git(top, "init", "-q", "-b", "main", str(repository))
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "all of it")
    programs = top / "bin"
    programs.mkdir()
    for name, module in (("pytest", "pytest"), ("pytest-hotreload", "pytest_hotreload_client")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_", "GITHUB_", "GITLAB_", "BUILDKITE", "CI"))
    }
    recorder = str(Path(__file__).with_name("recorder"))
    environ = {
        **kept,
        "PATH": f"{programs}:{kept['PATH']}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p hotreload -p hotreload_young --hotreload-slots=1",
        "PYTHONPATH": os.pathsep.join([recorder, *filter(None, [kept.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
    }
    return repository, top, environ
