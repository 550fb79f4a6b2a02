"""What must change in a forked child, and what it must put right before it leaves.

Each function closes traps that are named in its docstring. All of them run once per child, so they
touch as little memory as they can: every page written is copied.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import io
import os
import random
import signal
import sys
import sysconfig
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import compat
from ._native import flush_c_stdio, guard, set_child_subreaper
from .protocol import Asked

if TYPE_CHECKING:
    from .child import Place, Reporter

#: Asks a child for the stacks of all its threads. A real-time signal that neither glibc (the first
#: two) nor our own parent-death signal (SIGRTMAX-3) uses.
STACKS_SIGNAL = signal.SIGRTMAX - 4 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2

#: Seconds that a child waits for its non-daemon threads and executors when it leaves. Plain pytest
#: waits for ever; results are complete by then, and a slot must not be lost to a stuck thread.
JOIN_SECONDS = 5.0


@dataclass
class Inherited:
    """What the controller had before the first fork, so that a child can tell its own from it."""

    modules: int
    finalizers: int
    log_handlers: int
    writers: list[Any]
    tracker: int | None


def inventory() -> Inherited:
    """Taken in the controller, once, before the first fork."""
    return Inherited(
        modules=len(sys.modules),
        finalizers=len(getattr(weakref.finalize, "_registry", ())),
        log_handlers=len(getattr(_logging(), "_handlerList", ())),
        writers=_writers(),
        tracker=_resource_tracker(),
    )


_PLAIN_GC = (gc.get_objects, gc.get_referrers)


#: Allocations between two collections of the youngest generation while test files are imported. Imports
#: make next to no garbage: collecting was a quarter of a heavy suite's collection (0.9 of 3.5 s of CPU).
_WHILE_COLLECTING = (50_000, 20, 100)


def ease_gc() -> tuple[int, int, int]:
    """Collect garbage seldom while modules are imported. Returns what to :func:`restore_gc` with."""
    thresholds = gc.get_threshold()
    if thresholds[0]:
        gc.set_threshold(*_WHILE_COLLECTING)
    return thresholds


def restore_gc(thresholds: tuple[int, int, int]) -> None:
    """As it was, unless a module or conftest set it meanwhile."""
    if gc.get_threshold() == _WHILE_COLLECTING:
        gc.set_threshold(*thresholds)


def freeze() -> None:
    """In the controller, before the first fork: a collection in a child must not touch (and so
    copy) what it inherited: 0.1 ms instead of 190 and 1.3 MB instead of 72, measured at 250 MB.

    ``gc.get_objects`` and ``gc.get_referrers`` do not see frozen objects, so a test that calls them
    thaws first.
    """
    gc.freeze()

    def get_objects(*args: Any, **kwargs: Any) -> list[Any]:
        gc.unfreeze()
        return _PLAIN_GC[0](*args, **kwargs)

    def get_referrers(*objects: Any) -> list[Any]:
        gc.unfreeze()
        return _PLAIN_GC[1](*objects)

    gc.get_objects, gc.get_referrers = get_objects, get_referrers


def thaw(*, inherited: bool) -> None:
    """In the controller, after the last child. Where it ``inherited`` what is frozen, that stays so.

    pytest collects twice at its end, for exceptions that nobody saw: 80 ms each in the fork of a heavy suite.
    """
    gc.get_objects, gc.get_referrers = _PLAIN_GC
    if not inherited:
        gc.unfreeze()


def flush_before_fork(inherited: Inherited) -> None:
    """Nothing may be in a buffer when we fork: both processes would write it."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        _flush(stream)
    for writer in inherited.writers:
        _flush(writer)


def survive(place: Place) -> None:
    """Process group and parent-death signal; orphans of this child come back to it."""
    forget_inherited()
    if place.own_group:
        os.setpgid(0, 0)
        set_child_subreaper(True)
    guard(place.lifeline, not os.environ.get("PYTEST_HOTRELOAD_NO_DEATH_SIGNAL"))
    if not place.direct:
        faulthandler.enable(file=place.files.fds["fault"])
    faulthandler.register(STACKS_SIGNAL, file=place.files.fds["fault"], all_threads=True)


