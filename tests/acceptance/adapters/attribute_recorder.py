"""Writes, for every reporting hook, all attributes of the report and of its item: names, types and texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

LINES: list[Any] = []
ITEMS: dict[str, pytest.Item] = {}
#: What pytest keeps on an item for its own use while the item runs: docs/differences.md.
OF_PYTEST = {"_explicit_tearDown", "_excinfo", "_instance", "_obj", "_report_sections", "_store", "stash"}
#: While the test runs, these differ, too; after its last report they do not.
WHILE_IT_RUNS = {"_request", "funcargs"}
KEY = pytest.StashKey[str]()


def shown(value: Any) -> str:
    try:
        text = repr(value)
    except BaseException as error:  # a property of a class
        text = type(error).__name__
    text = re.sub(r"\d+\.\d+(e-\d+)?", "TIME", re.sub(r"0x[0-9a-f]+", "0xA", text))
    return f"{type(value).__module__}.{type(value).__qualname__} {text}"


def attributes(thing: Any, leave_out: set[str]) -> dict[str, str]:
    found = {}
    for name in [*vars(thing), *(each for each in dir(type(thing)) if not each.startswith("__"))]:
        if name in leave_out:
            continue
        try:
            value = getattr(thing, name)
        except BaseException as error:
            value = type(error)
        if not callable(value) or name in vars(thing):
            found[name] = shown(value)
    return found


def note(hook: str, nodeid: str, report: Any = None, *, runs: bool = True) -> None:
    item = ITEMS[nodeid]
    line = [
        hook,
        nodeid,
        attributes(item, OF_PYTEST | (WHILE_IT_RUNS if runs else set())),
        item.stash.get(KEY, "nothing"),
    ]
    if report is not None:
        line += [list(vars(report)), attributes(report, set())]
    LINES.append(line)


def pytest_collection_finish(session: pytest.Session) -> None:
    ITEMS.update({item.nodeid: item for item in session.items})


def pytest_runtest_logstart(nodeid: str) -> None:
    note("logstart", nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    note("logreport", report.nodeid, report)


def pytest_report_teststatus(report: Any) -> None:
    if hasattr(report, "when") and report.nodeid in ITEMS:
        note("teststatus", report.nodeid, report)


def pytest_runtest_logfinish(nodeid: str) -> None:
    note("logfinish", nodeid, runs=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    for item in session.items:
        note("sessionfinish", item.nodeid, runs=False)
    Path("attributes.json").write_text(json.dumps(LINES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report = yield
    setattr(item, f"rep_{report.when}", report.outcome)  # where the test runs
    item.stash[KEY] = report.when
    report.extras = [{"name": item.name}]
    del call
    return report
