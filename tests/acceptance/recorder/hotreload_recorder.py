"""Loaded by ``-p`` into the compared runs: writes what pytest reported, as one JSON value a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

#: An interpreter that hotreload starts for a file reports to the run that it belongs to, not here.
_PID = 0 if "PYTEST_HOTRELOAD_APART" in os.environ else os.getpid()


def _note(*what):
    if os.getpid() == _PID:
        with Path(os.environ["RECORDER_OUT"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def pytest_runtest_logreport(report):
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    details = [
        type(report).__name__,
        report.longreprtext,
        [list(section) for section in report.sections],
        [repr(each) for each in report.user_properties],
        sorted(report.keywords),
        [str(part) for part in report.location],
        sorted(vars(report)),
    ]
    _note("report", report.nodeid, report.when, outcome, details)


def pytest_collectreport(report):
    _note("collected", report.nodeid, "collect", report.outcome, [report.longreprtext])


def pytest_deselected(items):
    for item in items:
        _note("deselected", item.nodeid, "", "", [])


def pytest_warning_recorded(warning_message, when, nodeid, location):
    kind = warning_message.category.__name__
    details = [str(warning_message.message), warning_message.filename, warning_message.lineno]
    _note("warning", nodeid, when, kind, [*details, list(location) if location else None])


def pytest_sessionfinish(session, exitstatus):
    _note("finish", "", "", str(int(exitstatus)), [session.testsfailed, session.testscollected])
