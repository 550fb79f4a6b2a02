"""Keeps the reports of failures during a run, and reads their texts from them at the end.

The texts are made at the end because pytest's code makes them, and because tests that pass must cost nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_hotreload.compat import pytest_session
from pytest_hotreload.compat.tracebacks import SourceLine, crash_of, own_place, places_of, text_of
from pytest_hotreload.records.file_outcome import FAILED, outcome_of
from pytest_hotreload.report.failure import (
    INTERNAL,
    NOT_COLLECTED,
    Failure,
    message_of,
    readable,
    shortened,
    within_budget,
)
from pytest_hotreload.world import BUILTINS, os, pytest

__builtins__ = BUILTINS

#: In pytest's texts: what was raised, and the lines of a traceback.
_RAISED = re.compile(r"^E +(\S.*)$", re.MULTILINE)
_PLACES = re.compile(r"^(\S[^\n]*?):(\d+): in ", re.MULTILINE)


class FailureReports:
    """The reports of failures, in the order in which pytest showed them."""

    def __init__(self, config: pytest.Config) -> None:
        self._root, self._here = config.rootpath, config.invocation_params.dir
        self._options = config.option
        self._kept: list[tuple[str, Any]] = []

    def report(self, report: pytest.TestReport) -> None:
        """Keep the report of a test, if it is one of a failure or of a failed attempt."""
        outcome = outcome_of(report)
        if outcome in FAILED or outcome == "rerun":
            self._kept.append((outcome, report))

    def collected(self, report: pytest.CollectReport) -> None:
        """Keep the report of a file that could not be collected."""
        self._kept.append((NOT_COLLECTED, report))

    def internal(self, text: str) -> None:
        """Keep the text of an error in pytest or in a plugin."""
        self._kept.append((INTERNAL, text))

    def failures(self) -> list[Failure]:
        """Return all failures, and the failed attempts of the tests that passed in the end."""
        failed = {report.nodeid for outcome, report in self._kept if outcome in FAILED}
        found = [
            self._failure(outcome, report)
            for outcome, report in self._kept
            if outcome != "rerun" or report.nodeid not in failed
        ]
        return within_budget(found)

    def _failure(self, outcome: str, report: Any) -> Failure:
        if outcome == INTERNAL:
            text = readable(report)
            last = text.strip().rpartition("\n")[2]
            return Failure("", INTERNAL, "", message=message_of(last), text=shortened(text))
        try:
            text = readable(text_of(report)) if report.longrepr is not None else ""
            message, file, line = self._origin(report, text)
        except Exception as error:  # a class of a plugin's own, whose failure must not lose the page
            text = f"the text of this failure can't be shown: {type(error).__name__}"
            message, file, line = text, "", 0
        return Failure(
            nodeid=report.nodeid,
            outcome=outcome,
            when="collect" if outcome == NOT_COLLECTED else str(report.when),
            subtest=pytest_session.subtest_name(report),
            file=file,
            line=line,
            message=message_of(message),
            text=shortened(text),
            output=tuple(
                (str(name), shortened(readable(str(content))))
                for name, content in getattr(report, "sections", ())
                if content and self._is_shown(str(name))
            ),
        )

    def _is_shown(self, name: str) -> bool:
        """Return what ``--show-capture`` says of a section: what the terminal must not show is on no page either."""
        wanted: str = getattr(self._options, "showcapture", "all")
        return wanted == "all" or (wanted != "no" and wanted in name)

    def _origin(self, report: Any, text: str) -> tuple[str, str, int]:
        """Return the message of a failure, and the innermost line of the project that raised it.

        A failure without a traceback comes from the test as a whole.
        """
        message, crash = crash_of(report.longrepr)
        places = places_of(report.longrepr)
        if crash is not None:
            places.insert(0, crash)
        else:  # the text of an import that failed, or of a fixture that is missing
            message = next(iter(_RAISED.findall(text)), message)
            places = places or [SourceLine(file, int(line)) for file, line in _PLACES.findall(text)]
        own = own_place(places, self._here)
        if own is not None:
            return message, self._shown(own.file), own.line
        location = getattr(report, "location", None)
        if location is None or location[1] is None:
            return message, report.nodeid.partition("::")[0], 0
        return message, str(location[0]).replace(os.sep, "/"), location[1] + 1

    def _shown(self, path: str) -> str:
        found = Path(path)
        return found.relative_to(self._root).as_posix() if found.is_relative_to(self._root) else path
