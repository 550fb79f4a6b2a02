"""The test files that can be reused: one file of every kind, run once, and then with ``--reuse=on``."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from xml.etree import ElementTree as ET

import pytest

from pytest_hotreload.ci import timings
from pytest_hotreload.ci.results_file import declared, mismatch

from .keeping import Kept, said
from .reporting import BOTH, Told
from .reusing import counts, shown, why

MARK = "import pytest\n{}def test_it(): pass\n"
NETWORK = "it used the network"
PROCESS = "it started a process and declares no dependencies"
MARKED = "a marker says reuse=False"
FAILED = "one of its tests failed"

#: File -> its source, and why it runs again; None: it is reused.
KINDS: dict[str, tuple[str, str | None]] = {
    "test_clean.py": (
        """
        import pytest
        def test_passes(): pass
        @pytest.mark.parametrize("x", [1, 2])
        def test_values(x): pass
        def test_skips(): pytest.skip("no")
        @pytest.mark.xfail
        def test_xfails(): assert 0
        """,
        None,
    ),
    "test_binds.py": (
        "import socket\ndef test_it():\n    with socket.socket() as s: s.bind(('127.0.0.1', 0))\n",
        None,
    ),
    "test_declared.py": (
        (
            "import pytest, subprocess\n@pytest.mark.hotreload(depends=['data/*.txt'])\n"
            "def test_it(): subprocess.run(['true'])\n"
        ),
        None,
    ),
    "test_fails.py": ("def test_it(): assert 0\ndef test_passes(): pass\n", FAILED),
    "test_errors.py": ("import pytest\n@pytest.fixture\ndef f(): 1 / 0\ndef test_it(f): pass\n", FAILED),
    "test_flaky.py": (
        (
            "import pytest\nTRIES = []\n@pytest.mark.flaky(reruns=1)\n"
            "def test_it():\n    TRIES.append(1)\n    assert len(TRIES) > 1\n"
        ),
        FAILED,
    ),
    "test_xpasses.py": (MARK.format("@pytest.mark.xfail\n"), FAILED),
    "test_connects.py": (
        (
            "import socket\ndef test_it():\n    with socket.create_server(('127.0.0.1', 0)) as server:\n"
            "        socket.create_connection(server.getsockname()).close()\n"
        ),
        NETWORK,
    ),
    "test_sends.py": (
        (
            "import socket\ndef test_it():\n    with socket.socket(type=socket.SOCK_DGRAM) as s:\n"
            "        s.sendto(b'', ('127.0.0.1', 9))\n"
        ),
        NETWORK,
    ),
    "test_process.py": ("import subprocess\ndef test_it(): subprocess.run(['true'])\n", PROCESS),
    "test_process_at_import.py": (
        "import subprocess\nsubprocess.run(['true'])\ndef test_it(): pass\n",
        PROCESS,
    ),
    "test_helped.py": ("import helper\ndef test_it(): helper.start()\n", PROCESS),
    "test_forks.py": (
        "import os\ndef test_it():\n    pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)\n",
        PROCESS,
    ),
    "test_unseen.py": (
        (
            "import _posixsubprocess, os, sys\nfrom multiprocessing import util\n"
            "def test_it():\n    pid = util.spawnv_passfds(b'/bin/true', [b'true'], [])\n    os.waitpid(pid, 0)\n"
        ),
        PROCESS,
    ),
    "test_leaves.py": (
        (
            "import pytest, subprocess\n@pytest.mark.hotreload(depends=['data/*.txt'])\n"
            "def test_it(): subprocess.Popen(['sleep', '60'])\n"
        ),
        "it left a process behind",
    ),
    "test_writes.py": (
        "def test_it(): open('out.txt', 'w').write('1')\n",
        "it writes out.txt, which other test files may need",
    ),
    "test_marked.py": (
        MARK.format("@pytest.mark.hotreload(reuse=False)\n") + "def test_other(): pass\n",
        MARKED,
    ),
    "test_marked_class.py": (
        "import pytest\n@pytest.mark.hotreload(reuse=False)\nclass TestIt:\n    def test_it(self): pass\n",
        MARKED,
    ),
    "test_marked_module.py": (MARK.format("pytestmark = pytest.mark.hotreload(reuse=False)\n"), MARKED),
    "test_clock.py": ("def test_it(): pass\n", "listed in hotreload_no_reuse: the clock"),
}
CLEAN = [f"test_clean.py::{name}" for name in ("passes", "values[1]", "values[2]", "skips", "xfails")]
REUSED = [
    "test_binds.py::test_it",
    *(name.replace("::", "::test_") for name in CLEAN),
    "test_declared.py::test_it",
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    plugins = ["hotreload_young", "pytest_rerunfailures", "pytest_reportlog.plugin"]
    for plugin in plugins[1:]:
        if not find_spec(plugin.partition(".")[0]):
            pytest.skip(f"needs {plugin}")
    kept = Kept(
        tmp_path_factory.mktemp("reuse"),
        {
            "pytest.ini": "[pytest]\nhotreload_no_reuse = the clock -> test_clock.py\n",
            "data/one.txt": "",
            "helper.py": "import subprocess\ndef start(): subprocess.run(['true'])\n",
            **{name: source for name, (source, _) in KINDS.items()},
        },
    )
    kept.project.plugins = plugins
    assert kept.run(slots=2).status == 1
    # What test_writes.py made is a change of the project, which these processes may have read.
    assert kept.run("test_leaves.py", "test_unseen.py", slots=2).status == 0
    return kept


@pytest.fixture(scope="module")
def again(kept):
    """The second run; every file that may be reused is."""
    results = ["--junitxml=junit.xml", "--report-log=log.json", "--hotreload-json=r.json"]
    return kept.run("--reuse=on", "-v", *results, *BOTH, slots=2)


@pytest.mark.slow
def test_each_kind(again):
    assert why(again) == {name: reason for name, (_, reason) in KINDS.items() if reason}
    expected = dict.fromkeys(REUSED, "reused")
    outcomes = shown(again)
    assert {nodeid: how for nodeid, how in outcomes.items() if how == "reused"} == expected
    assert outcomes.keys() == {*REUSED, *(nodeid for nodeid in outcomes if nodeid not in REUSED)}
    assert {nodeid: how for nodeid, how in outcomes.items() if nodeid not in REUSED and how != "passed"} == {
        "test_errors.py::test_it": "failed",
        "test_fails.py::test_it": "failed",
        "test_xpasses.py::test_it": "xpassed",
    }
    assert again.status == 1


def test_the_counts(again):
    assert counts(again) == "1 failed, 16 passed, 1 xpassed, 1 error, 7 reused, 1 rerun"
    lines = said(again)
    (ran,) = [line for line in lines if "reused" in line]
    assert re.fullmatch(r"7 reused \(ran \d+ s ago\)", ran)
    assert (
        "records: 3/20 hit (17 miss: 4 failed, 3 marked reuse=False, 1 in hotreload_no_reuse, "
        "2 used the network, 5 started a process, 1 left a process behind, 1 wrote files)"
    ) in lines


def test_the_lines(again):
    """In pytest's order, each as what it is."""
    lines = [line for line in again.lines if line.startswith("test_clean.py::")]
    assert [re.sub(r" \(reused: ran \d+ s( ago)?.*", "", line) for line in lines] == [
        f"{nodeid} REUSED" for nodeid in REUSED[1:-1]
    ]


