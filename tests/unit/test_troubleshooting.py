"""docs/troubleshooting.md: a row for each message about a fallback, a refusal or a loss, and each row is a message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: The modules of texts, each with the functions and constants that tell of an ordinary event, of a result, or of an
#: answer to a key; they need no remedy. A new text is a row of the page, or stands here.
MODULES = {
    "run.messages": {
        *(
            "header",
            "warmed",
            "warmed_functions",
            "rewound",
            "closing",
            "diagnostic",
            "raised",
            "known_failure",
            "more_known_failures",
            "fixtures_once",
            "fixtures_silent",
            "ENDED_ITS_PROCESS",
            "has_own_loop",  # a reason in a line that is on the page
        ),
    },
    "records.affected_messages": {
        *(
            "COUNTED",
            "NO_RECORDS",
            "records",
            "new_epoch",
            "reason",
            "without_effect",
            "tests",
            "more_reasons",
        ),
        "affected",
    },
    "records.messages": {
        *(
            "reason",
            "reused",
            "count",
            "ran",
            "age",
            "hits",
            "verified",
            "would_be_reused",
            "would_not_be_reused",
        ),
    },
    "ci.shard_messages": {
        *("header", "unusable", "achieved", "planned"),
        *("plan_unreadable", "plan_unwritable", "other_count"),  # errors, which say what to do
    },
    "watch.attach_messages": {
        "NOT_STOPPED",
        "STOPPED",
        "serving",
        "idle",
        "server",
        "NO_DESCRIPTORS",
        "OTHER_PROJECT",
        "not_forked",
        "unsafe_folder",
        "path_too_long",
        "not_served",
    },
    "watch.messages": {
        # Help, answers to keys, and the status.
        *(
            "help_lines",
            "ASKED_FOR",
            "CONFIRMED",
            "LEAF",
            "NOT_YET",
            "NOTHING_FAILING",
            "NOTHING_RUNS",
            "PAUSED",
            "WATCHING",
        ),
        *(
            "CANCELLED",
            "header",
            "rerun",
            "from_point",
            "first",
            "third_party",
            "pending",
            "settings_changed",
            "uncollectable",
        ),
        *(
            "unaffected",
            "yielded",
            "saved",
            "late",
            "status",
            "filters",
            "filter_now",
            "filter_refused",
            "no_such_path",
        ),
        *(
            "reasons",
            "running",
            "shown",
            "template",
            "changed_meanwhile",
        ),
        # Parts of other lines, which are on the page.
        *(
            "NO_START",
            "REFUSED",
            "TEMPLATE_ENDED",
        ),
        "died_in_place",
    },
    "compat.console": {"notice", "written", "status_text", "is_quiet"},
    "hosts.messages": {
        *("slots", "hosts", "closing", "ended", "from_host", "left_out", "runs", "coverage_here_only"),
    },
}
#: Letters from which on a part of a text identifies it.
_LEAST = 10


def plain(text: str) -> str:
    return " ".join(text.split())


def texts(module: str) -> Iterator[tuple[str, list[str]]]:
    """(function or constant, the parts of its texts between what is filled in)."""
    tree = ast.parse(
        (ROOT / "pytest_hotreload" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    )
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, parts(body)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if not name.startswith("_"):
                yield name, parts([node])


def parts(nodes: list[ast.stmt]) -> list[str]:
    found = [
        plain(each.value)
        for node in nodes
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return [part for part in found if len(re.sub(r"[^a-zA-Z]", "", part)) >= _LEAST]


def pieces(text: str) -> list[str]:
    """The parts of a row's message between gaps and punctuation, as far as they identify something."""
    found = [each.strip(" :;,.()") for each in re.split("…|; |: ", text)]
    return [each for each in found if len(re.sub(r"[^a-zA-Z]", "", each)) >= _LEAST]


def rows() -> list[str]:
    """The messages of the page: the first cells of its tables below the heading."""
    found = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]* \|$", PAGE.partition("## Messages")[2], re.MULTILINE)
    return [row for row in found if row not in ("message", "---")]


def test_each_reason_of_the_client_has_a_row():
    """Constants of a module that imports nothing: the reasons for a cold run, and for the end of a run."""
    source = (ROOT / "pytest_hotreload_client" / "__init__.py").read_text(encoding="utf-8")
    reasons = dict(re.findall(r'^(_[A-Z]+) = "([^"-][^"]{15,})"$', source, re.MULTILINE))
    assert reasons.keys() >= {"_NOBODY", "_LOST", "_WATCH", "_CLOSED"}
    assert {name for name, text in reasons.items() if text not in PAGE} == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_message_has_a_row(module):
    known, page = MODULES[module], plain(PAGE)
    shown = [piece for row in rows() for piece in pieces(row)]
    found = dict(texts(module))
    assert known <= found.keys(), "a name that is no text any more"

    def is_there(part: str) -> bool:
        return part.strip(" :;,.()") in page or any(piece in part for piece in shown)

    lacking = [
        name
        for name, each in found.items()
        if name not in known and each and not any(is_there(part) for part in each)
    ]
    assert lacking == []


def test_each_row_is_a_message():
    """The words between the gaps of a row are in the sources."""
    paths = [
        path
        for folder in ("pytest_hotreload", "pytest_hotreload_client")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    sources = plain(" ".join(path.read_text(encoding="utf-8") for path in paths))
    sources = re.sub(r'" f?"', "", sources).replace("\\n", " ")
    assert len(rows()) > 70
    assert [row for row in rows() if not all(piece in sources for piece in pieces(row))] == []
