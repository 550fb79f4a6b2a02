"""Nothing outlives the controller: real processes, a real SIGKILL, and the processes alive a second later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_hotreload import _native

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and the parent-death signal")

#: Isolated: the installed package, not the checkout, which has no extension module.
PYTHON = [sys.executable, "-I", "-c"]

#: A controller that forks one child with a lifeline, and sleeps. The child runs BODY, which says the pids of all
#: descendants with `tell`, and must not return.
CONTROLLER = """
import ctypes, json, os, signal, subprocess, sys, threading, time
from pytest_hotreload import _native

def tell(*pids):
    os.write(1, (json.dumps([os.getpid(), *pids]) + "\\n").encode())

def wait_for(read):
    return int(os.read(read, 20))

def daemon():
    "A grandchild in a session of its own whose parent is gone."
    read, write = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, str(os.getpid()).encode())
            while True:
                time.sleep(100)
        os._exit(0)
    os.waitpid(middle, 0)
    return wait_for(read)

def forever():
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(100)
    return pid

read, write = os.pipe()
def child():
    os.close(write)
    os.setpgid(0, 0)
    _native.set_child_subreaper(True)
    _native.guard(read, parent_death_signal=DEATH_SIGNAL)
BODY

if os.fork() == 0:
    child()
    os._exit(3)
os.wait()
"""

BODIES = {
    "sleep": "tell(); time.sleep(100)",
    "sigterm ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell(); time.sleep(100)",
    "a C call": "tell(); ctypes.CDLL(None).sleep(100)",
    "a C call that holds the lock": "tell(); ctypes.PyDLL(None).sleep(100)",
    "Python without end": "tell()\nwhile True: pass",
    "a subprocess waited for": "tell(); subprocess.run(['sleep', '100'])",
    "another thread works": "threading.Thread(target=time.sleep, args=(100,)).start(); tell(); time.sleep(100)",
    "grandchildren in the group": "tell(forever(), forever()); time.sleep(100)",
    "a subprocess": "tell(subprocess.Popen(['sleep', '100']).pid); time.sleep(100)",
    "a subprocess with a session": """
        tell(subprocess.Popen(['sleep', '100'], start_new_session=True).pid); time.sleep(100)
    """,
    "a daemon that was adopted": "tell(daemon()); time.sleep(100)",
    "a shell's pipeline": """
        running = subprocess.Popen(['sh', '-c', 'setsid sh -c "sleep 100 & sleep 100" & sleep 100 | sleep 100'])
        time.sleep(0.3)
        def below(pid): return [one for child in _native.children_of(pid) for one in [child, *below(child)]]
        tell(*below(os.getpid())); time.sleep(100)
    """,
    "a chain of sessions": """
        ends = os.pipe()
        for depth in range(6):
            if os.fork(): break
            os.setsid()
            os.write(ends[1], b"%20d" % os.getpid())
        else:
            time.sleep(100)
        if os.getsid(0) != os.getpid():
            tell(*(wait_for(ends[0]) for _ in range(6)))
        time.sleep(100)
    """,
    "a thread forks": """
        threading.Thread(target=lambda: (tell(forever()), time.sleep(100))).start()
        time.sleep(100)
    """,
}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def survivors(pids: list[int], seconds: float) -> list[int]:
    """Those of the pids that are alive when the time is up."""
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [pid for pid in pids if is_alive(pid)]


class Controller:
    def __init__(self, body: str, *, death_signal: bool = True, template: str = CONTROLLER) -> None:
        body = textwrap.indent(textwrap.dedent(body), "    ")
        source = template.replace("BODY", body).replace("DEATH_SIGNAL", str(death_signal))
        self.process = subprocess.Popen([*PYTHON, source], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.pids: list[int] = json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        for pid in [self.process.pid, *self.pids]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def controllers() -> Iterator[list[Controller]]:
    started: list[Controller] = []
    yield started
    for controller in started:
        controller.close()


@linux_only
@pytest.mark.parametrize("death_signal", [True, False], ids=["signal", "lifeline"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.slow
def test_a_killed_controller_leaves_nothing(
    body: str, death_signal: bool, controllers: list[Controller]
) -> None:
    controller = Controller(body, death_signal=death_signal)
    controllers.append(controller)
    assert [pid for pid in controller.pids if not is_alive(pid)] == []
    time.sleep(0.05)
    controller.kill()
    assert survivors(controller.pids, seconds=1) == []


@linux_only
@pytest.mark.parametrize("death_signal", [True, False], ids=["signal", "lifeline"])
def test_each_of_many_siblings_gets_the_message(death_signal: bool, controllers: list[Controller]) -> None:
    # They share the description of the pipe's read end, and with it the owner of O_ASYNC.
    template = """
