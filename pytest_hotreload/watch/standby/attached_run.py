"""An attached run: what a fork of the template takes over from the caller, before pytest starts anew in it.

From then on it is a plain pytest, whose imports are warm: nobody's controller, child or rerun.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_hotreload._native import set_child_subreaper
from pytest_hotreload.process import adoption
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.watch.protocol import Attach
from pytest_hotreload.world import fcntl, io, os, random, subprocess, time

#: The lowest number of descriptors that a run keeps beside its own.
_FAR = 200
#: What Python opens them for.
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class Beginning(NamedTuple):
    """The template's interpreter as it was at its start: ``sys.path`` without its first entry, the environment."""

    path: Sequence[str]
    environment: Mapping[str, str]


def begin(order: Attach, descriptors: Sequence[int], lifeline: int, beginning: Beginning) -> list[int]:
    """In the fork. Returns the caller's open files once more, for :func:`start_over`.
    ``descriptors``: the caller's stdin, stdout and stderr. Raises OSError for a folder that is gone."""
    os.setsid()  # signals of the server's terminal are not for it
    set_child_subreaper(True)  # or its orphans would be taken for those of the run beside it
    end_with(lifeline)
    # Far from the numbers that a test sees: capture replaces the three of the run.
    kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FAR) for descriptor in descriptors]
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    _take_environment(order.environment, beginning.environment)
    os.chdir(order.folder)
    os.umask(order.umask)
    sys.argv[1:] = order.arguments
    # As ``python -m pytest`` has it, which is what a cold run is.
    here = [] if getattr(sys.flags, "safe_path", False) else [order.folder]
    sys.path[:] = [*here, *beginning.path]
    _open_streams()
    importlib.invalidate_caches()
    _shuffle()
    return kept


def start_over(order: Attach, files: Sequence[int], text: str) -> None:
    """Be a cold run, from its beginning: what the template holds is none of this one's, and can't be imported again."""
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
    os.write(2, f"hotreload: {text}\n".encode())
    os.chdir(order.folder)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    os.execve(
        sys.executable, [sys.executable, *flags, "-m", "pytest", *order.arguments], dict(order.environment)
    )


def _take_environment(theirs: Mapping[str, str], before: Mapping[str, str]) -> None:
    """The caller's, with what the modules that are imported already changed in it, as they would have there."""
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    removed = [name for name in before if name not in os.environ]
    os.environ.clear()
    os.environ.update({**theirs, **changed})
    for name in removed:
        os.environ.pop(name, None)
    time.tzset()


def _open_streams() -> None:
    """As the interpreter does at its start: what they are decides how they are buffered."""
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


def _shuffle() -> None:
    """Two runs must not draw the same numbers."""
    random.seed()
    numpy_random = adoption.module("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
