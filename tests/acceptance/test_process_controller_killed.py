"""A killed controller leaves nothing behind; a killed fork point costs only the tests that ran."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .processes import Process, until

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads /proc")
#: The promise is a second; the rest is for a machine that does something else in between.
GONE_SECONDS = 1.0 if len(os.sched_getaffinity(0)) > 8 else 3.0

#: What the tests of two children do when their controller dies; `here(*pids)` says they are there.
BLOCKED = {
    "sleep": "here(); time.sleep(300)",
    "C code": "here(); ctypes.CDLL(None).sleep(300)",
    "C code that holds the lock": "here(); ctypes.PyDLL(None).sleep(300)",
    "busy": "here()\nwhile True: pass",
    "SIGTERM and SIGINT ignored": (
        "signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); here(); time.sleep(300)"
    ),
    "grandchild in the group": ("p = subprocess.Popen([sys.executable, '-c', SLEEP]); here(p.pid); p.wait()"),
    "fork that ignores signals": (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
        "    here(os.getpid())\n"
        "    while True: time.sleep(300)\n"
        "here(); time.sleep(300)"
    ),
    "daemon": (
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    here(os.getpid())\n"
        "    while True: time.sleep(300)\n"
        "os.wait(); here(); time.sleep(300)"
    ),
}
MARKS = {"fork that ignores signals": 2, "daemon": 2}


def blocked(body: str) -> dict[str, str]:
    conftest = """
import os, time
def here(*pids):
    open(f"here-{os.getpid()}-{len(pids)}", "w").close()
"""
    indented = "\n".join("    " + line for line in body.splitlines())
    test = (
        "import ctypes, os, signal, subprocess, sys, time\nfrom conftest import here\n"
        f"SLEEP = 'import time; time.sleep(300)'\ndef test_blocks():\n{indented}\n"
    )
    return {"conftest.py": conftest, "test_a.py": test, "test_b.py": test}


def start_blocked(project, name: str, **environ: str) -> Process:
    project.write(blocked(BLOCKED[name]))
    process = Process(project, slots=2, **environ)
    marks = 2 * MARKS.get(name, 1)
    until(lambda: len(list(process.root.glob("here-*"))) == marks, f"both tests of {process.text}")
    return process


def assert_gone(process: Process) -> None:
    process.end()
    until(lambda: not process.alive(), f"the end of {process.alive()}", GONE_SECONDS)


@pytest.mark.parametrize("name", BLOCKED)
def test_a_killed_controller_leaves_nothing(project, name):
    with start_blocked(project, name) as process:
        assert len(process.alive()) >= 4  # controller, fork point, two children
        process.send(signal.SIGKILL)
        assert_gone(process)


@pytest.mark.skipif(
    not hasattr(_native, "Project"), reason="the stand-in for the Rust module knows no lifeline"
)
@pytest.mark.parametrize("name", BLOCKED)
def test_without_a_parent_death_signal_the_closed_lifeline_ends_all(project, name):
    """What macOS has."""
    if name == "C code that holds the lock":
        pytest.skip("covered by the unit tests of guard")
    environ = {"PYTEST_HOTRELOAD_NO_DEATH_SIGNAL": "1"}
    with start_blocked(project, name, **environ) as process:
        process.send(signal.SIGKILL)
        assert_gone(process)


def test_sigterm_ends_the_controller_as_plain_pytest(project):
    with start_blocked(project, "sleep") as process:
        process.send(signal.SIGTERM)
        assert process.end() == -signal.SIGTERM
        assert_gone(process)


#: Each file has a test that waits to be killed, and passes when it runs again.
WAITING = {
    f"test_{n}.py": f"""
        import os, pathlib, time

        def test_first(): pass
        def test_runs():
            mark = pathlib.Path("ran-{n}")
            if not mark.exists():
                mark.write_text(str(os.getppid()))
                time.sleep(300)
        def test_last(): pass
    """
    for n in range(4)
}


def test_a_killed_fork_point_is_replaced(project, slots):
    """The tests that ran in its children run again: all outcomes are what they would have been."""
    project.write(WAITING)
    names = [f"test_{n}.py::test_{name}" for n in range(4) for name in ("first", "runs", "last")]
    with Process(project, "-v", slots=slots) as process:
        for _ in range(4 // slots):
            kill_fork_point(process.root, slots)
        ours = process.result()
        assert process.alive() == []
    assert ours.outcomes == dict.fromkeys(names, PASSED)
    assert [line.split(" [")[0].rstrip() for line in ours.lines if "%]" in line] == [
        f"{n} PASSED" for n in names
    ]
    assert [each for each in ours.notices if "fork point" in each] == [
        f"hotreload: test_{n}.py: the process of test_runs lost its fork point; "
        "the test ran again in a fresh process, and that result is used"
        for n in range(4)
    ]
    assert ours.status == 0


def kill_fork_point(root: Path, running: int) -> None:
    """Wait until tests say their parent, and kill that."""

    def said() -> list[Path]:
        return [mark for mark in root.glob("ran-?") if mark.read_text()]

    until(lambda: len(said()) == running, "tests that run")
    (point,) = {int(mark.read_text()) for mark in said()}
    for mark in said():
        mark.rename(root / f"done-{mark.name}")
        mark.with_name(mark.name).touch()
    os.kill(point, signal.SIGKILL)


def test_a_test_that_kills_its_fork_point_fails(project, slots):
    project.write({
        "test_a.py": """
            import os, time

            def test_first(): pass
            def test_kills():
                os.kill(os.getppid(), 9)
                time.sleep(300)
            def test_last(): pass
        """
    })  # fmt: skip
    with Process(project, slots=slots) as process:
        ours = process.result()
        assert process.alive() == []
    assert ours.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_kills": [("call", "failed")],
        "test_a.py::test_last": PASSED,
    }
    assert ours.lines[-1] == "== 1 failed, 2 passed in TIME =="


def test_a_killed_child_gets_a_second_try(project):
    """As the system does when memory ends."""
    project.write({
        "test_a.py": """
            import os, pathlib, time

            def test_victim():
                again = pathlib.Path("victim").exists()
                pathlib.Path("victim").write_text(str(os.getpid()))
                time.sleep(0 if again else 300)

            def test_after(): pass
        """
    })  # fmt: skip
    with Process(project, slots=2) as process:
        victim = process.root / "victim"
        until(lambda: victim.exists() and victim.read_text(), "the victim")
        time.sleep(0.05)
        os.kill(int(victim.read_text()), signal.SIGKILL)
        ours = process.result()
    assert ours.outcomes == {"test_a.py::test_victim": PASSED, "test_a.py::test_after": PASSED}
    assert (
        "hotreload: test_a.py: the process of test_victim was killed by SIGKILL (signal 9); "
        "the test ran again in a fresh process, and that result is used"
    ) in ours.notices