def silence(config: pytest.Config, place: Place) -> None:
    """Give the capture files a body of this child's own, behind the same Python objects.

    Siblings would share one file offset and mix their output; and suites hold ``sys.stdout`` from
    their collection, so the objects themselves must stay. What goes past the capture ends in
    files of the slot too, and reaches the terminal in pytest's order.
    """
    if place.direct:
        return
    files = place.files.fds
    captured = compat.captured_files(config)
    for number, capture_file, saved in captured:
        own = files["out" if number == 1 else "err"]
        os.dup2(own, capture_file, inheritable=False)
        if saved is not None:
            os.dup2(files["printed_out" if number == 1 else "printed_err"], saved, inheritable=False)
    if not compat.is_capturing_now(config):
        os.dup2(files["printed_out"], 1)
        os.dup2(files["printed_err"], 2)


def randomness(seed: int) -> None:
    """Different in every child, and repeatable where plain pytest's would be.

    ``seed`` is derived from the controller's own generator state and the file: where a conftest
    seeded it, children are repeatable; where nothing did, they are random.
    """
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed & 0xFFFFFFFF)
    faker = sys.modules.get("faker.generator")
    if faker is not None:
        with contextlib.suppress(AttributeError):
            faker.mod_random.seed(seed)
    factory = sys.modules.get("factory.random")
    if factory is not None:
        with contextlib.suppress(AttributeError):
            factory.reseed_random(seed)


def temporary(config: pytest.Config, place: Place, reporter: Reporter) -> None:
    """The controller owns the base temporary directory; ask for it when it is first needed."""

    def ask() -> Path:
        base = Path(place.channel.ask(reporter.index, Asked("basetemp")))
        if place.worker_id == "master":
            return base
        own = base / place.name
        own.mkdir(mode=0o700, exist_ok=True)
        return own

    factory = compat.temporary_factory(config)
    if factory is not None and factory._basetemp is not None and place.worker_id != "master":
        factory._basetemp = None
    compat.use_basetemp(config, ask)


def worker(config: pytest.Config, place: Place) -> None:
    """xdist's convention: who this process is."""
    os.environ.update(place.environ)
    if place.workerinput is not None:
        config.workerinput = place.workerinput  # type: ignore[attr-defined]
        config.workeroutput = {}  # type: ignore[attr-defined]


def debugger(place: Place, reporter: Reporter) -> None:
    """A debugger first takes the terminal over from the controller, and gives it back after."""
    pdb = compat.pdb_class()
    plain = pdb._init_pdb.__func__

    def with_terminal(cls: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        take_terminal(place, reporter)
        return plain(cls, method, *args, **kwargs)

    pdb._init_pdb = classmethod(with_terminal)


def take_terminal(place: Place, reporter: Reporter) -> None:
    """Wait until all that came before is shown, then join the controller's process group."""
    reporter.collect_printed()
    group = place.channel.ask(reporter.index, Asked("terminal"))
    if not place.own_group:
        return
    with contextlib.suppress(OSError):
        os.setpgid(0, group)
    for number, saved in ((1, place.real[0]), (2, place.real[1])):
        os.dup2(saved, number)
    for number, _, kept in compat.captured_files(reporter.config):
        if kept is not None:
            os.dup2(place.real[number - 1], kept, inheritable=False)


def give_terminal_back(config: pytest.Config, place: Place, reporter: Reporter) -> None:
    """The end of a lease."""
    if place.own_group:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    silence(config, place)
    place.files.progress.begin_again(time.monotonic())
    place.channel.ask(reporter.index, Asked("release"))


@contextlib.contextmanager
def output_to_nowhere() -> Iterator[None]:
    """What is printed meanwhile, by whatever means, is not seen."""
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)


# ---------------------------------------------------------------------------------- leaving


