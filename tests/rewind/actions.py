"""Ways in which a test file might change its process, and the state that they change."""

from __future__ import annotations

import contextlib
import ctypes
import decimal
import gc
import importlib
import io
import json
import locale
import logging
import mmap
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

np: Any = None
with contextlib.suppress(ImportError):
    np = importlib.import_module("numpy")
    # Loaded at the first use in numpy 2, and seeded then: before the snapshot, as a test suite has it.
    importlib.import_module("numpy.random")

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
MADV_DONTNEED = 4
MADV_GUARD_INSTALL = 102
MREMAP_MAYMOVE_FIXED = 3
PAGE = mmap.PAGESIZE


class Target:
    """A class that actions change."""

    count = 0

    def method(self) -> int:
        return 1


class State:
    """What the process had before the snapshot, for actions to change."""

    strings: ClassVar = [str(number) for number in range(50_000)]
    large = bytearray(b"x" * (8 << 20))
    mapped = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    freed: ClassVar = [bytes(300_000) for _ in range(20)]
    buffer = bytearray(65_536)
    database = sqlite3.connect(":memory:")
    file = Path(__file__).open("rb")  # noqa: SIM115 - it stays open over rewinds
    array: Any = None if np is None else np.arange(1 << 20, dtype=float)


State.mapped.write(b"q" * (1 << 20))
ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(State.mapped))
State.database.execute("create table numbers (n)")
State.database.executemany("insert into numbers values (?)", [(number,) for number in range(1000)])
State.database.commit()
#: What actions keep alive until the rewind.
KEPT: dict[str, Any] = {}
RANDOM = random.Random()
#: What outlives rewinds lies in a file: one line for each failure.
OUTPUT = os.open(tempfile.mkdtemp(), os.O_TMPFILE | os.O_RDWR | os.O_APPEND)


def globals_and_classes() -> None:
    Target.count = 7
    Target.method = lambda _self: 2  # type: ignore[method-assign, assignment]
    Target.extra = [1] * 1000  # type: ignore[attr-defined]
    KEPT["new"] = object()
    State.strings.clear()
    json.dumps = None  # type: ignore[assignment]
    del re.compile


def state_in_c() -> None:
    decimal.getcontext().prec = 5
    random.seed(3)
    locale.setlocale(locale.LC_ALL, "C")
    warnings.simplefilter("error")
    sys.setrecursionlimit(5000)
    sys.setswitchinterval(0.5)
    time.tzset()
    libc.srand(5)
    upward = 0x800
    libc.fesetround(upward)


def arrays() -> None:
    if np is not None:
        np.set_printoptions(precision=2)
        np.seterr(all="raise")
        np.random.seed(1)
        State.array[::512] = 5
        np.dot(np.ones((600, 600)), np.ones((600, 600)))


def logs() -> None:
    logging.basicConfig(level=1, stream=io.StringIO())
    logging.getLogger("a.b.c").warning("x")
    logging.disable(50)


def imports() -> None:
    names = [
        "asyncio", "xml.dom.minidom", "email.mime.text", "http.server", "unittest.mock", "concurrent.futures",
        "multiprocessing", "csv", "zipfile", "ssl", "curses", "lzma",
    ]  # fmt: skip
    for name in RANDOM.sample(names, 4):
        with contextlib.suppress(ImportError):
            __import__(name)


def much_memory() -> None:
    blocks = [bytearray(50 << 20) for _ in range(6)]
    for block in blocks:
        block[::PAGE] = b"z" * len(block[::PAGE])
    objects = [object() for _ in range(300_000)]
    del objects
    if RANDOM.random() < 0.5:
        KEPT["blocks"] = blocks


def many_objects() -> None:
    KEPT["objects"] = [{number: str(number)} for number in range(100_000)]


def freeing() -> None:
    State.freed.clear()
    State.large[:] = b""
    gc.collect()
    libc.malloc_trim(0)


def recursion() -> None:
    sys.setrecursionlimit(100_000)

    def depth(number: int) -> int:
        return 0 if number == 0 else 1 + max(depth(number - 1), 0)

    with contextlib.suppress(RecursionError):
        depth(3000)
    nested: list[Any] = []
    for _ in range(20_000):
        nested = [nested]
    with contextlib.suppress(RecursionError):
        repr(nested)


def files() -> None:
    KEPT["files"] = [Path(__file__).open(), tempfile.TemporaryFile(), socket.socketpair(), os.pipe()]  # noqa: SIM115
    KEPT["path"] = os.open("/", os.O_PATH)
    os.dup2(1, 77)
    os.close(0)
    os.chdir("/usr")
    os.umask(0o777)
    os.environ["X" * 50] = "y"
    State.file.read(100)
    State.file.seek(0)


def replaced_output() -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)


