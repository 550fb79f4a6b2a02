"""Output on a terminal: the bytes of plain pytest, and a line about running tests that is erased again."""

from __future__ import annotations

import os
import pty
import re
import select
import time

import pytest

_LINE = re.compile(r"\n\x1b\[2mrunning: [^\x1b]*\x1b\[0m\r\x1b\[A(?:\x1b\[\d+C)?")
_ERASED = re.compile(r"\n\x1b\[2K\r\x1b\[A(?:\x1b\[\d+C)?")


def on_a_terminal(project, *args, slots):
    """All bytes that a run writes to a terminal of its own, and its exit status."""
    ours, theirs = pty.openpty()
    side = "plain" if slots is None else "forks"
    process = project.start(*args, slots=slots, side=side, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    data = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            data += part
        elif process.poll() is not None:
            break
    os.close(ours)
    project.finish(process, side)
    return data.decode().replace("\r\n", "\n"), process.returncode


def settled(text, project, side):
    """What stays on the screen: without our lines, and without what was drawn and erased."""
    text = _ERASED.sub("", _LINE.sub("", text))
    text = re.sub(r"\bin \d+\.\d\ds", "in TIME", text)
    text = re.sub(r"=+(?=\S* *\S*\d+ (?:passed|failed))|=+(?=\x1b\[0m\n$)", "==", text)
    lines = text.replace(str(project.root(side)), "<root>").split("\n")
    return [
        re.sub("=+", "==", line) if " in TIME" in line else line
        for line in lines
        if "hotreload: " not in line
    ]


FILES = {
    "test_a.py": "import time\ndef test_1(): time.sleep(1.1)\ndef test_2(): assert 0\n",
    "test_b.py": "import time\ndef test_1(): time.sleep(0.2)\ndef test_2(): time.sleep(0.8)\n",
}


@pytest.mark.parametrize("options", [["-v"], ["-q"]])
@pytest.mark.slow
def test_what_stays_is_plain_pytests(project, slots, options):
    project.write(FILES)
    plain, status = on_a_terminal(project, *options, slots=None)
    ours, our_status = on_a_terminal(project, *options, slots=slots)
    assert our_status == status == 1
    assert settled(ours, project, "forks") == settled(plain, project, "plain")
    drawn = len(_LINE.findall(ours))
    assert (drawn >= 1) is ("-q" not in options)
    assert len(_ERASED.findall(ours)) == drawn


def test_the_line_names_what_runs(project):
    project.write(FILES)
    ours, _ = on_a_terminal(project, slots=2)
    assert re.search(r"running: test_a\.py::test_1 \(\d s\) · test_b\.py::test_\d \(\d s\)", ours)


def test_uncaptured_on_a_terminal(project):
    project.write(
        {
            "test_a.py": "import sys\ndef test_tty():\n    print('tty', sys.stdout.isatty(), sys.stdin.isatty())\n",
            "test_b.py": "def test_b(): print('b')\n",
        }
    )
    plain, status = on_a_terminal(project, "-s", slots=None)
    ours, our_status = on_a_terminal(project, "-s", slots=2)
    assert our_status == status == 0
    assert "tty True True" in ours
    assert settled(ours, project, "forks") == settled(plain, project, "plain")
