"""Servers that runs start: when one is started, what it holds, and that each of them ends and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .processes import until
from .serving import Place
from .test_attach_meeting import another_environment

FILES = {"test_a.py": "def test_a(): pass\n"}
COLD = "hotreload: no watch or serve in this project: starting a cold run"
STARTS = (
    f"{COLD}; behind it starts a server, which makes later runs fast and ends after 15 min without a run "
    "(off: --no-serve, or hotreload_serve = off)\n"
)
RUN = ("run", "-q", "-p", "no:cacheprovider", "test_a.py")


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path, FILES) as place:
        for name in ("CI", "PYTEST_HOTRELOAD_SERVE"):
            place.environ.pop(name, None)
        yield place


def server_of(place):
    """The process id of the server."""
    return int(place.say("status").out.partition("process ")[2].partition(",")[0])


def test_the_second_run_is_warm(place):
    first = place.say(*RUN)
    assert (first.status, first.err) == (0, STARTS)
    assert "1 passed" in first.out
    place.wait_for_server()
    assert place.say(*RUN) == (0, first.out, "")
    assert place.say("stop") == (0, "stopped\n", "")
    until(lambda: not place.alive(), "all processes have ended")
    assert not place.sockets


def test_what_the_server_holds(place):
    """A pipe that stayed open would keep an agent waiting for the end of its command: the run above would not end."""
    place.say(*RUN)
    place.wait_for_server()
    server = server_of(place)
    files = {str(Path(f"/proc/{server}/fd/{number}").readlink()) for number in (0, 1, 2)}
    assert files == {os.devnull}
    assert os.getsid(server) != os.getsid(0)
    assert Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[4] == "0"  # it has no terminal
    assert Path(f"/proc/{server}/cwd").resolve() == place.root


def test_a_run_meanwhile(place):
    """It does not wait for a server that is not ready."""
    place.write({"conftest.py": "", "plugins/slow.py": ""})
    place.say(*RUN)
    until(lambda: place.sockets, "the server listens")
    ran = place.say(*RUN)
    assert (ran.status, ran.err) in [
        (0, ""),
        (0, "hotreload: the server of this project is not ready yet: starting a cold run\n"),
    ]


def test_two_at_once(place):
    runs = [place.begin(*RUN) for _ in range(2)]
    assert [place.end(run).status for run in runs] == [0, 0]
    place.wait_for_server()
    server = server_of(place)
    until(lambda: started(place) == [server], "there is one server")
    assert len(place.sockets) == 1


def started(place):
    """The servers among the living processes, without their forks."""
    found = []
    for pid in place.alive():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"--started-by-run" in words and b"-c" not in words:
            found.append(pid)
    return found


@pytest.mark.parametrize(
    ("words", "ini", "environ"),
    [
        (["--no-serve"], "", {}),
        (["--no-serve", "--json"], "", {}),
        (["--json", "--no-serve"], "", {}),
        ([], "", {"CI": "true"}),
        ([], "", {"PYTEST_HOTRELOAD_SERVE": "off"}),
        ([], "hotreload_serve = off", {}),
        (["-o", "hotreload_serve=off"], "", {}),
        (["--version"], "", {}),
    ],
    ids=str,
)
def test_no_server_is_started(place, words, ini, environ):
    place.write({"pytest.ini": f"[pytest]\n{ini}\n"})
    ran = place.say("run", *words, *RUN[1:], **environ)
    assert (ran.status, ran.err.splitlines()[0]) == (0, COLD)
    assert place.alive() == []


def test_the_ini_file_decides_as_pytest_reads_it(place):
    """The client knows only one way to write it."""
    place.write({"pytest.ini": "[pytest]\nhotreload_serve: off\n"})
    assert place.say(*RUN).err == STARTS
    until(lambda: not place.alive(), "the server has ended")
    assert not place.sockets


@pytest.mark.parametrize("where", ["ini", "toml", "environ"])
@pytest.mark.slow
def test_idle_minutes(place, where):
    environ = {}
    if where == "environ":
        environ["PYTEST_HOTRELOAD_SERVE"] = "0.03"
    elif where == "ini":
        place.write({"pytest.ini": "[pytest]\nhotreload_serve = 0.03\n"})
    else:
        place.write(
            {"pytest.ini": "", "pyproject.toml": "[tool.pytest.ini_options]\nhotreload_serve = '0.03'\n"}
        )
        (place.root / "pytest.ini").unlink()
    assert "ends after 0.03 min without a run" in place.say(*RUN, **environ).err
    until(lambda: place.sockets, "the server listens")
    until(lambda: not place.alive(), "the server has ended")
    until(lambda: not list(place.runtime.iterdir()), "the socket and its folder are gone")


def test_a_value_that_is_none(place):
    place.write({"pytest.ini": "[pytest]\nhotreload_serve = never\n"})
    wrong = "hotreload_serve is 'never', not auto, off or a number of minutes above 0"
    ran = place.say(*RUN)
    assert (ran.status, ran.err) == (0, f"{COLD}; no server is started behind it: {wrong}\n")
    assert place.alive() == []


@pytest.mark.slow
def test_a_folder_that_vanishes(place):
    place.say(*RUN)
    place.wait_for_server()
    place.root.rename(place.root.with_name("moved"))
    until(lambda: not place.alive(), "the server has ended")
    until(lambda: not list(place.runtime.iterdir()), "the socket and its folder are gone")


@pytest.mark.slow
def test_an_interpreter_that_vanishes(place):
    place.python, packages = another_environment(place)
    place.say(*RUN)
    place.wait_for_server()
    shutil.rmtree(packages.parents[2])
    until(lambda: not place.alive(), "the server has ended")


@pytest.mark.slow
def test_what_is_installed_changes(place):
    """The server ends by itself, or at the next run, behind which another one starts."""
    place.python, packages = another_environment(place)
    place.say(*RUN)
    place.wait_for_server()
    before = server_of(place)
    (packages / "fresh.pth").write_text("# nothing\n")
    ran = place.say(*RUN)
    assert ran.status == 0
    assert re.fullmatch(
        r"hotreload: (.* changed|no watch or serve in this project): starting a cold run; behind it .*\n",
        ran.err,
    )
    place.wait_for_server()
    assert server_of(place) != before
    until(lambda: started(place) == [server_of(place)], "the old server has ended")
    assert place.say(*RUN).err == ""


def test_a_run_goes_on_when_its_server_retires(place):
    place.python, packages = another_environment(place)
    waits = "import pathlib, time\ndef test_a():\n    pathlib.Path('runs').touch()\n"
    waits += "    while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    place.say(*RUN)
    place.wait_for_server()
    place.write({"test_b.py": waits})
    run = place.begin("run", "-q", "test_b.py")
    until((place.root / "runs").exists, "the run has begun")
    (packages / "fresh.pth").write_text("# nothing\n")
    assert "starting a cold run" in place.say(*RUN).err
    (place.root / "go").touch()
    assert place.end(run).status == 0


def test_a_server_that_is_killed(place):
    place.say(*RUN)
    place.wait_for_server()
    os.kill(server_of(place), signal.SIGKILL)
    until(lambda: not place.alive(), "all processes have ended")
    until(lambda: not list(place.runtime.iterdir()), "the socket and its folder are gone")
    assert place.say(*RUN).err == STARTS


def test_beside_another_environment(place):
    """Each environment has a server of its own."""
    place.say(*RUN)
    place.wait_for_server()
    place.python, _ = another_environment(place)
    ran = place.say(*RUN)
    assert "uses the interpreter of" in ran.err
    assert "behind it starts a server" in ran.err
    until(lambda: len(place.sockets) == 2, "there are two servers")


def test_a_server_that_a_script_starts_finds_plugins_of_the_project(place):
    """As ``python -m pytest`` does, which attached runs replace."""
    place.write({"own.py": "", "pytest.ini": "[pytest]\naddopts = -p own\n"})
    script = str(Path(sys.executable).with_name("pytest-hotreload"))
    command = [script, "serve"]
    server = subprocess.Popen(
        command,
        cwd=place.root,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("hotreload: serving "), line + server.stdout.read()
        ran = place.say(*RUN)
        assert (ran.status, ran.err) == (0, "")
    finally:
        server.terminate()
        server.communicate(timeout=60)
