"""Only the test that kills its process fails; the remaining tests of its file run in a new child."""

from __future__ import annotations

import re
from random import Random

import pytest

#: The way to die, and how the report words it.
DEATHS = {
    "segfault": ("ctypes.string_at(0)", "was killed by SIGSEGV (signal 11)"),
    "exit 0": ("os._exit(0)", "ended with exit status 0"),
    "exit 3": ("os._exit(3)", "ended with exit status 3"),
    "abort": ("os.abort()", "was killed by SIGABRT (signal 6)"),
    "kill": ("os.kill(os.getpid(), 9)", "was killed by SIGKILL (signal 9)"),
}
PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]


def dying(statement: str) -> dict[str, str]:
    return {
        "test_a.py": f"""
            import ctypes, os, sys

            def test_before(): pass

            def test_dies():
                print("said on stdout")
                print("said on stderr", file=sys.stderr)
                {statement}

            def test_after(): pass
            def test_last(): pass
        """,
        "test_b.py": "def test_other(): pass\n",
    }


def text_of(result, nodeid: str) -> str:
    """The failure's text."""
    return "\n".join(e[4][1] for e in result.events if e[:2] == ["report", nodeid] and e[3] == "failed")


def sections_of(result, nodeid: str) -> list[list[str]]:
    return next(e[4][2] for e in result.events if e[:2] == ["report", nodeid] and e[3] == "failed")


@pytest.mark.parametrize(("statement", "words"), DEATHS.values(), ids=DEATHS)
def test_death_in_a_test_fails_that_test_alone(project, slots, statement, words):
    project.write(dying(statement))
    ours = project.run("-v", slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_before": PASSED,
        "test_a.py::test_dies": [("call", "failed")],
        "test_a.py::test_after": PASSED,
        "test_a.py::test_last": PASSED,
        "test_b.py::test_other": PASSED,
    }
    text = text_of(ours, "test_a.py::test_dies")
    assert text.splitlines()[0] == f"the process of this test {words} during call"
    assert sections_of(ours, "test_a.py::test_dies") == [
        ["Captured stdout call", "said on stdout\n"],
        ["Captured stderr call", "said on stderr\n"],
    ]
    assert ours.lines[-1] == "== 1 failed, 4 passed in TIME =="
    assert ours.lines[-2].startswith("FAILED test_a.py::test_dies")  # pytest 9 adds the text
    assert [line.split(" [")[0].rstrip() for line in ours.lines if "%]" in line] == [
        "test_a.py::test_before PASSED",
        "test_a.py::test_dies FAILED",
        "test_a.py::test_after PASSED",
        "test_a.py::test_last PASSED",
        "test_b.py::test_other PASSED",
    ]
    # A signal may be the fork's own fault: such a test gets a second try, in a process of its own.
    again = [
        line
        for line in ours.notices
        if "the test ran again in a fresh process, and that result is used" in line
    ]
    by_signal = words.startswith("was killed")
    assert len(again) == by_signal
    assert ours.notices[-1].startswith(f"hotreload: 2 files in {3 + by_signal} children")
    assert ours.status == 1


@pytest.mark.parametrize("name", ["segfault", "abort"])
def test_faulthandlers_text_is_in_the_report(project, name):
    statement, _ = DEATHS[name]
    project.write(dying(statement))
    text = text_of(project.run(slots=1), "test_a.py::test_dies")
    fatal = {"segfault": "Segmentation fault", "abort": "Aborted"}[name]
    assert f"Fatal Python error: {fatal}" in text
    assert re.search(r'File ".*test_a\.py", line 9 in test_dies', text)


