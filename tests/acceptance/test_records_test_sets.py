"""What single tests ran, where some tests of a file are skipped, or start processes."""

from __future__ import annotations

import sys

import pytest

from .keeping import Kept, outcomes

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on"
)

LIBRARY = "def first():\n    return 1\n\ndef second():\n    return 2\n\ndef third():\n    return 3\n"
START = "subprocess.run([sys.executable, '-c', 'import library; library.third()'], check=True)"
TESTS = """\
import os, subprocess, sys
import pytest
import library

def test_first():
    assert library.first() == 1

def test_second():
    assert library.second() == 2

@pytest.mark.skip(reason="not now")
def test_skipped():
    assert library.first() == 1

@pytest.mark.parametrize("n", [])
def test_of_nothing(n):
    assert library.first() == 1

"""
FORK = """\
    pid = os.fork()
    if not pid:
        library.third()
        os._exit(0)
    os.waitpid(pid, 0)
    os.system('true')"""
SPAWN = """\
    import multiprocessing
    one = multiprocessing.get_context('spawn').Process(target=library.third)
    one.start()
    one.join()"""
FIRST = ("library.py", "return 1", "return 0 + 1")


def kept_with(top, *tests, files=()):
    kept = Kept(top, {"library.py": LIBRARY, "test_a.py": TESTS + "\n\n".join(tests), **dict(files)})
    assert kept.run().status == 0
    return kept


def ran(kept, *edit):
    if edit:
        kept.edit(*edit)
    result = kept.run("--affected=tests")
    assert result.status in (0, 5), result.raw
    return {nodeid.partition("::")[2] for nodeid in outcomes(result)}


def test_skipped_tests_ran_nothing(tmp_path):
    kept = kept_with(tmp_path)
    assert ran(kept, *FIRST) == {"test_first"}
    kept.run()
    assert ran(kept, "library.py", "return 2", "return 0 + 2") == {"test_second"}


@pytest.mark.parametrize(
    "process",
    [
        f"    {START}",
        "    os.system('true')",
        FORK,
        SPAWN,
    ],
    ids=["program", "shell", "fork", "spawn"],
)
def test_a_test_that_starts_a_process_always_runs(tmp_path, process):
    kept = kept_with(
        tmp_path, f"def test_starts():\n{process}", files={"other.py": "x = 1\n", "data.txt": "1"}
    )
    assert ran(kept, *FIRST) == {"test_first", "test_starts"}
    assert kept.affected() == {"test_a.py": "library.py:first ← test_a.py"}
    kept.run()
    assert ran(kept, "library.py", "return 3", "return 0 + 3") == {"test_starts"}
    kept.run()
    assert ran(kept, "library.py", "return 2", "return 2  # two") == {"test_starts"}
    kept.run()
    assert ran(kept, "other.py", "1", "2") == {"test_starts"}
    kept.run()
    assert ran(kept, "data.txt", "1", "2") == {"test_starts"}
    kept.run()
    kept.edit("library.py", "def third()", "def third(n=0)")
    assert len(ran(kept)) == 5


def test_a_process_that_lives_on_belongs_to_the_tests_that_follow(tmp_path):
    kept = kept_with(
        tmp_path,
        "def test_starts():\n    global one\n    one = subprocess.Popen(['sh', '-c', 'read x'], stdin=subprocess.PIPE)",
        "def test_meanwhile():\n    pass",
        "def test_ends():\n    one.stdin.close()\n    one.wait()",
        "def test_behind():\n    pass",
    )
    assert ran(kept, *FIRST) == {"test_first", "test_starts", "test_meanwhile", "test_ends"}


@pytest.mark.parametrize(
    "starts",
    [
        f"@pytest.fixture(scope='module', autouse=True)\ndef started():\n    {START}",
        START,
        "def setup_module():\n    os.system('true')",
    ],
    ids=["module fixture", "import", "setup_module"],
)
def test_a_process_outside_of_a_test_concerns_all(tmp_path, starts):
    kept = kept_with(tmp_path, starts)
    assert len(ran(kept, *FIRST)) == 4


def test_the_file_is_affected_by_everything(tmp_path):
    """Whole files stay exact: what a process reads is not observed."""
    kept = kept_with(tmp_path, f"def test_starts():\n    {START}", files={"other.py": "x = 1\n"})
    kept.edit("library.py", "return 3", "return 4")
    assert set(kept.affected()) == {"test_a.py"}
    kept.run()
    kept.edit("other.py", "1", "2")
    assert set(kept.affected()) == {"test_a.py"}
    kept.run()
    assert kept.affected() == {}