def test_junit_says_reused(kept, again):
    cases = list(ET.parse(kept.root / "junit.xml").iter("testcase"))
    assert [
        f"{case.get('classname')}.py::{case.get('name')}"
        for case in cases
        if "Class" not in case.get("classname", "")
    ]
    reused = {}
    for case in cases:
        for skipped in case.iter("skipped"):
            message = skipped.get("message") or ""
            if message.startswith("reused: "):
                reused[f"{case.get('classname')}.py::{case.get('name')}"] = message
    assert reused.keys() == set(REUSED)
    assert all(re.fullmatch(r"reused: ran \d+ s ago", message) for message in reused.values())


def test_the_report_log_says_reused(kept, again):
    entries = [json.loads(line) for line in (kept.root / "log.json").read_text().splitlines()]
    reused = [entry for entry in entries if "reused" in entry]
    assert [(entry["nodeid"], entry["when"], entry["outcome"]) for entry in reused] == [
        (nodeid, "setup", "skipped") for nodeid in REUSED
    ]
    assert {entry["reused"]["revision"] for entry in reused} == {None}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", e["reused"]["at"]) for e in reused)
    recorded = {entry["nodeid"].partition("::test_")[2]: entry["recorded"] for entry in reused}
    assert recorded["skips"] == "skipped"
    assert recorded["xfails"] == "xfailed"
    assert recorded["values[2]"] == "passed"


def test_the_results_say_reused(kept, again):
    found = json.loads((kept.root / "r.json").read_text())
    assert mismatch(found, declared(), strict=True) == ""
    reused = {test["nodeid"]: test for test in found["tests"] if test["reused"]}
    assert list(reused) == REUSED
    assert {test["outcome"] for test in reused.values()} == {"skipped"}
    assert {test["reused"]["revision"] for test in reused.values()} == {""}, "there is no git"
    known = timings.of_text(json.dumps(found)).files
    assert "test_xpasses.py" in known
    assert not known.keys() & {nodeid.partition("::")[0] for nodeid in REUSED}, "they took no time, this once"


def test_the_report_says_reused(kept, again):
    found = Told(kept.root)
    found.check()
    assert [nodeid for nodeid, outcome in found.tests.items() if outcome == "reused"] == REUSED
    assert [nodeid for nodeid, outcome in found.traced.items() if outcome == "reused"] == REUSED
