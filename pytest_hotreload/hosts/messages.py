"""Texts about hosts for the user."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.usage import usage_error
from pytest_hotreload.wording import many
from pytest_hotreload.world import signal

#: Characters of a host's last output that are shown in the line about its end.
_LONGEST = 300


def slots(count: int) -> str:
    return many(count, "slot")


def hosts(named: Sequence[tuple[str, int]]) -> str:
    """The hosts in the header: ``2 hosts: popen (2 slots), ssh=one (8 slots)``."""
    listed = ", ".join(f"{name} ({slots(count)})" for name, count in named)
    return f"{many(len(named), 'host')}: {listed}"


def closing(files: int, children: int, hosts: int) -> str:
    """The last line of a run: the numbers of files, children and hosts."""
    return f"{PREFIX}{many(files, 'file')} in {many(children, 'child')} on {many(hosts, 'host')}"


def not_there(name: str, why: str) -> pytest.UsageError:
    """The error for a host that did not start, before anything has run."""
    return usage_error(
        f"the host {name} can't be used: {why}",
        hint="check `ssh HOST PYTHON -m pytest --version` with the same host and Python, or leave the host out",
    )


def other_version(name: str, what: str, here: str, there: str) -> pytest.UsageError:
    return usage_error(
        f"the host {name} has {what} {there}, but this machine has {here}",
        hint="install the same version on both",
    )


def ended(status: int | None, tail: str) -> str:
    """A description of the premature end of a host's pytest."""
    if status is not None and status < 0:
        return f"its pytest was killed by {_signal(-status)}"
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "INTERNALERROR")) or "Error" in line]
    said = (errors or lines or [""])[-1][:_LONGEST]
    how = "was lost" if status is None else f"ended with exit status {status}"
    return f"its pytest {how}" + (f": {said}" if said else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def lost(name: str, why: str, files: int) -> str:
    """The notice of a lost host. ``files``: the number of test files that the host had not completed."""
    if not files:
        return f"the host {name} was lost ({why})"
    which = "its test file runs" if files == 1 else f"its {files} test files run"
    return f"the host {name} was lost ({why}): {which} on other hosts"


def lost_too_often(times: int) -> str:
    """The result of a test whose file was lost with ``times`` hosts."""
    return (
        f"this test has no result: {times} hosts were lost while its file ran on them; "
        "hint: run the file alone without --tx, to see whether it crashes the machine"
    )


def none_left(tests: int) -> str:
    """The reason for the premature end of a run without hosts."""
    what = f"{many(tests, 'test')} {'has' if tests == 1 else 'have'} no result"
    return f"hotreload: no host is left, and {what}; hint: run again, or without --tx"


def from_host(name: str, text: str) -> str:
    return f"{name}: {text}"


def no_terminal() -> str:
    return "was killed: it stopped in a debugger, but a host has no terminal; hint: run the file without --tx"


def left_out() -> str:
    return "its process was ended before it ran"


def not_found() -> str:
    return "this test was collected here, but the host did not collect it"


def no_records() -> str:
    return "test files that run on hosts get no records, because inputs on other machines can't be compared"


def runs(name: str, files: Sequence[str]) -> str:
    """The test files that a host runs, for the status line."""
    return f"{name}: {', '.join(files)}"


def coverage_here_only() -> pytest.UsageError:
    return usage_error(
        "`coverage run` measures only this process, but with hosts (--tx) no test runs in it",
        hint="use pytest-cov's --cov",
    )
