"""Options of the command line and the ini file, read once into one frozen :class:`Options`."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_hotreload import host_options, shard_options
from pytest_hotreload.host_options import Spec
from pytest_hotreload.shard_options import ShardNumber
from pytest_hotreload.usage import usage_error
from pytest_hotreload.wording import many, verb
from pytest_hotreload_client import own_server

#: The number of open files of a run, and of each of its slots: runs of trivial tests took 32 with one slot, 60
#: with four.
_BASE_DESCRIPTORS: Final = 40
_SLOT_DESCRIPTORS: Final = 10

ISOLATIONS: Final = ("file", "test", "worker", "strict")
REUSES: Final = ("off", "on", "verify")
STARTS: Final = ("fork", "spawn")
REWINDS: Final = ("auto", "off", "verify")
FIRST: Final = ("affected", "all", "none")
#: The largest number of slots: the largest common hosts have 448 threads, so a larger number is a typing
#: error.
MOST_SLOTS: Final = 1024

#: The variable that disables records in all runs below.
_NO_CACHE: Final = "PYTEST_HOTRELOAD_NO_CACHE"
#: The name under which the value is stored. The name "hotreload" would be that of another plugin's option of
#: this name.
ON: Final = "hotreload_on"
#: Options that name a file to write -> the names under which pytest stores their values.
REPORTS: Final = {"--hotreload-report": "hotreload_report", "--hotreload-trace": "hotreload_trace"}


@dataclass(frozen=True)
class Options:
    """The options of a run, checked."""

    #: Which tests share a process: one of ``ISOLATIONS``.
    isolate: str = "file"
    #: The number of children that run at the same time, at least 1.
    slots: int = 1
    #: The option that the number of slots came from: "--hotreload-slots", "-n" or "auto".
    asked_slots: str = "auto"
    #: How a child starts: one of ``STARTS``.
    start: str = "fork"
    #: Whether a child runs several files, with its memory restored after each: one of ``REWINDS``.
    rewind: str = "auto"
    #: Seconds that one test may take, or None.
    timeout: float | None = None
    #: Children own the terminal, one at a time (``-s`` on a terminal, ``--pdb``, ``--trace``).
    direct: bool = False
    #: The names in the ini option ``hotreload_shared_fixtures``.
    shared_fixtures: tuple[str, ...] = ()
    #: Whether costly session fixtures are shared without being named.
    share: bool = True
    #: The entries of the ini option ``hotreload_warm``, each "module:function".
    warm: tuple[str, ...] = ()
    #: The value of the ini option ``hotreload_warm_known``.
    warm_known: bool = True
    #: Whether records are read and written.
    records: bool = True
    #: Whether only the affected test files run.
    affected: bool = False
    #: Whether of an affected file only the affected tests run.
    affected_tests: bool = False
    #: The git revision of ``--affected-since``, or None.
    affected_since: str | None = None
    #: Whether results are reused: one of ``REUSES``.
    reuse: str = "off"
    #: Whether everything runs despite ``reuse``.
    force: bool = False
    #: Whether the run keeps going and reruns the affected tests after each edit.
    watch: bool = False
    #: The tests that a watch runs first: one of ``FIRST``.
    watch_first: str = "affected"
    #: Whether a watch clears the screen before a rerun.
    clear: bool = True
    #: The file of ``--hotreload-json``, or None.
    json: Path | None = None
    #: The shard that this run is, or None.
    shard: ShardNumber | None = None
    #: The values of ``--shard-plan`` and ``--shard-from``, or None.
    shard_plan: str | None = None
    shard_from: str | None = None
    #: The values of ``--timings``.
    timings: tuple[str, ...] = ()
    #: The files of ``--hotreload-report`` and ``--hotreload-trace``, or None.
    report: Path | None = None
    trace: Path | None = None
    #: Other machines that run tests.
    hosts: tuple[Spec, ...] = ()

    @property
    def reports(self) -> list[str]:
        """The given options that name a file to write about the run."""
        return [option for option, path in zip(REPORTS, (self.report, self.trace), strict=True) if path]


def wanted(config: pytest.Config, namespace: Any) -> bool:
    """Return whether this session runs under hotreload, by the command line first, then by the ini file.

    Args:
        config: The configuration, whose ini file is read.
        namespace: The parsed command line.

    Raises:
        pytest.UsageError: ``--no-hotreload`` contradicts an option that needs hotreload.
    """
    asked = getattr(namespace, ON, None)
    implying = _implying(namespace)
    if implying and asked is False:
        raise usage_error(
            f"{implying} and --no-hotreload contradict each other", hint="leave one of the two out"
        )
    if implying:
        return True
    return bool(config.getini("hotreload")) if asked is None else bool(asked)


def _implying(namespace: Any) -> str:
    """Return an option that requires hotreload, or ""."""
    given = {
        "--affected": getattr(namespace, "hotreload_affected", False)
        or getattr(namespace, "hotreload_affected_tests", False)
        or getattr(namespace, "hotreload_affected_since", None) is not None,
        "--watch": getattr(namespace, "hotreload_watch", False),
        "--reuse": getattr(namespace, "hotreload_reuse", "off") != "off",
        shard_options.asked(namespace): True,
        "--hotreload-json": getattr(namespace, "hotreload_json", None) is not None,
        **{option: getattr(namespace, name, None) is not None for option, name in REPORTS.items()},
    }
    return next((option for option, is_given in given.items() if option and is_given), "")


def _refuse_free_threading() -> None:
    """Reject a build without the GIL: the observers rely on it, and nothing was tested there."""
    if "t" in getattr(sys, "abiflags", ""):
        raise usage_error(
            f"this Python {sys.version_info[0]}.{sys.version_info[1]} is a free-threaded build, which is not supported",
            hint="use a build with the GIL, or leave out --hotreload",
        )


def read(config: pytest.Config, namespace: Any, *, host: bool = False) -> Options:
    """Read and check all options.

    Args:
        config: The configuration, whose ini file is read.
        namespace: The parsed command line.
        host: Whether this process serves another machine's run; such a process has no hosts of its own.

    Returns:
        The checked options.

    Raises:
        pytest.UsageError: An option is not valid or contradicts another; the message is one line.
    """
    _refuse_free_threading()
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
        rewind=_rewind(config, namespace),
        timeout=_timeout(namespace.hotreload_timeout),
        direct=direct,
        shared_fixtures=_shared_fixtures(config),
        share="auto" in config.getini("hotreload_shared_fixtures"),
        warm=_warm(config),
        warm_known=bool(config.getini("hotreload_warm_known")),
        records=not (namespace.hotreload_no_cache or os.environ.get(_NO_CACHE, "") not in ("", "0")),
        affected=namespace.hotreload_affected
        or namespace.hotreload_affected_tests
        or namespace.hotreload_affected_since is not None,
        affected_tests=namespace.hotreload_affected_tests,
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
        raise usage_error(
            f"{option} is {name!r}, which is not a file", hint=f"for example {option}=results.json"
        )
    return path


def _shared_fixtures(config: pytest.Config) -> tuple[str, ...]:
    """Return the fixtures that are named. Raises UsageError if "off" stands beside other words."""
    given = tuple(config.getini("hotreload_shared_fixtures"))
    if "off" in given and len(given) > 1:
        raise usage_error(
            f"hotreload_shared_fixtures: off cannot stand beside {_others(given)}",
            hint="name fixtures, or auto, or both; or off alone",
        )
    return tuple(name for name in given if name not in ("auto", "off"))


def _others(given: tuple[str, ...]) -> str:
    return " ".join(name for name in given if name != "off")


def _warm(config: pytest.Config) -> tuple[str, ...]:
    """Return the entries of ``hotreload_warm``. Raises UsageError if one is not written as 'module:function'."""
    named = tuple(dict.fromkeys(config.getini("hotreload_warm")))
    for name in named:
        module, _, function = name.partition(":")
        parts = [*module.split("."), *function.split(".")]
        if not all(part.isidentifier() for part in parts):
            raise usage_error(
                f"hotreload_warm names {name!r}, which is not MODULE:FUNCTION",
                hint="for example hotreload_warm = package.module:function",
            )
    return named


def _watch(namespace: Any) -> bool:
    asked = bool(namespace.hotreload_watch)
    if asked and os.environ.get("CI", "") not in ("", "0", "false") and not namespace.hotreload_watch_force:
        raise usage_error(
            "--watch never ends, but the variable CI is set", hint="leave --watch out, or add --watch-force"
        )
    if asked and namespace.hotreload_start == "spawn":
        raise usage_error(
            "--watch and --hotreload-start=spawn contradict each other", hint="leave one of the two out"
        )
    return asked


def _target(config: pytest.Config, option: str, text: str | None) -> Path | None:
    """Return the path of a file to write at the end, resolved against the folder in which pytest was called.

    Missing folders are created when the file is written, as for pytest's ``--junit-xml``.
    """
    if text is None:
        return None
    path = config.invocation_params.dir / Path(text).expanduser()
    if not text or path.is_dir():
        example = "run.json" if option.endswith("trace") else "run.html"
        raise usage_error(
            f"{option} is {text!r}, which is not a file", hint=f"for example {option}={example}"
        )
    nearest = next(folder for folder in path.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        what = "the folder" if nearest.is_dir() else "the file"
        raise usage_error(
            f"{option}: {what} {nearest} can't hold new files", hint="name a file in another folder"
        )
    return path


def _direct(namespace: Any) -> bool:
    debugging = getattr(namespace, "usepdb", False) or getattr(namespace, "trace", False)
    uncaptured = getattr(namespace, "capture", "fd") == "no"
    return bool(debugging or (uncaptured and os.isatty(1)))


def _with_descriptors(slots: int, asked: str) -> int:
    """Limit an automatic number of slots to what the limit of open files allows. Raises UsageError."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return slots
    fitting = (allowed - _BASE_DESCRIPTORS) // _SLOT_DESCRIPTORS
    if fitting >= slots or (asked == "auto" and fitting >= 1):
        return min(slots, fitting)
    needed = _BASE_DESCRIPTORS + slots * _SLOT_DESCRIPTORS
    less = f"--hotreload-slots={fitting}" if fitting >= 1 else "--no-hotreload"
    raise usage_error(
        f"{many(slots, 'slot')} {verb(slots, 'need')} {needed} open files, but ulimit -n is {allowed}",
        hint=f"ulimit -n {max(needed, 1024)}, or {less}",
    )


