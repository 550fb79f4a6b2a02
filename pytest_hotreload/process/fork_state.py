"""What a fork shares with the process that it came from, and must put right: at its birth and when it leaves.

Nothing here knows pytest: the children of `isolate_imports` need it as those of a run do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any

from pytest_hotreload._native import flush_c_stdio, objects_of_types
from pytest_hotreload.process import adoption
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.world import (
    BUILTINS,
    MODULES,
    atexit,
    contextlib,
    io,
    loaded,
    os,
    random,
    signal,
    threading,
    traceback,
    weakref,
)

__builtins__ = BUILTINS

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
    loaded.hold()
    return Inherited(
        modules=len(MODULES),
        finalizers=len(getattr(weakref.finalize, "_registry", ())),
        log_handlers=len(getattr(_logging(), "_handlerList", ())),
        writers=_writers(),
        tracker=_resource_tracker(),
    )


def flush_before_fork(inherited: Inherited) -> None:
    """Nothing may be in a buffer when we fork: both processes would write it."""
    for stream in _standard_streams():
        _flush(stream)
    for writer in inherited.writers:
        _flush(writer)


def randomness(seed: int) -> None:
    """Different in every child, and repeatable where plain pytest's would be.

    ``seed`` is derived from the controller's own generator state and the file: where a conftest
    seeded it, children are repeatable; where nothing did, they are random.
    """
    random.seed(seed)
    numpy_random = adoption.module("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed & 0xFFFFFFFF)
    faker = adoption.module("faker.generator")
    if faker is not None:
        with contextlib.suppress(AttributeError):
            faker.mod_random.seed(seed)
    factory = adoption.module("factory.random")
    if factory is not None:
        with contextlib.suppress(AttributeError):
            factory.reseed_random(seed)


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
    processes = MODULES.get("multiprocessing.process")
    if processes is not None:
        processes._children = set()  # type: ignore[attr-defined]


def leave(inherited: Inherited) -> None:
    """What the interpreter would have done at its exit, for what this child began itself.

    ``os._exit`` must follow: a normal exit crashed with pyarrow, duckdb and grpc.
    """
    with contextlib.suppress(Exception):
        _end_threads()
    if any(name in MODULES for name in _WITH_PROCESSES):
        with _bounded(JOIN_SECONDS):
            _stop_process_pools(inherited)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        _end_logging(inherited)
    with contextlib.suppress(Exception):
        _flush_files(inherited)
    with contextlib.suppress(OSError):
        flush_c_stdio()


def _end_threads() -> None:
    """The interpreter calls what it finds in the module, a test's own or gevent's."""
    module = MODULES.get("threading")
    if module is not None and threading.active_count() > 1:
        with _bounded(JOIN_SECONDS):
            module._shutdown()


def _end_logging(inherited: Inherited) -> None:
    logging = _logging()
    handlers = getattr(logging, "_handlerList", [])
    if len(handlers) > inherited.log_handlers:
        logging.shutdown(handlers[inherited.log_handlers :])


_STDLIB = sys.stdlib_module_names


def new_modules(inherited: Inherited) -> tuple[str, ...]:
    """Modules imported since the fork that are installed, or the standard library's, in order."""
    if len(MODULES) <= inherited.modules:
        return ()
    names = [name for name in list(MODULES)[inherited.modules :] if type(name) is str]
    return tuple(name for name in names if not adoption.is_warm(name) and _is_installed(name))


def _is_installed(name: str) -> bool:
    """By its own spec. An alias or a stand-in, of a test perhaps, can't be imported by this name."""
    try:
        spec = namespace(MODULES.get(name)).get("__spec__")
        if type(spec) is not ModuleSpec or spec.name != name:
            return False
        origin = spec.origin
        return name.partition(".")[0] in _STDLIB or (type(origin) is str and is_installed(origin))
    except Exception:
        return False


def namespace(thing: Any) -> dict[str, Any]:
    """What a module holds; {} for what is none. A lazy module is not woken, and a stand-in is not asked."""
    try:
        found = object.__getattribute__(thing, "__dict__")
    except Exception:
        return {}
    return found if type(found) is dict else {}


def _standard_streams() -> list[Any]:
    """A test may have taken them away, which the interpreter bears."""
    return [getattr(sys, name, None) for name in ("stdout", "stderr", "__stdout__", "__stderr__")]


def flush_standard() -> None:
    """What was printed leaves the interpreter's buffers, and those of C."""
    for stream in _standard_streams():
        _flush(stream)
    with contextlib.suppress(OSError):
        flush_c_stdio()


def write_all(printed: Iterable[tuple[int, bytes]]) -> None:
    """Write (descriptor, data) in order, behind what is in the interpreter's buffers. A closed pipe is no error."""
    for descriptor, data in printed:
        flush_standard()
        with contextlib.suppress(OSError):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def print_fatal_traceback() -> None:
    """An error in our own code, not pytest's: into faulthandler's file, where a death is explained."""
    with contextlib.suppress(BaseException):
        traceback.print_exc(file=sys.__stderr__)
        _flush(sys.__stderr__)


#: Modules that may have started processes of their own.
_WITH_PROCESSES = (
    "joblib.externals.loky.reusable_executor",
    "loky.reusable_executor",
    "multiprocessing.util",
    "multiprocessing.resource_tracker",
)


def _stop_process_pools(inherited: Inherited) -> None:
    """multiprocessing's and loky's children would outlive us as orphans; so would the resource tracker."""
    for name in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        loky = MODULES.get(name)
        if loky is not None and getattr(loky, "_executor", None) is not None:
            with contextlib.suppress(Exception):
                loky._executor.shutdown(wait=False, kill_workers=True)
    util = MODULES.get("multiprocessing.util")
    if util is not None:
        with contextlib.suppress(Exception):
            util._exit_function()
    if _resource_tracker() != inherited.tracker:
        with contextlib.suppress(Exception):
            MODULES["multiprocessing.resource_tracker"]._resource_tracker._stop()


def _resource_tracker() -> int | None:
    """The process that multiprocessing starts to clean up after others, or None."""
    module = MODULES.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    return getattr(tracker, "_pid", None)


def _flush_files(inherited: Inherited) -> None:
    """Open files are flushed by the interpreter's end, which a child skips.

    Those opened since the fork are looked for among the objects made since then (20,000: 5 ms).
    """
    for stream in _standard_streams():
        _flush(stream)
    for writer in inherited.writers:
        _flush(writer)
    for writer in _writers():
        _flush(writer)


def _writers() -> list[Any]:
    """Open files that may hold data back; those that hold others first."""
    found = objects_of_types(_BUFFERS)
    return sorted(found, key=lambda thing: not issubclass(type(thing), io.TextIOWrapper))


_BUFFERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def _flush(stream: Any) -> None:
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except (Exception, SystemExit):  # a broken stream of a test is no reason to fail it
        pass


def _logging() -> Any:
    return MODULES.get("logging")


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
