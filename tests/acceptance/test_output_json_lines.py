"""``--hotreload-json-lines`` and ``run --json``: one line for each failure, and one for the run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from .serving import Place

FILES = {
    "shop.py": "def price(n):\n    return 10 / n\n",
    "test_a.py": """\
import unittest

import pytest

from shop import price

def test_passes(): print("said")
def test_fails():
    print("before")
    assert [1, 2] == [1, price(10)]
def test_raises(): price(0)
@pytest.fixture
def broken(): raise RuntimeError("no database")
def test_setup(broken): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert 0
class TestUnit(unittest.TestCase):
    def test_equal(self): self.assertEqual(1, 2)
    def test_subtests(self):
        for n in range(2):
            with self.subTest(n=n): assert n
""",
    "test_b.py": "def test_long(): assert 'x' * 5000 == ''\n",
}
MESSAGE = (
    "AssertionError: assert [1, 2] == [1, 1.0]\n  \n  At index 1 diff: 2 != 1.0\n  Use -v to get more diff"
)
FAILURES = [
    {
        "test": "test_a.py::test_fails",
        "file": "test_a.py",
        "line": 10,
        "code": "assert [1, 2] == [1, price(10)]",
        "message": MESSAGE.removeprefix("AssertionError: "),
    },
    {
        "test": "test_a.py::test_raises",
        "file": "shop.py",
        "line": 2,
        "code": "return 10 / n",
        "message": "ZeroDivisionError: division by zero",
        "frames": ["test_a.py:11: def test_raises(): price(0)", "shop.py:2: return 10 / n"],
    },
    {
        "test": "test_a.py::test_setup",
        "when": "setup",
        "file": "test_a.py",
        "line": 13,
        "code": 'def broken(): raise RuntimeError("no database")',
        "message": "RuntimeError: no database",
    },
    {
        "test": "test_a.py::TestUnit::test_equal",
        "file": "test_a.py",
        "line": 20,
        "code": "def test_equal(self): self.assertEqual(1, 2)",
        "message": "AssertionError: 1 != 2",
    },
    {
        "test": "test_a.py::TestUnit::test_subtests",
        "subtest": "(n=0)",
        "file": "test_a.py",
        "line": 23,
        "code": "with self.subTest(n=n): assert n",
        "message": "AssertionError: assert 0",
    },
]
SUMMARY = {"status": 1, "failed": 5, "passed": 2, "errors": 1, "skipped": 1, "xfailed": 1}


def lines(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(failures, the line about the run without its duration); every line is JSON."""
    *failures, summary = [json.loads(line) for line in text.splitlines()]
    assert 0 <= summary.pop("seconds") < 60
    return failures, summary


@pytest.mark.parametrize("isolation", ["", "--hotreload-isolate=strict"])
def test_failures(project, slots, isolation):
    project.write(FILES)
    plain, ours = project.both("--hotreload-json-lines", slots=slots, extra=[isolation] if isolation else [])
    failures, summary = lines(ours.raw)
    long = failures.pop()
    known = [dict(each) for each in FAILURES]
    assert [each for each in failures if "subtest" not in each] == [
        each for each in known if "subtest" not in each
    ]
    assert long["message"].startswith("AssertionError: assert 'xxx")
    assert summary == SUMMARY
    assert lines(plain.raw)[1] == SUMMARY
    assert lines(plain.raw)[0][:-1] == failures
    assert (ours.status, plain.status) == (1, 1)
    assert not ours.errors


def test_a_run_without_failures(project, slots):
    project.write({"test_a.py": "def test_a(): print('said')\n"})
    ours = project.run("--hotreload-json-lines", "-s", slots=slots)
    *said, summary = ours.raw.splitlines()
    assert said == ["said"]  # what -s shows goes to the same stream
    assert lines(summary) == ([], {"status": 0, "passed": 1})


def test_a_file_that_cannot_be_collected(project, slots):
    project.write({"test_a.py": "import not_there\n"})
    _, ours = project.both("--hotreload-json-lines", slots=slots)
    (failure,), summary = lines(ours.raw)
    assert (failure["test"], failure["when"]) == ("test_a.py", "collect")
    assert "No module named 'not_there'" in failure["message"]
    assert summary == {"status": 2, "errors": 1}


def test_an_environment_inside_the_project_is_not_its_code(project, slots):
    project.write({
        ".venv/lib/site-packages/library.py": "def divide(n): return 1 / n\n",
        "pytest.ini": "[pytest]\npythonpath = .venv/lib/site-packages\n",
        "test_a.py": "import library\ndef test_a(): library.divide(0)\n",
    })  # fmt: skip
    _, ours = project.both("--hotreload-json-lines", slots=slots)
    (failure,), _ = lines(ours.raw)
    assert (failure["file"], failure["line"], failure["code"]) == (
        "test_a.py",
        2,
        "def test_a(): library.divide(0)",
    )
    assert failure["frames"][-1] == ".venv/lib/site-packages/library.py:1: def divide(n): return 1 / n"


def test_a_death(project, slots):
    project.write({"test_a.py": "import os\ndef test_dies(): os._exit(3)\ndef test_b(): pass\n"})
    ours = project.run("--hotreload-json-lines", slots=slots)
    (failure,), summary = lines(ours.raw)
    assert failure["test"] == "test_a.py::test_dies"
    assert failure["message"].startswith("the process of this test ended with exit status 3 during call")
    assert summary == {"status": 1, "failed": 1, "passed": 1}


def test_warnings_of_ours(project, slots):
    """What hotreload warns of is a part of the last line."""
    project.write({
        "test_a.py": """
            import subprocess, sys
            def test_a(): subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=-3, stderr=-3)
        """
    })  # fmt: skip
    _, summary = lines(project.run("--hotreload-json-lines", slots=slots).raw)
    (warning,) = summary["warnings"]
    assert warning.startswith("test_a.py left 1 process behind; killed: ")


def test_usage_errors(project, slots):
    project.write(FILES)
    ours = project.run("--hotreload-json-lines", "nowhere.py", slots=slots)
    assert lines(ours.raw) == ([], {"status": 4})
    assert [line for line in ours.errors if line] == ["ERROR: file or directory not found: nowhere.py"]


def test_run_json(tmp_path):
    """The option of the client, attached and cold."""
    with Place(tmp_path, FILES) as place:
        cold = place.say("run", "--json", "test_a.py::test_raises")
        place.serve()
        attached = place.say("run", "--json", "test_a.py::test_raises")
        assert cold.err == "hotreload: no watch or serve in this project: starting a cold run\n"
        assert attached.err == ""
        for ran in (cold, attached):
            assert ran.status == 1
            assert lines(ran.out) == ([FAILURES[1]], {"status": 1, "failed": 1})


def test_a_conftest_that_replaces_what_writes_json(project, slots):
    project.write({
        "conftest.py": """
            import json

            def fails(*args, **kwargs):
                raise RuntimeError("replaced")

            json.dumps = fails
        """,
        "test_a.py": "def test_fails(): assert 0\n",
    })  # fmt: skip
    # Without the recorder, which writes JSON, too.
    command = [sys.executable, "-m", "pytest", "-p", "hotreload", "--hotreload", "--hotreload-json-lines"]
    done = subprocess.run(
        [*command, f"--hotreload-slots={slots}"],
        cwd=project.root("forks"),
        env=project._environ("forks"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("test") for line in lines] == ["test_a.py::test_fails", None]
    assert (done.returncode, lines[-1]["failed"]) == (1, 1)
