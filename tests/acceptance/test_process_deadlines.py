"""``--hotreload-timeout`` kills a hanging test from outside; a file without progress is named."""

from __future__ import annotations

import re
import time

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]

#: How a test may hang; each holds out against something.
HANGS = {
    "sleep": "time.sleep(300)",
    "C code that holds the lock": "ctypes.PyDLL(None).sleep(300)",
    "busy": "while True: pass",
    "signals ignored": "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(300)",
    "lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


@pytest.mark.parametrize("name", HANGS)
def test_a_test_over_its_time_is_ended_with_its_stacks(project, name):
    project.write({
        "test_a.py": f"""
            import ctypes, signal, threading, time

            def test_first(): pass

            def test_hangs():
                print("so far")
                {HANGS[name]}

            def test_last(): pass
        """,
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    ours = project.run("--hotreload-timeout=1", "-v", slots=2)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_hangs": [("call", "failed")],
        "test_a.py::test_last": PASSED,
        "test_b.py::test_other": PASSED,
    }
    report = next(e[4] for e in ours.events if e[:2] == ["report", "test_a.py::test_hangs"])
    first, _, stacks = report[1].partition("\n\n")
    assert first == (
        "the process of this test was killed: the test took longer than --hotreload-timeout=1 s during call"
    )
    assert re.search(r'File ".*test_a\.py", line 8 in test_hangs', stacks)
    if (
        name != "C code that holds the lock"
    ):  # the question wakes it, and it may have gone on when it is ended
        assert report[2] == [["Captured stdout call", "so far\n"]]
    assert ours.lines[-1] == "== 1 failed, 3 passed in TIME =="
    assert ours.status == 1


def test_the_stacks_of_all_threads_are_shown(project):
    project.write({
        "test_a.py": """
            import threading, time

            def waits_in_a_thread():
                time.sleep(300)

            def test_hangs():
                for _ in range(2):
                    threading.Thread(target=waits_in_a_thread).start()
                threading.Event().wait()
        """
    })  # fmt: skip
    ours = project.run("--hotreload-timeout=1", slots=1)
    assert len(re.findall(r"line 5 in waits_in_a_thread", ours.output)) == 2
    assert len(re.findall(r"^(Current thread|Thread) 0xADDRESS", ours.output, re.MULTILINE)) == 3


@pytest.mark.parametrize("phase", ["setup", "teardown"])
def test_a_fixture_over_its_time(project, phase):
    before, after = ("time.sleep(300)", "pass") if phase == "setup" else ("pass", "time.sleep(300)")
    project.write({
        "test_a.py": f"""
            import pytest, time

            @pytest.fixture
            def slow():
                {before}
                yield
                {after}

            def test_slow(slow): pass
            def test_last(): pass
        """
    })  # fmt: skip
    ours = project.run("--hotreload-timeout=1", slots=1)
    assert ours.outcomes["test_a.py::test_slow"][-1] == (phase, "failed")
    assert ours.outcomes["test_a.py::test_last"] == PASSED
    assert f"--hotreload-timeout=1 s during {phase}" in ours.output


def test_tests_within_the_limit_are_left_alone(project, slots):
    """The limit is each test's, not the file's."""
    project.write({
        "test_a.py": """
            import pytest, time

            @pytest.mark.parametrize("n", range(4))
            def test_quick(n): time.sleep(0.6)
        """
    })  # fmt: skip
    _, ours = project.same(slots=slots, extra=["--hotreload-timeout=2"])
    assert ours.lines[-1] == "== 4 passed in TIME =="


def test_the_first_limit_stops_a_run_under_x(project):
    project.write({
        "test_a.py": "import time\ndef test_hangs(): time.sleep(300)\ndef test_never(): pass\n",
    })  # fmt: skip
    ours = project.run("--hotreload-timeout=0.5", "-x", slots=1)
    assert ours.outcomes == {"test_a.py::test_hangs": [("call", "failed")]}
    assert ours.status == 1


def test_a_file_without_progress_is_named(project, slots):
    """After a minute; the tests make it less."""
    project.write({
        "conftest.py": """
            def pytest_configure():
                from pytest_hotreload.run import timeouts
                timeouts.SILENT_SECONDS = 0.7
        """,
        "tests/test_a.py": """
            import time

            def test_first(): pass
            def test_slow(): time.sleep(1.8)
        """,
    })  # fmt: skip
    ours = project.run(slots=slots)
    named = [each for each in ours.notices if "no progress" in each]
    assert len(named) == 2, "once, and once more after the same time"
    assert re.fullmatch(
        r"hotreload: tests/test_a\.py has made no progress for \d s; "
        r"it is running tests/test_a\.py::test_slow \(call\)",
        named[0],
    )
    assert ours.outcomes == {"tests/test_a.py::test_first": PASSED, "tests/test_a.py::test_slow": PASSED}
    assert ours.status == 0


@pytest.mark.slow
def test_a_thread_that_never_ends_does_not_hold_the_run(project):
    project.write({
        "test_a.py": """
            import threading, time

            def test_starts():
                threading.Thread(target=time.sleep, args=(300,)).start()
        """,
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    began = time.monotonic()
    ours = project.run(slots=2)
    assert time.monotonic() - began < 25
    assert ours.outcomes == {"test_a.py::test_starts": PASSED, "test_b.py::test_other": PASSED}
    assert ours.status == 0
