"""The ends of attached runs, clients and servers: messages, and no process or file that is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios

import pytest

from pytest_hotreload._native import children_of

from .processes import until
from .serving import Place, wait_for
from .terminals import Terminal

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

HANGS = """
import os, pathlib, signal, subprocess, sys, time
import pytest

def wait():
    pathlib.Path("runs").write_text(f"{os.getpid()}\\n")
    time.sleep(600)

@pytest.fixture
def cleaned():
    yield
    pathlib.Path("cleaned").write_text("yes\\n")

def test_waits(cleaned):
    wait()

def test_refuses():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wait()

def test_has_a_program():
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pathlib.Path("program").write_text(f"{program.pid}\\n")
    wait()

def test_aborts():
    os.abort()

def test_leaves_a_daemon():
    daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
    while not pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text().startswith("sleep"):
        time.sleep(0.01)
"""


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path, {"test_hangs.py": HANGS}) as place:
        yield place


def begun(place, test):
    """A run of this test, when it runs: the caller, and the run's process."""
    caller = place.begin("run", "-q", f"test_hangs.py::{test}")
    return caller, int(wait_for(place.root / "runs"))


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")  # noqa: PTH110


# ------------------------------------------------------------------------------------- the caller


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_run(place, number):
    place.serve()
    caller, run = begun(place, "test_waits")
    caller.send_signal(number)
    ran = place.end(caller)
    if number == signal.SIGINT:
        assert ran.status == 2
        assert "KeyboardInterrupt" in ran.out
        assert (place.root / "cleaned").exists()
    else:
        assert (ran.status, ran.out) == (128 + signal.SIGTERM, "")
    assert is_gone(run)


def test_a_run_that_dies(place):
    place.serve()
    assert place.say("run", "-q", "test_hangs.py::test_aborts").status == 128 + signal.SIGABRT
    assert place.say("status").out.splitlines()[-1] == "1 attached run so far, 0 running"


