"""The ends of a watch leave no process and restore the terminal at every moment, and long watches leave nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from .desk import GONE_SECONDS, WATCHING
from .processes import until
from .waiting import WAITS, waiting

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

# ------------------------------------------------------------------------------------- every end


def family_gone(desk):
    until(lambda: not desk.term.processes(), f"no process of {desk.term.processes()}", GONE_SECONDS)
    assert desk.temporary_files() == []


def now_or_soon(desk, when):
    """Start a watch, and wait for a moment of its life."""
    if when == "start":
        desk.write(WAITS)
        desk.start(desk.command("--watch"))
        program = Path(f"/proc/{desk.term.pid}/cmdline")
        desk.term.wait_until(lambda: b"terminal_shell" not in program.read_bytes(), "the program")
    elif when == "warm":
        desk.write(WAITS)
        desk.start(desk.command("--watch"))
        desk.term.wait_until(lambda: len(desk.term.processes()) > 1, "a template")
    elif when == "idle":
        desk.write(WAITS)
        desk.watch()
    else:
        waiting(desk, when)


MOMENTS = ["start", "warm", "idle", "in-place", "2-slots"]


@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_terminated(desk, when, number):
    now_or_soon(desk, when)
    os.kill(desk.term.pid, number)
    assert desk.term.wait() in {-number, 128 + number}
    desk.left_behind()


@pytest.mark.parametrize("when", ["idle", "in-place", "2-slots"])
def test_terminal_closed(desk, when):
    now_or_soon(desk, when)
    desk.term.hang_up()
    desk.term.wait()
    family_gone(desk)


@pytest.mark.parametrize("when", MOMENTS)
def test_killed(desk, when):
    """No handler of its own runs; the family ends all the same, and somebody puts the terminal's modes back."""
    now_or_soon(desk, when)
    os.kill(desk.term.pid, signal.SIGKILL)
    assert desk.term.wait() == -signal.SIGKILL
    desk.term.wait_until(
        lambda: desk.term.modes() == desk.term.modes_before, "the modes as before", GONE_SECONDS
    )
    desk.left_behind()


def test_killed_at_a_prompt(desk):
    """Its modes are others than those for keys, and as little the user's."""
    desk.write(WAITS)
    desk.watch()
    desk.press("t", "-k: ")
    assert desk.term.modes() != desk.term.modes_before
    os.kill(desk.term.pid, signal.SIGKILL)
    assert desk.term.wait() == -signal.SIGKILL
    desk.term.wait_until(
        lambda: desk.term.modes() == desk.term.modes_before, "the modes as before", GONE_SECONDS
    )
    desk.left_behind()


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_a_random_moment(desk, seed):
    """Within its first second and a half, which holds all that it does."""
    desk.write(WAITS)
    desk.start(desk.command("--watch"))
    moment = random.Random(seed).uniform(0.0, 1.5)
    began = time.monotonic()
    desk.term.wait_until(lambda: time.monotonic() - began > moment, "the moment")
    os.kill(desk.term.pid, signal.SIGKILL)
    assert desk.term.wait() == -signal.SIGKILL
    desk.term.wait_until(
        lambda: desk.term.modes() == desk.term.modes_before, "the modes as before", GONE_SECONDS
    )
    desk.left_behind()


# ------------------------------------------------------------------------------------- long lives


@pytest.mark.slow
def test_idle_takes_no_time(desk):
    """Nobody wakes up to look."""
    desk.write(WAITS)
    desk.watch()
    desk.edit({"test_other.py": "def test_other(): assert True\n"})
    settle(desk)
    spent = []
    for _ in range(3):  # what others do to the caches counts for us, too: the least says most
        seconds, woken = cpu_seconds(desk), wakeups(desk)
        time.sleep(5)
        assert wakeups(desk) - woken <= 2  # a look at what is installed each minute, and no more
        spent.append(cpu_seconds(desk) - seconds)
    assert min(spent) < 0.010  # 0.2 % of a core, twice what is promised: other work runs beside


def settle(desk) -> None:
    """Wait until what is built ahead stands: no processor time was used for half a second."""
    before, since = (-1.0, 0), time.monotonic()

    def quiet() -> bool:
        nonlocal before, since
        try:
            now = cpu_seconds(desk), len(desk.term.processes())
        except (FileNotFoundError, ProcessLookupError):  # one that ended just now
            now = -1.0, 0
        if now[1] != before[1] or now[0] - before[0] > 0.002:
            before, since = now, time.monotonic()
        return time.monotonic() - since > 0.5

    until(quiet, "the family is quiet")


def cpu_seconds(desk) -> float:
    """Of the whole family so far. The scheduler counts nanoseconds; ``stat`` has ticks of 10 ms."""
    spent = 0
    for pid in desk.term.processes():
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def wakeups(desk) -> int:
    """How often any thread of the family went to sleep so far."""
    tasks = [task for pid in desk.term.processes() for task in Path(f"/proc/{pid}/task").iterdir()]
    lines = [line for task in tasks for line in (task / "status").read_text().split("\n")]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def began(pid) -> int:
    """When a process started, in ticks."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def census(desk) -> tuple[int, int, int]:
    """Processes of the family, their open files, and the watcher's and the template's own memory in kB."""
    pids = desk.term.processes()
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    memory = 0
    # By age: numbers start again from below after the highest one.
    for pid in sorted(pids, key=began)[:2]:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        memory += sum(int(found) for found in re.findall(r"^Private_\w+: +(\d+)", rollup, re.MULTILINE))
    return len(pids), files, memory


@pytest.mark.slow
def test_reruns_leave_nothing(desk):
    """Thirty in a row."""
    desk.write(WAITS)
    desk.watch()

    def rerun(number):
        desk.edit({"test_other.py": f"def test_other(): assert {number}\n"}, re.compile("PASS.*" + WATCHING))

    for number in range(1, 6):
        rerun(number)
    settle(desk)
    processes, files, memory = census(desk)
    for number in range(6, 36):
        rerun(number)
    settle(desk)
    assert census(desk)[:2] == (processes, files)
    assert census(desk)[2] < memory + 1500
