"""Finds hidden couplings: tests that fail alone and pass in company, and the module that they lean on.

pytest imports every selected file before the first test runs, and suites come to lean on that without
knowing. Each file is run strict (collected alone); what differs from the run in company is a coupling.
The module is found by halving: the failing test runs alone with a part of what the company imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import terminal

_RECORDER = "pytest_hotreload.recorder"
#: Runs of one test at the most while its module is searched: 2**16 modules are more than any suite has.
_MOST_STEPS = 16


@dataclass(frozen=True)
class Recorded:
    """``outcomes``: node id -> outcome. ``modules``: what was imported when the collection ended."""

    status: int
    outcomes: dict[str, str]
    modules: list[str]


def examine(arguments: Sequence[str]) -> int:
    """Print what is found. 0: no test leans on another file; 1: some do; 2: the suite can't be run."""
    print(terminal.PREFIX + "running all files in company", flush=True)
    company = _run(["--hotreload", *arguments])
    if not company.outcomes:
        print(terminal.doctor_nothing(company.status))
        return 2
    print(terminal.PREFIX + "running each file alone", flush=True)
    alone = _run(["--hotreload", "--hotreload-isolate=strict", *arguments])
    coupled = [
        nodeid
        for nodeid, outcome in company.outcomes.items()
        if outcome == "passed" and alone.outcomes.get(nodeid) in ("failed", "error", None)
    ]
    causes: dict[str, str | None] = {}
    for nodeid in coupled:
        cause = _known_cause(nodeid, causes, arguments) or _search(nodeid, company.modules, arguments)
        causes[nodeid] = cause
        print(terminal.doctor_coupled(nodeid, cause), flush=True)
    print(terminal.doctor_total(len(company.outcomes), len(coupled)))
    return 1 if coupled else 0


def _known_cause(nodeid: str, causes: dict[str, str | None], arguments: Sequence[str]) -> str | None:
    """Tests of one file mostly lean on one module: try those that were found in it first."""
    file = nodeid.partition("::")[0]
    found = {cause for other, cause in causes.items() if cause and other.partition("::")[0] == file}
    return next((cause for cause in sorted(found) if _passes(nodeid, [cause], arguments)), None)


def _search(nodeid: str, modules: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The one module whose import, before the test's own file, makes it pass; None if there is none such."""
    candidates = list(modules)
    if not _passes(nodeid, candidates, arguments):
        return None
    for _ in range(_MOST_STEPS):
        if len(candidates) == 1:
            return candidates[0]
        half = len(candidates) // 2
        first, second = candidates[:half], candidates[half:]
        if _passes(nodeid, first, arguments):
            candidates = first
        elif _passes(nodeid, second, arguments):
            candidates = second
        else:
            return None  # it takes several
    return None


def _passes(nodeid: str, preload: Sequence[str], arguments: Sequence[str]) -> bool:
    """Whether the test passes alone in plain pytest, with these modules imported first."""
    options = [argument for argument in arguments if argument.startswith("-")]
    alone = _run(["--no-hotreload", *_flags(options), nodeid], preload)
    return alone.outcomes.get(nodeid) == "passed"


def _flags(options: Sequence[str]) -> list[str]:
    """Options that hold their value in one word; others could swallow the node id."""
    return [option for option in options if option.startswith("--") and "=" in option]


def _run(arguments: Sequence[str], preload: Sequence[str] = ()) -> Recorded:
    with tempfile.TemporaryDirectory(prefix="pytest-hotreload-") as folder:
        record = Path(folder) / "record.json"
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"record": str(record), "preload": list(preload)}))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", _RECORDER, "-p", "no:cacheprovider", *arguments],
            env={**os.environ, "PYTEST_HOTRELOAD_RECORD": str(request)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        try:
            told = json.loads(record.read_text())
        except (OSError, ValueError):
            return Recorded(done.returncode, {}, [])
    return Recorded(done.returncode, told["outcomes"], told["modules"])