def forget_inherited() -> None:
    """Exit handlers, finalizers and processes of the controller are the controller's to run and end."""
    atexit._clear()
    registry = getattr(weakref.finalize, "_registry", {})
    for finalizer in list(registry):
        finalizer.atexit = False
    if registry or getattr(weakref.finalize, "_registered_with_atexit", False):
        atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None:
        processes._children = set()  # type: ignore[attr-defined]


def speak(config: pytest.Config) -> None:
    """At the exit, capture and pytest's hooks for lost exceptions are gone in plain pytest."""
    for number, _, saved in compat.captured_files(config):
        if saved is not None:
            os.dup2(saved, number)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__


def leave(inherited: Inherited) -> None:
    """What the interpreter would have done at its exit, for what this child began itself.

    ``os._exit`` must follow: a normal exit crashed with pyarrow, duckdb and grpc.
    """
    with _bounded(JOIN_SECONDS):
        if threading.active_count() > 1:
            threading._shutdown()  # type: ignore[attr-defined]
    with _bounded(JOIN_SECONDS):
        _stop_process_pools(inherited)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    logging = _logging()
    handlers = getattr(logging, "_handlerList", [])
    if len(handlers) > inherited.log_handlers:
        logging.shutdown(handlers[inherited.log_handlers :])
    _flush_files(inherited)
    flush_c_stdio()


#: User sites and Debian's folders are none of sysconfig's two.
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def new_modules(inherited: Inherited) -> tuple[str, ...]:
    """Modules imported since the fork that are installed, or the standard library's, in order."""
    if len(sys.modules) <= inherited.modules:
        return ()
    folders = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    found = []
    for name in list(sys.modules)[inherited.modules :]:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is None or getattr(spec, "name", None) != name:
            continue  # an alias or a stand-in: it can't be imported by this name
        top = name.partition(".")[0]
        origin = str(spec.origin or "")
        installed = origin.startswith(folders) or any(part in origin for part in _INSTALLED)
        if top in sys.stdlib_module_names or installed:
            found.append(name)
    return tuple(found)


def last_words() -> None:
    """An error in our own code, not pytest's: into faulthandler's file, where a death is explained."""
    import traceback

    with contextlib.suppress(BaseException):
        traceback.print_exc(file=sys.__stderr__)
        _flush(sys.__stderr__)


def _stop_process_pools(inherited: Inherited) -> None:
    """multiprocessing's and loky's children would outlive us as orphans; so would the resource tracker."""
    for name in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        loky = sys.modules.get(name)
        if loky is not None and getattr(loky, "_executor", None) is not None:
            with contextlib.suppress(Exception):
                loky._executor.shutdown(wait=False, kill_workers=True)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        with contextlib.suppress(Exception):
            util._exit_function()
    if _resource_tracker() != inherited.tracker:
        with contextlib.suppress(Exception):
            sys.modules["multiprocessing.resource_tracker"]._resource_tracker._stop()


def _resource_tracker() -> int | None:
    """The process that multiprocessing starts to clean up after others, or None."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    return getattr(tracker, "_pid", None)


def _flush_files(inherited: Inherited) -> None:
    """Open files are flushed by the interpreter's end, which a child skips.

    Those opened since the fork are looked for among the objects made since then (20,000: 5 ms).
    """
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        _flush(stream)
    for writer in inherited.writers:
        _flush(writer)
    for writer in _writers():
        _flush(writer)


def _writers() -> list[Any]:
    """Open files that may hold data back; those that hold others first."""
    found = [thing for thing in _PLAIN_GC[0]() if isinstance(thing, _BUFFERS)]
    return sorted(found, key=lambda thing: not isinstance(thing, io.TextIOWrapper))


_BUFFERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def _flush(stream: Any) -> None:
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except Exception:  # a broken stream of a test is no reason to fail it
        pass


def _logging() -> Any:
    return sys.modules.get("logging")


class _TookTooLong(BaseException):
    """Ends a wait; BaseException, so that no ``except Exception`` on the way keeps it."""


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Leave the block after ``seconds``, whatever it waits for, by a signal in the main thread."""

    def strike(*_: object) -> None:
        raise _TookTooLong

    previous = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.suppress(_TookTooLong, Exception):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
