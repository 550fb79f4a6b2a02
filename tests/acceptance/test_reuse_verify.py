"""``--reuse=verify``: everything runs, and a result that reuse would have shown wrongly fails the run."""

from __future__ import annotations

import pytest

from .keeping import Kept, said
from .reusing import counts, shown, why

NONE = "verified 2 test files that would be reused: none wrong"
HINT = "hint: declare what it depends on (hotreload_depends), or mark it with reuse=False"
#: How a test may get at what no hook sees, outside of the project; each skips itself once ``hidden.txt`` holds a 2, or
#: is gone.
HIDDEN = {
    "stat": "os.path.exists('../hidden.txt')",
    "size": "os.path.getsize('../hidden.txt') == 1",
    "process": "subprocess.run('cat ../hidd??.txt', shell=True, capture_output=True).stdout == b'1'",
}


def project(tmp_path, condition, outcome="pytest.skip('hidden')"):
    source = (
        "import os, pytest, subprocess\n@pytest.mark.hotreload(depends=['other/*.txt'])\n"
        f"def test_it():\n    if not {condition}: {outcome}\ndef test_other(): pass\n"
    )
    files = {
        "test_a.py": source,
        "test_b.py": "def test_b(): pass\n",
        "../hidden.txt": "1",
        "other/x.txt": "",
    }
    kept = Kept(tmp_path, files)
    kept.run()
    return kept


@pytest.mark.parametrize("how", HIDDEN)
def test_a_wrong_reuse_is_found(tmp_path, how):
    """All tests that run pass or are skipped: the status is 1 all the same, and the record goes."""
    kept = project(tmp_path, HIDDEN[how])
    result = kept.run("--reuse=verify", "-q")
    assert (result.status, shown(result)) == (
        0,
        dict.fromkeys(["test_a.py::test_it", "test_a.py::test_other", "test_b.py::test_b"], "passed"),
    )
    kept.write({"../hidden.txt": None if how == "stat" else "22"})
    assert kept.run("--reuse=on").status == 0  # which is what the user would have believed
    result = kept.run("--reuse=verify")
    assert result.status == 1
    assert counts(result) == "2 passed, 1 skipped"
    assert said(result) == [
        f"WRONG REUSE: test_a.py: test_it skipped, recorded as passed; {HINT}",
        "verified 2 test files that would be reused: 1 WRONG",
        "records: 2/2 hit",
    ]
    assert kept.files() == ["test_b.py"]
    result = kept.run("--reuse=on", "-v")
    assert why(result) == {"test_a.py": "no record yet"}
    assert counts(result) == "1 passed, 1 skipped, 1 reused"


def test_a_crash_is_another_outcome(tmp_path):
    kept = project(tmp_path, HIDDEN["stat"], "os._exit(3)")
    kept.write({"../hidden.txt": None})
    result = kept.run("--reuse=verify", "-q")  # even so quiet it is named
    assert result.status == 1
    assert said(result) == [f"WRONG REUSE: test_a.py: test_it failed, recorded as passed; {HINT}"]


def test_what_would_not_be_reused_is_not_verified(tmp_path):
    kept = project(tmp_path, HIDDEN["stat"])
    kept.write({"test_a.py": "def test_it(): assert 0\n"})
    result = kept.run("--reuse=verify", "-v")
    assert result.status == 1
    assert why(result) == {"test_a.py": "test_a.py"}
    assert said(result)[:2] == [
        "verified 1 test file that would be reused: none wrong",
        "records: 1/2 hit (1 miss: 1 changed)",
    ]


def test_what_did_not_run_is_not_verified(tmp_path):
    kept = project(tmp_path, HIDDEN["stat"], "assert 0")
    kept.write({"../hidden.txt": None})
    result = kept.run("--reuse=verify", "-x")
    assert shown(result) == {"test_a.py::test_it": "failed"}
    assert said(result)[1] == "verified 1 test file that would be reused: 1 WRONG"
    assert kept.files() == ["test_b.py"]


def test_nothing_is_wrong(tmp_path, slots):
    kept = project(tmp_path, HIDDEN["stat"])
    result = kept.run("--reuse=verify", slots=slots)
    assert (result.status, said(result)) == (0, [NONE, "records: 2/2 hit"])
    assert counts(result) == "3 passed"
