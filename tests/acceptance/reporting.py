"""Reads the page and the trace of a run as data."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from .compare import Result

BOTH = ("--hotreload-report=run.html", "--hotreload-trace=run.json")


class Told:
    """What a run's page and trace say. ``tests``: node id -> outcome, by the page and by the trace."""

    def __init__(self, root: Path) -> None:
        source = (root / "run.html").read_text(encoding="utf-8")
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', source, re.DOTALL)
        assert found
        self.source = source
        self.data: dict[str, Any] = json.loads(found.group(1))
        self.events: list[dict[str, Any]] = json.loads((root / "run.json").read_text())["traceEvents"]

    @property
    def tests(self) -> dict[str, str]:
        data = self.data
        return {
            data["files"][file] + name if name.startswith("::") else name: data["outcomes"][outcome]
            for file, name, outcome, *_ in data["tests"]
        }

    @property
    def traced(self) -> dict[str, str]:
        return {e["name"]: e["args"]["outcome"] for e in self.events if e.get("cat") in ("test", "not run")}

    @property
    def phases(self) -> list[str]:
        return [name for name, *_ in self.data["phases"]]

    def ran(self, nodeid: str) -> list[dict[str, Any]]:
        """Each time that the test ran: its child's index, begin, and seconds of the phases."""
        rows = [row for row in self.data["tests"] if self.data["files"][row[0]] + row[1] == nodeid]
        (row,) = rows
        names = ("child", "begin", "setup", "call", "teardown")
        return [dict(zip(names, row[at : at + 5], strict=True)) for at in range(3, len(row), 5)]

    def child(self, number: int) -> dict[str, Any]:
        names = ("slot", "file", "begin", "seconds", "cpu", "how", "ending")
        found = dict(zip(names, self.data["children"][number], strict=True))
        unit = self.data["unit"]
        return {
            **found,
            "file": self.data["files"][found["file"]],
            "seconds": found["seconds"] * unit,
            "cpu": found["cpu"] * unit,
        }

    @property
    def children(self) -> list[dict[str, Any]]:
        return [self.child(number) for number in range(len(self.data["children"]))]

    def check(self) -> None:
        """Phases follow each other from the begin to the end, children of a slot too."""
        last = 0
        for _, begin, length in self.data["phases"]:
            assert begin == last
            last = begin + length
        assert last == self.data["length"]
        for slot in range(len(self.data["slots"])):
            own = [
                (begin, begin + length)
                for place, _, begin, length, *_ in self.data["children"]
                if place == slot
            ]
            assert all(one[1] <= following[0] for one, following in pairwise(own))


def told(result: Result) -> Told:
    """The page and the trace of a run, which wrote one line for each file and no other file."""
    said = [line for line in result.notices if line.startswith(("hotreload: report", "hotreload: trace"))]
    assert said == ["hotreload: report: <root>/run.html", "hotreload: trace: <root>/run.json"]
    assert [path.name for path in result.root.iterdir() if path.name.startswith((".run", "run"))] != []
    assert not list(result.root.glob(".run.*"))
    found = Told(result.root)
    found.check()
    return found
