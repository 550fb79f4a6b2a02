"""Resets in a forked child: state that must differ from the parent's, and state to restore before the exit.

The docstring of each function names the traps that the function closes. All functions run once per child, so
they write to as few memory pages as possible: every written page is copied.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_hotreload import _native
from pytest_hotreload._native import join_board, set_child_subreaper
from pytest_hotreload.compat import handover, pytest_output, pytest_session
from pytest_hotreload.compat.debugger import call_before
from pytest_hotreload.process.fork_state import forget_inherited
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.world import (
    BUILTINS,
    MODULES,
    contextlib,
    faulthandler,
    gc,
    os,
    pathlib,
    pytest,
    signal,
    threading,
    time,
)

__builtins__ = BUILTINS

if TYPE_CHECKING:
    from pytest_hotreload.run.child.context import ChildContext, Speaker

#: The signal that asks a child for the stacks of all its threads: a real-time signal that neither glibc (the
#: first two) nor our own parent-death signal (SIGRTMAX-3) uses.
STACKS_SIGNAL = signal.SIGRTMAX - 4 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2

#: GC thresholds while test files are imported; the first is allocations between collections of the youngest
#: generation. Imports make almost no garbage: the GC took a quarter of a heavy suite's collection
#: (0.9 of 3.5 s of CPU time).
_WHILE_COLLECTING = (50_000, 20, 100)


def raise_gc_thresholds() -> tuple[int, int, int]:
    """Collect garbage rarely while modules are imported.

    Returns the old thresholds for :func:`restore_gc_thresholds`.
    """
    thresholds = gc.get_threshold()
    if thresholds[0]:
        gc.set_threshold(*_WHILE_COLLECTING)
    return thresholds


def restore_gc_thresholds(thresholds: tuple[int, int, int]) -> None:
    """Restore the thresholds, unless a module or conftest has set its own meanwhile."""
    if gc.get_threshold() == _WHILE_COLLECTING:
        gc.set_threshold(*thresholds)


def freeze_gc() -> None:
    """Freeze the garbage collector in the controller, before the first fork.

    A collection in a child must not touch, and so copy, inherited objects: 0.1 ms instead of 190 ms and
    1.3 MB instead of 72 MB, measured at 250 MB.

    Functions of ``gc`` that would reveal the freeze thaw first (``rust/src/python/gc_freeze.rs``).
    """
    _native.freeze()


def unfreeze_gc(*, inherited: bool) -> None:
    """Unfreeze the garbage collector in the controller, after the last child.

    If ``inherited``, the frozen objects come from a parent and stay frozen.

    pytest collects twice at its end, for exceptions that nobody saw: 80 ms each in the fork of a heavy suite.
    """
    if inherited:
        _native.keep_frozen()
    else:
        _native.thaw()


def lead_process_group(place: ChildContext) -> None:
    """Make the child lead a process group, adopt its orphans, and die with the controller."""
    forget_inherited()
    if place.own_group:
        os.setpgid(0, 0)
        set_child_subreaper(True)
    end_with(place.lifeline)
    if not place.direct:
        faulthandler.enable(file=place.files.fds["fault"])
    faulthandler.register(STACKS_SIGNAL, file=place.files.fds["fault"], all_threads=True)


def share(place: ChildContext) -> None:
    """Compare the resources that this child binds and writes with those of other children from now on."""
    if place.files.board >= 0:
        with contextlib.suppress(OSError):  # no memory: then no comparison
            join_board(place.files.page, place.files.board, place.slot, place.item)


def redirect_output(config: pytest.Config, place: ChildContext) -> None:
    """Give the capture files contents of this child's own, behind the same Python objects.

    Siblings would share one file offset and mix their output. Suites keep ``sys.stdout`` from the collection,
    so the objects themselves must stay. Output that bypasses the capture also goes to files of the slot, and
    reaches the terminal in pytest's order.
    """
    if place.direct:
        return
    files = place.files.fds
    captured = pytest_output.captured_files(config)
    for number, capture_file, saved in captured:
        own = files["out" if number == 1 else "err"]
        os.dup2(own, capture_file, inheritable=False)
        if saved is not None:
            os.dup2(files["printed_out" if number == 1 else "printed_err"], saved, inheritable=False)
    if not pytest_output.is_capturing_now(config):
        os.dup2(files["printed_out"], 1)
        os.dup2(files["printed_err"], 2)


def temporary(config: pytest.Config, place: ChildContext, reporter: Speaker) -> None:
    """Let pytest ask for the base temporary directory when a test first needs the directory.

    The controller owns the directory.
    """

    def ask() -> pathlib.Path:
        base = pathlib.Path(place.channel.ask(reporter.index, "basetemp"))
        if place.worker_id == "master":
            return base
        own = base / place.name
        with contextlib.suppress(FileExistsError):
            os.mkdir(str(own), 0o700)
        return own

    factory = pytest_session.temporary_factory(config)
    if factory is not None and factory._basetemp is not None and place.worker_id != "master":
        factory._basetemp = None
    pytest_session.use_basetemp(config, ask)


def worker(config: pytest.Config, place: ChildContext) -> None:
    """Set the worker identity by xdist's convention: environment variables and ``workerinput``."""
    for name, value in place.environ.items():  # a test may have replaced the method
        os.environ[name] = value
    if place.workerinput is not None:
        handover.begin(config, place.workerinput)


def debugger(place: ChildContext, reporter: Speaker) -> None:
    """Let a debugger take the terminal over from the controller first."""
    call_before(lambda: take_terminal(place, reporter))


def take_terminal(place: ChildContext, reporter: Speaker) -> None:
    """Wait until all earlier output is shown, then join the controller's process group."""
    place.rewindable = False
    reporter.collect_printed()
    group = place.channel.ask(reporter.index, "terminal")
    if not place.own_group:
        return
    with contextlib.suppress(OSError):
        os.setpgid(0, group)
    for number, saved in ((1, place.real[0]), (2, place.real[1])):
        os.dup2(saved, number)
    for number, _, kept in pytest_output.captured_files(reporter.config):
        if kept is not None:
            os.dup2(place.real[number - 1], kept, inheritable=False)


def give_terminal_back(config: pytest.Config, place: ChildContext, reporter: Speaker) -> None:
    """Return the terminal to the controller, at the end of a lease."""
    if place.own_group:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    redirect_output(config, place)
    place.files.progress.begin_again(time.monotonic())
    place.channel.ask(reporter.index, "release")


def restore_output(config: pytest.Config) -> None:
    """Restore stdout, stderr and the exception hooks before exit, as pytest does at the end of a session."""
    for number, _, saved in pytest_output.captured_files(config):
        if saved is not None:
            os.dup2(saved, number)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.unraisablehook = sys.__unraisablehook__
    module: Any = MODULES.get("threading")
    if module is not None:
        module.excepthook = threading.__excepthook__
