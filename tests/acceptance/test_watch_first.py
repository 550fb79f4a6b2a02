"""The start of a watch: the tests that run first, the accepted arguments, and the refused ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .commands import SETTLED_SECONDS
from .watching import HUNG, Watching, environment

_FILES = {
    "used.py": "VALUE = 1\n",
    "test_a.py": "import used\n\ndef test_a(): assert used.VALUE\n",
    "test_b.py": "def test_b(): pass\n",
}


def settle(root: Path) -> None:
    """As if all was written long ago, and runs were too: what is younger than 2 s makes a record unsettled."""
    import os
    import time

    for path in [root, *root.rglob("*")]:
        if ".pytest_cache" not in path.parts:
            os.utime(path, (1e9, 1e9))
    time.sleep(SETTLED_SECONDS)  # the time of the last change of an inode can't be set


@pytest.mark.slow
def test_the_second_watch_runs_what_is_changed_red_or_unknown(tmp_path: Path) -> None:
    # Bytecode that the first run writes changes folders in which modules are looked for.
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    with Watching(tmp_path, _FILES, environ=environ, arguments=["--co"], watch=["--hotreload"]) as collecting:
        assert collecting.ended() == 0
    settle(tmp_path / "project")
    with Watching(tmp_path, environ=environ) as watching:
        shown = watching.shown()
        assert "hotreload: 2 of 2 test files affected" in shown.lines
        assert shown.status == "PASS 2 passed"
        assert watching.end() == 0
    with Watching(tmp_path, environ=environ) as watching:
        shown = watching.shown()
        assert "hotreload: 0 of 2 test files affected" in shown.lines
        assert shown.ran == {}
        assert shown.status == "PASS no tests ran"
        shown = watching.after({"used.py": "VALUE = 0\n"})
        assert shown.rerun == "RERUN used.py → 1 of 2 test files"
        assert shown.ran == {"test_a.py::test_a": "failed"}
        assert watching.end() == 1
    with Watching(tmp_path, environ=environ) as watching:
        shown = watching.shown()
        assert shown.ran == {"test_a.py::test_a": "failed"}
        assert "  test_a.py: one of its tests failed" in shown.lines
        assert watching.end() == 1
    with Watching(tmp_path, environ=environ, arguments=["--watch-first=all"]) as watching:
        assert list(watching.shown().ran) == ["test_a.py::test_a", "test_b.py::test_b"]
        assert watching.end() == 1


def test_a_first_run_of_nothing(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES, ["--watch-first=none"]) as watching:
        shown = watching.shown()
        assert shown.ran == {}
        assert shown.lines[-1] == "watching, h for help"
        shown = watching.after({"test_b.py": "def test_other(): pass\n"})
        assert shown.ran["test_b.py::test_other"] == "passed"
        assert watching.end() == 0


def _refused(root: Path, arguments: Sequence[str], **environ: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "hotreload", *arguments],
        cwd=root,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    return [line for line in (done.stdout + done.stderr).splitlines() if line]


def test_what_is_refused(tmp_path: Path) -> None:
    assert _refused(tmp_path, ["--hotreload", "--watch"], CI="true") == [
        (
            "ERROR: hotreload: --watch never ends, but the variable CI is set; "
            "hint: leave --watch out, or add --watch-force"
        )
    ]
    assert _refused(tmp_path, ["--no-hotreload", "--watch"]) == [
        "ERROR: hotreload: --watch and --no-hotreload contradict each other; hint: leave one of the two out"
    ]
    assert _refused(tmp_path, ["--watch", "--hotreload-start=spawn"]) == [
        "ERROR: hotreload: --watch and --hotreload-start=spawn contradict each other; hint: leave one of the two out"
    ]


@pytest.mark.parametrize(
    "arguments",
    [["-k", "bad("], ["-m", "slow and"], ["-k", "not"], ["no_such_file.py"], ["test_a.py::no_such_test"]],
    ids=" ".join,
)
def test_what_pytest_refuses(tmp_path: Path, arguments: list[str]) -> None:
    """In its own words, with its own exit status."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_a.py").write_text("def test_a(): pass\n")
    plain = [line for line in _refused(tmp_path, ["-q", *arguments]) if "no tests ran" not in line]
    watched = _refused(tmp_path, ["-q", "--hotreload", "--watch", *arguments])
    assert watched[-len(plain) :] == plain


