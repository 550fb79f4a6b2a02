"""Finds order-dependent tests, which pass only together with other files, and the module that they need.

pytest imports every selected file before the first test runs, and suites come to depend on that unnoticed.
Each file is run strict (collected alone); a difference from the run of all files together is a coupling. The
module is found by bisection: the failing test runs alone with a part of the modules that the common run
imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_hotreload._native import RecordStore
from pytest_hotreload.commands import messages as commands_messages
from pytest_hotreload.commands.ask_pytest import Heard, place
from pytest_hotreload.compat import console
from pytest_hotreload.records import couplings
from pytest_hotreload.records.file_outcome import FAILED

_RECORDER = "pytest_hotreload.commands.doctor_plugin"
#: The maximum number of runs of one test to find its module: no suite has more than 2**16 modules.
_MOST_STEPS = 16


@dataclass(frozen=True)
class Recorded:
    """The recorded data of one run."""

    status: int
    #: Node id -> outcome.
    outcomes: dict[str, str]
    #: Imported modules at the end of the collection.
    modules: list[str] = field(default_factory=list)
    #: ``sys.path`` at the end of the collection.
    path: list[str] = field(default_factory=list)


def examine(arguments: Sequence[str]) -> int:
    """Print the findings.

    Returns 0: no test depends on another file; 1: some do; 2: the suite cannot be run.
    """
    print(console.PREFIX + "running all files together", flush=True)
    together = _run([*arguments, "--hotreload-on"])
    if not together.outcomes:
        print(commands_messages.doctor_nothing(together.status))
        return 2
    print(console.PREFIX + "running each file alone", flush=True)
    alone = _run([*arguments, "--hotreload-on", "--hotreload-isolate=strict"])
    coupled = [
        nodeid
        for nodeid, outcome in together.outcomes.items()
        if outcome == "passed" and alone.outcomes.get(nodeid) in (*FAILED, None)
    ]
    causes: dict[str, str | None] = {}
    search = _Search(arguments, together)
    for nodeid in coupled:
        cause = search.known_cause(nodeid, causes) or search.cause(nodeid)
        causes[nodeid] = cause
        print(commands_messages.doctor_coupled(nodeid, cause), flush=True)
    print(commands_messages.doctor_total(len(together.outcomes), len(coupled)))
    _remember(arguments, together, causes)
    return 1 if coupled else 0


def _remember(arguments: Sequence[str], together: Recorded, causes: Mapping[str, str | None]) -> None:
    """Store the couplings for later runs, and remove the records of coupled files, which lack those dependencies."""
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for nodeid, cause in causes.items():
        found[_file(nodeid)].add(cause)
    try:
        cache = place(arguments, make=True)
        if isinstance(cache, Heard) or cache.folder is None:
            return
        couplings.save(cache.folder, {_file(nodeid) for nodeid in together.outcomes}, found)
        RecordStore(str(cache.folder), str(cache.root)).remove(sorted(found))
    except OSError as error:
        print(commands_messages.store_refused(error), file=sys.stderr)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class _Search:
    """Finds the module that a test needs. ``together``: the run of all files, in which the test passed."""

    def __init__(self, arguments: Sequence[str], together: Recorded) -> None:
        self.arguments, self.together = arguments, together

    def known_cause(self, nodeid: str, causes: dict[str, str | None]) -> str | None:
        """Try the modules found for other tests of the same file first: these tests mostly need the same module."""
        file = _file(nodeid)
        found = {cause for other, cause in causes.items() if cause and _file(other) == file}
        return next((cause for cause in sorted(found) if self._passes(nodeid, [cause])), None)

    def cause(self, nodeid: str) -> str | None:
        """The single module whose import before the test's own file makes the test pass; None if there is none."""
        candidates = self.together.modules
        if not candidates or not self._passes(nodeid, candidates):
            return None
        for _ in range(_MOST_STEPS):
            if len(candidates) == 1:
                return candidates[0]
            half = len(candidates) // 2
            first, second = candidates[:half], candidates[half:]
            # The first half is tried first: a module comes after the modules that it imports, which are
            # closer to the cause.
            if self._passes(nodeid, first):
                candidates = first
            elif self._passes(nodeid, second):
                candidates = second
            else:
                return None  # several modules are needed
        return None

    def _passes(self, nodeid: str, preload: list[str]) -> bool:
        """Whether the test passes alone in plain pytest if these modules are imported first."""
        request = {"only": nodeid, "preload": preload, "path": self.together.path}
        return _run([*self.arguments, "--hotreload-off"], **request).outcomes.get(nodeid) == "passed"


def _run(arguments: Sequence[str], **request: Any) -> Recorded:
    """Run pytest once with the recorder. ``request``: the recorder's ``only``, ``preload`` and ``path``."""
    with tempfile.TemporaryDirectory(prefix="pytest-hotreload-") as folder:
        record = Path(folder) / "record.json"
        told = Path(folder) / "request.json"
        told.write_text(json.dumps({"record": str(record), "only": "", "preload": [], "path": [], **request}))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                _RECORDER,
                "-p",
                "no:cacheprovider",
                *arguments,
                "--hotreload-reuse=off",
                "--maxfail=0",
            ],
            env={**os.environ, "PYTEST_HOTRELOAD_RECORD": str(told)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        try:
            return Recorded(done.returncode, **json.loads(record.read_text()))
        except (OSError, ValueError):
            return Recorded(done.returncode, {})
