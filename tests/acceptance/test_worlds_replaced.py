"""Conftests and test files that replace what hotreload uses."""

from __future__ import annotations

from typing import Any

import pytest

#: All that a run uses and plain pytest, as far as it goes here, does not.
OTHER = {"test_other.py": "def test_other(): pass\n"}
REPLACED = """
import gc, os, pickle, select, selectors, signal, socket, struct, subprocess, threading, time, tempfile

def raises(*args, **kwargs):
    raise RuntimeError("a stand-in")

for module, names in {
    gc: "freeze unfreeze get_objects get_referrers isenabled disable enable",
    os: "_exit fork getpid getppid kill killpg memfd_create pidfd_open pipe pread read setpgid wait wait4 "
        "waitpid write ftruncate",
    pickle: "dumps loads Pickler Unpickler",
    select: "poll epoll select",
    selectors: "DefaultSelector EpollSelector PollSelector SelectSelector",
    signal: "signal getsignal setitimer",
    socket: "socketpair socket send_fds recv_fds",
    struct: "pack unpack Struct calcsize",
    subprocess: "Popen run",
    threading: "Thread active_count current_thread main_thread enumerate",
    time: "monotonic perf_counter time sleep process_time time_ns",
}.items():
    for name in names.split():
        setattr(module, name, raises)
"""


def test_a_conftest_that_replaces_what_we_use(project: Any, slots: int) -> None:
    fails = "def test_passes(): pass\ndef test_fails(): assert [1] == [2]\n"
    project.write({**OTHER, "conftest.py": REPLACED, "test_a.py": fails, "test_b.py": fails})
    project.same("-p", "no:cacheprovider", slots=slots)


#: How our own run looks them up: by its functions, by those of the standard library, by classes, by ``sys``.
REPLACED_FOR_GOOD = {
    "sys.platform": [],
    "os.urandom": [],
    "builtins.repr": [],
    "os.environ.update": [],
    "threading.get_ident": [],
    "collections.Counter": [],
    "sys.path": [],
    "io.open": ["-p", "no:cacheprovider"],  # pytest's cache breaks by it
}


@pytest.mark.parametrize("name", REPLACED_FOR_GOOD)
def test_a_name_that_a_test_file_replaces_for_good(project: Any, slots: int, name: str) -> None:
    """While it is imported, so in the controller: each ended the run in INTERNALERROR."""
    replaces = f"import unittest.mock\nunittest.mock.patch({name!r}, lambda *_, **__: None).start()\n"
    project.write({"test_a.py": replaces + "def test_a(): pass\n", **OTHER})
    project.same(*REPLACED_FOR_GOOD[name], slots=slots)


#: Whatever goes wrong: each stands for what nobody has thought of.
BROKEN = """
import sys

def raises(*args, **kwargs):
    raise RuntimeError("out of order")

def pytest_collection_finish():
    module = sys.modules.get("pytest_hotreload.{module}")
    if module is not None:
        module.{name} = raises
"""


@pytest.mark.parametrize(
    "what", ["epoch.inputs", "drafts.open_project", "drafts.Dependencies", "reuse.judge"]
)
def test_an_error_with_records_costs_them_and_a_line(project: Any, slots: int, what: str) -> None:
    module, _, name = what.partition(".")
    tests = "def test_passes(): pass\ndef test_fails(): assert 0\n"
    project.write(
        {"conftest.py": BROKEN.format(module=f"records.{module}", name=name), "test_a.py": tests, **OTHER}
    )
    _, ours = project.same(slots=slots, extra=["--reuse=on"])
    assert "hotreload: this run keeps no records (RuntimeError: out of order)" in ours.notices


@pytest.mark.parametrize("what", ["load", "save"])
def test_an_error_with_durations_costs_them_and_a_line(project: Any, slots: int, what: str) -> None:
    project.write({"conftest.py": BROKEN.format(module="records.totals", name=what), **OTHER})
    _, ours = project.same(slots=slots)
    assert [line for line in ours.notices if "RuntimeError" in line or "out of order" in line]


OPTIONS = {
    "plain": [],
    "records": ["--affected"],
    "reuse": ["--reuse=on"],
    "each test": ["--hotreload-isolate=test"],
    "workers": ["--hotreload-isolate=worker"],
    "strict": ["--hotreload-isolate=strict"],
    "spawn": ["--hotreload-start=spawn"],
    "report": ["--hotreload-report=report.html", "--hotreload-trace=trace.json"],
    "results": ["--hotreload-json=results.json", "--junitxml=junit.xml"],
    "shard": ["--shard=1/1"],
    "time limit": ["--hotreload-timeout=60"],
    "hosts": ["--tx=2*popen"],
}


@pytest.mark.parametrize("how", OPTIONS)
def test_nothing_of_ours_is_imported_in_a_world_that_others_made(project: Any, slots: int, how: str) -> None:
    """A test file that patches `sys.platform` for good made pytest's import hook, and so the run, fail."""
    if how == "hosts":
        pytest.importorskip("xdist", reason="--tx is pytest-xdist's")
        project.plugins = ["xdist"]
    looks = """
        import atexit, os, sys

        def ours():
            return {name for name in sys.modules if name.partition(".")[0] == "pytest_hotreload"}

        BEFORE = ours()

        def note():
            late = sorted(ours() - BEFORE)
            if late:
                with open(os.path.join(os.path.dirname(__file__), "late.txt"), "a") as file:
                    print(*late, file=file)

        def pytest_unconfigure():
            note()

        atexit.register(note)
    """
    tests = "import conftest\ndef test_first(): conftest.note()\ndef test_last(): conftest.note()\n"
    project.write({"conftest.py": looks, "test_a.py": tests, "test_b.py": tests})
    ours = project.run(*OPTIONS[how], slots=slots)
    assert ours.status == 0, ours.raw
    late = ours.root / "late.txt"
    assert not late.exists(), late.read_text()
