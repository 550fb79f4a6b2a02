"""Every word that the user sees of hosts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.usage import usage_error
from pytest_hotreload.world import signal

#: What a host printed last is shown so far, on the one line that says of its end.
_LONGEST = 300


def slots(count: int) -> str:
    return f"{count} slot{'s' if count != 1 else ''}"


def hosts(named: Sequence[tuple[str, int]]) -> str:
    """For the header: ``2 hosts: popen (2 slots), ssh=one (8 slots)``."""
    listed = ", ".join(f"{name} ({slots(count)})" for name, count in named)
    return f"{len(named)} host{'s' if len(named) != 1 else ''}: {listed}"


def closing(files: int, children: int, hosts: int) -> str:
    """The last line: what was done, and on how many hosts."""
    counts = ((files, "file", "files"), (children, "child", "children"), (hosts, "host", "hosts"))
    file, child, host = (f"{count} {one if count == 1 else many}" for count, one, many in counts)
    return f"{PREFIX}{file} in {child} on {host}"


def not_there(name: str, why: str) -> pytest.UsageError:
    """A host that did not come up, before anything has run."""
    return usage_error(
        f"the host {name} can't be used: {why}",
        hint="try `ssh HOST PYTHON -m pytest --version` with the same host and Python, or leave it out",
    )


def other_version(name: str, what: str, here: str, there: str) -> pytest.UsageError:
    return usage_error(
        f"the host {name} has {what} {there}, and here it is {here}", hint="install the same version on both"
    )


def ended(status: int | None, tail: str) -> str:
    """How a host's pytest ended that should have gone on."""
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
    """``files``: those that were there and have not ended."""
    if not files:
        return f"the host {name} is lost ({why})"
    which = "its file runs" if files == 1 else f"its {files} files run"
    return f"the host {name} is lost ({why}): {which} elsewhere"


def lost_too_often(times: int) -> str:
    """Of a test: the hosts that its file was given to were lost."""
    return (
        f"this test has no result: {times} hosts were lost while its file ran on them; "
        "hint: run the file alone without --tx, and see whether it ends its machine"
    )


def none_left(tests: int) -> str:
    """Why the run ends before its end."""
    what = f"{tests} test{'s have' if tests != 1 else ' has'} no result"
    return f"hotreload: no host is left, {what}; hint: run again, or without --tx"


def from_host(name: str, text: str) -> str:
    return f"{name}: {text}"


def no_terminal() -> str:
    return "was ended: it stopped in a debugger, and a host has no terminal; hint: run the file without --tx"


def not_found() -> str:
    return "this test was collected here, and is not found in the host's own collection"


def no_records() -> str:
    return "what runs on hosts leaves no records: other machines' inputs can't be compared with this one's"


def runs(name: str, files: Sequence[str]) -> str:
    """For the status line."""
    return f"{name}: {', '.join(files)}"


def coverage_here_only() -> pytest.UsageError:
    return usage_error(
        "`coverage run` measures this process, and with hosts (--tx) no test runs in it",
        hint="use pytest-cov's --cov",
    )
