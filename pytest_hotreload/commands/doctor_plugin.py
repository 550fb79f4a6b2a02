"""The plugin in doctor's pytest runs: imports the requested modules first, and records every outcome."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload.compat.plugins import stop_xdist

#: From worst to best. A test's outcome is its worst report.
_ORDER = ("error", "failed", "skipped", "passed")


class RunRecorder:
    """Records the outcomes and modules of one run."""

    def __init__(self, record: str, preload: list[str], path: list[str]) -> None:
        self.record, self.preload, self.path = record, preload, path
        self.pid = os.getpid()
        #: Node id -> the worst reported outcome.
        self.outcomes: dict[str, str] = {}
        self.modules: list[str] = []
        self.before = set(sys.modules)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        before = list(sys.path)
        sys.path += [each for each in self.path if each not in before]
        for name in self.preload:
            with contextlib.suppress(BaseException):
                importlib.import_module(name)
        sys.path[:] = before

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the modules in the order in which their imports ended.

        Test files come last, because they are rarely the cause.
        """
        found = [name for name in sys.modules if name not in self.before]
        tests = {str(item.path) for item in session.items}
        found.sort(key=lambda name: getattr(sys.modules[name], "__file__", None) in tests)
        self.modules, self.path = found, list(sys.path)

    def pytest_runtest_logreport(self, report: Any) -> None:
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        if report.when == "call" or outcome != "passed":
            known = self.outcomes.get(report.nodeid, "passed")
            worst = min((known, outcome), key=lambda o: _ORDER.index(o) if o in _ORDER else 0)
            self.outcomes[report.nodeid] = worst

    def pytest_sessionfinish(self) -> None:
        if os.getpid() == self.pid:
            text = json.dumps({"outcomes": self.outcomes, "modules": self.modules, "path": self.path})
            Path(self.record).write_text(text)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    named = os.environ.get("PYTEST_HOTRELOAD_RECORD")
    if not named or hasattr(config, "workerinput"):
        return
    del os.environ["PYTEST_HOTRELOAD_RECORD"]  # a pytest run inside a test must not see it
    request = json.loads(Path(named).read_text())
    if request["only"]:
        config.args = [f"{config.rootpath}/{request['only']}"]
        stop_xdist(config)
    recorder = RunRecorder(request["record"], request["preload"], request["path"])
    config.pluginmanager.register(recorder, "hotreload-recorder")
