"""Records of suites that read the worker id early: each slot collects for itself, and is observed meanwhile."""

from __future__ import annotations

import sys

import pytest

from .keeping import Kept, outcomes

WORKER = 'WORKER = os.environ.get("PYTEST_XDIST_WORKER", "master")\n'
NOTICE = "conftest.py reads the worker id early, so each slot collects in its own process"
CONFTEST = f"import os\nimport state\n{WORKER}state.begin(WORKER)\n"
STATE = """\
BEGUN = []

def begin(worker):
    BEGUN.append(worker)

def first():
    return 1

def second():
    return later(2)

def later(n):
    return n

def seldom():
    pass
"""
FILES = {
    "conftest.py": CONFTEST,
    "state.py": STATE,
    "test_a.py": "import state\n\ndef test_first():\n    assert state.first() == 1\n\ndef test_b(): pass\n",
    "test_b.py": "import state\n\ndef test_second():\n    assert state.second() == 2\n",
    "test_c.py": "import state\n\ndef test_begun():\n    assert len(state.BEGUN) == 1\n",
}


@pytest.fixture
def kept(tmp_path):
    kept = Kept(tmp_path, FILES)
    result = kept.run(slots=2)
    assert NOTICE in result.raw
    assert (result.status, len(outcomes(result))) == (0, 4)
    return kept


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
@pytest.mark.parametrize(
    ("old", "new", "affected"),
    [
        ("return 1", "return 0 + 1", {"test_a.py": "state.py:first ← test_a.py"}),
        ("return later(2)", "return later(1 + 1)", {"test_b.py": "state.py:second ← test_b.py"}),
        ("return n", "return n + 0", {"test_b.py": "state.py:later ← test_b.py"}),
        ("pass", "return", {}),
        (
            "BEGUN.append(worker)",
            "BEGUN.append(worker + '')",
            {f"test_{n}.py": f"state.py:begin ← test_{n}.py" for n in "abc"},
        ),
        ("BEGUN = []", "BEGUN = list()", {f"test_{n}.py": f"state.py ← test_{n}.py" for n in "abc"}),
    ],
)
def test_functions_are_told_apart(kept, old, new, affected):
    kept.edit("state.py", old, new)
    assert kept.affected() == affected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
def test_tests_are_told_apart(kept):
    kept.edit("state.py", "return 1", "return 0 + 1")
    result = kept.run("--affected=tests", slots=2)
    assert outcomes(result) == {"test_a.py::test_first": "passed"}


def test_what_only_a_slot_reads_while_it_collects(tmp_path):
    """The collection in the controller has no worker id, so it reads other files and imports other modules."""
    kept = Kept(tmp_path, {
        "conftest.py": f"import os\n{WORKER}",
        **{f"settings_{worker}.txt": "1" for worker in ("master", "gw0", "gw1")},
        **{f"part_{worker}.py": "N = 1\n" for worker in ("master", "gw0", "gw1")},
        "test_a.py": "from conftest import WORKER\nN = open(f'settings_{WORKER}.txt').read()\n\n"
                     "def test_a():\n    assert N == '1'\n",
        "test_b.py": "import importlib\nfrom conftest import WORKER\n"
                     "part = importlib.import_module(f'part_{WORKER}')\n\n"
                     "def test_b():\n    assert part.N == 1\n",
    })  # fmt: skip
    assert kept.run(slots=2).status == 0
    assert kept.affected() == {}
    for worker in ("gw0", "gw1"):
        kept.write({f"settings_{worker}.txt": "2", f"part_{worker}.py": "N = 2\n"})
    result = kept.run("--affected", slots=2)
    assert outcomes(result) == {"test_a.py::test_a": "failed", "test_b.py::test_b": "failed"}
