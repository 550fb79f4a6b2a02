"""Texts for users of ``pytest-hotreload serve`` and of its clients."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.process.fork_messages import Warmed
from pytest_hotreload.watch import messages
from pytest_hotreload.wording import many

NOT_STOPPED = "a watch can be ended only in its own terminal, with q"

STOPPED = "stopped"

NO_DESCRIPTORS = "the client's stdin, stdout and stderr did not arrive"

OTHER_FLAGS = "this interpreter has another version or other flags than the template's interpreter"

OTHER_PROJECT = "the watch or serve belongs to another project"

OTHER_RELEASE = "the watch or serve uses another release of pytest-hotreload"


def other_interpreter(prefix: str) -> str:
    return f"the watch or serve of this project uses the interpreter of {prefix}"


def other_variable(name: str) -> str:
    return f"{name} differs from the template's"


def not_forked(number: int) -> str:
    return f"the template can't be forked ({os.strerror(number)})"


def left_behind(process: str) -> str:
    return f"the run left a process behind; killed: {process}"


def unsafe_folder(folder: str, why: str) -> str:
    return f"{folder} {why}"


def path_too_long(folder: str) -> str:
    return f"the path {folder} is too long for a socket"


def occupied(root: str, pid: str) -> str:
    return f"{root} is already served by process {pid}"


def not_attachable(why: object) -> str:
    return f"pytest-hotreload run can't attach to this watch: {why}"


def not_served(why: object) -> str:
    return f"not served: {why}"


def serving(root: str, warmed: Warmed | None, idle: float) -> str:
    """The line that a server prints when its template is warm.

    ``idle``: minutes without a run after which the server ends, or 0 for never.
    """
    ends = f"ends after {idle:g} min without a run" if idle else "end it with Ctrl-C or pytest-hotreload stop"
    return PREFIX + " · ".join([f"serving {root}", *messages.template(warmed), ends])


#: The reason for a cold run beside a server that a run has just started.
STARTING = "the server of this project is not ready yet"


def vanished(path: str) -> str:
    return f"{path} is gone, or another one"


def stopping(reason: str) -> str:
    return f"{reason}: stopping"


def idle(minutes: float) -> str:
    return f"no run for {minutes:g} min: stopping"


def server(kind: str, root: str, began: float, warmed: Warmed | None, runs: int, running: int) -> list[str]:
    """The lines of ``pytest-hotreload status``. ``began``: the server's start, in seconds since 1970."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began))
    return [
        f"{kind} of {root}, process {os.getpid()}, since {since}",
        " · ".join(messages.template(warmed)) if warmed is not None else "the template is being prepared",
        f"interpreter {sys.executable}",
        f"{many(runs, 'attached run')} so far, {running} running",
    ]


def imported_ahead(files: Sequence[str], refused: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of ``pytest-hotreload status`` about files that are imported for the next run."""
    lines = [f"imported ahead: {', '.join(files)}"] if files else []
    return lines + [f"not imported ahead: {file or 'the conftests'}, because {why}" for file, why in refused]
