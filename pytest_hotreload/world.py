"""The standard library and pytest as they were when this plugin was loaded, for our own use.

Tests replace functions (``time.monotonic``, ``os.getpid``), builtins, modules (``sys.modules``) and whole
subsystems (pyfakefs, freezegun, time-machine, gevent), by fixtures, in a conftest, or permanently. Our own
code must neither depend on that nor be visible to it. Therefore our modules import ``os`` and other modules
from ``pytest_hotreload.world``:

- such a name is not a module but a copy of its names. Patches of the module do not reach the copy, and tools
  that search the globals of all loaded modules (pyfakefs for modules, freezegun for functions) find nothing;
- the clock, the process id, sending and leaving are native, since time-machine swaps the functions behind the
  Python objects;
- ``__builtins__`` is a copy too: a function takes its builtins from its module's globals when it is created;
- pickling finds our classes and pytest's even if a test removed them from ``sys.modules``.

A copy protects against patches of the names in a module, but not of the names that a Python function looks up
itself. docs/design/worlds.md states which functions may be called once tests run; tests/unit/test_worlds.py
enforces it.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_hotreload import _native

#: The value of ``__builtins__`` in the globals of each of our modules.
BUILTINS: Any = dict(vars(builtins))
__builtins__ = BUILTINS

_Instance = TypeVar("_Instance")

#: The dictionary of loaded modules. Imports continue to use it if a test binds another one to ``sys.modules``.
MODULES = sys.modules

#: The interpreter; a test may have put something else there.
EXECUTABLE = sys.executable

#: Frames are asked for while conftests are imported, and a conftest may have replaced the function of ``sys``.
getframe = sys._getframe

#: Packages whose classes pickled messages refer to.
_REFERRED = (
    "pytest_hotreload",
    "_pytest",
    "pytest",
    "pluggy",
    "copyreg",
    "builtins",
    "collections",
    "pathlib",
)


class Held:
    """A copy of a module's names, with our own replacements."""

    def __init__(self, name: str, /, **ours: Any) -> None:
        self.__dict__.update(vars(importlib.import_module(name)))
        self.__dict__.update(_saved_by_gevent(name))
        self.__dict__.update(ours)

    @classmethod
    def own(cls, name: str, **modules: Any) -> Held:
        """Make the copy from a module of our own, whose functions look up names in nothing that tests can patch."""
        return cls(name, **vars(own_copy(name, **modules)))


def _saved_by_gevent(name: str) -> dict[str, Any]:
    """Return the names that gevent saved, if it patched before this plugin was loaded (``python -m gevent.monkey``)."""
    monkey = sys.modules.get("gevent.monkey")
    return dict(getattr(monkey, "saved", {}).get(name, {}))


def own_copy(name: str, **modules: Any) -> Any:
    """Load a separate copy of a standard-library module for our own use, based on the unpatched modules.

    gevent's ``os.close`` waits for its loop; the pipe that ``subprocess`` waits on then stays open.
    ``modules`` are the names that it is to find in place of those that it imported.
    """
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    module.__builtins__ = BUILTINS
    spec.loader.exec_module(module)
    for each, value in [*vars(module).items()]:
        held = globals().get(value.__name__) if type(value) is ModuleType else None
        if type(held) is Held:
            setattr(module, each, held)
    vars(module).update(modules)
    return module


class suppress:  # noqa: N801 - stands for contextlib's
    """``contextlib.suppress`` without its look-ups of names."""

    def __init__(self, *exceptions: type[BaseException]) -> None:
        self._exceptions = exceptions

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._exceptions)


def replaced(instance: _Instance, **changes: Any) -> _Instance:
    """``dataclasses.replace`` without its look-ups of names, for a class whose fields are the constructor's."""
    return type(instance)(**{**vars(instance), **changes})


class LoadedClasses:
    """A context manager in which ``sys.modules`` has the classes that frames refer to, even if tests removed them."""

    def __init__(self) -> None:
        self._held: dict[str, ModuleType] = {}
        self._before: list[dict[str, Any]] = []

    def hold(self) -> None:
        """Store the current modules, before tests run."""
        self._held = {
            name: module for name, module in MODULES.copy().items() if name.partition(".")[0] in _REFERRED
        }

    def __enter__(self) -> None:
        self._before.append({})
        if self._held and any(MODULES.get(name) is not self._held.get(name) for name in _SENTINELS):
            self._before[-1] = MODULES.copy()
            MODULES.update(self._held)

    def __exit__(self, *_: object) -> None:
        before = self._before.pop()
        if before:
            MODULES.clear()
            MODULES.update(before)


#: Checked for each frame, as a sample of :data:`_REFERRED`: tests that empty ``sys.modules`` remove all of
#: them.
_SENTINELS = ("_pytest.reports", "pytest_hotreload.process.messages")

loaded = LoadedClasses()

_plain_pickle = Held("pickle")


def _dumps(thing: Any, protocol: int | None = None) -> bytes:
    with loaded:
        data: bytes = _plain_pickle.dumps(thing, protocol)  # type: ignore[attr-defined]
        return data


