"""Attached run: a fork of the template takes over the client's state, then pytest starts anew in it.

From then on the process is a plain pytest with warm imports: it is no child and no rerun.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_hotreload._native import set_child_subreaper
from pytest_hotreload.process import adoption
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.watch.attach_protocol import Attach
from pytest_hotreload.world import fcntl, io, os, random, subprocess, time

#: Variables that each shell sets for itself, and whose differences do not matter.
NEUTRAL = ("PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES", "PYTEST_CURRENT_TEST")
#: The lowest descriptor number for the copies that a run keeps of its standard streams.
_FAR = 200
#: The names and modes with which Python opens descriptors 0, 1 and 2.
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class InterpreterStart(NamedTuple):
    """The state of the template's interpreter at its start."""

    #: ``sys.path`` without its first entry.
    path: Sequence[str]
    #: The environment variables.
    environment: Mapping[str, str]


def begin(order: Attach, descriptors: Sequence[int], lifeline: int, beginning: InterpreterStart) -> list[int]:
    """Take over the client's state, in the fork.

    ``descriptors``: the client's stdin, stdout and stderr. Returns copies of these, for :func:`start_over`. Raises
    OSError if the client's folder is gone.
    """
    os.setsid()  # signals from the server's terminal must not reach the run
    set_child_subreaper(True)  # otherwise its orphans would be attributed to another run
    end_with(lifeline)
    kept = take_files(descriptors)
    _take_environment(order.environment, beginning.environment)
    os.chdir(order.folder)
    os.umask(order.umask)
    sys.argv[1:] = order.arguments
    # As in ``python -m pytest``, which is the command of a cold run.
    here = [] if getattr(sys.flags, "safe_path", False) else [order.folder]
    sys.path[:] = [*here, *beginning.path]
    _open_streams()
    importlib.invalidate_caches()
    shuffle()
    return kept


def take_files(descriptors: Sequence[int], saved: Mapping[int, int] | None = None) -> list[int]:
    """Take over the client's stdin, stdout and stderr. Returns copies of them.

    ``saved``: 0, 1 and 2 -> the descriptor from which a capture that has begun restores it. What is captured at this
    moment, as stdin always is, stays captured.
    """
    # Copies, because capture replaces the run's own three; far from the numbers that a test sees.
    kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FAR) for descriptor in descriptors]
    for number, descriptor in enumerate(descriptors):
        if saved and number in saved:
            os.dup2(descriptor, saved[number], inheritable=False)
        if not (saved and number == 0):
            os.dup2(descriptor, number)
        os.close(descriptor)
    return kept


def take_others(theirs: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Set the client's environment variables in a process that began with those of an equal run.

    ``before``: these variables. What the process itself has changed since then stays.
    """
    for name in {*theirs, *before}:
        if theirs.get(name) != before.get(name) and os.environ.get(name) == before.get(name):
            if name in theirs:
                os.environ[name] = theirs[name]
            else:
                del os.environ[name]


def start_over(order: Attach, files: Sequence[int], text: str) -> None:
    """Replace this process by a cold run: the template's modules do not suit it and can't be imported again."""
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
    os.write(2, f"hotreload: {text}\n".encode())
    os.chdir(order.folder)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    os.execve(
        sys.executable, [sys.executable, *flags, "-m", "pytest", *order.arguments], dict(order.environment)
    )


def _take_environment(theirs: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Set the client's environment variables, with the changes that the template's modules made at their import."""
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    removed = [name for name in before if name not in os.environ]
    os.environ.clear()
    os.environ.update({**theirs, **changed})
    for name in removed:
        os.environ.pop(name, None)
    time.tzset()


def _open_streams() -> None:
    """Open the standard streams as the interpreter does at its start: the kind of file decides the buffering."""
    for number, (name, mode) in enumerate(_STREAMS):
        plain = getattr(sys, f"__{name}__")
        if plain is None:
            continue
        buffering = 0 if mode == "w" and plain.write_through else -1
        binary = open(number, mode + "b", buffering=buffering, closefd=False)  # noqa: SIM115
        raw: Any = getattr(binary, "raw", binary)
        raw.name = f"<{name}>"
        stream: Any = io.TextIOWrapper(
            binary,
            plain.encoding,
            plain.errors,
            newline="\n",
            line_buffering=name == "stderr" or os.isatty(number),
            write_through=plain.write_through,
        )
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def renew_buffering() -> None:
    """Let the standard output be buffered as the interpreter does for the file that it leads to now."""
    stream: Any = sys.__stdout__
    if stream is not None:
        stream.reconfigure(line_buffering=os.isatty(1))


def shuffle() -> None:
    """Seed the random generators, so that two runs do not draw the same numbers."""
    random.seed()
    numpy_random = adoption.module("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
