"""A lost host costs time but no result, and no process is left behind, whichever process dies."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from .hosting import PASSED, SILENT, WHO, named, pids, with_ssh
from .processes import Process, until

pytest.importorskip("xdist", reason="--tx is pytest-xdist's")
pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads /proc")

#: The first to come waits; who comes again passes. Each says on which host it runs.
WAITING = """
    import os, time

    def test_first(): open("log-{n}", "a").write("first " + os.environ["HOST"] + "\\n")
    def test_waits():
        if not os.path.exists("begun-{n}"):
            open("begun-{n}", "w").write(os.environ["HOST"])
            while not os.path.exists("go"): time.sleep(0.02)
    def test_last(): open("log-{n}", "a").write("last " + os.environ["HOST"] + "\\n")
"""


@pytest.fixture(autouse=True)
def _xdist(project):
    project.plugins = ["xdist"]


def write(project, files: int) -> None:
    project.write({"conftest.py": WHO, **{f"test_{n}.py": WAITING.format(n=n) for n in range(files)}})


def begun(process: Process) -> list[str]:
    return [mark.read_text() for mark in process.root.glob("begun-*")]


@pytest.mark.parametrize(
    ("which", "why"),
    [
        (0, r"its pytest was killed by SIGKILL"),
        (1, r"its gateway was killed by SIGKILL"),
    ],
    ids=["its pytest", "its gateway"],
)
def test_a_lost_hosts_files_run_elsewhere(project, which, why):
    write(project, 4)
    names = [f"test_{n}.py::test_{name}" for n in range(4) for name in ("first", "waits", "last")]
    with Process(project, "-v", *named("one", "two"), slots=1) as process:
        until(lambda: sorted(begun(process)) == ["one", "two"], "one file on each host")
        os.kill(pids(process.root, "one")[which], signal.SIGKILL)
        until(lambda: " was lost (" in process.text, "the loss")
        (process.root / "go").touch()
        ours = process.result()
        assert process.alive() == []
    assert ours.outcomes == dict.fromkeys(names, PASSED)
    assert ours.order == names
    assert ours.lines[-1] == "== 12 passed in TIME =="
    assert [line.split(" [")[0].rstrip() for line in ours.lines if "%]" in line] == [
        f"{n} PASSED" for n in names
    ]
    (line,) = [each for each in ours.notices if " was lost (" in each]
    # It may have had one ahead, if it was there first.
    runs = r"its (test file runs|2 test files run) on other hosts"
    assert re.fullmatch(rf"hotreload: the host popen #1 was lost \({why}\): {runs}", line)
    ends = [line for n in range(4) for line in ours.read(f"log-{n}").splitlines() if "last" in line]
    assert ends == ["last two"] * 4
    assert ours.status == 0


@pytest.mark.parametrize("what", ["gateways", "broker"])
def test_all_hosts_lost(project, what):
    write(project, 3)
    with Process(project, "-v", *named("one", "two"), slots=1) as process:
        until(lambda: sorted(begun(process)) == ["one", "two"], "one file on each host")
        gateways = [pids(process.root, name)[1] for name in ("one", "two")]
        for pid in gateways if what == "gateways" else [parent_of(gateways[0])]:
            os.kill(pid, signal.SIGKILL)
        ours = process.result()
        until(lambda: not process.alive(), f"the end of {process.alive()}", 5)
    assert ours.status == 2
    assert sum(" was lost (" in line for line in ours.notices) == 2
    # Each host's first test may have been told, or not yet.
    text = r"Interrupted: hotreload: no host is left, and [789] tests have no result; hint: run again"
    assert re.search(text, ours.output)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_an_interrupt_while_a_host_does_not_answer(project):
    project.write({"test_a.py": "def test_a(): pass\n"})
    home = project.top / "home"
    with_ssh(project, home)
    with Process(project, "--tx=popen", "--tx=ssh=hangs", slots=1) as process:
        until((home / "waits").exists, "ssh")
        process.send(signal.SIGINT)
        assert process.end() == 2
        until(lambda: not process.alive(), f"the end of {process.alive()}", 5)


def test_a_file_that_ends_its_host(project):
    """It must not end them all."""
    project.write({
        "conftest.py": WHO,
        "test_ends.py": """
            import os, signal

            def test_ends():
                gateway = int(open(os.environ["HOST"] + ".pid").read().split()[1])
                os.kill(gateway, signal.SIGKILL)
                signal.pause()
        """,
        "test_other.py": "def test_other(): pass\n",
    })  # fmt: skip
    ours = project.run(*named("one", "two", "three", "four"), slots=1)
    assert ours.outcomes == {
        "test_ends.py::test_ends": [("setup", "failed")],
        "test_other.py::test_other": PASSED,
    }
    assert sum(" was lost (" in line for line in ours.notices) == 3
    assert "this test has no result: 3 hosts were lost while its file ran on them" in ours.output
    assert ours.status == 1


@pytest.mark.parametrize(
    "environ", [{}, {"PYTEST_HOTRELOAD_NO_DEATH_SIGNAL": "1"}], ids=["linux", "lifelines"]
)
def test_a_killed_controller_leaves_nothing_on_any_host(project, environ):
    write(project, 2)
    with_ssh(project, project.top / "home")
    far = f"--tx=ssh=far//python={sys.executable}//env:HOST=two//{SILENT}"
    with Process(project, *named("one"), far, slots=1, **environ) as process:
        until(lambda: sorted(begun(process)) == ["one", "two"], "one file on each host")
        assert len(process.alive()) >= 12  # controller, broker; gateway, pytest, template, fork point, child
        process.send(signal.SIGKILL)
        process.end()
        until(lambda: not process.alive(), f"the end of {process.alive()}", 5)


def test_a_second_interrupt_ends_at_once(project):
    project.write({
        "conftest.py": WHO,
        "test_a.py": """
            import time

            def test_ignores():
                while True:
                    try:
                        open("begun", "w").close()
                        time.sleep(300)
                    except KeyboardInterrupt:
                        open("told", "w").close()
        """,
    })  # fmt: skip
    with Process(project, *named("one"), slots=1) as process:
        until((process.root / "begun").exists, "the test")
        process.send(signal.SIGINT)
        until((process.root / "told").exists, "the first interrupt")
        process.send(signal.SIGINT)
        assert process.end() == 2
        until(lambda: not process.alive(), f"the end of {process.alive()}", 5)
