"""Command line and ini, read once into one frozen :class:`Options`."""

from __future__ import annotations

import os
import resource
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_hotreload import host_options, shard_options
from pytest_hotreload.ci_variables import Number
from pytest_hotreload.host_options import Spec
from pytest_hotreload.usage import usage_error

#: Open files of a run, and of each of its slots: runs of trivial tests took 32 with one slot, 60 with four.
_BASE_DESCRIPTORS: Final = 40
_SLOT_DESCRIPTORS: Final = 10

ISOLATIONS: Final = ("file", "test", "worker", "strict")
REUSES: Final = ("off", "on", "verify")
STARTS: Final = ("fork", "spawn")
FIRST: Final = ("affected", "all", "none")
#: More slots than this are a typing error, not a machine: the largest common hosts have 448 threads.
MOST_SLOTS: Final = 1024

_LONG_PREFIX: Final = "--hotreload-"
#: What ``pytest --markers`` says of ours.
MARKER: Final = (
    "hotreload(depends=[glob, ...], serial=name, reuse=False): what this test depends on and no hook sees, "
    "what only one test file may use at a time, and that its file runs whatever its record says"
)
#: Turns the records off for all runs below.
_NO_CACHE: Final = "PYTEST_HOTRELOAD_NO_CACHE"
#: Not "hotreload": that is where an option of another plugin with that name puts its value.
_ON: Final = "hotreload_on"
#: Options that name a file to write, and where pytest keeps their values.
_REPORTS: Final = {"--hotreload-report": "hotreload_report", "--hotreload-trace": "hotreload_trace"}


@dataclass(frozen=True)
class Options:
    """What the user asked for, checked.

    ``slots``: parallel places, at least 1. ``timeout``: seconds for one test, or None.
    ``direct``: children own the terminal, one at a time (``-s`` on a terminal, ``--pdb``, ``--trace``).
    ``asked_slots``: where the number came from, in words.
    """

    isolate: str = "file"
    slots: int = 1
    asked_slots: str = "auto"
    start: str = "fork"
    timeout: float | None = None
    direct: bool = False
    shared_fixtures: tuple[str, ...] = ()
    records: bool = True
    affected: bool = False
    affected_since: str | None = None
    reuse: str = "off"
    force: bool = False
    watch: bool = False
    watch_first: str = "affected"
    clear: bool = True
    json: Path | None = None
    shard: Number | None = None
    shard_plan: str | None = None
    shard_from: str | None = None
    timings: tuple[str, ...] = ()
    report: Path | None = None
    trace: Path | None = None
    hosts: tuple[Spec, ...] = ()

    @property
    def reports(self) -> list[str]:
        """Those that name a file to write about the run."""
        return [option for option, path in zip(_REPORTS, (self.report, self.trace), strict=True) if path]