@pytest.mark.parametrize(
    ("phase", "reports", "words"),
    [
        ("setup", [("setup", "failed")], "during setup"),
        ("teardown", [("setup", "passed"), ("call", "passed"), ("teardown", "failed")], "during teardown"),
    ],
)
def test_death_in_a_fixture_is_an_error_of_that_phase(project, slots, phase, reports, words):
    before, after = ("os._exit(5)", "pass") if phase == "setup" else ("pass", "os._exit(5)")
    project.write({
        "test_a.py": f"""
            import os, pytest

            @pytest.fixture
            def deadly():
                {before}
                yield
                {after}

            def test_first(): pass
            def test_dies(deadly): pass
            def test_after(): pass
        """
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_dies": reports,
        "test_a.py::test_after": PASSED,
    }
    assert text_of(ours, "test_a.py::test_dies") == (
        f"the process of this test ended with exit status 5 {words}"
    )
    counts = "2 passed, 1 error" if phase == "setup" else "3 passed, 1 error"
    assert ours.lines[-1] == f"== {counts} in TIME =="
    assert ours.status == 1


def test_death_after_the_last_test_is_an_error_of_that_test(project, slots):
    project.write({
        "test_a.py": """
            import atexit, os

            def test_first(): pass
            def test_last(): atexit.register(os._exit, 0)
        """,
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_last": [*PASSED, ("teardown", "failed")],
        "test_b.py::test_other": PASSED,
    }
    assert text_of(ours, "test_a.py::test_last") == (
        "the process of this test ended with exit status 0 after the last test"
    )
    assert ours.lines[-1] == "== 3 passed, 1 error in TIME =="
    assert ours.status == 1


def test_death_in_a_module_fixtures_teardown(project, slots):
    project.write({
        "test_a.py": """
            import os, pytest

            @pytest.fixture(scope="module")
            def deadly():
                yield
                os.kill(os.getpid(), 9)

            def test_first(deadly): pass
            def test_last(deadly): pass
        """,
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_last": [("setup", "passed"), ("call", "passed"), ("teardown", "failed")],
    }
    assert "was killed by SIGKILL (signal 9) during teardown" in text_of(ours, "test_a.py::test_last")
    assert ours.status == 1


def test_death_between_two_tests_fails_the_one_that_never_began(project, slots):
    project.write({
        "conftest.py": """
            import os

            def pytest_runtest_protocol(item):
                if item.name == "test_second":
                    os._exit(7)
        """,
        "test_a.py": "def test_first(): pass\ndef test_second(): pass\ndef test_third(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_second": [("call", "failed")],
        "test_a.py::test_third": PASSED,
    }
    assert text_of(ours, "test_a.py::test_second") == (
        "the process of this test ended with exit status 7 before its setup"
    )


def test_every_test_of_a_file_dies(project, slots):
    project.write({
        "test_a.py": """
            import os, pytest

            @pytest.mark.parametrize("n", range(4))
            def test_dies(n): os._exit(n)
        """,
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {f"test_a.py::test_dies[{n}]": [("call", "failed")] for n in range(4)}
    assert ours.lines[-1] == "== 4 failed in TIME =="


def test_sys_exit_in_a_test_is_an_ordinary_failure(project, slots):
    project.write({
        "test_a.py": """
            import sys

            def test_zero(): sys.exit(0)
            def test_text(): sys.exit("away")
            def test_after(): pass
        """,
    })  # fmt: skip
    _, ours = project.same("-v", slots=slots)
    assert [each[-1] for each in ours.outcomes.values()] == [("teardown", "passed")] * 3
    assert ours.lines[-1] == "== 2 failed, 1 passed in TIME =="


def test_junit_counts_it(project, slots):
    project.write(dying("os._exit(0)"))
    ours = project.run("--junitxml=junit.xml", slots=slots)
    xml = ours.read("junit.xml")
    assert 'errors="0" failures="1" skipped="0" tests="5"' in xml
    assert '<failure message="the process of this test ended with exit status 0 during call">' in xml


def test_stop_at_the_first_failure_counts_a_death(project, slots):
    project.write(dying("os._exit(0)"))
    ours = project.run("-x", slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_before": PASSED,
        "test_a.py::test_dies": [("call", "failed")],
    }
    assert "stopping after 1 failures" in ours.output
    assert ours.lines[-1] == "== 1 failed, 1 passed in TIME =="
    assert ours.status == 1


def test_a_death_leaves_session_fixtures_to_a_new_child(project, slots):
    """The rest of the file sets up what the dead process had."""
    project.write({
        "conftest.py": """
            import os, pytest

            @pytest.fixture(scope="session")
            def server():
                with open("server.txt", "a") as file: print("up", file=file)
                yield
                with open("server.txt", "a") as file: print("down", file=file)
        """,
        "test_a.py": """
            import os

            def test_first(server): pass
            def test_dies(server): os._exit(0)
            def test_last(server): pass
        """,
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.read("server.txt").split() == ["up", "up", "down"]
    assert ours.lines[-1] == "== 1 failed, 2 passed in TIME =="


#: What a test does -> its phases and outcomes.
_FATES = {
    "passes": ("pass", PASSED),
    "fails": ("assert 0", [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]),
    "aborts": ("os.abort()", [("call", "failed")]),
    "exits": ("os._exit(3)", [("call", "failed")]),
    "aborts in setup": ("os.abort()", [("setup", "failed")]),
}
_FATAL = {"aborts", "exits", "aborts in setup"}


def _file_of(fates: tuple[str, ...]) -> str:
    text = "import os, pytest\n@pytest.fixture\ndef fatal(): os.abort()\n"
    for number, fate in enumerate(fates):
        fixture = "fatal" if fate == "aborts in setup" else ""
        text += f"def test_{number}({fixture}): {_FATES[fate][0]}\n"
    return text


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("isolate", ["file", "test", "worker"])
def test_several_deaths(project, slots, isolate, seed):
    """In one process, in one file and in files that follow: each fatal test fails, and every other has its outcome."""
    random = Random(seed)
    files = {f"test_{name}.py": tuple(random.choices(list(_FATES), k=3)) for name in "abc"}
    files["test_a.py"] = (*random.sample(sorted(_FATAL), 2), "passes")
    project.write({name: _file_of(fates) for name, fates in files.items()})
    ours = project.run(f"--hotreload-isolate={isolate}", slots=slots)
    assert ours.outcomes == {
        f"{name}::test_{number}": _FATES[fate][1]
        for name, fates in files.items()
        for number, fate in enumerate(fates)
    }
    assert (ours.status, ours.errors) == (1, [])
    again = [line.partition(";")[0] for line in ours.notices if "ran again in a fresh process" in line]
    signalled = {
        f"hotreload: {name}: the process of test_{number} was killed by SIGABRT (signal 6)"
        for name, fates in files.items()
        for number, fate in enumerate(fates)
        if fate.startswith("aborts")
    }
    assert (set(again), len(again)) == (signalled, len(signalled))
