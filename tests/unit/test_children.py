"""The controller's view of its children."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pytest_hotreload.process.channel import pair
from pytest_hotreload.process.fork_messages import Gone, Started
from pytest_hotreload.process.fork_server import ForkPoint
from pytest_hotreload.process.messages import Rewound
from pytest_hotreload.process.slots import Slot
from pytest_hotreload.run.children import Children
from pytest_hotreload.run.schedule import Group


def test_a_signal_reaches_a_child_whose_pid_is_told_later():
    """Ctrl-C may come between the fork and the fork point's word of it."""
    ours, theirs = pair()
    children, slot = Children(), Slot(0, alone=False)
    point = ForkPoint(-1, ours)
    children.add_point(point)
    children.start(Group("test_a.py", [0]), slot, point, own_group=True, failed=0)
    _, start = theirs.receive()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        children.signal_all(signal.SIGTERM)
        theirs.send(-1, Started(start.token, process.pid))
        list(children.events(10))
        assert process.wait(10) == -signal.SIGTERM
    assert children.living[0].pid == process.pid
    for end in (ours, theirs, slot):
        end.close()


@pytest.mark.parametrize("how", ["its exit is told", "its fork point ends"])
def test_the_end_of_a_rewound_child_is_read_first(how: str) -> None:
    """Both wait to be read, the end by the fork point's channel, which comes first: the group had ended well."""
    ours, theirs = pair()
    children, slot = Children(), Slot(0, alone=False)
    point = ForkPoint(2**22, ours)  # no process has this id
    children.add_point(point)
    children.add_slot(slot)
    children.start(Group("test_a.py", [0]), slot, point, own_group=True, failed=0, rewind=1)
    _, start = theirs.receive()
    slot.child_end.send(-1, Rewound(0.5, 1, 7))
    if how == "its exit is told":
        theirs.send(-1, Gone(start.token, signal.SIGKILL, (), 0.5))
    else:
        theirs.close()
    ((running, frames),) = children.events(10)
    assert (frames, running.status, running.rewound) == ([], 0, Rewound(0.5, 1, 7))
    assert children.living == []
    assert children.waiting == {}
    for end in (ours, theirs, slot):
        end.close()
