"""A fork point whose listener leaves while it has something to say."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits for a process without reaping it")

#: The channel is closed and a child has ended before the fork point looks again: it is stopped meanwhile.
SCRIPT = """
    import os, signal, time
    from pytest_hotreload.forkpoint import serve
    from pytest_hotreload.channel import pair
    from pytest_hotreload.protocol import Start

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


def test_nobody_listens_when_a_child_ends() -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("0\n", "")
