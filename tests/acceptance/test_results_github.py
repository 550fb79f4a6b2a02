"""Runs with ``GITHUB_ACTIONS``: annotations at the end of the output, and the step summary, once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from .watching import HUNG, Watching

FILES = {
    "tests/test_a.py": """\
        import pytest

        def test_fine(): pass

        @pytest.mark.parametrize("x", ["a,b:c"])
        def test_fails(x):
            print("```")
            assert not x, "100% wrong\\n::error::not a command"

        @pytest.fixture
        def broken():
            raise OSError("no <b>disk</b>")

        def test_errors(broken): pass
        """,
    "tests/test_b.py": """\
        import os

        def test_nested():
            assert os.environ["GITHUB_ACTIONS"] == "true"
        """,
}


@pytest.fixture
def github(project):
    """The project is in a folder of the repository, as in a monorepo."""
    project.environ.update(
        GITHUB_ACTIONS="true",
        GITHUB_WORKSPACE=str(project.top / "forks"),
        GITHUB_STEP_SUMMARY=str(project.top / "summary.md"),
    )
    project.write(FILES)
    return project


def commands(result):
    return [line for line in result.raw.splitlines() if line.startswith("::")]


def summary(project):
    return (project.top / "summary.md").read_text(encoding="utf-8")


def test_annotations_and_summary(github, slots):
    (github.top / "summary.md").write_text("of another step\n")
    result = github.run(slots=slots)
    where = "file=project/tests/test_a.py"
    said = "100%25 wrong%0A  ::error::not a command%0Aassert not 'a,b:c'"
    assert result.raw.splitlines()[-2:] == [
        f"::error {where},line=8,title=tests/test_a.py%3A%3Atest_fails[a%2Cb%3Ac]::AssertionError: {said}",
        f"::error {where},line=12,title=tests/test_a.py%3A%3Atest_errors::OSError: no <b>disk</b>",
    ]
    assert commands(result) == result.raw.splitlines()[-2:]
    text = summary(github)
    assert text.startswith("of another step\n### 1 failed, 2 passed, 1 error in ")
    assert text.count("###") == 1
    assert "<summary><code>tests/test_a.py::test_fails[a,b:c]</code></summary>" in text
    assert "E       OSError: no <b>disk</b>\n" in text
    assert "\n| <code>tests/test_b.py</code> | 1 | " in text


def test_beside_the_plugin_that_annotates(github):
    """That one annotates by itself; the summary is ours."""
    info = github.root("forks") / "pytest_github_actions_annotate_failures-0.1.dist-info"
    for name, text in {
        "METADATA": "Metadata-Version: 2.1\nName: pytest-github-actions-annotate-failures\nVersion: 0.1\n",
        "entry_points.txt": "[pytest11]\nannotate = annotate_failures\n",
    }.items():
        info.mkdir(exist_ok=True)
        (info / name).write_text(text)
    (github.root("forks") / "annotate_failures.py").write_text("")
    github.outside, github.plugins = ["."], ["annotate"]
    result = github.run(slots=2)
    assert commands(result) == []
    assert summary(github).startswith("### 1 failed, 2 passed, 1 error in ")


def test_more_than_are_shown(github):
    github.write(
        {
            "tests/test_many.py": """\
                import pytest

                @pytest.mark.parametrize("number", range(30))
                def test_many(number): assert 0
                """,
            "tests/test_z.py": "import surely_not_there\n",
        }
    )
    result = github.run("--continue-on-collection-errors", "-p", "no:terminal", slots=2)
    said = result.raw.splitlines()
    assert len(said) == 11
    assert said == commands(result)
    assert all(line.startswith("::error file=project/tests/test_") for line in said[:10])
    assert said[10] == "::notice::and 23 more failures"
    text = summary(github)
    assert text.startswith("### 31 failed, 2 passed, 2 errors in ")
    assert text.count("<details>") == 20
    assert "\n\nand 13 more failures\n\n" in text


def test_unwritable_summary(github):
    (github.top / "summary.md").mkdir()
    result = github.run("tests/test_b.py", slots=2)
    assert result.status == 0
    assert result.raw.splitlines()[-1] == "hotreload: GITHUB_STEP_SUMMARY can't be written (Is a directory)"


def test_a_pytest_in_a_test_says_nothing(github):
    github.write(
        {
            "tests/test_a.py": """\
                import subprocess, sys

                def test_runs_another(tmp_path):
                    (tmp_path / "test_inner.py").write_text("def test_inner(): assert 0")
                    command = [sys.executable, "-m", "pytest", "-p", "hotreload", "--hotreload", str(tmp_path)]
                    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
                    assert done.returncode == 1
                    assert "::error" not in done.stdout
                """
        }
    )
    result = github.run(slots=2)
    assert (result.status, commands(result)) == (0, [])
    assert summary(github).count("###") == 1


def test_a_watch_says_nothing_there(tmp_path: Path) -> None:
    """But its results file is that of the last rerun, as the JUnit file is."""
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    files = {"test_a.py": "def test_a(): assert 0\n", "test_b.py": "def test_b(): pass\n"}
    with Watching(tmp_path, files, ["--hotreload-json=out/r.json"], environ=environ) as watching:
        shown = watching.shown()
        assert shown.status == "FAIL 1 failed, 1 passed"
        hold(watching, {"test_a", "test_b"})
        again = watching.after({"test_a.py": "def test_new(): assert 1\n"})
        assert again.status == "PASS 1 passed"
        hold(watching, {"test_new"})
        assert "::error" not in shown.text + again.text
    assert not (tmp_path / "summary.md").exists()


def hold(watching: Watching, names: set[str]) -> None:
    """It is written when the session has ended, which the watch does not wait for."""
    path, until = watching.root / "out/r.json", time.monotonic() + HUNG
    found: set[str] = set()
    while found != names and time.monotonic() < until:
        if path.exists():
            tests = json.loads(path.read_text())["tests"]
            found = {test["nodeid"].partition("::")[2] for test in tests}
        time.sleep(0.02)
    assert found == names
