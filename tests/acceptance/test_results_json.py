"""``--hotreload-json``: the outcome of each test, after every kind of end."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from pytest_hotreload.ci.results_file import declared, mismatch

from . import sample
from .keeping import Kept
from .watching import HUNG

OUTCOMES = set(declared()["properties"]["tests"]["items"]["properties"]["outcome"]["enum"])


def document(result, name="out.json"):
    """What a run wrote: pure ASCII, valid by the schema, nothing left beside it."""
    path = result.root / name
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(path.name)] == [path.name]
    found = json.loads(path.read_text(encoding="ascii"))
    assert mismatch(found, declared(), strict=True) == ""
    assert found["exitstatus"] == result.status
    return found


def outcomes(found):
    return {test["nodeid"]: test["outcome"] for test in found["tests"]}


def whole(found):
    """What merging relies on."""
    return len(found["tests"]) + len(found["deselected"]) == found["collected"]


def run(project, *args, slots=2, **how):
    return project.run("--hotreload-json=out.json", *args, slots=slots, **how)


def test_every_kind_of_outcome(project):
    project.write(sample.FILES)
    result = run(project)
    found = document(result)
    phases = {nodeid: {outcome for _, outcome in each} for nodeid, each in result.outcomes.items()}
    expected = {}
    for nodeid, each in result.outcomes.items():
        bad = [when for when, outcome in each if outcome == "failed"]
        others = phases[nodeid] - {"passed", "failed"}
        expected[nodeid] = (
            ("failed" if "call" in bad else "error") if bad else others.pop() if others else "passed"
        )
    assert outcomes(found) == expected
    assert set(expected.values()) == OUTCOMES - {"rerun"}
    assert [test["nodeid"] for test in found["tests"]] == result.order
    assert whole(found)
    assert (found["stopped"], found["left_to_plain"], found["plan"], found["errors"]) == (
        None,
        None,
        None,
        [],
    )
    assert {test["nodeid"] for test in found["tests"] if "text" in test} == {
        nodeid for nodeid, outcome in expected.items() if outcome in ("failed", "error")
    }
    files = [name for name in sample.FILES if name.rpartition("/")[2].startswith("test_")]
    counts = {file: sum(nodeid.startswith(f"{file}::") for nodeid in expected) for file in files}
    assert {each["file"]: each["tests"] for each in found["files"]} == counts
    assert counts["sub/test_skipped_module.py"] == 0


IDS = {
    "test_ids.py": """\
        import pytest

        @pytest.mark.parametrize(
            "x", ["a b", "[x]::y/z", "", "\\u00e9\\u4e2d", "\\x00", "%0A\\n", "\\udc80", "tab\\t", '"\\\\']
        )
        def test_ids(x):
            assert x != "a b"
        """,
    "pytest.ini": "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true\n",
}


def test_odd_ids(project):
    project.write(IDS)
    result = run(project, "-p", "no:cacheprovider")
    found = document(result)
    assert len(found["tests"]) == 9
    assert list(outcomes(found).values()) == ["failed"] + ["passed"] * 8
    assert {"test_ids.py::test_ids[\udc80]", "test_ids.py::test_ids[%0A\n]"} <= outcomes(found).keys()


FLAKY = {
    "test_flaky.py": """\
        import pathlib

        def test_flaky():
            path = pathlib.Path("seen")
            if not path.exists():
                path.write_text("")
                assert 0

        def test_always():
            assert 0

        def test_fine(): pass
        """,
}


def test_reruns(project):
    pytest.importorskip("pytest_rerunfailures")
    project.plugins = ["rerunfailures"]
    project.write(FLAKY)
    found = document(run(project, "--reruns=1"))
    assert outcomes(found) == {
        "test_flaky.py::test_flaky": "rerun",
        "test_flaky.py::test_always": "failed",
        "test_flaky.py::test_fine": "passed",
    }
    assert whole(found)


SUBTESTS = """\
    import unittest

    class TestSub(unittest.TestCase):
        def test_some(self):
            for number in range(3):
                with self.subTest(number=number):
                    self.assertNotEqual(number, 1)

        def test_skips_one(self):
            with self.subTest():
                self.skipTest("one")
