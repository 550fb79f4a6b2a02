"""Measures a watch's queries to generated records at each edit: `python -m benchmarks.select [test files]`.

Measured are `Affects.select`, for which the user waits, and loading, which is done while a rerun waits. The
edited files are a leaf (a module that few test files use), a core (a module that all use) and a new module.
Figures are medians, after one call.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks import records, report
from pytest_hotreload import _native
from pytest_hotreload.watch.protocol import Changed, Select
from pytest_hotreload.watch.standby.affected import Affects

CALLS = 21
#: The target in milliseconds for a leaf.
TARGET = 5.0
CORE, LEAF = "src/package0/core.py", "src/package0/leaf.py"
#: The number of test files that use the leaf.
LEAF_USERS = 3


def generate(root: Path, count: int) -> list[str]:
    """Generate records like `benchmarks.records`, with a core and a leaf. Returns the test files."""
    tests, modules = records.names(count)
    records.write(root, [*tests, *modules, CORE, LEAF])
    (root / "data").mkdir()
    time.sleep(records.SETTLING_SECONDS)
    drafts = {}
    for at, test in enumerate(tests):
        draft = json.loads(records.draft(test, modules, at))
        draft["closure"] += [CORE, *([LEAF] if at < LEAF_USERS else [])]
        drafts[test] = json.dumps(draft)
    store = _native.RecordStore(records.STORE, str(root))
    store.load()
    store.put_all(drafts, started_ns=time.time_ns() + 10**10, environment={"HOME": "/"})
    store.save()
    return tests


def affects(root: Path, tests: list[str]) -> Affects:
    """The object that a waiting rerun has."""

    settings = {"python_files": ["test_*.py"], "cache_dir": ".pytest_cache"}
    config = SimpleNamespace(rootpath=root, getini=settings.__getitem__)
    # `select` only asks whether there are records, and where imports lead after a module was moved.
    some = SimpleNamespace(still_lead_there=lambda *_: ())
    return Affects(cast(pytest.Config, config), cast("None", some), [str(root / test) for test in tests])


def measured(call: Callable[[], object]) -> list[float]:
    """Milliseconds of each call except the first."""
    found = []
    for _ in range(CALLS):
        before = time.perf_counter()
        call()
        found.append((time.perf_counter() - before) * 1000)
    return found[1:]


def line(name: str, found: list[float], note: str = "") -> None:
    print(
        f"  {name:<30} {statistics.median(found):8.2f} ms (from {min(found):.2f} to {max(found):.2f}){note}"
    )


def compare(root: Path, count: int) -> None:
    tests = generate(root, count)
    started = time.perf_counter()
    standing = affects(root, tests)
    loading = (time.perf_counter() - started) * 1000
    print(f"{count} test files, {records.DEPENDENCIES} dependencies each; {report.machine(sys.executable)}")
    line("load, while it waits", [loading])
    created = root / "src" / "package0" / "fresh.py"
    cases = {
        "a leaf": (Changed(changed=(str(root / LEAF),)), LEAF_USERS),
        "a core": (Changed(changed=(str(root / CORE),)), count),
        "a test file": (Changed(changed=(str(root / tests[0]),)), 1),
        "a new module": (Changed(created=(str(created),)), None),
    }
    for name, (changes, expected) in cases.items():
        if changes.created:
            created.write_text("NAME = 1\n")
        selected = len(standing.select(Select(changes)))
        if expected is not None and selected != expected:
            raise SystemExit(f"{name}: {selected} test files, not {expected}")
        target = f", to be at most {TARGET:g}" if name == "a leaf" else ""
        found = measured(lambda changes=changes: standing.select(Select(changes)))  # type: ignore[misc]
        line(name, found, f": {selected} test files{target}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.select", description="Measure the selection.")
    parser.add_argument(
        "files", type=int, nargs="*", default=[5000], help="numbers of test files (default: 5000)"
    )
    for count in parser.parse_args(arguments).files:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(os.path.realpath(folder)), count)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
