"""Reads the results of tests and files from the output of a run with ``--reuse``."""

from __future__ import annotations

import re

from .compare import Result

_HITS = re.compile(r"hotreload: records: \d+/\d+ hit")


def shown(result: Result) -> dict[str, str]:
    """Node id -> "reused", or its outcome; each test that was reported, and a reused one no more than once."""
    found: dict[str, str] = {}
    for kind, nodeid, when, outcome, details in result.events:
        if kind != "report":
            continue
        if "reused" in details[-1]:
            assert nodeid not in found, nodeid
            assert (when, outcome) == ("setup", "skipped")
            found[nodeid] = "reused"
        elif outcome != "passed" or when == "call":
            assert found.get(nodeid) != "reused", nodeid
            found[nodeid] = outcome
    return found


def ran(result: Result) -> set[str]:
    """Test files of which anything ran."""
    return {nodeid.partition("::")[0] for nodeid, how in shown(result).items() if how != "reused"}


def why(result: Result) -> dict[str, str]:
    """File -> the reason that ``-v`` gives for its run."""
    lines = result.raw.splitlines()
    (at,) = [number for number, line in enumerate(lines) if _HITS.match(line)]
    found = {}
    for line in lines[at + 1 :]:
        if not line.startswith("  "):
            break
        file, _, reason = line.strip().partition(": ")
        found[file] = reason
    return found


def counts(result: Result) -> str:
    """pytest's own last line, without the time."""
    line = [line for line in result.lines if " in TIME" in line][-1]
    return line.strip("= ").partition(" in TIME")[0]
