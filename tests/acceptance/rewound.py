"""Small projects whose test files are rewound."""

from __future__ import annotations

import re
from pathlib import Path

from .compare import Project, Result

LINE = re.compile(r"hotreload: rewound after (\d+) files? in [\d.]+ s(?: · not rewound: (.*))?")

HEAD = "import os, random, signal, sys, threading, time\nimport helpers\nfrom helpers import *\n\n"
HELPERS = """
    import os
    STATE = []
    HERE = os.getcwd()
    PIPE = os.pipe()
    DESCRIPTORS = len(os.listdir("/proc/self/fd")) + 40

    class Thing:
        attribute = 1
        def method(self): return 1

    def note():
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
"""


def file_with(body: str) -> str:
    indented = "\n".join("    " + line for line in body.splitlines())
    return f"{HEAD}def test_it():\n    note()\n{indented}\n"


def project(tmp_path: Path, bodies: dict[str, str]) -> Project:
    made = Project(tmp_path)
    made.write({"pytest.ini": "[pytest]\n", "helpers.py": HELPERS})
    made.write({name: file_with(body) for name, body in bodies.items()})
    return made


def pids(result: Result) -> list[int]:
    return [int(line) for line in (result.root / "pids").read_text().split()]


def rewound(result: Result) -> tuple[int, str]:
    """The number of rewound files and the reason for the others, from the line that -v shows."""
    (found,) = [match for line in result.notices if (match := LINE.fullmatch(line))]
    return int(found[1]), found[2] or ""


def shown(result: Result) -> list[str]:
    """The notices of a run without numbers, and without those about rewinding and records."""
    lines = (
        line
        for line in result.notices
        if not LINE.fullmatch(line) and "unchanged since their last run: " not in line
    )
    return [re.sub(r"\d+", "N", line) for line in lines]
