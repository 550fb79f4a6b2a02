"""Repairs the state that a fork shares with its parent: when the fork begins and when it leaves.

This module does not depend on pytest, because the children of `isolate_imports` need it as well as those of a
run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any

from pytest_hotreload._native import flush_c_stdio, objects_of_types
from pytest_hotreload.process import adoption
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.process.proc import FileIdentity, file_identity, named_files
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

#: Seconds that a child waits, when it leaves, for its non-daemon threads and executors. Plain pytest waits
#: forever; here the results are complete by then, and a slot must not be lost to a stuck thread.
JOIN_SECONDS = 5.0


@dataclass
class Inherited:
    """The controller's state before the first fork, by which a child recognises its own additions."""

    modules: int
    finalizers: int
    log_handlers: int
    writers: list[Any]
    tracker: int | None
    fork_server: int | None
    #: Open files that have a name: descriptor -> (path, identity).
    files: Mapping[int, tuple[str, FileIdentity]]


def inventory() -> Inherited:
    """Take the inventory, in the controller, once, before the first fork."""
    loaded.hold()
    return Inherited(
        modules=len(MODULES),
        finalizers=len(getattr(weakref.finalize, "_registry", ())),
        log_handlers=len(getattr(_logging(), "_handlerList", ())),
        writers=_writers(),
        tracker=_resource_tracker(),
        fork_server=_fork_server(),
        files=named_files(),
    )


def replaced_files(inherited: Inherited) -> tuple[str, ...]:
    """Return the inherited open files that this process has closed and that have been removed or replaced since.

    Another fork still has the old file open, as nothing has it in plain pytest: a database of the suite, that each
    test class creates anew.
    """
    return tuple(
        path
        for number, (path, identity) in inherited.files.items()
        if identity not in (file_identity(number), file_identity(path))
    )


def flush_before_fork(inherited: Inherited) -> None:
    """Flush all buffers before a fork; otherwise both processes would write their content."""
    for stream in _standard_streams():
        flush(stream)
    for writer in inherited.writers:
        flush(writer)


def randomness(seed: int) -> None:
    """Seed the random generators, differently in every child, and repeatably where plain pytest's are repeatable.

    ``seed`` is derived from the state of the controller's own generator and from the file. If a conftest
    seeded the generator, children are repeatable; otherwise they are random.
    """
    random.seed(seed)
    with contextlib.suppress(Exception):  # a conftest may have replaced the function, to forbid it
        numpy_random = adoption.module("numpy.random")
        if numpy_random is not None:
            numpy_random.seed(seed & 0xFFFFFFFF)
    with contextlib.suppress(Exception):
        faker = adoption.module("faker.generator")
        if faker is not None:
            faker.mod_random.seed(seed)
    with contextlib.suppress(Exception):
        factory = adoption.module("factory.random")
        if factory is not None:
            factory.reseed_random(seed)


@contextlib.contextmanager
def output_to_memory() -> Iterator[Callable[[], int]]:
    """As :func:`output_to_nowhere`; yields a function that returns the number of bytes that were printed so far.

    Without files in memory (macOS), that number is 0.
    """
    if not hasattr(os, "memfd_create"):
        with output_to_nowhere():
            yield lambda: 0
        return
    file = os.memfd_create("hotreload-printed")

    def printed() -> int:
        flush_standard()
        return os.fstat(file).st_size

    with output_to(file):
        try:
            yield printed
        finally:
            flush_standard()


@contextlib.contextmanager
def output_to_nowhere() -> Iterator[None]:
    """Discard everything that is printed in this block, by whatever means."""
    with output_to(os.open(os.devnull, os.O_WRONLY)):
        yield


@contextlib.contextmanager
def output_to(nowhere: int) -> Iterator[None]:
    """Send everything that is printed in this block to a descriptor, which is closed in the end."""
    saved = os.dup(1), os.dup(2)
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
    """Drop the controller's exit handlers, finalizers and processes, which only the controller may run and end."""
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
    """Do what the interpreter does at its exit, for everything that this child began itself.

    The caller must call ``os._exit`` afterwards: a normal exit crashed with pyarrow, duckdb and grpc.
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
    """Wait for threads, by the function that the module holds now.

    The interpreter also calls that function, even if a test or gevent replaced it.
    """
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
    """Return the installed and standard-library modules that were imported since the fork, in order."""
    if len(MODULES) <= inherited.modules:
        return ()
    names = [name for name in list(MODULES)[inherited.modules :] if type(name) is str]
    return tuple(name for name in names if not adoption.is_warm(name) and _is_installed(name))


def _is_installed(name: str) -> bool:
    """Judge a module by its own spec. An alias or a stand-in, perhaps of a test, can't be imported by this name."""
    try:
        spec = namespace(MODULES.get(name)).get("__spec__")
        if type(spec) is not ModuleSpec or spec.name != name:
            return False
        origin = spec.origin
        return name.partition(".")[0] in _STDLIB or (type(origin) is str and is_installed(origin))
    except Exception:
        return False


