"""Finds the inputs of project modules that were imported before anything could be observed.

pytest imports plugins that the command line or the ini names (``-p myplugin``), and entry points of an
editable install, before it calls any plugin from an entry point. Such modules are imported once more,
observed, in a fork that may change nothing: docs/design/records.md.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from pytest_hotreload._native import observed
from pytest_hotreload.process.quiet_fork import fork_quietly
from pytest_hotreload.world import BUILTINS, MODULES, os, pickle, select, signal

__builtins__ = BUILTINS

#: The time limit in seconds for all of these imports together.
_PATIENCE = 10.0
#: Audit events of actions that would happen twice. Reading, listing and looking up are not among them.
_CHANGES = (
    "os.",
    "shutil.",
    "socket.bind",
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "subprocess.Popen",
    "ftplib.",
    "http.client.",
    "smtplib.",
    "sqlite3.connect",
    "tempfile.",
    "webbrowser.",
)
_ALLOWED = (
    *("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.listxattr", "os.getxattr"),
    *("os.putenv", "os.unsetenv", "os.chdir", "os.fchdir"),  # these change only the fork
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Seen(NamedTuple):
    """The observed events as the audit hook returns them, or the ``module`` whose events are unknown, and why."""

    rows: list[tuple[str, str, str, Any]]
    module: str = ""
    why: str = ""


def import_again(loaded: Sequence[tuple[str, str]]) -> Seen:
    """Observe what these modules, given as (name, file), read while they are imported.

    Extension modules are not imported again, because a process can initialise them only once. The calling
    process must already observe.
    """
    names = [name for name, file in loaded if file.endswith(".py")]
    if not names:
        return Seen([])
    reading, writing = os.pipe()
    try:
        pid = fork_quietly()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        return Seen([], names[0], str(error))
    if not pid:
        _import_in_fork(names, writing)
    os.close(writing)
    try:
        return _answer(reading, pid) or Seen([], names[0], "its import ends the process, or takes too long")
    finally:
        os.close(reading)
        os.waitpid(pid, 0)


def _import_in_fork(names: Sequence[str], writing: int) -> NoReturn:
    try:
        os.setsid()
        # The alarm ends this process if the waiting parent is killed meanwhile.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(_PATIENCE) + 1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        sys.addaudithook(_refuse_changes)
        for name in names:
            MODULES.pop(name, None)
        told = pickle.dumps(_import(names))
        while told:
            told = told[os.write(writing, told) :]
    finally:
        os._exit(0)


def _import(names: Sequence[str]) -> Seen:
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return Seen([], name, f"{type(error).__name__}: {error}"[:200])
    return Seen(observed())


def _refuse_changes(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse an action that would happen twice, before it happens."""
    if event == "open":
        flags = arguments[2]
        changes = isinstance(flags, int) and bool(flags & _WRITES)
    else:
        changes = event.startswith(_CHANGES) and event not in _ALLOWED
    if changes:
        raise PermissionError(f"{event} {arguments[0] if arguments else ''}".strip())


def _answer(reading: int, pid: int) -> Seen | None:
    if not select.select([reading], [], [], _PATIENCE)[0]:
        os.killpg(pid, signal.SIGKILL)
        return None
    with open(reading, "rb", closefd=False) as file:
        told = file.read()
    seen: Seen | None = pickle.loads(told) if told else None
    return seen
