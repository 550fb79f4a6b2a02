"""What must change in a forked child, and what it must put right before it leaves.

Each function closes traps that are named in its docstring. All of them run once per child, so they
touch as little memory as they can: every page written is copied.
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

#: Asks a child for the stacks of all its threads. A real-time signal that neither glibc (the first
#: two) nor our own parent-death signal (SIGRTMAX-3) uses.
STACKS_SIGNAL = signal.SIGRTMAX - 4 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2

#: Allocations between two collections of the youngest generation while test files are imported. Imports
#: make next to no garbage: collecting was a quarter of a heavy suite's collection (0.9 of 3.5 s of CPU).
_WHILE_COLLECTING = (50_000, 20, 100)


def raise_gc_thresholds() -> tuple[int, int, int]:
    """Collect garbage seldom while modules are imported. Returns what to :func:`restore_gc` with."""
    thresholds = gc.get_threshold()
    if thresholds[0]:
        gc.set_threshold(*_WHILE_COLLECTING)
    return thresholds


def restore_gc_thresholds(thresholds: tuple[int, int, int]) -> None:
    """As it was, unless a module or conftest set it meanwhile."""
    if gc.get_threshold() == _WHILE_COLLECTING:
        gc.set_threshold(*thresholds)


def freeze_gc() -> None:
    """In the controller, before the first fork: a collection in a child must not touch (and so
    copy) what it inherited: 0.1 ms instead of 190 and 1.3 MB instead of 72, measured at 250 MB.

    Functions of ``gc`` that would show it thaw first (``rust/src/python/gc_freeze.rs``).
    """
    _native.freeze()


def unfreeze_gc(*, inherited: bool) -> None:
    """In the controller, after the last child. Where it ``inherited`` what is frozen, that stays so.

    pytest collects twice at its end, for exceptions that nobody saw: 80 ms each in the fork of a heavy suite.
    """
    if inherited:
        _native.keep_frozen()
    else:
        _native.thaw()


def lead_process_group(place: ChildContext) -> None:
    """Process group and parent-death signal; orphans of this child come back to it."""
    forget_inherited()
    if place.own_group:
        os.setpgid(0, 0)
        set_child_subreaper(True)
    end_with(place.lifeline)
    if not place.direct:
        faulthandler.enable(file=place.files.fds["fault"])
    faulthandler.register(STACKS_SIGNAL, file=place.files.fds["fault"], all_threads=True)


def share(place: ChildContext) -> None:
    """What this child binds and writes is compared with the children that live beside it, from now on."""
    if place.files.board >= 0:
        with contextlib.suppress(OSError):  # no memory: then nothing is compared
            join_board(place.files.page, place.files.board, place.slot)


def redirect_output(config: pytest.Config, place: ChildContext) -> None:
    """Give the capture files a body of this child's own, behind the same Python objects.

    Siblings would share one file offset and mix their output; and suites hold ``sys.stdout`` from
    their collection, so the objects themselves must stay. What goes past the capture ends in
    files of the slot too, and reaches the terminal in pytest's order.
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
    """The controller owns the base temporary directory; ask for it when it is first needed."""

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
    """xdist's convention: who this process is."""
    for name, value in place.environ.items():  # a test may have replaced the method
        os.environ[name] = value
    if place.workerinput is not None:
        handover.begin(config, place.workerinput)


def debugger(place: ChildContext, reporter: Speaker) -> None:
    """A debugger first takes the terminal over from the controller, and gives it back after."""
    call_before(lambda: take_terminal(place, reporter))


def take_terminal(place: ChildContext, reporter: Speaker) -> None:
    """Wait until all that came before is shown, then join the controller's process group."""
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
    """The end of a lease."""
    if place.own_group:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    redirect_output(config, place)
    place.files.progress.begin_again(time.monotonic())
    place.channel.ask(reporter.index, "release")


def restore_output(config: pytest.Config) -> None:
    """At the exit, capture and pytest's hooks for lost exceptions are gone in plain pytest."""
    for number, _, saved in pytest_output.captured_files(config):
        if saved is not None:
            os.dup2(saved, number)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.unraisablehook = sys.__unraisablehook__
    module: Any = MODULES.get("threading")
    if module is not None:
        module.excepthook = threading.__excepthook__