def _slots(namespace: Any) -> tuple[int, str]:
    """Return the number of slots and its origin: our own option, then xdist's ``-n``, then the processors."""
    asked = namespace.hotreload_slots
    if asked is not None:
        return _count(str(asked), "--hotreload-slots"), "--hotreload-slots"
    workers = getattr(namespace, "numprocesses", None)
    if workers is not None:
        number = str(workers)
        most = getattr(namespace, "maxprocesses", None) or MOST_SLOTS
        return (1 if number == "0" else min(_count(number, "-n"), most)), "-n"
    return processors(), "auto"


def serve_minutes(config: pytest.Config) -> float | None:
    """Return the idle minutes of a server that a run starts, or None if none is to be started.

    Args:
        config: The configuration, whose ini file is read.

    Raises:
        pytest.UsageError: The value is not valid.
    """
    value = os.environ.get(own_server.VARIABLE, "") or str(config.getini(own_server.SETTING))
    try:
        return own_server.minutes(value)
    except ValueError:
        raise usage_error(
            own_server.wrong(value), hint=f"{own_server.SETTING} = auto is the default"
        ) from None


def slots_by_number(namespace: Any) -> int | None:
    """Return the number of slots that was given as a number; None if each machine decides for itself.

    Args:
        namespace: The parsed command line.

    Raises:
        pytest.UsageError: The number is not valid.
    """
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
    """Return the number of processors that this process may use, at least 1."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1


def _rewind(config: pytest.Config, namespace: Any) -> str:
    if namespace.hotreload_rewind is not None:
        return str(namespace.hotreload_rewind)
    chosen = str(config.getini("hotreload_rewind"))
    if chosen not in REWINDS:
        raise usage_error(
            f"hotreload_rewind is {chosen!r}", hint=f"one of {', '.join(REWINDS)}; auto is the default"
        )
    return chosen


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