def _loads(data: bytes) -> Any:
    with loaded:
        return _plain_pickle.loads(data)  # type: ignore[attr-defined]


#: Pickling of built-in data, which refers to no class.
dumps_data: Callable[[object, int], bytes] = _plain_pickle.dumps  # type: ignore[attr-defined]
loads_data: Callable[[bytes], Any] = _plain_pickle.loads  # type: ignore[attr-defined]


def _set_signal(number: int, handler: Any) -> Any:
    """``signal.signal`` without the enumerations in which Python's own function wraps it."""
    return _signal.signal(number, int(handler) if type(handler) is _Handlers else handler)


def _get_signal(number: int) -> Any:
    """``signal.getsignal`` without that function's look-ups."""
    handler = _signal.getsignal(number)
    return _HANDLERS.get(handler, handler) if type(handler) is int else handler


def _fsdecode(name: str | bytes) -> str:
    """``os.fsdecode`` of a name that is no path object."""
    return bytes.decode(name, *_ENCODING) if isinstance(name, bytes) else name


def _random_state() -> tuple[object, ...]:
    """``random.getstate`` without that method's look-ups."""
    generator: Any = random._inst
    return generator.VERSION, _random.Random.getstate(generator), generator.gauss_next


def _own_path() -> Held:
    """Return ``os.path``: its functions are written in Python, and look up ``os``, ``stat`` and each other."""
    generic = Held.own("genericpath", os=os, stat=_stat)
    inherited = {name: vars(generic)[name] for name in generic.__all__}  # type: ignore[attr-defined]
    return Held.own("posixpath", os=os, stat=_stat, genericpath=generic, **inherited)


def _seed(number: int | None = None) -> None:
    """``random.seed`` of a number, without the builtins that Python's own function looks up."""
    generator: Any = random._inst
    _random.Random.seed(generator, number)
    generator.gauss_next = None


_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_ARGUMENTS = sys.argv


def program_arguments() -> list[str]:
    """``sys.argv``, or the list of the start if a conftest put something there that is none, and can't be sent."""
    current: Any = getattr(sys, "argv", None)
    if type(current) is list and current and all(type(each) is str for each in current):
        return current
    return _ARGUMENTS


def live(name: str) -> Any:
    """Return the current module, as the interpreter finds it, for callers that need the tests' patches."""
    return MODULES.get(name)


if TYPE_CHECKING:
    import _socket
    import _thread
    import atexit as atexit
    import contextlib as contextlib
    import copyreg as copyreg
    import faulthandler as faulthandler
    import fcntl as fcntl
    import functools as functools
    import gc as gc
    import hashlib as hashlib
    import io as io
    import mmap as mmap
    import os as os
    import pathlib as pathlib
    import pickle as pickle
    import random as random
    import resource as resource
    import select as select
    import signal as signal
    import socket as socket
    import struct as struct
    import subprocess as subprocess
    import sysconfig as sysconfig
    import tempfile as tempfile
    import threading as threading
    import time as time
    import traceback as traceback
    import warnings as warnings
    import weakref as weakref

    import pytest as pytest

    sockets = _socket
    low_threads = _thread
    _Handlers = signal.Handlers
    _HANDLERS: dict[int, signal.Handlers]
    _signal: Any
    _random: Any
    _stat: Any
else:
    _signal = Held("_signal")
    _random = Held("_random")
    _stat = Held("stat")
    low_threads = Held("_thread")
    sockets = Held("_socket")
    atexit = Held("atexit")
    contextlib = Held.own("contextlib", suppress=suppress)
    copyreg = Held("copyreg")
    faulthandler = Held("faulthandler")
    fcntl = Held("fcntl")
    functools = Held("functools")
    gc = Held("gc")
    hashlib = Held("hashlib")
    io = Held("io")
    mmap = Held("mmap")
    os = Held("os", getpid=_native.pid, _exit=_native.exit_now, fsdecode=_fsdecode, fdopen=io.open)
    os.path = _own_path()
    pathlib = Held("pathlib")
    pickle = Held("pickle", dumps=_dumps, loads=_loads)
    random = Held("random", seed=_seed, getstate=_random_state)
    resource = Held("resource")
    select = Held("select")
    signal = Held("signal", signal=_set_signal, getsignal=_get_signal)
    socket = Held("socket")
    struct = Held("struct")
    sysconfig = Held("sysconfig")
    tempfile = Held("tempfile")
    threading = Held("threading")
    time = Held(
        "time",
        monotonic=_native.monotonic,
        perf_counter=_native.monotonic,
        time=_native.time,
        time_ns=_native.time_ns,
    )
    traceback = Held("traceback")
    warnings = Held("warnings")
    weakref = Held("weakref")
    _Handlers = signal.Handlers
    _HANDLERS = {int(each): each for each in _Handlers}

    def __getattr__(name: str) -> Any:
        """Load a module when it is first used: the processes of isolated calls need none of these."""
        if name == "pytest":
            made = Held("pytest")
        elif name == "subprocess":
            made = own_copy(name, sys=Held("sys"))  # `sys.audit`
        else:
            raise AttributeError(name)
        globals()[name] = made
        return made
