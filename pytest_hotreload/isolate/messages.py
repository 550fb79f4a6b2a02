"""Texts of `isolate_imports`: lines about deviations from the normal case, with reasons, and texts of errors."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from typing import Final

from pytest_hotreload.wording import listed

#: The logger that receives the lines. Without a handler, ``logging`` prints warnings to standard error.
LOGGER: Final = logging.getLogger("pytest_hotreload.isolate")

#: The number of lines about modules that are logged as warnings; more are one line.
FEW: Final = 10

LOOK_AT_OUTPUT: Final = "its output is in the `stdout` and `stderr` of this error"

MORE_TIME: Final = "give a longer timeout; `stdout` and `stderr` of this error show how far it got"
FEWER: Final = "run fewer processes at once, or raise the limit (ulimit -u)"
LESS: Final = "return less, or write it to a file and return its path"
RUN_AGAIN: Final = "run it again: the next call starts a new template"
NO_RESULT: Final = "a stopped process has no result"


def tell(line: str) -> None:
    """Log one line for the user. Never raises."""
    LOGGER.warning("isolate_imports: %s", line)


def mention(line: str) -> None:
    """Log one line that only a user who asks for it sees. Never raises."""
    LOGGER.info("isolate_imports: %s", line)


def many_lines(package: str, lines: Sequence[str]) -> str:
    """The line in place of many lines about modules that are not warm."""
    return (
        f"{len(lines)} modules that {package} imports are not warm; "
        "hint: the attribute `notices` of the environment lists them, and so does logging at level INFO"
    )


def signal_name(number: int) -> str:
    """The name of a signal, as in `SIGSEGV (signal 11)`."""
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"


# ------------------------------------------------------------------------------- modules that are not warm


def unread(path: str, line: int | None, text: str) -> str:
    """The line about a file whose imports cannot be read."""
    place = f"{path}:{line}" if line else path
    return f"{place}: the imports of this file are not warm: {text}" if path else text


def missing(path: str, line: int, name: str) -> str:
    """The line about an import of a module that does not exist."""
    return f"{path}:{line}: `{name}` does not exist, so it is not warm"


def quarantined(module: str, why: str) -> str:
    """The line about a module that is kept out of the template."""
    return f"{module} is not warm: {why}"


def first_party(module: str) -> str:
    """The reason to keep a module out: its import would bring the user's own code into the template."""
    return f"it imports first-party code ({module})"


def unanalysed(error: object) -> str:
    return f"nothing is warm: {error}"


# ------------------------------------------------------------------------------- the template


def template_gone(how: str) -> str:
    return f"the template {how}: starting a new template"


def not_started(words: str) -> str:
    return f"the template did not start: {words or 'it printed nothing'}"


def ended(returncode: int) -> str:
    """The words about a template's end.

    A process that waits in the template passes a signal on as its exit status.
    """
    if returncode > 255 - signal.NSIG:
        returncode -= 256
    return (
        f"was killed by {signal_name(-returncode)}" if returncode < 0 else f"ended with status {returncode}"
    )


# ------------------------------------------------------------------------------- the end of a process


def ended_by(name: str, pid: int | None, how: str) -> str:
    return f"{name} (pid {pid}) {how}" if pid else f"{name} {how}"


def how(returncode: int) -> str:
    """The words about the end of a process without a result."""
    if returncode < 0:
        return f"was killed by {signal_name(-returncode)}"
    return f"ended by os._exit with status {returncode}"


def with_template() -> str:
    return "was killed together with its template"


def refused(name: str, error: str) -> str:
    return f"the system refused to fork a process for {name}: {error}"


def timed_out(seconds: float) -> str:
    return f"took longer than its timeout of {seconds:g} s and was killed"


def unreadable(name: str, error: BaseException) -> str:
    return f"the result of {name} can't be read: {type(error).__name__}: {error}"


def left_behind(name: str, processes: tuple[str, ...]) -> str:
    return f"{name} left processes behind; killed: {listed(processes)}"


def callback_failed(error: BaseException) -> str:
    return (
        f"an output callback raised {type(error).__name__}: {error}; it is not called again for this process"
    )
