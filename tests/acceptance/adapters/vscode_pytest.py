"""A stand-in for VS Code's adapter, under its name: it reads the same attributes in the same hooks.

It learns where a test lies from the item, in a wrapper of ``pytest_runtest_protocol``, and uses that when the
terminal asks for the status of a report. It tells each test once: by its first result, whichever hook sees it.
Every hook writes to one pipe, which is opened when there is something to write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PATHS: dict[str, Path] = {}
TOLD: set[str] = set()
ERRORS: list[str] = []
PIPE: list[Any] = []


def send(**what: Any) -> None:
    if not PIPE:
        pipe = Path(os.environ["TEST_RUN_PIPE"])
        PIPE.append(pipe.open("wb"))
    text = json.dumps({"jsonrpc": "2.0", "params": {"cwd": str(Path.cwd()), "errors": ERRORS, **what}})
    PIPE[0].write(f"content-length: {len(text)}\r\ncontent-type: application/json\r\n\r\n{text}".encode())
    PIPE[0].flush()


def tell(test: str, outcome: str, **more: str | None) -> None:
    if test not in TOLD:
        TOLD.add(test)
        send(test=test, outcome=outcome, **more)


def absolute(nodeid: str, path: Path) -> str:
    return "::".join([str(path), *nodeid.split("::")[1:]])


def skips(node: Any) -> bool:
    return any(mark.name == "skip" or (mark.name == "skipif" and any(mark.args)) for mark in node.own_markers)


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, None]:
    del nextitem
    PATHS[item.nodeid] = item.path
    if skips(item) or (isinstance(item.parent, pytest.Class) and skips(item.parent)):
        tell(absolute(item.nodeid, item.path), "skipped")
    yield


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_report_teststatus(report: Any, config: pytest.Config) -> Generator[None, Any, None]:
    del config
    if report.when == "call" or (report.when == "setup" and report.skipped):
        outcome = "success" if report.passed else "failure" if report.failed else "skipped"
        path = PATHS.get(report.nodeid, Path.cwd())
        tell(absolute(report.nodeid, path), outcome, message=report.longreprtext if report.failed else None)
    yield


def pytest_exception_interact(node: Any, call: Any, report: Any) -> None:
    if node.config.option.collectonly:
        ERRORS.append(call.excinfo.exconly())
        return
    outcome = "failure" if call.excinfo.typename == "AssertionError" else "error"
    tell(
        absolute(node.nodeid, node.path),
        outcome,
        message=call.excinfo.exconly(),
        traceback=report.longreprtext,
    )


def pytest_internalerror(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    ERRORS.append(excinfo.exconly())


pytest_keyboard_interrupt = pytest_internalerror


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.option.collectonly:
        items = [(each.nodeid, each.name, str(each.path), each.location) for each in session.items]
        send(discovered=items)
    elif exitstatus not in (0, 1):
        send(status=int(exitstatus))
    if os.environ.get("COVERAGE_ENABLED") == "True":
        import coverage

        measured = coverage.Coverage()
        measured.load()
        data = measured.get_data()
        send(lines={file: sorted(data.lines(file) or ()) for file in sorted(data.measured_files())})
