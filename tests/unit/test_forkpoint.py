"""A fork point whose controller ends while it writes, and a fork point with a preforked child."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from pytest_hotreload.process import leftovers, proc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits for a process without reaping it")

#: The channel is closed and a child has ended before the fork point looks again: it is stopped meanwhile.
SCRIPT = """
    import os, signal, time
    from pytest_hotreload.process.fork_server import serve
    from pytest_hotreload.process.channel import pair
    from pytest_hotreload.process.fork_messages import (Start)

    ours, theirs = pair()
    lifeline = os.pipe()
    point = os.fork()
    if point == 0:
        ours.close()
        os.close(lifeline[1])
        serve(theirs, lambda start, files: time.sleep(60), lifeline[0])
        os._exit(0)
    theirs.close()
    ours.send(-1, Start(1, 0, ()))
    _, started = ours.receive()
    os.kill(point, signal.SIGSTOP)
    os.waitpid(point, os.WUNTRACED)
    os.kill(started.pid, signal.SIGKILL)
    while open(f"/proc/{started.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    ours.close()
    os.kill(point, signal.SIGCONT)
    print(os.waitpid(point, 0)[1])
"""


#: As on macOS: without pidfds. One child waits ahead; it is killed, and nobody is told before the next request.
AHEAD = """
    import os, signal, time
    del os.pidfd_open
    from pytest_hotreload.process.prefork import Prefork
    from pytest_hotreload.process.channel import pair
    from pytest_hotreload.process.fork_server import serve
    from pytest_hotreload.process.fork_messages import (Start)

    ours, theirs = pair()
    lifeline = os.pipe()
    point = os.fork()
    if point == 0:
        ours.close()
        os.close(lifeline[1])
        serve(theirs, lambda start, files: os._exit(start.token), lifeline[0], ahead=Prefork(lambda: None))
        os._exit(0)
    theirs.close()

    def run(token):
        ours.send(-1, Start(token, 0, ()))
        (_, started), (_, gone) = ours.receive(), ours.receive()
        return started.pid, os.waitstatus_to_exitcode(gone.status)

    def waits():
        while len(pids := open(f"/proc/{point}/task/{point}/children").read().split()) != 1:
            time.sleep(0.01)
        return int(pids[0])

    def looks():
        lines = open(f"/proc/{point}/status").read().splitlines()
        return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)

    first, status = run(7)
    victim = waits()
    before = looks()
    time.sleep(1)
    idle = looks() - before
    os.kill(victim, signal.SIGKILL)
    while open(f"/proc/{victim}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    second, later = run(8)
    third = waits()
    print(status, later, len({first, victim, second}), run(9) == (third, 9), idle < 5)
    ours.close()
    print(os.waitpid(point, 0)[1], os.path.exists(f"/proc/{third}"))
"""

#: Children that end while the fork point is stopped, each with what it left behind: ordinary processes, which
#: stay in the group of their child, and one that left it.
TOGETHER = """
    import os, signal, subprocess, time
    from pytest_hotreload.process.fork_server import serve
    from pytest_hotreload.process.channel import pair
    from pytest_hotreload.process.fork_messages import (Start)

    def live(start, files):
        os.setpgid(0, 0)
        for which in range(start.slot):
            subprocess.Popen(["sleep", f"{300 + start.token}.{which}"])
        if start.token == 4:
            subprocess.Popen(["sleep", "999"], start_new_session=True)
        os.write(said[1], b".")
        time.sleep(60)

    ours, theirs = pair()
    lifeline, said = os.pipe(), os.pipe()
    point = os.fork()
    if point == 0:
        ours.close()
        os.close(lifeline[1])
        os.close(said[0])
        serve(theirs, live, lifeline[0])
        os._exit(0)
    theirs.close()
    started, tokens = [], range(1, 5)
    for token in tokens:
        ours.send(-1, Start(token, token % 3, ()))
        started.append(ours.receive()[1].pid)
    for _ in tokens:
        os.read(said[0], 1)
    os.kill(point, signal.SIGSTOP)
    os.waitpid(point, os.WUNTRACED)
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
    os.kill(point, signal.SIGCONT)
    gone = [ours.receive()[1] for _ in tokens]
    for each in sorted(gone):
        print(each.token, *sorted(name.partition(" (")[0] for name in each.leftovers), sep=", ")
    ours.close()
    print(os.waitpid(point, 0)[1])
"""


def run(script: str) -> tuple[str, str]:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ran.stdout, ran.stderr


def test_nobody_listens_when_a_child_ends() -> None:
    assert run(SCRIPT) == ("0\n", "")


def test_one_child_is_ahead_also_without_pidfds() -> None:
    """It costs no look while it waits, and is nobody's loss."""
    assert run(AHEAD) == ("7 8 3 True True\n0 False\n", "")


def test_each_of_several_that_end_together_answers_for_its_own() -> None:
    """A process that left its group may be the leftover of each: in doubt, no file's results are used again."""
    expected = """\
        1, sleep 301.0, sleep 999
        2, sleep 302.0, sleep 302.1, sleep 999
        3, sleep 999
        4, sleep 304.0, sleep 999
        0
    """
    assert run(TOGETHER) == (textwrap.dedent(expected), "")


def test_a_process_without_a_command_line_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is for a moment while it starts another program."""
    monkeypatch.setattr(proc, "command", lambda _: "")
    assert leftovers._name(os.getpid()) == f"{proc.name(os.getpid())} (pid {os.getpid()})"
    assert proc.name(os.getpid())


#: A warning that was shown once stays so, and the filters are those of before, in both processes.
QUIETLY = """
    import os, sys, threading, time, warnings
    from pytest_hotreload.process.quiet_fork import fork_quietly

    def hook(when):
        warnings.warn(f"{when} a fork")

    os.register_at_fork(
        before=lambda: hook("before"), after_in_parent=lambda: hook("after"), after_in_child=lambda: hook("in")
    )
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    def warn():
        warnings.warn("once", UserWarning)

    before = list(warnings.filters)
    warn()
    pid = fork_quietly()
    warn()
    assert warnings.filters == before
    if not pid:
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_forks_are_quiet_and_leave_the_filters_alone():
    ran = subprocess.run(
        [sys.executable, "-I", "-W", "default", "-c", textwrap.dedent(QUIETLY)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout == "7\n"
    assert ran.stderr.count("UserWarning") == 1
    assert "UserWarning: once" in ran.stderr
    assert "Deprecation" not in ran.stderr
