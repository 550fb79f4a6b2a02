"""Changes a process in every way that a test file might, rewinds it, and compares it with its snapshot.

``python stress.py ENGINE CYCLES SEED``: each cycle takes one to five random actions. After each rewind a probe
(addresses of new objects, modules, handlers, descriptors, mappings, …) must be as at the snapshot; every
``VERIFY_EVERY``-th rewind compares all memory as well. Prints one line of JSON and ends with 0 if nothing differed.
``ONLY=action,action`` selects actions.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import hashlib
import json
import locale
import logging
import os
import random
import re
import resource
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, NoReturn

from pytest_hotreload import _native

# The package that is installed comes first, the checkout only lends the actions.
sys.path.append(str(Path(__file__).parents[2]))
from tests.rewind.actions import ACTIONS, KEPT, OUTPUT, RANDOM, State, Target, libc, np


def mappings() -> list[list[str]]:
    """Ranges of one protection: the kernel does not always join mappings again that a test split."""
    found: list[list[str]] = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        protection = line.split()[1]
        if "[v" in line:
            continue
        if found and found[-1][1:] == [start, protection]:
            found[-1][1] = end
        else:
            found.append([start, end, protection])
    return found


def probe() -> dict[str, str]:
    """One hash for each property of the process that a rewind must put back."""
    actions = range(1, 65)
    umask = os.umask(0o22)
    os.umask(umask)
    parts: dict[str, Any] = {
        "addresses": [
            [id(object()) for _ in range(50)],
            [id([0] * length) for length in range(0, 5000, 100)],
            id(bytearray(3 << 20)),
        ],
        "modules": sorted(sys.modules),
        "environment": sorted(os.environ.items()),
        "folder": [str(Path.cwd()), umask],
        "signals": [signal.getsignal(number) for number in actions if number not in (32, 33)],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "contexts": [decimal.getcontext(), locale.setlocale(locale.LC_ALL), warnings.filters],
        "random": random.getstate(),
        "logging": [logging.root.handlers, logging.root.level, logging.root.manager.disable],
        "gc": [gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()],
        "interpreter": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.stdout],
        "classes": [sorted(Target.__dict__), Target.count, sys.getrefcount(Target)],
        "data": [len(State.strings), State.large[:100], State.mapped[:64], State.buffer[:64]],
        "freed": [len(block) for block in State.freed],
        "database": State.database.execute("select count(*), sum(n) from numbers").fetchall(),
        "descriptors": sorted(path.name for path in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "limits": [resource.getrlimit(number) for number in range(16)],
        "scheduling": [os.getpgid(0), sorted(os.sched_getaffinity(0)), signal.getitimer(signal.ITIMER_REAL)],
        "settings": [
            Path(f"/proc/self/{name}").read_text() for name in ("comm", "oom_score_adj", "coredump_filter")
        ],
        "locked": re.findall(r"VmLck:.*", Path("/proc/self/status").read_text()),
        "mappings": mappings(),
        "kept": sorted(KEPT),
        "rounding": [1 / 3, libc.fegetround()],
    }
    if np is not None:
        parts["arrays"] = [
            np.get_printoptions(),
            np.geterr(),
            float(State.array.sum()),
            np.random.get_state()[1][:5],
        ]
    return {name: hashlib.sha256(repr(part).encode()).hexdigest() for name, part in parts.items()}


def resident_kib() -> int:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def note(text: str) -> None:
    os.write(OUTPUT, f"{text}\n".encode())


def check(rewinds: int, statistics: dict[str, int], found: dict[str, str]) -> None:
    first = json.loads(os.pread(OUTPUT, 1 << 20, 0).splitlines()[0])
    different = [name for name in first if found.get(name) != first[name]]
    if different:
        note(f"{rewinds}: {different}")
    if statistics["mismatched_pages"]:
        note(f"{rewinds}: {statistics['mismatched_pages']} pages, {statistics['first_mismatch']:#x}")
    if rewinds in (1, 20) or rewinds % 500 == 0:
        progress = (
            f"{rewinds} {resident_kib()} KiB, {statistics['store_pages']} stored, {statistics['dirty']} dirty"
        )
        os.write(2, f"{progress}, {statistics['total_ns'] / 1e6:.2f} ms\n".encode())


def finish(rewinds: int, engine: str) -> NoReturn:
    bad = os.pread(OUTPUT, 1 << 20, 0).decode().splitlines()[1:]
    print(
        json.dumps({"rewinds": rewinds, "engine": engine, "bad": bad, "rss_kib": resident_kib()}), flush=True
    )
    os._exit(1 if bad else 0)


def main() -> None:
    engine, cycles, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    every = int(os.environ.get("VERIFY_EVERY", "1"))
    rewinder = _native.Rewinder(engine)
    rewinds = rewinder.snapshot()
    statistics = rewinder.statistics()
    found = probe()
    if rewinds == 0:
        note(json.dumps(found))
    else:
        check(rewinds, statistics, found)
    if rewinds >= cycles:
        finish(rewinds, rewinder.engine)
    RANDOM.seed(seed * 100_003 + rewinds)
    actions = RANDOM.sample(ACTIONS, min(len(ACTIONS), RANDOM.randint(1, 5)))
    if os.environ.get("SHOW"):
        os.write(2, f"{rewinds} {[action.__name__ for action in actions]}\n".encode())
    for action in actions:
        with contextlib.suppress(Exception):
            action()
    sys.settrace(None)
    sys.setprofile(None)
    try:
        rewinder.rewind(verify=(rewinds + 1) % every == 0)
    except _native.RewindRefused as refusal:
        note(f"{rewinds}: refused after {[action.__name__ for action in actions]}: {refusal}")
        finish(rewinds, rewinder.engine)


if __name__ == "__main__":
    # As a slot's child: a fork, with one thread.
    pid = os.fork()
    if pid:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    main()
