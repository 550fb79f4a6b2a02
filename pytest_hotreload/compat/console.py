"""Our own lines in pytest's output, and their prefix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_hotreload.compat import pytest_output
from pytest_hotreload.world import BUILTINS, os, signal

__builtins__ = BUILTINS

PREFIX = "hotreload: "


#: The function that receives notices in a process without a terminal of its own (a host).
TOLD = pytest.StashKey[Callable[[str], None]]()


def is_quiet(config: pytest.Config) -> bool:
    """Return whether only warnings of ours are printed (``--hotreload-quiet``, or ``-q``)."""
    return bool(getattr(config.option, "hotreload_quiet", False)) or config.get_verbosity() < 0


def remark(config: pytest.Config, text: str) -> None:
    """Print a line of its own that is no warning: nothing if only warnings are printed."""
    if not is_quiet(config):
        notice(config, text)


def notice(config: pytest.Config, text: str) -> None:
    """Print a warning on a line of its own, without breaking pytest's line of dots."""
    told = config.stash.get(TOLD, None)
    if told is not None:
        told(text)
        return
    reporter = pytest_output.terminal_reporter(config)
    if reporter is None:
        return
    pytest_output.ensure_newline(config)
    reporter.write_line(PREFIX + text, yellow=True)


def written(what: str, path: object) -> str:
    return f"{what}: {path}"


def not_written(what: str, path: object, error: Exception) -> str:
    why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return f"the {what} can't be written to {path}: {why}"


def hook_failed(plugin: str, hook: str, error: BaseException) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"{plugin}: {hook} failed at the end of a child, so data from that child may be missing: {what}"


def status_text(status: int) -> str:
    """Return a wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "a signal"
        return f"was killed by {name} (signal {number})"
    code = os.waitstatus_to_exitcode(status) if status >= 0 else "unknown"
    return f"ended with exit status {code}"