"""


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="subtests are pytest 9's")
def test_subtests(project):
    project.write({"test_sub.py": SUBTESTS})
    found = document(run(project))
    assert outcomes(found) == {
        "test_sub.py::TestSub::test_skips_one": "passed",
        "test_sub.py::TestSub::test_some": "failed",
    }
    assert "1 == 1" in found["tests"][1]["text"]  # unittest goes by name


TWO = {
    "test_a.py": "def test_one(): pass\ndef test_two(): assert 0\ndef test_three(): pass\n",
    "test_b.py": "def test_four(): pass\n",
}


def test_deselected_in_every_way(project):
    silent = (
        "def pytest_collection_modifyitems(items): items[:] = [i for i in items if i.name != 'test_three']\n"
    )
    project.write({**TWO, "conftest.py": silent})
    found = document(run(project, "-k", "not four"))
    assert outcomes(found) == {"test_a.py::test_one": "passed", "test_a.py::test_two": "failed"}
    assert sorted(found["deselected"]) == ["test_a.py::test_three", "test_b.py::test_four"]
    assert (found["collected"], found["stopped"]) == (4, None)


def test_nothing_collected(project):
    project.write({"test_none.py": "", "conftest.py": ""})
    found = document(run(project))
    assert (found["exitstatus"], found["collected"], found["tests"]) == (5, 0, [])
    assert [each["file"] for each in found["files"]] == ["test_none.py"]


def test_all_deselected(project):
    project.write(TWO)
    found = document(run(project, "-k", "nothing"))
    assert (found["exitstatus"], found["collected"], len(found["deselected"]), found["tests"]) == (
        5,
        4,
        4,
        [],
    )
    assert found["stopped"] is None


def test_collection_error(project):
    project.write({**TWO, "test_broken.py": "import surely_not_there\n"})
    found = document(run(project))
    assert found["exitstatus"] == 2
    assert found["tests"] == []
    assert [error["nodeid"] for error in found["errors"]] == ["test_broken.py"]
    assert "surely_not_there" in found["errors"][0]["text"]
    assert found["stopped"] == "1 error during collection"
    again = document(run(project, "--continue-on-collection-errors"))
    assert again["exitstatus"] == 1
    assert len(again["tests"]) == again["collected"] == 4
    assert again["stopped"] is None
    assert len(again["errors"]) == 1


def test_stopped_by_a_failure(project):
    project.write(TWO)
    found = document(run(project, "-x"))
    assert outcomes(found) == {"test_a.py::test_one": "passed", "test_a.py::test_two": "failed"}
    assert (found["exitstatus"], found["collected"]) == (1, 4)
    assert found["stopped"] == "stopping after 1 failures"


def test_a_usage_error_after_the_start(project):
    project.write(TWO)
    result = run(project, "no_such_file.py")
    found = document(result)
    assert (found["exitstatus"], found["tests"], found["stopped"]) == (4, [], "a usage error")


def test_an_internal_error(project):
    hook = "def pytest_collection_finish(): raise RuntimeError('of a plugin')\n"
    project.write({**TWO, "conftest.py": hook})
    found = document(run(project))
    assert found["exitstatus"] == 3
    assert [error["nodeid"] for error in found["errors"]] == [""]
    assert "of a plugin" in found["errors"][0]["text"]
    assert found["stopped"] == "an internal error"


def test_exit_of_a_test(project):
    project.write(
        {"test_a.py": "import pytest\ndef test_one(): pass\ndef test_two(): pytest.exit('enough', 7)\n"}
    )
    found = document(run(project))
    assert outcomes(found) == {"test_a.py::test_one": "passed"}
    assert (found["exitstatus"], found["collected"]) == (7, 2)
    assert found["stopped"].startswith("enough")


INTERRUPTED = {
    "test_a.py": """\
        import pathlib, time
        def test_done(): pass
        def test_long():
            pathlib.Path("begun").write_text("")
            time.sleep(50)
        def test_never(): pass
        """,
}


def wait_for(path):
    until = time.monotonic() + HUNG
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert path.exists()


def test_interrupted(project, slots):
    project.write(INTERRUPTED)
    process = project.start("--hotreload-json=out.json", slots=slots, side="forks")
    wait_for(project.root("forks") / "begun")
    os.kill(process.pid, signal.SIGINT)
    found = document(project.finish(process, "forks"))
    assert outcomes(found) == {"test_a.py::test_done": "passed"}
    assert (found["exitstatus"], found["collected"]) == (2, 3)
    assert found["stopped"] == "KeyboardInterrupt"


def test_killed_it_leaves_nothing(project):
    """Least of all what an earlier run left."""
    project.write(INTERRUPTED)
    (project.root("forks") / "out.json").write_text("{}")
    process = project.start("--hotreload-json=out.json", slots=2, side="forks")
    wait_for(project.root("forks") / "begun")
    process.kill()
    process.communicate()
    assert [each.name for each in project.root("forks").glob("out.json*")] == []


def test_a_crash_is_a_failure(project):
    project.write({"test_a.py": "import os\ndef test_dies(): os._exit(3)\ndef test_after(): pass\n"})
    found = document(run(project))
    assert outcomes(found) == {"test_a.py::test_dies": "failed", "test_a.py::test_after": "passed"}
    assert whole(found)


def test_left_to_plain(project):
    pytest.importorskip("pytest_benchmark")
    project.plugins = ["benchmark"]
    project.write({"test_a.py": "def test_one(benchmark): benchmark(int)\ndef test_two(): assert 0\n"})
    found = document(run(project))
    assert outcomes(found) == {"test_a.py::test_one": "passed", "test_a.py::test_two": "failed"}
    assert found["left_to_plain"] == "pytest-benchmark keeps its results in the process"


def test_without_records(project):
    project.write(TWO)
    costs = {"imports", "collection"}
    found = document(run(project))
    assert all(costs <= each.keys() for each in found["files"])
    assert all(0 < each["imports"] <= each["collection"] for each in found["files"])
    found = document(run(project, "--no-cache"))
    assert len(found["tests"]) == 4
    assert not any(costs & each.keys() for each in found["files"])


def test_without_a_terminal(project):
    project.write(TWO)
    result = run(project, "-p", "no:terminal")
    assert result.raw == ""
    assert len(document(result)["tests"]) == 4


def test_files_that_collect_for_themselves(project):
    project.write(TWO)
    found = document(run(project, "--hotreload-isolate=strict"))
    assert (len(found["tests"]), found["collected"]) == (4, 4)


def test_one_id_twice(project):
    project.write(TWO)
    found = document(run(project, "--keep-duplicates", "test_b.py", "test_b.py"))
    assert [test["nodeid"] for test in found["tests"]] == ["test_b.py::test_four"] * 2
    assert whole(found)


def test_reused_by_what_the_report_says(project):
    """Whoever reuses a result says so by one report with an attribute."""
    reports = """\
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            if report.when == "setup" and "two" in report.nodeid:
                report.outcome, report.longrepr = "skipped", ("test_a.py", 1, "reused: ran 3 h ago at 9f1c24f")
                report.reused = {"at": "2026-01-01T00:00:00+00:00", "revision": "9f1c24f"}
        """
    project.write({"conftest.py": reports, "test_a.py": "def test_one(): pass\ndef test_two(): pass\n"})
    found = document(run(project))
    reused = {"at": "2026-01-01T00:00:00+00:00", "revision": "9f1c24f"}
    assert {test["nodeid"]: test["reused"] for test in found["tests"]} == {
        "test_a.py::test_one": None,
        "test_a.py::test_two": reused,
    }


def test_it_implies_hotreload(project):
    project.write(TWO)
    command = project.command(["--hotreload-json=deep/er/out.json"], None)
    result = project.run(*command[3:], slots=None)
    assert len(document(result, "deep/er/out.json")["tests"]) == 4
    assert result.notices[0].startswith("hotreload: python ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--hotreload-json=x.json", "--no-hotreload"],
            "--hotreload-json and --no-hotreload contradict each other; ",
        ),
        (
            ["--hotreload-json=test_a.py/x.json"],
            "the results file <root>/test_a.py/x.json can't be written (Not a ",
        ),
    ],
)
def test_a_users_mistake(project, arguments, said):
    project.write(TWO)
    result = project.run(*arguments, slots=None)
    assert result.status == 4
    (line,) = [each for each in result.errors if each]
    assert line.startswith(f"ERROR: hotreload: {said}")


def test_it_does_not_spoil_the_records(tmp_path):
    """A folder that appears at the root while tests run could be imported."""
    kept = Kept(tmp_path, {"test_a.py": "def test_one(): pass\n"})
    kept.run("--hotreload-json=new/results.json")
    assert (kept.root / "new/results.json").exists()
    assert kept.record("test_a.py")["settled"] is True


def test_unwritable_at_the_end(project):
    """It is said, and the run's own exit status stays."""
    project.write({"test_a.py": "import os\ndef test_one(): os.mkdir('out.json')\n"})
    result = run(project)
    assert result.status == 0
    assert result.errors == ["hotreload: the results file <root>/out.json can't be written (Is a directory)"]
