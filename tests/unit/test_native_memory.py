"""The native functions for a process's children, buffers and memory."""

from __future__ import annotations

import ctypes
import json
import mmap
import subprocess
import sys
import textwrap
from pathlib import Path

from pytest_hotreload import _native

from .recording import linux_only

PYTHON = [sys.executable, "-I", "-c"]


@linux_only
def test_orphans_come_to_a_subreaper() -> None:
    script = """
        import os, subprocess, sys, time
        from pytest_hotreload import _native
        assert _native.set_child_subreaper(True) is True
        subprocess.run(["sh", "-c", "setsid sleep 5 & exit"])
        [orphan] = _native.children_of(os.getpid())
        os.kill(orphan, 9)
        assert os.waitpid(orphan, 0) == (orphan, 9)
        assert _native.set_child_subreaper(False) is True
        subprocess.run(["sh", "-c", "setsid sleep 0.1 & exit"])
        assert _native.children_of(os.getpid()) == []
    """
    subprocess.run([*PYTHON, textwrap.dedent(script)], check=True)


def test_the_buffers_of_c_are_written_once() -> None:
    script = """
        import ctypes, os
        from pytest_hotreload import _native
        ctypes.CDLL(None).puts(b"once")
        _native.flush_c_stdio()
        if os.fork() == 0:
            _native.flush_c_stdio()
            os._exit(0)
        os.wait()
    """
    run = subprocess.run([*PYTHON, textwrap.dedent(script)], check=True, stdout=subprocess.PIPE, text=True)
    assert run.stdout == "once\n"


def test_collapsing_keeps_what_the_memory_holds() -> None:
    size = 32 << 20
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096):
        memory[at] = at >> 12 & 255
    collapsed = _native.collapse_heap()
    assert collapsed % (2 << 20) == 0
    assert [memory[at] for at in range(0, size, 4096)] == [at >> 12 & 255 for at in range(0, size, 4096)]
    assert _native.collapse_heap(minimum_bytes=1 << 50) == 0


@linux_only
def test_collapsing_leaves_unused_memory_unused() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    _native.collapse_heap()
    sparse = mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    ctypes.CDLL(None).madvise  # noqa: B018 - loaded before memory is measured
    for at in range(0, len(sparse), 2 << 20):
        sparse[at] = 1
    before = resident()
    _native.collapse_heap()
    assert resident() - before < 16 << 20
    sparse.close()


#: Forks that each write to 512 pages which they share with this process, and say what that cost.
PAGES = """
import json, mmap, os, resource, sys
from pytest_hotreload import _native

COUNT, SIZE = 512, 4096
memory = mmap.mmap(-1, 4 * COUNT * SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(COUNT):
    memory[page * SIZE] = page & 255

def fork(pages=b"", value=None):
    "Page faults of the writing, what the fork owns then, and whether all is as it was written."
    read, write = os.pipe()
    if os.fork() == 0:
        _native.make_own(pages)
        kept = all(memory[page * SIZE] == page & 255 for page in range(COUNT))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for page in range(COUNT):
            memory[page * SIZE + 1] = 7
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        os.write(write, b"%d %d " % (faults, kept) + _native.own_pages())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as told:
        faults, kept, pages = told.read().split(b" ", 2)
    os.wait()
    return int(faults), bool(int(kept)), pages

def amount(pages):
    import struct
    return sum(end - begin for begin, end in struct.iter_unpack("<QQ", pages))

first = fork()
second = fork(first[2])
foreign = fork(bytes(range(256)))  # 16 runs of addresses that mean nothing here
print(json.dumps([first[0], first[1], amount(first[2]), second[0], second[1], amount(second[2]), foreign[1]]))
print([memory[page * SIZE + 1] for page in range(COUNT)] == [0] * COUNT)
"""


@linux_only
def test_pages_that_one_fork_wrote_to_cost_the_next_no_fault() -> None:
    run = subprocess.run([*PYTHON, PAGES], check=True, stdout=subprocess.PIPE, text=True)
    told, untouched = run.stdout.splitlines()
    faults, kept, own, later_faults, later_kept, later_own, foreign_kept = json.loads(told)
    assert faults >= 512
    assert own >= 512 * 4096
    assert later_faults < 64
    assert own <= later_own < own + (1 << 20)
    assert kept
    assert later_kept
    assert foreign_kept
    assert untouched == "True"