def signals() -> None:
    signal.signal(signal.SIGUSR1, lambda *_arguments: None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
    signal.signal(signal.SIGALRM, lambda *_arguments: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(0.002)
    import faulthandler

    faulthandler.enable()


def threads() -> None:
    joined = [threading.Thread(target=lambda: [object() for _ in range(10_000)]) for _ in range(8)]
    for thread in joined:
        thread.start()
    for thread in joined:
        thread.join()
    from concurrent.futures import ThreadPoolExecutor

    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(bytearray, range(1000, 5000)))


def processes() -> None:
    subprocess.run(["true"], check=True)
    subprocess.check_output(["echo", "x"])
    pid = os.fork()
    if pid == 0:
        State.large[:] = b"child"
        Target.count = 99
        os._exit(0)
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # the zombie stays


def raw_memory() -> None:
    if "unmapped" in KEPT:
        return
    ctypes.memset(ADDRESS, 0, 1 << 19)
    libc.madvise(ctypes.c_void_p(ADDRESS), 1 << 18, MADV_DONTNEED)
    bytes(State.mapped[: 1 << 17])
    libc.mprotect(ctypes.c_void_p(ADDRESS + (1 << 19)), 1 << 16, mmap.PROT_READ)
    libc.mprotect(ctypes.c_void_p(ADDRESS + (5 << 17)), 1 << 16, 0)
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        zeros.readinto(State.buffer)  # the kernel writes


def unmapping() -> None:
    KEPT["unmapped"] = True
    libc.munmap(ctypes.c_void_p(ADDRESS + (1 << 18)), 1 << 18)
    private_fixed = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10
    libc.mmap(ctypes.c_void_p(ADDRESS + (1 << 18)), 1 << 16, 3, private_fixed, -1, 0)


def moved_memory() -> None:
    """Pages of the snapshot at the place of others: clean by themselves, and wrong there."""
    if sys.argv[1] == "userfaultfd" and "unmapped" not in KEPT:
        KEPT["unmapped"] = True
        there = ctypes.c_void_p(ADDRESS + (3 << 18))
        libc.mremap(ctypes.c_void_p(ADDRESS), 1 << 16, 1 << 16, MREMAP_MAYMOVE_FIXED, there)


def guard_pages() -> None:
    """Linux 6.13; fails elsewhere."""
    if "unmapped" not in KEPT:
        KEPT["unmapped"] = True
        libc.madvise(ctypes.c_void_p(ADDRESS + (1 << 16)), 1 << 15, MADV_GUARD_INSTALL)


def arenas() -> None:
    KEPT["malloc"] = [libc.malloc(size) for size in range(100, 20_000, 37)]
    libc.mallopt(-1, 1 << 20)
    libc.mallopt(-3, 1 << 22)


def shared_and_file_mappings() -> None:
    shared = mmap.mmap(-1, 1 << 20)
    shared.write(b"s" * 1000)
    with Path(__file__).open("rb") as source:
        private = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_COPY)
    private[0] = 65
    KEPT["mappings"] = [shared, private]


def databases() -> None:
    State.database.execute("delete from numbers")
    State.database.commit()
    connection = sqlite3.connect(Path(tempfile.gettempdir()) / f"stress-{os.getpid()}.db")
    connection.execute("create table if not exists numbers (n)")
    connection.execute("begin exclusive")
    KEPT["connection"] = connection


def kernel_state() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_name, set_death_signal, set_subreaper = 15, 1, 36
    libc.prctl(set_name, b"other")
    libc.prctl(set_death_signal, 9)
    libc.prctl(set_subreaper, 1)
    libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p()))
    os.setpgid(0, 0)
    Path("/proc/self/coredump_filter").write_text("0x23")
    Path("/proc/self/oom_score_adj").write_text("500")
    import fcntl

    fcntl.lockf(OUTPUT, fcntl.LOCK_EX)
    libc.mlockall(1)


def garbage_collection() -> None:
    gc.set_threshold(10, 2, 2)
    gc.freeze()
    gc.collect()
    KEPT["references"] = [weakref.ref(Target()) for _ in range(1000)]
    gc.disable()


def tracing() -> None:
    sys.settrace(lambda *_arguments: None)
    sys.setprofile(lambda *_arguments: None)
    sys.stdout = io.StringIO()


def event_loop() -> None:
    import asyncio

    async def main() -> None:
        left, right = socket.socketpair()
        await asyncio.open_connection(sock=left)
        await asyncio.to_thread(sum, [1, 2])
        right.close()

    asyncio.run(main())


def unit_tests() -> None:
    import unittest

    class Case(unittest.TestCase):
        def test_addition(self) -> None:
            assert 1 + 1 == 2

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
    assert unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite).wasSuccessful()


ACTIONS: list[Callable[[], None]] = [
    globals_and_classes, state_in_c, arrays, logs, imports, much_memory, many_objects, freeing, recursion, files,
    replaced_output, signals, threads, processes, raw_memory, unmapping, moved_memory, guard_pages, arenas,
    shared_and_file_mappings, databases, kernel_state, garbage_collection, tracing, event_loop, unit_tests,
]  # fmt: skip
if os.environ.get("ONLY"):
    ACTIONS = [action for action in ACTIONS if action.__name__ in os.environ["ONLY"].split(",")]
