"""Files that the user names: links, pipes and devices keep their kind."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

OPTIONS = {
    "json": ["--hotreload-json={}"],
    "report": ["--hotreload-report={}"],
    "trace": ["--hotreload-trace={}"],
    "plan": ["--shard=1/2", "--shard-plan={}"],
}
BEGINS = {"json": "{", "report": "<!doctype html>", "trace": "{", "plan": "{"}


@pytest.fixture
def passes(project):
    project.write({"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"})
    return project


def arguments(what, path):
    return [option.format(path) for option in OPTIONS[what]]


@pytest.mark.parametrize("what", OPTIONS)
def test_a_link_and_a_pipe(passes, tmp_path, what):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    assert passes.run(*arguments(what, link), slots=1).status == 0
    assert link.is_symlink()
    assert target.read_text().lower().startswith(BEGINS[what])

    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    assert passes.run(*arguments(what, pipe), slots=1).status == 0
    reader.join()
    assert found[0].lower().startswith(BEGINS[what])
    assert pipe.is_fifo()

    unread = passes.run(*arguments(what, pipe), slots=1)
    assert pipe.is_fifo()
    said = [*unread.raw.splitlines(), *unread.errors]
    lines = {line for line in said if "nobody reads this pipe" in line}
    assert len(lines) == 1, unread.raw


def test_standard_output(passes):
    """As root it was replaced by a file."""
    before = Path("/dev/stdout").lstat().st_ino
    raw = passes.run("--hotreload-json=/dev/stdout", "-q", slots=1).raw
    assert Path("/dev/stdout").lstat().st_ino == before
    begin, end = raw.index('{\n "schema"'), raw.rindex("\n}") + 2
    assert json.loads(raw[begin:end])["schema"] == "hotreload-results/1"
