"""Values read from /proc, compared with those of the system and of Python."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_hotreload.process import proc

pytestmark = pytest.mark.skipif(not proc.is_there(), reason="there is no /proc")


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, whose name holds what ends names in /proc/PID/stat."""
    code = (
        "import sys, time; open('/proc/self/comm', 'w').write('a) R 1 ('); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_that_lives(other: subprocess.Popen[bytes]) -> None:
    assert proc.is_process(other.pid)
    for _ in range(1000):  # from its line to its sleep
        if proc.stat_field(other.pid, 3) == "S":
            break
        time.sleep(0.01)
    assert proc.stat_field(other.pid, 3) == "S"
    assert proc.stat_field(other.pid, 4) == str(os.getpid())
    assert proc.command(other.pid).startswith(f"{sys.executable} -c import sys, time")
    assert proc.group_members(other.pid) == [other.pid]
    assert not proc.is_traced(other.pid)


def test_a_process_that_is_gone(other: subprocess.Popen[bytes]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert not proc.is_process(other.pid)
    assert (proc.stat_field(other.pid, 3), proc.command(other.pid)) == ("", "")
    assert (proc.cpu_seconds(other.pid), proc.started(other.pid)) == (0.0, 0.0)
    assert proc.group_members(other.pid) == []
    assert not proc.is_traced(other.pid)
    assert proc.captured(other.pid, 1) == ""


def test_any_number_may_be_asked_about() -> None:
    assert [proc.is_process(number) for number in (-1, 2**70, 10**5000)] == [False] * 3


def test_its_times(other: subprocess.Popen[bytes]) -> None:
    own = proc.cpu_seconds(os.getpid())
    assert own == pytest.approx(time.process_time(), abs=5)
    assert own > 0
    began, now = proc.started(other.pid), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert proc.started(os.getpid()) <= began <= now


def test_threads_are_counted() -> None:
    before, goes_on = proc.native_threads(), threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    assert proc.native_threads() == before + 1
    goes_on.set()
    thread.join()


def test_sockets_are_found() -> None:
    before = proc.sockets()
    with socket.socket() as opened:
        (found,) = proc.sockets() - before
        assert found == f"socket:[{os.fstat(opened.fileno()).st_ino}]"
    assert proc.sockets() == before


def test_output_is_captured_where_it_goes_to_a_file() -> None:
    with (
        tempfile.TemporaryFile() as file,
        subprocess.Popen(
            [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
            stdout=file,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        while not os.fstat(file.fileno()).st_size:
            time.sleep(0.01)
        path = proc.captured(process.pid, 1)
        assert os.path.samestat(os.stat(path), os.fstat(file.fileno()))  # noqa: PTH116 - a name of /proc
        assert proc.captured(process.pid, 2) == ""
        process.kill()
