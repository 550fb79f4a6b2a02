"""Every word that the user sees, and where it is shown."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Iterable, Mapping, Sequence

import pytest

from . import compat
from .options import Options

PREFIX = "hotreload: "


# ------------------------------------------------------------------------------------- header


def header(options: Options, verbose: int) -> list[str]:
    """The header: interpreter, slots, and how children start; nothing with ``-q``."""
    if verbose < 0:
        return []
    slots = f"{options.slots} slot{'s' if options.slots != 1 else ''} ({options.asked_slots})"
    how = "a fresh interpreter" if options.start == "spawn" else "a fork"
    what = {
        "file": f"each file in {how}",
        "test": f"each test in {how}",
        "worker": f"the files of a slot in {how}",
        "strict": f"each file collected and run alone, in {how}",
    }[options.isolate]
    return [PREFIX + " · ".join([f"python {platform.python_version()}", slots, what])]


def warmed(modules: int, seconds: float, quarantine: Mapping[str, str], verbose: int) -> list[str]:
    """What the template holds, where one was needed; quarantined modules with reasons under ``-v``."""
    line = f"{PREFIX}template: {modules} modules warm in {seconds:.1f} s"
    if quarantine:
        line += f" · {len(quarantine)} quarantined" + ("" if verbose > 0 else " (-v says why)")
    reasons = [f"  {module}: {why}" for module, why in quarantine.items()] if verbose > 0 else []
    return [line, *reasons]


# ------------------------------------------------------------------------------------- lines


def notice(config: pytest.Config, text: str) -> None:
    """One line of its own, at a place where pytest's line of dots is not torn."""
    reporter = compat.terminal_reporter(config)
    if reporter is None:
        return
    compat.ensure_newline(config)
    reporter.write_line(PREFIX + text, yellow=True)


def left_to_plain(why: str) -> str:
    return f"plain pytest runs this suite, without children: {why}"


def silent_file(path: str, nodeid: str, phase: str, seconds: float) -> str:
    return f"{path} has made no progress for {seconds:.0f} s; it runs {nodeid} ({phase})"


def leftovers(path: str, names: Sequence[str]) -> str:
    return (
        f"{path} left {len(names)} process{'es' if len(names) != 1 else ''} behind, ended: {', '.join(names)}"
    )


def threads_left(path: str, what: str) -> str:
    return f"{path} started {what} while it was imported; it is collected and run in a process of its own"


def own_slots(what: str) -> str:
    return f"{what} reads the worker id early: each slot is a process that collects for itself"


def template_died() -> str:
    return "the template ended while it was warmed: fresh interpreters are started instead"


def diagnostic(path: str, line: int | None, text: str) -> str:
    where = f"{path}:{line}: " if line else f"{path}: " if path else ""
    return f"{where}{text}"


def shared_refused(name: str, why: str) -> str:
    return f"the fixture {name} can't be shared ({why}); each child sets it up for itself"


def shared_unknown(name: str) -> str:
    return (
        f"hotreload_shared_fixtures names {name!r}, which no selected test uses at session or package scope"
    )


def hung(seconds: float) -> str:
    return (
        f"used no processor time for {seconds:.0f} s after a fork from a process with threads, and was ended"
    )


def again_after_signal(path: str, name: str, what: str) -> str:
    return f"{path}: the process of {name} {what}; it ran again in a fresh one, whose result counts"


def no_cache(error: OSError) -> str:
    return f"the cache folder can't be written ({error.strerror or error}): durations are not kept"


def no_fork(error: OSError) -> str:
    return f"fork was refused ({error.strerror or error}): fresh interpreters are started instead"


# ------------------------------------------------------------------------------------- reports


def died(phase: str, status: int, because: str) -> str:
    """What happened to a process that ended in the middle of a test."""
    what = because or status_text(status)
    where = {"start": "before its setup", "finish": "after its teardown", "end": "after the last test"}
    return f"the process of this test {what} {where.get(phase, f'during {phase}')}"


def status_text(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "a signal"
        return f"was killed by {name} (signal {number})"
    code = os.waitstatus_to_exitcode(status) if status >= 0 else "unknown"
    return f"ended with exit status {code}"


def over_time(seconds: float) -> str:
    return f"was ended: the test took longer than --hotreload-timeout={seconds:g} s"


# ------------------------------------------------------------------------------------- closing


def closing(
    files: int,
    children: int,
    slots: int,
    start_cpu: float,
    fell_back: Iterable[str],
) -> str:
    """The last line: what was done, and what paying the start once saved.

    ``start_cpu``: CPU seconds from the start of the process to the end of collection. A worker
    that starts by itself pays it again; one of them is ours.
    """
    parts = [f"{files} file{'s' if files != 1 else ''} in {children} child{'ren' if children != 1 else ''}"]
    if slots > 1:
        parts.append(
            f"start and imports paid once: {start_cpu * (slots - 1):.1f} s of CPU saved "
            f"against {slots} workers with a start of their own"
        )
    parts += list(fell_back)
    return PREFIX + " · ".join(parts)


def costly_fixtures(costs: Mapping[str, tuple[float, int]], saved: float) -> str:
    """Which session fixtures dominate, and the two remedies."""
    names = ", ".join(
        f"{name} {seconds:.1f} s in {times} children" for name, (seconds, times) in costs.items()
    )
    return (
        f"{PREFIX}session fixtures are set up in each child: {names}; hint: hotreload_shared_fixtures or "
        f"--hotreload-isolate=worker would save about {saved:.1f} s"
    )


# ------------------------------------------------------------------------------------- doctor


def doctor_nothing(status: int) -> str:
    return f"{PREFIX}no test ran (pytest's exit status {status}); hint: run pytest with the same arguments"


def doctor_coupled(nodeid: str, cause: str | None) -> str:
    if cause is None:
        return f"{nodeid} passes only in company; no single module explains it"
    return f"{nodeid} passes only in company: it leans on {cause}"


def doctor_total(tests: int, coupled: int) -> str:
    found = "none leans" if not coupled else f"{coupled} lean{'s' if coupled == 1 else ''}"
    return f"{PREFIX}{tests} tests: {found} on another file"
