"""Processes that a test starts: forks of the test itself, servers left running, daemons, zombies."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from .processes import Process

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
linux = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads /proc")


@pytest.mark.parametrize("ending", ["return", "raise ValueError(1)", "raise SystemExit(3)", "assert 0"])
def test_a_fork_that_comes_back_into_pytest_says_nothing(project, slots, ending):
    """Plain pytest runs all that follows twice; ours hears only the process that it started."""
    project.write({
        "test_a.py": f"""
            import os, time

            def test_forks():
                pid = os.fork()
                if pid == 0:
                    {ending}
                else:
                    _, status = os.waitpid(pid, 0)

            def test_after():
                with open("after.txt", "a") as file: print("once more", file=file)
        """,
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.outcomes == {
        "test_a.py::test_forks": PASSED,
        "test_a.py::test_after": PASSED,
        "test_b.py::test_other": PASSED,
    }
    assert ours.lines[-1] == "== 3 passed in TIME =="
    assert ours.errors == []
    assert ours.status == 0


LEFT = {
    "fork that never exits": (
        """
        if os.fork() == 0:
            while True: time.sleep(60)
        """,
        1,
    ),
    "server": ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)', 'served'])", 1),
    "two that ignore SIGTERM": (
        """
        for _ in range(2):
            subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); '
                              'time.sleep(300)', 'stubborn'])
        """,
        2,
    ),
    "daemon": (
        """
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(write, b"x")
                os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(300)', 'daemon'])
            os._exit(0)
        os.wait()
        os.read(read, 1)
        """,
        1,
    ),
}


@linux
@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_behind_is_ended_and_named(project, slots, name):
    body, count = LEFT[name]
    project.write({"test_a.py": "import os, subprocess, sys, time\n\ndef test_leaves():\n" + body_of(body)})
    with Process(project, slots=slots) as process:
        ours = process.result()
        assert process.alive() == []
    assert ours.outcomes == {"test_a.py::test_leaves": PASSED}
    (line,) = [each for each in ours.notices if " behind; killed: " in each]
    many = "es" if count > 1 else ""
    named = r".+ \(pid N\)" if name.startswith("fork") else r".*python.* -c import .*"
    assert re.fullmatch(rf"hotreload: test_a\.py left {count} process{many} behind; killed: {named}", line)
    assert ours.lines[-1] == "== 1 passed in TIME =="
    assert ours.status == 0


def body_of(text: str) -> str:
    """The statements of a test, indented as its body."""
    return textwrap.indent(textwrap.dedent(text).strip(), "    ") + "\n"


@linux
def test_what_a_dying_test_left_is_ended_too(project, slots):
    project.write({
        "test_a.py": """
            import os, subprocess, sys

            def test_dies():
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
                os._exit(3)

            def test_after(): pass
        """
    })  # fmt: skip
    with Process(project, slots=slots) as process:
        ours = process.result()
        assert process.alive() == []
    assert ours.outcomes == {"test_a.py::test_dies": [("call", "failed")], "test_a.py::test_after": PASSED}
    assert [each for each in ours.notices if each.startswith("hotreload: test_a.py left 1 process behind")]


def test_processes_that_are_waited_for_are_not_named(project, slots):
    project.write({
        "test_a.py": """
            import multiprocessing, os, subprocess, sys

            def test_waits():
                assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout == b"1\\n"
                pid = os.fork()
                if pid == 0: os._exit(4)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4

            def test_none_left():
                import pytest
                with pytest.raises(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)
        """
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert ours.lines[-1] == "== 2 passed in TIME =="
    assert [each for each in ours.notices if " behind" in each] == []


@linux
@pytest.mark.xfail(
    reason="a child adopts its orphans, or a daemon could not be told from another file's: "
    "os.wait() in a later test finds the ended ones"
)
def test_an_adopted_orphan_is_not_the_tests_to_wait_for(project):
    """``os.wait()`` in a test that started nothing raises, as in plain pytest, daemon or not."""
    project.write({
        "test_a.py": """
            import os, subprocess, sys, time

            def test_daemonises():
                if os.fork() == 0:
                    if os.fork() == 0:
                        time.sleep(0.3)
                        os._exit(0)
                    os._exit(0)
                os.wait()

            def test_waits():
                time.sleep(0.6)
                try:
                    found = os.wait()
                except ChildProcessError:
                    found = None
                assert found is None
        """
    })  # fmt: skip
    _, ours = project.same(slots=1)
    assert ours.status == 0


@linux
def test_no_zombies_after_fifty_files(project, slots):
    names = [f"test_{n:02}.py" for n in range(50)]
    project.write(dict.fromkeys(names, "def test_a(): pass\n"))
    project.write({
        "conftest.py": """
            import os, pytest

            def processes(states):
                own = str(os.getpid())
                for entry in os.listdir("/proc"):
                    try:
                        fields = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()
                    except (OSError, NotADirectoryError):
                        continue
                    if fields[0] in states and fields[1] == own:
                        yield entry

            @pytest.hookimpl(trylast=True)
            def pytest_sessionfinish(session):
                with open("children.txt", "w") as file:
                    file.write(str(len(list(processes("ZRSDT")))))
        """
    })  # fmt: skip
    with Process(project, "-q", slots=slots) as process:
        ours = process.result()
        assert process.alive() == []
    assert ours.read("children.txt") == "0"
    assert ours.outcomes == {f"{name}::test_a": PASSED for name in names}


@linux
def test_the_fork_server_of_multiprocessing_is_no_leftover(project, slots):
    """It ends with the interpreter that started it, and so does the resource tracker, whose pipe it holds."""
    body = """
        import multiprocessing, os

        def test_it():
            one = multiprocessing.get_context("forkserver").Process(target=os.getpid)
            one.start()
            one.join()
            assert one.exitcode == 0
        """
    project.write(dict.fromkeys(["test_a.py", "test_b.py", "test_c.py"], body))
    _, ours = project.same(slots=slots)
    assert ours.status == 0
    assert [line for line in ours.notices if "behind" in line] == []


@linux
def test_a_fork_server_that_was_there_before_goes_on(project, slots):
    project.write(
        {
            "conftest.py": """
            import multiprocessing, os

            if __name__ == "conftest":
                context = multiprocessing.get_context("forkserver")
                first = context.Process(target=os.getpid)
                first.start()
                first.join()
                from multiprocessing.forkserver import _forkserver

                server = _forkserver._forkserver_pid

                def pytest_sessionfinish():
                    os.kill(server, 0)
                    assert os.waitpid(server, os.WNOHANG) == (0, 0)
        """,
            "test_a.py": "def test_a(): import conftest\n",
            "test_b.py": "def test_b(): import conftest\n",
        }
    )
    _, ours = project.same(slots=slots)
    assert ours.status == 0
