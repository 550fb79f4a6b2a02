"""A small project with a store of records, for the tests of `_native.RecordStore`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_hotreload import _native

STORE = ".pytest_cache/d/hotreload"
BUCKET = f"{STORE}/records-5"
TEST = "tests/test_a.py"
EPOCH = "e" * 32
ENVIRONMENT = {"HOME": "/home/me", "LANG": "C"}
# Later than any file of the test: nothing counts as changed while the test file ran.
LATER_NS = 3_600_000_000_000

Verdict = tuple[str, str, str]


def started() -> int:
    return time.time_ns() + LATER_NS


def draft(**changes: Any) -> dict[str, Any]:
    return {
        "epoch": EPOCH,
        "outcome": "passed",
        "tests": [[f"{TEST}::test_it", "passed", 0.1]],
        "costs": {"collection": 0.01, "fixtures": 0.2, "imports": 0.3},
        "closure": ["src/pkg/__init__.py", "src/pkg/core.py"],
        "dynamic": {},
        "roots": ["src", "tests"],
        "reads": [],
        "listings": [],
        "environment": [],
        "declared": [],
        "started": [],
        "project": [],
        "coupled_with": [],
        "distributions": {},
        "modules": {},
        "flags": [],
        "ports": [],
        "writes": [],
        "serial": [],
        **changes,
    }


def touch(path: Path) -> list[int]:
    """The state of a file as a draft tells it."""
    found = path.stat()
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (TEST, "src/pkg/__init__.py", "src/pkg/core.py"):
            self.write(name, f"# {name}\n")
        self.records = self.again()

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def again(self) -> _native.RecordStore:
        """The store as another process would meet it."""
        return _native.RecordStore(STORE, str(self.root))

    def put(self, file: str = TEST, *, started_ns: int | None = None, **changes: Any) -> bool:
        """One record. Whether its bytes changed."""
        begun = started() if started_ns is None else started_ns
        drafts = {file: json.dumps(draft(**changes))}
        return self.records.put_all(drafts, started_ns=begun, environment=ENVIRONMENT) == 1

    def get(self, file: str = TEST) -> dict[str, Any]:
        text = self.records.get(file)
        assert text is not None
        found: dict[str, Any] = json.loads(text)
        return found

    def check(self, file: str = TEST, environment: Mapping[str, str] = ENVIRONMENT) -> Verdict:
        """The verdict, the same with and without what is remembered of the files."""
        verdicts = self.records.check([file], epochs=[EPOCH], environment=environment)
        assert self.again().check([file], epochs=[EPOCH], environment=environment) == verdicts
        return verdicts[0]

    def place(self, name: str = "tests.d/test_a.py.json") -> Path:
        return self.root / BUCKET / "tree" / name

    def stored(self) -> list[str]:
        """All files below the bucket's trees."""
        bucket = self.root / BUCKET
        files = (os.path.relpath(path, bucket) for path in bucket.rglob("*") if path.is_file())
        return sorted(name for name in files if name.split("/")[0] in ("tree", "outside"))


def verdict(kind: str, detail: str = "") -> Verdict:
    return (TEST, kind, detail)
