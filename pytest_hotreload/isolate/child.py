"""The process that runs one function: adopts the caller's context, runs, stores the outcome, and exits."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
from typing import Any

from pytest_hotreload._native import set_child_subreaper
from pytest_hotreload.imports import bytecode
from pytest_hotreload.isolate.calls import CallContext, CallFile
from pytest_hotreload.process import fork_state
from pytest_hotreload.process.lifeline import end_with


def run(descriptors: list[int], inherited: fork_state.Inherited) -> None:
    """Run the call and exit.

    ``descriptors``: the call's file, standard output, standard error. Does not return.
    """
    call_file = CallFile(descriptors[0])
    try:
        _speak_into(descriptors[1:])
        _work(call_file, os.getpid())
    except KeyboardInterrupt:  # handled as by an interpreter in which nothing catches it
        _interrupted(inherited)
    except BaseException:  # an error of our own: the caller sees that there is no outcome
        fork_state.print_fatal_traceback()
        os._exit(70)
    _leave(inherited)


def prepare() -> None:
    """Prepare the template once for all children, which inherit these settings.

    Output is flushed after each line, and buffers are empty at each fork. A crash prints its stack. Exit
    handlers of imported modules do not run, and bytecode that may be stale is not trusted.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    os.register_at_fork(before=fork_state.flush_standard)
    faulthandler.enable()
    fork_state.forget_inherited()
    bytecode.recompile_doubtful()


def begin(lifeline: int) -> None:
    """Lead a process group and end together with the template, so that nothing that the function starts escapes."""
    os.setpgid(0, 0)
    set_child_subreaper(True)
    end_with(lifeline)


def _speak_into(files: list[int]) -> None:
    for number, descriptor in zip((1, 2), files, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _work(call_file: CallFile, pid: int) -> None:
    """Run the call and store its outcome.

    A fork made by the function that returns here is not ours, and ends.
    """
    try:
        _take_over(call_file.context())
        func, args, kwargs = call_file.call()
        result = func(*args, **kwargs)
    except BaseException as error:
        if os.getpid() != pid and not isinstance(error, SystemExit):
            fork_state.print_fatal_traceback()
        _end_if_forked(pid)
        if isinstance(error, KeyboardInterrupt):
            raise
        call_file.put_error(error)
    else:
        _end_if_forked(pid)
        call_file.put_result(result)


def _end_if_forked(pid: int) -> None:
    if os.getpid() != pid:
        fork_state.flush_standard()
        os._exit(0)


def _take_over(given: CallContext) -> None:
    for name, value in given.environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in given.environ:
        time.tzset()
    if given.cwd is not None:
        os.chdir(given.cwd)
    sys.path[:], sys.argv[:] = given.path, given.argv
    fork_state.randomness(int.from_bytes(os.urandom(8), "big"))


def _interrupted(inherited: fork_state.Inherited) -> None:
    """Handle Ctrl-C from any sender like an interpreter: print the traceback, and die of the signal."""
    fork_state.print_fatal_traceback()
    _flush_all(inherited)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(70)


def _flush_all(inherited: fork_state.Inherited) -> None:
    with contextlib.suppress(BaseException):
        fork_state.leave(inherited)


def _leave(inherited: fork_state.Inherited) -> Any:
    """Exit without the interpreter's finalization, which hung and crashed in forks (grpc, pyarrow, duckdb)."""
    _flush_all(inherited)
    os._exit(0)