def test_a_reader_that_has_closed_its_pipe(place):
    place.serve()
    reading, writing = os.pipe()
    os.close(reading)
    status = subprocess.run(
        [place.python, "-m", "pytest_hotreload_client", "status"],
        cwd=place.root,
        env=place.environ,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (status.returncode, status.stderr) == (1, b"")


def test_a_caller_that_dies(place):
    place.serve()
    caller, run = begun(place, "test_waits")
    caller.kill()
    until(lambda: is_gone(run), "the run has ended")
    assert (place.root / "cleaned").exists()


def test_a_caller_that_dies_and_a_run_that_does_not_care(place):
    place.serve()
    caller, run = begun(place, "test_refuses")
    caller.kill()
    until(lambda: is_gone(run), "the run has ended")


def test_a_program_of_a_run_that_is_killed(place):
    place.serve()
    caller, run = begun(place, "test_has_a_program")
    program = int(wait_for(place.root / "program"))
    os.kill(run, signal.SIGKILL)
    ran = place.end(caller)
    assert ran.status == 128 + signal.SIGKILL
    assert re.fullmatch(
        r"hotreload: the run left a process behind; killed: .*time\.sle.* \(pid N\)\n",
        re.sub(r"pid \d+", "pid N", ran.err),
    )
    assert is_gone(program)


# ------------------------------------------------------------------------------------- the server


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_ends(place, number):
    server = place.serve()
    caller, run = begun(place, "test_waits")
    server.send_signal(number)
    assert server.wait() == (-number if number == signal.SIGKILL else 128 + number)
    ran = place.end(caller)
    assert ran.status == 137
    assert ran.err == "hotreload: the watch or serve ended, and so did the run\n"
    until(lambda: not place.alive(), "all processes have ended")
    assert is_gone(run)
    until(lambda: not list(place.runtime.iterdir()), "the socket and its folder are gone")


def test_stop(place):
    server = place.serve()
    stopped = place.say("stop")
    assert stopped == (0, "stopped\n", "")
    assert not place.sockets
    assert server.wait() == 0
    assert place.alive() == []
    assert place.say("stop") == (1, "", "hotreload: no watch or serve in this project\n")


def test_idle(place):
    server = place.serve("--idle", "0.01")
    assert server.wait(30) == 0
    assert server.stdout.read() == "hotreload: no run for 0.01 min: stopping\n"
    assert place.alive() == []
    assert list(place.runtime.iterdir()) == []


@pytest.mark.slow
def test_a_run_is_not_idle(place):
    """It is longer than the idle time."""
    server = place.serve("--idle", "0.01")
    place.write({"test_long.py": "import time\ndef test_long(): time.sleep(1.5)\n"})
    assert place.say("run", "-q", "test_long.py").status == 0
    assert server.wait(30) == 0


def test_status(place):
    assert place.say("status") == (1, "", "hotreload: no watch or serve in this project\n")
    server = place.serve()
    said = place.say("status")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert re.fullmatch(rf"serve of <root>, process {server.pid}, since [-\d]+ [:\d]+", lines[0])
    assert re.fullmatch(r"python [\d.]+ · template \d+ modules in \d+\.\d s", lines[1])
    assert lines[2:] == [f"interpreter {sys.executable}", "0 attached runs so far, 0 running"]


def test_two_servers(place):
    server = place.serve()
    other = place.say("serve")
    assert other.status == 1
    assert other.out == f"hotreload: not served: <root> is already served by process {server.pid}\n"


def test_a_stale_socket(place):
    server = place.serve()
    (name,) = place.sockets
    # What would clean up goes first, and must not see that the server ends.
    os.kill(server.pid, signal.SIGSTOP)
    for pid in {*place.alive(), *children_of(server.pid)} - {server.pid}:
        os.kill(pid, signal.SIGKILL)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert place.sockets == [name]
    cold = place.say("run", "-q", "test_hangs.py", "--collect-only")
    assert (cold.status, cold.err) == (
        0,
        "hotreload: no watch or serve in this project: starting a cold run\n",
    )
    place.write({"far/pytest.ini": "[pytest]\n"})
    other = place.begin("serve", cwd="far")  # of another project
    assert "serving" in other.stdout.readline()
    assert len(place.sockets) == 1
    assert place.sockets != [name]
    place.serve()
    assert len(place.sockets) == 2


# ------------------------------------------------------------------------------------- a terminal

DEBUGGED = """
import shutil, sys
def test_seen():
    seen = sys.stdin.isatty(), sys.stdout.isatty(), shutil.get_terminal_size().columns
    value = 41
    breakpoint()
    assert (value, seen) == (42, (True, True, 77))
"""


def terminal(place, *words):
    command = [sys.executable, "-m", "pytest_hotreload_client", *words]
    environ = {**place.environ, "TERM": "xterm"}
    return Terminal(command, cwd=place.root, env=environ, rows=30, columns=77)


@pytest.mark.parametrize("words", [("-s",), ("--hotreload", "--hotreload-slots=2")], ids=" ".join)
def test_the_debugger(place, words):
    captured = DEBUGGED.replace("(True, True, 77)", "(False, False, 80)")
    place.write({"test_debugged.py": DEBUGGED if "-s" in words else captured})
    place.serve()
    with terminal(place, "run", "test_debugged.py", *words) as desk:
        desk.wait_for("(Pdb)")
        since = desk.mark()
        desk.press("value = 42\r")
        desk.wait_for("(Pdb)", since=since)
        desk.press("c\r")
        desk.wait_for("1 passed")
        assert desk.wait() == 0
        assert "\x1b[32m" in desk.log
        header = next(line for line in desk.text().splitlines() if "test session starts" in line)
        assert len(header) == 77
        assert desk.modes()[3] & termios.ECHO


def test_ctrl_c_on_a_terminal(place):
    place.serve()
    with terminal(place, "run", "-q", "test_hangs.py::test_waits") as desk:
        wait_for(place.root / "runs")
        desk.press("\x03")
        assert desk.wait() == 2
        assert "KeyboardInterrupt" in desk.text()


def test_ctrl_z(place):
    place.serve()
    with terminal(place, "run", "-q", "test_hangs.py::test_waits") as desk:
        run = int(wait_for(place.root / "runs"))

        def state():
            with open(f"/proc/{run}/stat") as file:  # noqa: PTH123
                return file.read().rpartition(")")[2].split()[0]

        desk.suspend()
        until(lambda: state() == "T", "the run is stopped")
        desk.resume()
        until(lambda: state() == "S", "the run goes on")
        desk.press("\x03")
        assert desk.wait() == 2