import json, os, time
from pytest_hotreload import _native
read, write = os.pipe()
ready, tell = os.pipe()
pids = []
for _ in range(10):
    pids.append(os.fork())
    if pids[-1] == 0:
        os.close(write)
        _native.guard(read, parent_death_signal=DEATH_SIGNAL)
        os.write(tell, b"x")
        time.sleep(100)
for _ in pids: os.read(ready, 1)
print(json.dumps(pids), flush=True)
time.sleep(100)
"""
    controller = Controller("", death_signal=death_signal, template=template)
    controllers.append(controller)
    controller.kill()
    assert survivors(controller.pids, seconds=1) == []


@linux_only
def test_the_end_of_the_thread_that_forked_is_not_the_end_of_the_parent(
    controllers: list[Controller],
) -> None:
    template = """
import json, os, threading, time
from pytest_hotreload import _native
read, write = os.pipe()
ready, tell = os.pipe()
def fork():
    global pid
    pid = os.fork()
    if pid == 0:
        os.close(write)
        _native.guard(read)
        os.write(tell, b"x")
        time.sleep(100)
    os.read(ready, 1)
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(json.dumps([pid]), flush=True)
time.sleep(100)
"""
    controller = Controller("", template=template)
    controllers.append(controller)
    assert survivors(controller.pids, seconds=0.3) == controller.pids
    controller.kill()
    assert survivors(controller.pids, seconds=1) == []


@linux_only
def test_a_child_guarded_after_its_parent_ended_ends_at_once(controllers: list[Controller]) -> None:
    template = """
import json, os, time
from pytest_hotreload import _native
read, write = os.pipe()
go, gone = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(write)
    os.close(gone)
    os.read(go, 1)
    time.sleep(0.2)
    _native.guard(read)
    time.sleep(100)
print(json.dumps([pid]), flush=True)
"""
    controller = Controller("", template=template)
    controllers.append(controller)
    controller.process.wait()
    assert survivors(controller.pids, seconds=1.2) == []


@linux_only
def test_a_forked_copy_of_a_child_is_not_guarded(controllers: list[Controller]) -> None:
    # It inherits the handler, and has another parent than the one that was recorded.
    body = """
        pid = forever()
        time.sleep(0.1)
        os.kill(pid, signal.SIGRTMAX - 3)
        tell(pid); time.sleep(100)
    """
    controller = Controller(body)
    controllers.append(controller)
    assert survivors(controller.pids[1:], seconds=0.3) == controller.pids[1:]


@linux_only
def test_the_signal_alone_does_nothing_and_guarding_twice_is_allowed(controllers: list[Controller]) -> None:
    body = """
        for _ in range(50): _native.guard(read, parent_death_signal=False)
        assert len(os.listdir("/proc/self/fd")) < 20
        os.kill(os.getpid(), signal.SIGRTMAX - 3)
        tell(); time.sleep(100)
    """
    controller = Controller(body)
    controllers.append(controller)
    assert survivors(controller.pids, seconds=0.2) == controller.pids
    controller.kill()
    assert survivors(controller.pids, seconds=1) == []


@linux_only
def test_a_group_that_the_child_does_not_lead_is_left_alone(controllers: list[Controller]) -> None:
    template = """
import json, os, time
from pytest_hotreload import _native
read, write = os.pipe()
ready, tell = os.pipe()
bystander = os.fork()
if bystander == 0:
    os.close(write)
    time.sleep(100)
pid = os.fork()
if pid == 0:
    os.close(write)
    _native.guard(read)
    os.write(tell, b"x")
    time.sleep(100)
os.read(ready, 1)
print(json.dumps([pid, bystander]), flush=True)
time.sleep(100)
"""
    controller = Controller("", template=template)
    controllers.append(controller)
    controller.kill()
    assert survivors(controller.pids, seconds=0.5) == controller.pids[1:]


def test_a_bad_lifeline_is_an_error() -> None:
    with pytest.raises(OSError, match=r"No such file|Bad file"):
        _native.guard(987)


@linux_only
def test_children_are_listed() -> None:
    assert _native.children_of(2**30) == []
    process = subprocess.Popen(["sleep", "10"])
    try:
        assert process.pid in _native.children_of(os.getpid())
    finally:
        process.kill()
        process.wait()
    assert process.pid not in _native.children_of(os.getpid())
