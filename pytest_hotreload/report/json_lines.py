"""Prints one line of JSON for each failure and one for the run, in place of pytest's output.

For programs that read a run and pay for what they read: ``--hotreload-json-lines``, which
``pytest-hotreload run --json`` adds. It works with and without ``--hotreload``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_hotreload.compat import console, pytest_output, pytest_session
from pytest_hotreload.compat.tracebacks import crash_of, own_place, places_of
from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.world import BUILTINS, os, pytest, time

__builtins__ = BUILTINS

#: The innermost frames of a failure that are printed; three name the test, what it called, and what failed.
_FRAMES = 3
#: Characters of a message; a longer one is cut. The longest message of an assertion that pytest itself cuts has
#: 8 lines.
_MOST = 1000
#: pytest's exit status of a run that has no other.
_INTERNAL_ERROR = 3
#: Categories of the terminal's statistics that are counted, by their names here.
_COUNTED = {
    "passed": "passed",
    "failed": "failed",
    "error": "errors",
    "skipped": "skipped",
    "xfailed": "xfailed",
    "xpassed": "xpassed",
    "rerun": "reruns",
    "reused": "reused",
    "deselected": "deselected",
}


class JsonLines:
    """The plugin; registered if the option is given."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.began = time.monotonic()
        self.warnings: list[str] = []
        self._status: int | None = None
        self._out = pytest_output.divert_terminal(config)
        config.stash[console.TOLD] = self.warnings.append

    def _print(self, line: dict[str, Any]) -> None:
        with ORIGINAL_NAMES:  # a conftest may have replaced what writes JSON
            text = json.dumps({name: value for name, value in line.items() if value not in ("", [])})
        self._out.write(text + "\n")
        self._out.flush()

    # -- failures --------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not hasattr(report, "wasxfail"):
            self._failed(report, str(report.when))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed(report, "collect")

    def pytest_internalerror(self, excrepr: object) -> None:
        self._print({"test": "", "when": "internal error", "message": _cut(str(excrepr))})

    def _failed(self, report: Any, when: str) -> None:
        message, crash = crash_of(report.longrepr)
        places = places_of(report.longrepr)
        at = own_place(places, self.config.invocation_params.dir) or crash
        frames = [place._replace(file=self._shown(place.file)) for place in places]
        self._print({
            "test": report.nodeid,
            "subtest": pytest_session.subtest_name(report),
            "when": "" if when == "call" else when,
            **(at._replace(file=self._shown(at.file))._asdict() if at is not None else {}),
            "message": _cut(message),
            "frames": [f"{path}:{line}: {code}" for path, line, code in frames[-_FRAMES:]] if len(frames) > 1 else [],
        })  # fmt: skip

    def _shown(self, name: str) -> str:
        """Return a path as a user would type it: relative to the folder in which pytest was called."""
        here = self.config.invocation_params.dir
        path = Path(os.path.normpath(here / name))
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)

    # -- the run ---------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Print the counts after every plugin has had its say about the exit status."""
        session = getattr(self, "_session", None)
        stats: dict[str, list[Any]] = getattr(pytest_output.terminal_reporter(self.config), "stats", {})
        counts = {name: len(stats[known]) for known, name in _COUNTED.items() if stats.get(known)}
        self._print({
            "status": int(getattr(session, "exitstatus", _INTERNAL_ERROR)),
            **counts,
            "seconds": round(time.monotonic() - self.began, 2),
            "warnings": self.warnings,
        })  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}… ({len(text) - _MOST} more characters)"