def test_settings_that_pytest_refuses(tmp_path: Path) -> None:
    """Of an edit: the watch waits for the next one."""
    with Watching(tmp_path, _FILES) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({"pytest.ini": "[pytest]\naddopts = -k 'bad('\n"})
        errors = [line for line in shown.lines if "ERROR" in line]
        assert len(errors) == 1
        assert errors[0].startswith("ERROR: Wrong expression passed to '-k': bad(: at column 5: expected ")
        assert shown.status == (
            "BLOCKED pytest refused to run. Fix the error above; hotreload retries on the next change"
        )
        assert watching.after({"pytest.ini": "[pytest]\n"}).status == "PASS 2 passed"
        assert watching.end() == 0


def test_a_watch_although_ci_is_set(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES, ["--watch-force"], environ={"CI": "true"}) as watching:
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after({"used.py": "VALUE = 2\n"}).status == "PASS 1 passed"
        assert watching.end() == 0


_TREE = {
    "a/test_one.py": "def test_one_x(): pass\ndef test_one_y(): pass\n",
    "b/test_two.py": "def test_two_x(): pass\ndef test_two_y(): pass\n",
    "c/test_three.py": "def test_three_x(): pass\n",
}


def test_arguments_and_filters_survive_reruns(tmp_path: Path) -> None:
    arguments = ["a", "b/test_two.py::test_two_x", "-k", "x"]
    with Watching(tmp_path, _TREE, arguments) as watching:
        assert list(watching.shown().ran) == ["a/test_one.py::test_one_x", "b/test_two.py::test_two_x"]
        shown = watching.after({"a/test_one.py": "def test_new_x(): pass\ndef test_new_y(): pass\n"})
        # A file of which not all runs has no record: it runs with every edit.
        assert list(shown.ran) == ["a/test_one.py::test_new_x", "b/test_two.py::test_two_x"]
        shown = watching.after({"b/test_two.py": "def test_two_x(): assert 1\ndef test_more_x(): pass\n"})
        assert list(shown.ran) == ["a/test_one.py::test_new_x", "b/test_two.py::test_two_x"]
        shown = watching.after({"c/test_three.py": "def test_three_x(): assert 0\n"})
        assert not any(nodeid.startswith("c/") for nodeid in shown.ran)
        assert watching.end() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--import-mode=importlib"],
        ["--no-cache"],
        ["-p", "no:cacheprovider"],
        ["--junitxml=report.xml"],
        ["-s"],
        ["-p", "xdist", "-n", "2"],
        ["--hotreload-slots=2"],
        ["--hotreload-isolate=test"],
        ["--hotreload-timeout=60"],
    ],
    ids=lambda arguments: arguments[-1].lstrip("-").replace("=", "-"),
)
def test_options(tmp_path: Path, arguments: list[str]) -> None:
    watch = ["--hotreload", "--watch", "-v"] + ([] if "-n" in arguments else ["--hotreload-slots=1"])
    files = {**_FILES, "conftest.py": "import sys, os\nsys.path.insert(0, os.path.dirname(__file__))\n"}
    with Watching(tmp_path, files, arguments, watch=watch) as watching:
        shown = watching.shown()
        assert shown.ran == {"test_a.py::test_a": "passed", "test_b.py::test_b": "passed"}
        for value, outcome in ((0, "failed"), (2, "passed")):
            shown = watching.after({"used.py": f"VALUE = {value}\n"})
            assert shown.ran["test_a.py::test_a"] == outcome
        shown = watching.after({"test_b.py": "def test_other(): pass\n"})
        assert shown.ran["test_b.py::test_other"] == "passed"
        assert shown.status.startswith("PASS")
        assert watching.end() == 0


def test_the_first_failure_stops_a_rerun(tmp_path: Path) -> None:
    """What did not run is owed, and the end says so."""
    files = {"core.py": "V = 1\n"}
    files |= {f"test_{n}.py": "import core\n\ndef test_it(): assert core.V\n" for n in "abc"}
    with Watching(tmp_path, files, ["-x"]) as watching:
        assert watching.shown().status == "PASS 3 passed"
        shown = watching.after({"core.py": "V = 0\n"})
        assert shown.ran == {"test_a.py::test_it": "failed"}
        assert "2 test files without a result" in shown.status
        shown = watching.after({"core.py": "V = 2\n"})
        assert shown.status == "PASS 3 passed"
        assert watching.end() == 0
