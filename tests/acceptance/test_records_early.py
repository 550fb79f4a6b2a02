"""Plugins of the project that are imported before observation starts: the files that they read are recorded."""

from __future__ import annotations

import pytest

from .keeping import Kept, outcomes

TESTS = {
    "test_a.py": "def test_a(value): assert value\n",
    "test_b.py": "def test_b(): pass\n",
    "pytest.ini": "[pytest]\naddopts = -p own\n",
}
FIXTURE = """
import pytest
@pytest.fixture
def value():
    return VALUE
"""
#: What the plugin does while it is imported, and an edit, as a file and its text, that makes test_a fail.
READS = {
    "a file": ("VALUE = int(open('data.txt').read())", "data.txt", "0"),
    "a folder": ("import os\nVALUE = 'more.txt' not in os.listdir('folder')", "folder/more.txt", ""),
    "in a module of its own": ("from below import VALUE", "data.txt", "0"),
    "a variable": ("import os\nVALUE = os.environ.get('OWN_MODE') != 'bad'", "", ""),
    "sets a variable": (
        "import os\nos.environ['OWN_SET'] = '1'\nVALUE = int(open('data.txt').read())",
        "data.txt",
        "0",
    ),
}  # fmt: skip
FILES = {
    "data.txt": "1",
    "folder/one.txt": "",
    "below.py": "import pathlib\nVALUE = int(pathlib.Path('data.txt').read_text())\n",
}


def kept_with(tmp_path, reads):
    return Kept(tmp_path, {**FILES, **TESTS, "own.py": f"{reads}\n{FIXTURE}"})


@pytest.mark.parametrize("how", READS)
def test_what_a_plugin_reads_while_it_is_imported(tmp_path, how):
    reads, file, text = READS[how]
    kept = kept_with(tmp_path, reads)
    assert kept.run().status == 0
    assert kept.affected() == {}
    if file:
        kept.write({file: text})
    else:
        kept.environ["OWN_MODE"] = "bad"
    assert kept.affected().keys() == {"test_a.py", "test_b.py"}
    ours = kept.run("--affected")
    assert outcomes(ours) == {"test_a.py::test_a": "failed", "test_b.py::test_b": "passed"}
    assert ours.errors == []


@pytest.mark.parametrize(
    "twice",
    [
        "open('log.txt', 'a').write('x')",
        "import os\nos.mkdir('made')",
        "import subprocess\nsubprocess.run(['sh', '-c', 'printf x >> log.txt'])",
        "import os, pathlib\npathlib.Path('one').touch()\nos.rename('one', 'other')",
    ],
)
def test_nothing_is_done_twice(tmp_path, twice):
    """What an import would change again is refused before it happens; then nothing is known, and everything runs."""
    kept = kept_with(tmp_path, f"{twice}\nVALUE = 1")
    ours = kept.run()
    assert (ours.status, ours.errors) == (0, []), ours.raw
    assert sum("own: the inputs of its import are unknown" in line for line in ours.notices) == 1
    if "log.txt" in twice:
        assert (kept.root / "log.txt").read_text() == "x"
    if "mkdir" in twice:
        (kept.root / "made").rmdir()
    assert kept.affected().keys() == {"test_a.py", "test_b.py"}


def test_an_import_that_prints_prints_once(tmp_path):
    kept = kept_with(tmp_path, "import sys\nprint('hello', file=sys.stderr, flush=True)\nVALUE = 1")
    assert kept.run().errors == ["hello"]


def test_no_plugin_of_the_project_no_fork(tmp_path):
    """Nothing is said, and nothing is imported a second time, where nothing of the project was there before."""
    kept = Kept(tmp_path, {"test_b.py": "def test_b(): pass\n", "conftest.py": "VALUE = 1\n"})
    assert not any("its import" in line for line in kept.run().notices)
