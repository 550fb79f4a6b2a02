"""Failures that wait for a slow file are named on standard error as soon as they are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .compare import assert_same

SLOW = {
    "test_a.py": "import time\ndef test_slow(): time.sleep(2.5)\n",
    "test_b.py": "def test_passes(): pass\ndef test_fails(): assert 0\ndef test_too(): assert 0\n",
}
LINES = [
    f"hotreload: test_b.py::{name} failed; its output follows that of test_a.py, which is still running"
    for name in ("test_fails", "test_too")
]


def test_failures_are_named(project):
    project.write(SLOW)
    plain, ours = project.both(slots=2)
    assert_same(plain, ours)
    assert ours.early == LINES


def test_a_bound(project):
    """A suite that is broken everywhere does not get a line for each of its tests."""
    many = "".join(f"def test_{number}(): assert 0\n" for number in range(15))
    project.write({**SLOW, "test_b.py": many, "test_c.py": many})
    ours = project.run(slots=2)
    more = "hotreload: more tests failed; their output follows that of test_a.py, which is still running"
    assert [line.partition(" failed")[0] for line in ours.early[:10]] == [
        f"hotreload: test_b.py::test_{number}" for number in range(10)
    ]
    assert ours.early[10:] == [more]


def test_one_stream(project):
    """Where both streams are one, the line does not break pytest's line of dots."""
    project.write(SLOW)
    ours = project.run(slots=2, stderr=subprocess.STDOUT)
    place = [index for index, line in enumerate(ours.notices) if line == LINES[0]]
    assert len(place) == 1
    assert [line for line in ours.notices if line in LINES] == LINES
    assert "test_b.py .FF" in ours.output


@pytest.mark.parametrize("words", [["-q"], ["--hotreload-quiet"]])
def test_quiet(project, words):
    project.write(SLOW)
    ours = project.run(*words, slots=2)
    assert (ours.early, ours.errors, ours.status) == ([], [], 1)


def test_not_those_that_are_shown_soon(project, slots):
    project.write({**SLOW, "test_a.py": "import time\ndef test_slow(): time.sleep(0.3)\n"})
    assert project.run(slots=slots).early == []


def test_a_death(project):
    project.write(
        {**SLOW, "test_b.py": "import os\ndef test_fails(): os._exit(1)\ndef test_too(): assert 0\n"}
    )
    assert project.run(slots=2).early == LINES


def test_standard_error_that_takes_nothing(project):
    """Each write fails, as to a full disk or a closed pipe: the run goes on."""
    project.write(SLOW)
    with Path("/dev/full").open("wb") as full:
        ours = project.run(slots=2, stderr=full.fileno())
    assert (ours.status, ours.lines[-1]) == (1, "== 2 failed, 2 passed in TIME ==")
