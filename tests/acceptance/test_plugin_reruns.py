"""pytest-rerunfailures and pytest-timeout: repeated tests and stopped tests."""

from __future__ import annotations

import re

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]

FLAKY = {
    "test_a.py": """
        import pytest

        tries = []

        def test_third_time():
            tries.append(1)
            print("try", len(tries))
            assert len(tries) == 3

        def test_never(): assert 0
        def test_always(): pass
    """,
    "test_b.py": """
        import pytest

        tries = []

        @pytest.mark.flaky(reruns=1)
        def test_marked():
            tries.append(1)
            assert len(tries) == 2

        @pytest.fixture
        def breaks():
            tries.append(1)
            if len(tries) < 5: raise RuntimeError("not yet")

        def test_setup(breaks): pass

        @pytest.mark.flaky(reruns=2, only_rerun="ValueError")
        def test_only(): assert 0
    """,
}


@pytest.fixture
def flaky(project):
    pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")
    project.plugins = ["pytest_rerunfailures"]
    project.write(FLAKY)
    return project


@pytest.mark.parametrize(
    "options", ["--reruns=2 -v", "--reruns=3 -rR", "--reruns=1 --junitxml=junit.xml", "-v", "--reruns=2 -x"]
)
def test_reruns_are_plain_pytests(flaky, slots, options):
    _, ours = flaky.same(*options.split(), slots=slots)
    assert ours.status == 1


def test_counts_of_reruns(flaky, slots):
    ours = flaky.run("--reruns=2", slots=slots)
    assert ours.lines[-1] == "== 2 failed, 4 passed, 7 rerun in TIME =="
    assert [when for when, _ in ours.outcomes["test_a.py::test_third_time"]].count("call") == 3


def test_a_death_with_reruns(flaky, slots):
    """A dead process can't run its test again; the death counts as the failure that it is."""
    flaky.write({"test_c.py": "import os\ndef test_dies(): os._exit(0)\ndef test_after(): pass\n"})
    ours = flaky.run("--reruns=1", "test_c.py", slots=slots)
    assert ours.outcomes["test_c.py::test_after"] == PASSED
    assert ours.outcomes["test_c.py::test_dies"][-1] == ("call", "failed")
    assert "1 failed, 1 passed" in ours.lines[-1]
    assert ours.status == 1


SLOW = {
    "test_a.py": """
        import time

        def test_first(): pass
        def test_slow():
            print("so far")
            time.sleep(30)
        def test_last(): pass
    """,
}


@pytest.fixture
def slow(project):
    pytest.importorskip("pytest_timeout", reason="pytest-timeout is not installed")
    project.plugins = ["pytest_timeout"]
    project.write(SLOW)
    return project


def test_timeout_by_signal_is_plain_pytests(slow, slots):
    _, ours = slow.same("--timeout=1", "--timeout-method=signal", slots=slots)
    assert ours.lines[-1] == "== 1 failed, 2 passed in TIME =="


def test_timeout_by_thread_is_a_time_out_and_the_rest_runs(slow, slots):
    """Plain pytest ends there, with exit status 1 and no summary."""
    ours = slow.run("--timeout=1", "--timeout-method=thread", slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_slow": [("call", "failed")],
        "test_a.py::test_last": PASSED,
    }
    report = next(e[4] for e in ours.events if e[:2] == ["report", "test_a.py::test_slow"])
    assert report[1].splitlines()[0] == (
        "the process of this test was killed by pytest-timeout (thread method) during call"
    )
    shown = "\n".join(text for _, text in report[2])
    assert re.search(r"\++ Timeout \++", shown)
    assert "time.sleep(30)" in shown
    assert "so far" in shown
    assert ours.status == 1


def test_session_timeout(slow, slots):
    """pytest-timeout stops the session after the test that was running."""
    slow.write(
        {
            "test_b.py": "def test_never(): pass\n",
            "test_a.py": "import time\ndef test_slow(): time.sleep(1.5)\n",
        }
    )
    plain, ours = slow.both("--session-timeout=1", slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status


@pytest.mark.parametrize("name", ["threading.get_ident", "socket.socket", "socket.SocketType"])
@pytest.mark.parametrize("isolate", ["file", "strict"])
def test_what_the_server_looks_up_is_replaced_by_a_conftest(project, name, isolate):
    """With two slots the plugin starts a server.

    A thread that fails as it begins would never be awaited, and a connection that fails never be answered.
    """
    pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")
    project.plugins = ["pytest_rerunfailures"]
    project.write({
        "conftest.py": f"""
            import socket, threading

            def fails(*args, **kwargs):
                raise RuntimeError("replaced")

            {name} = fails
        """,
        "test_a.py": "def test_a(): pass\n",
        "test_b.py": "def test_b(): assert 0\n",
    })  # fmt: skip
    plain, ours = project.both(extra=[f"--hotreload-isolate={isolate}"])
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)


@pytest.mark.parametrize("start", ["--hotreload-isolate=strict", "--hotreload-start=spawn"])
def test_a_test_that_replaces_open_in_a_child_with_a_collection_of_its_own(project, slots, start):
    """The plugin takes itself for a worker there, and looked up xdist's version while the test's patch stood."""
    pytest.importorskip("pytest_rerunfailures", reason="pytest-rerunfailures is not installed")
    project.plugins = ["pytest_rerunfailures"]
    project.write({
        "test_open.py": """
            import unittest.mock, pytest

            @pytest.fixture(autouse=True, scope="session")
            def world():
                with unittest.mock.patch("io.open", lambda *_, **__: None):
                    yield

            def test_first(): pass
            def test_fails(): assert 0
        """,
    })  # fmt: skip
    ours = project.run("--reruns=1", start, slots=slots)
    assert ours.lines[-1] == "== 1 failed, 1 passed, 1 rerun in TIME =="
    assert ours.status == 1