def add_options(parser: pytest.Parser, taken: Collection[str]) -> None:
    """Declare every option; where another plugin owns a short name (``taken``), only our long form stands."""
    group = parser.getgroup("hotreload", "hotreload: imports paid once, each test file in a forked child")
    _add(
        group,
        "--hotreload",
        "on",
        taken,
        dest=_ON,
        action="store_true",
        default=None,
        help="run each test file in a forked, isolated child, in parallel",
    )
    _add(
        group,
        "--no-hotreload",
        "off",
        taken,
        dest=_ON,
        action="store_false",
        help="plain pytest, where the ini says hotreload = true",
    )
    group.addoption(
        "--hotreload-isolate",
        choices=ISOLATIONS,
        default="file",
        help="what shares a process: the tests of a file (default), of one test, of a slot (worker), "
        "or strict: of a file that is also collected alone",
    )
    group.addoption(
        "--hotreload-slots",
        metavar="N",
        default=None,
        help="how many children run at once; auto (default): the processors this process may use",
    )
    group.addoption(
        "--hotreload-timeout",
        metavar="S",
        default=None,
        help="end a test that takes longer than S seconds, with the stacks of all its threads",
    )
    group.addoption(
        "--hotreload-start",
        choices=STARTS,
        default="fork",
        help="fork (default), or spawn: a fresh interpreter for each file",
    )
    _add(
        group,
        "--affected",
        "affected",
        taken,
        dest="hotreload_affected",
        action="store_true",
        default=False,
        help="run the test files that a change affects: those without a record that still holds",
    )
    _add(
        group,
        "--affected-since",
        "affected-since",
        taken,
        dest="hotreload_affected_since",
        metavar="REV",
        default=None,
        help="the same, and those that depend on what changed since a git revision",
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
    _add_reuse(group, taken)
    _add_watch(group, taken)
    _add_ci(group)
    shard_options.declare(partial(_add, group, taken=taken))
    _add_reports(group)
    parser.addini("hotreload", "make --hotreload the default", type="bool", default=False)
    parser.addini(
        "hotreload_shared_fixtures",
        "session- or package-scoped fixtures that are set up once, before the forks",
        type="args",
        default=[],
    )
    parser.addini(
        "hotreload_depends",
        "inputs that can't be observed, as 'GLOB -> TEST FILES'",
        type="linelist",
        default=[],
    )
    parser.addini(
        "hotreload_no_reuse",
        "test files that run whatever their records say, as 'WHY -> TEST FILES'",
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


def _add_reuse(group: Any, taken: Collection[str]) -> None:
    _add(
        group,
        "--reuse",
        "reuse",
        taken,
        dest="hotreload_reuse",
        choices=REUSES,
        default="off",
        help="on: a test file whose inputs did not change since it passed does not run, and is reported as reused; "
        "verify: everything runs, and a reuse that would have been wrong fails; off (default)",
    )
    _add(
        group,
        "--force",
        "force",
        taken,
        dest="hotreload_force",
        action="store_true",
        default=False,
        help="run everything although --reuse is on",
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
        help="stay, and run after each edit what it affects",
    )
    _add(
        group,
        "--watch-first",
        "watch-first",
        taken,
        dest="hotreload_watch_first",
        choices=FIRST,
        default="affected",
        help="what a watch runs first: what is failing, changed or unknown (affected, the default), all, or none",
    )
    _add(
        group,
        "--watch-force",
        "watch-force",
        taken,
        dest="hotreload_watch_force",
        action="store_true",
        default=False,
        help="watch although CI is set",
    )
    _add(
        group,
        "--no-clear",
        "no-clear",
        taken,
        dest="hotreload_no_clear",
        action="store_true",
        default=False,
        help="do not clear the screen at a rerun",
    )


def _add_reports(group: Any) -> None:
    group.addoption(
        "--hotreload-report",
        metavar="FILE",
        default=None,
        help="write one page about the run: a timeline, what took how long, and what was saved (HTML)",
    )
    group.addoption(
        "--hotreload-trace",
        metavar="FILE",
        default=None,
        help="write the timeline as a trace for Perfetto or Chrome's viewer (JSON)",
    )


def _add_ci(group: Any) -> None:
    group.addoption(
        "--hotreload-json",
        metavar="FILE",
        default=None,
        help="write what became of each test to FILE, for programs and for pytest-hotreload merge",
    )


def _add(group: Any, name: str, long: str, taken: Collection[str], **how: Any) -> None:
    """``name``, or where another plugin owns it, ``--hotreload-<long>`` alone."""
    group.addoption(*([] if name in taken else [name]), _LONG_PREFIX + long, **how)


def wanted(config: pytest.Config, namespace: Any) -> bool:
    """Whether this session is to run under hotreload, by command line first, then ini."""
    asked = getattr(namespace, _ON, None)
    implying = _implying(namespace)
    if implying and asked is False:
        raise usage_error(
            f"{implying} and --no-hotreload contradict each other", hint="leave one of the two out"
        )
    if implying:
        return True
    return bool(config.getini("hotreload")) if asked is None else bool(asked)


def _implying(namespace: Any) -> str:
    """An option that makes no sense without hotreload, or ""."""
    given = {
        "--affected": getattr(namespace, "hotreload_affected", False)
        or getattr(namespace, "hotreload_affected_since", None) is not None,
        "--watch": getattr(namespace, "hotreload_watch", False),
        "--reuse": getattr(namespace, "hotreload_reuse", "off") != "off",
        shard_options.asked(namespace): True,
        "--hotreload-json": getattr(namespace, "hotreload_json", None) is not None,
        **{option: getattr(namespace, name, None) is not None for option, name in _REPORTS.items()},
    }
    return next((option for option, is_given in given.items() if option and is_given), "")


def read(config: pytest.Config, namespace: Any, *, host: bool = False) -> Options:
    """Check everything; a ``host`` has no hosts. Raises :class:`pytest.UsageError` with one line."""
    slots, asked = _slots(namespace)
    hosts = () if host else host_options.read(namespace, config.invocation_params.dir)
    direct = _direct(namespace) and not hosts
    if direct:
        slots = 1
    if not hosts:
        slots = _with_descriptors(slots, asked)
    return Options(
        isolate=namespace.hotreload_isolate,
        slots=slots,
        asked_slots=asked,
        start=namespace.hotreload_start if hasattr(os, "fork") else "spawn",
        timeout=_timeout(namespace.hotreload_timeout),
        direct=direct,
        shared_fixtures=tuple(config.getini("hotreload_shared_fixtures")),
        records=not (namespace.hotreload_no_cache or os.environ.get(_NO_CACHE, "") not in ("", "0")),
        affected=namespace.hotreload_affected or namespace.hotreload_affected_since is not None,
        affected_since=namespace.hotreload_affected_since,
        reuse=namespace.hotreload_reuse,
        force=namespace.hotreload_force,
        watch=_watch(namespace),
        watch_first=namespace.hotreload_watch_first,
        clear=not namespace.hotreload_no_clear,
        json=_output("--hotreload-json", namespace.hotreload_json),
        shard=shard_options.number(namespace),
        shard_plan=namespace.hotreload_shard_plan,
        shard_from=namespace.hotreload_shard_from,
        timings=tuple(namespace.hotreload_timings or ()),
        report=_target(config, "--hotreload-report", namespace.hotreload_report),
        trace=_target(config, "--hotreload-trace", namespace.hotreload_trace),
        hosts=hosts,
    )


def _output(option: str, name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name).expanduser().absolute()
    if not name or path.is_dir():
        raise usage_error(f"{option} is {name!r}, no file", hint=f"for example {option}=results.json")
    return path


def _watch(namespace: Any) -> bool:
    asked = bool(namespace.hotreload_watch)
    if asked and os.environ.get("CI", "") not in ("", "0", "false") and not namespace.hotreload_watch_force:
        raise usage_error("--watch never ends, and CI is set", hint="leave --watch out, or add --watch-force")
    if asked and namespace.hotreload_start == "spawn":
        raise usage_error("--watch forks, and --hotreload-start is spawn", hint="leave one of the two out")
    return asked


def _target(config: pytest.Config, option: str, text: str | None) -> Path | None:
    """A file to write at the end, from the folder in which pytest was called."""
    if text is None:
        return None
    path = config.invocation_params.dir / Path(text).expanduser()
    if not text or path.is_dir():
        example = "run.json" if option.endswith("trace") else "run.html"
        raise usage_error(f"{option} is {text!r}, which is no file", hint=f"for example {option}={example}")
    if not path.parent.is_dir():
        raise usage_error(f"{option}: there is no folder {path.parent}", hint="make it first")
    if not os.access(path.parent, os.W_OK):
        raise usage_error(f"{option}: {path.parent} can't be written to", hint="name a file elsewhere")
    return path


def _direct(namespace: Any) -> bool:
    debugging = getattr(namespace, "usepdb", False) or getattr(namespace, "trace", False)
    uncaptured = getattr(namespace, "capture", "fd") == "no"
    return bool(debugging or (uncaptured and os.isatty(1)))


def _with_descriptors(slots: int, asked: str) -> int:
    """As many slots as open files allow, where nobody named a number. Raises UsageError."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return slots
    fitting = (allowed - _BASE_DESCRIPTORS) // _SLOT_DESCRIPTORS
    if fitting >= slots or (asked == "auto" and fitting >= 1):
        return min(slots, fitting)
    needed = _BASE_DESCRIPTORS + slots * _SLOT_DESCRIPTORS
    less = f"--hotreload-slots={fitting}" if fitting >= 1 else "--no-hotreload"
    raise usage_error(
        f"{slots} slot{'s' if slots != 1 else ''} need{'s' if slots == 1 else ''} {needed} open files, "
        f"and ulimit -n is {allowed}",
        hint=f"ulimit -n {max(needed, 1024)}, or {less}",
    )


def _slots(namespace: Any) -> tuple[int, str]:
    """Our own option first, then xdist's ``-n``, then the processors."""
    asked = namespace.hotreload_slots
    if asked is not None:
        return _count(str(asked), "--hotreload-slots"), "--hotreload-slots"
    workers = getattr(namespace, "numprocesses", None)
    if workers is not None:
        number = str(workers)
        most = getattr(namespace, "maxprocesses", None) or MOST_SLOTS
        return (1 if number == "0" else min(_count(number, "-n"), most)), "-n"
    return processors(), "auto"


def slots_by_number(namespace: Any) -> int | None:
    """The number that was asked for; None where each machine shall have its own."""
    named = [namespace.hotreload_slots, getattr(namespace, "numprocesses", None)]
    said = next((str(each) for each in named if each is not None), "auto")
    return None if said in ("auto", "logical") else _slots(namespace)[0]


def _count(text: str, option: str) -> int:
    if text in ("auto", "logical"):
        return processors()
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 1 <= number <= MOST_SLOTS:
        raise usage_error(
            f"{option} is {text!r}, not a number from 1 to {MOST_SLOTS}",
            hint=f"use {option}=auto for the processors of this machine ({processors()})",
        )
    return number


def processors() -> int:
    """The processors that this process may use, at least 1."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1


def _timeout(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise usage_error(
            f"--hotreload-timeout is {text!r}, not a number of seconds above 0",
            hint="for example --hotreload-timeout=60",
        )
    return seconds