def namespace(thing: Any) -> dict[str, Any]:
    """Return a module's globals, or {} if the object is no module.

    Lazy modules are not loaded, and no code of stand-ins is run.
    """
    try:
        found = object.__getattribute__(thing, "__dict__")
    except Exception:
        return {}
    return found if type(found) is dict else {}


def _standard_streams() -> list[Any]:
    """Return the standard streams, with None for a stream that a test removed, which the interpreter tolerates."""
    return [getattr(sys, name, None) for name in ("stdout", "stderr", "__stdout__", "__stderr__")]


def flush_standard() -> None:
    """Flush the buffers of the standard streams, and those of C."""
    for stream in _standard_streams():
        flush(stream)
    with contextlib.suppress(OSError):
        flush_c_stdio()


def write_all(printed: Iterable[tuple[int, bytes]]) -> None:
    """Write (descriptor, data) in order, after the interpreter's buffers. A closed pipe is no error."""
    for descriptor, data in printed:
        flush_standard()
        with contextlib.suppress(OSError):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def print_fatal_traceback() -> None:
    """Write the traceback of an error in our own code to faulthandler's file, where deaths are explained."""
    with contextlib.suppress(BaseException):
        traceback.print_exc(file=sys.__stderr__)
        flush(sys.__stderr__)


#: Modules that may have started processes of their own.
_WITH_PROCESSES = (
    "joblib.externals.loky.reusable_executor",
    "loky.reusable_executor",
    "multiprocessing.forkserver",
    "multiprocessing.util",
    "multiprocessing.resource_tracker",
)


def _stop_process_pools(inherited: Inherited) -> None:
    """End the processes of multiprocessing and loky, which would otherwise become orphans."""
    for name in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        loky = MODULES.get(name)
        if loky is not None and getattr(loky, "_executor", None) is not None:
            with contextlib.suppress(Exception):
                loky._executor.shutdown(wait=False, kill_workers=True)
    util = MODULES.get("multiprocessing.util")
    if util is not None:
        with contextlib.suppress(Exception):
            util._exit_function()
    # First the fork server: the tracker ends when nobody holds its pipe any more.
    if _fork_server() != inherited.fork_server:
        with contextlib.suppress(Exception):
            MODULES["multiprocessing.forkserver"]._forkserver._stop()
    if _resource_tracker() != inherited.tracker:
        with contextlib.suppress(Exception):
            MODULES["multiprocessing.resource_tracker"]._resource_tracker._stop()


def _fork_server() -> int | None:
    """Return the process id of multiprocessing's fork server, or None."""
    module = MODULES.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    return getattr(server, "_forkserver_pid", None)


def _resource_tracker() -> int | None:
    """Return the process id of multiprocessing's resource tracker, or None."""
    module = MODULES.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    return getattr(tracker, "_pid", None)


def _flush_files(inherited: Inherited) -> None:
    """Flush the open files, as the interpreter's end does, which a child skips.

    Files that were opened since the fork are found among the objects created since then (20,000 objects: 5
    ms).
    """
    for stream in _standard_streams():
        flush(stream)
    for writer in inherited.writers:
        flush(writer)
    for writer in _writers():
        flush(writer)


def _writers() -> list[Any]:
    """Return the open files that may hold buffered data, text wrappers before the buffers that they wrap."""
    found = objects_of_types(_BUFFERS)
    return sorted(found, key=lambda thing: not issubclass(type(thing), io.TextIOWrapper))


_BUFFERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def flush(stream: Any) -> None:
    """Flush a stream, or whatever a test put in its place."""
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except (Exception, SystemExit):  # a stream that a test broke must not fail the test
        pass


def _logging() -> Any:
    return MODULES.get("logging")


class _TookTooLong(BaseException):
    """Ends a wait. A BaseException, so that no ``except Exception`` on the way catches it."""


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Leave the block after ``seconds``, even if it is still waiting, by a signal in the main thread."""

    def expire(*_: object) -> None:
        raise _TookTooLong

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.suppress(_TookTooLong, Exception):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
