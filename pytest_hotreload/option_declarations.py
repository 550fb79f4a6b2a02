"""Declares the options of the command line and the ini file; ``options.py`` reads their values."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, Final

import pytest

from pytest_hotreload import shard_options
from pytest_hotreload.options import FIRST, ISOLATIONS, ON, REUSES, REWINDS, STARTS

_LONG_PREFIX: Final = "--hotreload-"
#: The description of our marker in ``pytest --markers``.
MARKER: Final = (
    "hotreload(depends=[glob, ...], serial=name, reuse=False, rewind=False): inputs of this test that can't be "
    "observed; a name that only one test file may use at a time; never reuse the results of its test file; run its "
    "test file in a new fork, never in a rewound process"
)


def add_options(parser: pytest.Parser, taken: Collection[str]) -> None:
    """Declare every option.

    Args:
        parser: pytest's parser.
        taken: Short option names that other plugins own; for these, only our long form is declared.
    """
    group = parser.getgroup("hotreload", "hotreload: import once, run each test file in a forked child")
    _add(
        group,
        "--hotreload",
        "on",
        taken,
        dest=ON,
        action="store_true",
        default=None,
        help="run each test file in a forked, isolated child, in parallel",
    )
    _add(
        group,
        "--no-hotreload",
        "off",
        taken,
        dest=ON,
        action="store_false",
        help="run plain pytest, even if the ini file sets hotreload = true",
    )
    group.addoption(
        "--hotreload-isolate",
        choices=ISOLATIONS,
        default="file",
        help="which tests share a process: file (default), test (each test has its own), worker (all files of a slot), "
        "strict (a file that is also collected alone)",
    )
    group.addoption(
        "--hotreload-slots",
        metavar="N",
        default=None,
        help="number of children that run at the same time; auto (default): the number of available processors",
    )
    group.addoption(
        "--hotreload-timeout",
        metavar="S",
        default=None,
        help="end a test after S seconds and show the stacks of all its threads",
    )
    group.addoption(
        "--hotreload-start",
        choices=STARTS,
        default="fork",
        help="fork (default), or spawn: a fresh interpreter for each file",
    )
    group.addoption(
        "--hotreload-rewind",
        choices=REWINDS,
        default=None,
        help="auto (default): restore the memory of a child after each file and run the next file in it, where that is "
        "exact, instead of forking again; off; verify: compare all memory after each file",
    )
    _add_records(group, taken)
    _add_reuse(group, taken)
    _add_watch(group, taken)
    _add_ci(group)
    shard_options.declare(partial(_add, group, taken=taken))
    _add_reports(group)
    _add_ini(parser)


def _add_records(group: Any, taken: Collection[str]) -> None:
    _add(
        group,
        "--affected",
        "affected",
        taken,
        dest="hotreload_affected",
        action="store_true",
        default=False,
        help="run only the test files that a change affects, according to the records of earlier runs",
    )
    _add(
        group,
        # One option of this name: a value could not be told from a path that follows a bare --affected.
        "--affected=tests",
        "affected=tests",
        taken,
        dest="hotreload_affected_tests",
        action="store_true",
        default=False,
        help="run only the tests that ran a function which changed, where that is known: quick, and not exact, since "
        "tests of one file share their process",
    )
    _add(
        group,
        "--affected-since",
        "affected-since",
        taken,
        dest="hotreload_affected_since",
        metavar="REV",
        default=None,
        help="like --affected, plus the test files that depend on changes since the git revision REV",
    )
    _add(
        group,
        "--no-cache",
        "no-cache",
        taken,
        dest="hotreload_no_cache",
        action="store_true",
        default=False,
        help="neither read nor write records (PYTEST_HOTRELOAD_NO_CACHE=1 does the same)",
    )


def _add_reuse(group: Any, taken: Collection[str]) -> None:
    _add(
        group,
        "--reuse",
        "reuse",
        taken,
        dest="hotreload_reuse",
        choices=REUSES,
        default="off",
        help="on: report test files whose inputs did not change since they passed as reused, without running them; "
        "verify: run everything, and fail if a reuse would have been wrong; off (default)",
    )
    _add(
        group,
        "--force",
        "force",
        taken,
        dest="hotreload_force",
        action="store_true",
        default=False,
        help="run everything despite --reuse=on",
    )


def _add_watch(group: Any, taken: Collection[str]) -> None:
    _add(
        group,
        "--watch",
        "watch",
        taken,
        dest="hotreload_watch",
        action="store_true",
        default=False,
        help="keep running, and rerun the affected tests after each edit",
    )
    _add(
        group,
        "--watch-first",
        "watch-first",
        taken,
        dest="hotreload_watch_first",
        choices=FIRST,
        default="affected",
        help="tests that a watch runs first: affected (default; failed, changed or new), all, or none",
    )
    _add(
        group,
        "--watch-force",
        "watch-force",
        taken,
        dest="hotreload_watch_force",
        action="store_true",
        default=False,
        help="watch even if the variable CI is set",
    )
    _add(
        group,
        "--no-clear",
        "no-clear",
        taken,
        dest="hotreload_no_clear",
        action="store_true",
        default=False,
        help="do not clear the screen before a rerun",
    )


def _add_reports(group: Any) -> None:
    group.addoption(
        "--hotreload-report",
        metavar="FILE",
        default=None,
        help="write an HTML page about the run to FILE: failures, durations, timeline and savings",
    )
    group.addoption(
        "--hotreload-quiet",
        dest="hotreload_quiet",
        action="store_true",
        default=False,
        help="print no line of hotreload except warnings; -q implies it",
    )
    group.addoption(
        "--hotreload-json-lines",
        dest="hotreload_json_lines",
        action="store_true",
        default=False,
        help="print, in place of pytest's output, one line of JSON for each failure and one for the run "
        "(pytest-hotreload run --json)",
    )
    group.addoption(
        "--hotreload-trace",
        metavar="FILE",
        default=None,
        help="write the timeline to FILE as a JSON trace for Perfetto or chrome://tracing",
    )


def _add_ci(group: Any) -> None:
    group.addoption(
        "--hotreload-json",
        metavar="FILE",
        default=None,
        help="write the result of each test to FILE (JSON), for programs and for pytest-hotreload merge",
    )


def _add_ini(parser: pytest.Parser) -> None:
    parser.addini("hotreload", "make --hotreload the default", type="bool", default=False)
    parser.addini("hotreload_rewind", "auto (default), off or verify, as --hotreload-rewind", default="auto")
    parser.addini(
        "hotreload_shared_fixtures",
        "session fixtures that are set up once for all files: auto (default: costly ones that a fork can inherit), "
        "names, both, or off",
        type="args",
        default=["auto"],
    )
    parser.addini(
        "hotreload_depends",
        "inputs that can't be observed, as 'GLOB -> TEST FILES'",
        type="linelist",
        default=[],
    )
    parser.addini(
        "hotreload_no_reuse",
        "test files that are never reused, as 'WHY -> TEST FILES'",
        type="linelist",
        default=[],
    )
    parser.addini(
        "hotreload_serial",
        "test files of which only one runs at a time, as 'NAME -> TEST FILES'",
        type="linelist",
        default=[],
    )
    parser.addini("hotreload_not_warm", "modules that are never imported ahead", type="args", default=[])
    parser.addini(
        "hotreload_serve",
        "the server that pytest-hotreload run starts for later runs: auto (default: it ends after 15 minutes without "
        "a run), a number of minutes, or off",
        default="auto",
    )
    parser.addini(
        "hotreload_warm",
        "functions that fill caches, called once before the forks, as 'MODULE:FUNCTION'",
        type="args",
        default=[],
    )
    parser.addini(
        "hotreload_warm_known",
        "fill known caches of installed packages before the forks",
        type="bool",
        default=True,
    )


def _add(group: Any, name: str, long: str, taken: Collection[str], **how: Any) -> None:
    """Declare an option as ``name`` and ``--hotreload-<long>``, or only the latter if another plugin owns ``name``."""
    group.addoption(*([] if name in taken else [name]), _LONG_PREFIX + long, **how)
