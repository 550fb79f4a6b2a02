"""Prepared run: a fork of the template begins a run ahead, and parks when its initial conftests are loaded.

The process has the arguments, the variables and the folder of a run that has ended. A fork of it imports a test file,
and parks as well. The next run with the same arguments, apart from the name of the test, is a fork of one of the two,
with the client's open files. The server judges whether what they read is unchanged (``watch/prepared_runs.py``).

Nothing that these processes do may be seen, by anybody or by two runs: a process that printed, that left a thread, an
open file or a child behind, that wrote a file, or that drew random numbers ends, and says why.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from pytest_hotreload._native import freeze, keep_frozen, observe_for, set_child_subreaper
from pytest_hotreload.compat import pytest_config, pytest_output, pytest_session
from pytest_hotreload.options import Options
from pytest_hotreload.process import adoption, fork_state, proc
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.inheritance import has_children, timers
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.living import Living
from pytest_hotreload.process.template import Become
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.watch.attach_protocol import Attach, Prepare, Unprepared
from pytest_hotreload.watch.protocol import NOTHING, Extend, Inputs, Ready
from pytest_hotreload.watch.standby import attached_run, park, run_facts
from pytest_hotreload.watch.standby.asking import ASKING
from pytest_hotreload.watch.standby.preload import FirstParty
from pytest_hotreload.world import contextlib, gc, os, random, signal, sockets, time

#: Kinds of observed events that a run may have ahead (``_native.observed``): what only reads.
_READING: Final = frozenset({"read", "list", "environ"})


class _Preparation:
    """The state of this process, which prepares a run."""

    def __init__(self, order: Prepare, channel: Channel, lifeline: int, printed: int) -> None:
        self.run, self.channel, self.lifeline, self.printed = order.run, channel, lifeline, printed
        self.inherited = fork_state.inventory()
        self.environment = dict(os.environ)
        self.arguments = sys.argv[1:]
        self.observer: Observer | None = None
        #: Whether the run observes as well, for its records.
        self.is_recorded = False
        self.lift_guard: Callable[[], None] = lambda: None
        self.compare_from_here()

    def compare_from_here(self) -> None:
        """Take what this process holds now for what it may hold."""
        self._living, self._maps = Living(), proc.shared_maps()
        self._descriptors = proc.descriptors()
        self._random = _random_state()  # Python seeds its generator in each fork

    def ready(self, inputs: Inputs) -> Ready:
        """The message that this process is parked."""
        return Ready(inputs, {}, tuple(sys.path), frozenset(self.variables()))

    def variables(self) -> set[str]:
        """The environment variables that were read since the observation began."""
        assert self.observer is not None
        return {row.subject for row in self.observer.peek().rows if row.kind == "environ"}

    # -- what must not be there ---------------------------------------------------------------------

    def objection(self, config: pytest.Config) -> str:
        """The reason why no run may be a fork of this process, in words, or ""."""
        fork_state.flush_standard()
        checks = (self._printed, self._left_open, self._did, self._drew)
        return next(filter(None, (check(config) for check in checks)), "")

    def _printed(self, config: pytest.Config) -> str:
        captured = [file for _, file, _ in pytest_output.captured_files(config)]
        if any(os.fstat(file).st_size for file in (self.printed, *captured)):
            return "it printed something"
        mode = config.option.capture
        return "" if mode == "no" or (mode == "fd" and len(captured) == 2) else f"of --capture={mode}"

    def _left_open(self, config: pytest.Config) -> str:
        ours = pytest_output.capture_descriptors(config)
        opened = [
            target
            for number, target in proc.descriptors().items()
            if self._descriptors.get(number) != target and number not in ours
        ]
        if opened:
            return f"it holds {opened[0]} open"
        return self._living.what_is_new() or ("it shares memory" if proc.shared_maps() - self._maps else "")

    def _did(self, _: pytest.Config) -> str:
        assert self.observer is not None
        rows = self.observer.peek().rows
        done = next((row for row in rows if row.kind not in _READING), None)
        if done is not None:
            return f"it did more than to read: {done.kind} {done.subject}"
        if has_children():
            return "it has a child process"
        if timers() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return "it set a timer or a handler of SIGINT"
        return "it changed sys.argv" if sys.argv[1:] != self.arguments else ""

    def _drew(self, _: pytest.Config) -> str:
        return "it used random numbers" if _random_state() != self._random else ""


def _random_state() -> tuple[object, object]:
    numpy_random = adoption.module("numpy.random")
    return random.getstate(), repr(numpy_random.get_state()) if numpy_random is not None else ""


_here: _Preparation | None = None
#: The configuration of a run that was prepared, in its process.
_config: pytest.Config | None = None


def is_preparing() -> bool:
    """Whether this process prepares a run."""
    return _here is not None


def prepare(order: Prepare, become: Become, lifeline: int, beginning: attached_run.InterpreterStart) -> None:
    """Turn this fork of the template into a process that prepares a run; it then starts pytest."""
    global _here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *files, last = become.descriptors
    printed = os.dup(files[1])
    for descriptor in attached_run.begin(order.run, files, lifeline, beginning):
        os.close(descriptor)
    channel = Channel(sockets.socket(fileno=last))
    channel.descriptors = []
    _here = _Preparation(order, channel, lifeline, printed)
    adoption.on_difference(lambda module, why: give_up(f"{module} {why}"))
    _here.lift_guard = pytest_session.guard_sessions(lambda: give_up("pytest did not load this plugin"))


def give_up(why: str, inputs: Inputs = NOTHING) -> NoReturn:
    """End this process, and say why it prepares nothing. ``inputs``: what it has read."""
    assert _here is not None
    with contextlib.suppress(OSError):
        _here.channel.send(-1, Unprepared(why, inputs))
    os._exit(0)


def refuse(options: Options) -> None:
    """End this process if a run with ``--hotreload`` does more before its tests, or needs a template of its own."""
    writes = options.json or options.report or options.trace
    selects = options.affected or options.shard or options.reuse != "off" or options.hosts
    apart = options.isolate == "strict" or options.start != "fork" or options.direct
    if writes or selects or apart:
        give_up("its options do more than to run tests in forks")


def begin(config: pytest.Config, observer: Observer | None) -> None:
    """Begin to observe, before the first conftest, in a process from which runs or the reruns of a watch are forked.

    ``observer``: that of a run with records, which observes already.
    """
    ASKING.begin()
    if _here is None:
        return
    if not proc.is_there():
        give_up("this system does not say what a process holds")
    _here.observer, _here.is_recorded = observer or Observer(config), observer is not None
    _here.compare_from_here()
    if not all(is_installed(file) for _, file in _here.observer.loaded()):
        give_up("a plugin of the project is imported before the conftests")
    if observer is None:
        _here.observer.collecting()


# ----------------------------------------------------------------------------------- parking


def wait_for_run(config: pytest.Config, since_ns: int = 0, *, is_active: bool = False) -> dict[str, int]:
    """Park, and let each :class:`Extend` make a fork that imports a test file. Returns in runs only.

    ``since_ns``: when this process was started, on the clock of file times. ``is_active``: whether it prepares a run
    with ``--hotreload``. Returns the files that were read ahead, each with the earliest time of that.
    """
    global _here, _config
    here = _here
    assert here is not None
    assert here.observer is not None
    first_party, why = FirstParty(config, here.observer), ""
    while True:
        ASKING.end()
        first_party.hold(since_ns)
        why = why or here.objection(config)
        if why:
            give_up(why, first_party.inputs())
        park.tell_ready(here.channel, here.ready(first_party.inputs()))
        adoption.before_tests(ahead=True)
        gc.collect()
        freeze()
        become, lifeline = park.serve_forks(here.channel, here.lifeline, park.raise_become)
        order: Any = become.start.assignment
        if isinstance(order, Extend):
            here.lifeline, here.channel = lifeline, Channel(sockets.socket(fileno=become.descriptors[0]))
            here.channel.descriptors = []
            end_with(lifeline)
            here.compare_from_here()
            since_ns = time.time_ns()
            ASKING.begin()
            why = _import(config, order) or _reads(here.variables(), order.written)
            continue
        _here, _config = None, config
        _run(config, here, order, become.descriptors, lifeline)
        run_facts.begin(config, is_active=is_active)
        return first_party.held


def _import(config: pytest.Config, order: Extend) -> str:
    """Import the test file as its collection would. Returns why the result is of no use, or ""."""
    (file,) = order.tests
    if not pytest_session.is_test_file(config, Path(file)):
        return "its name is none of python_files"
    asking = observe_for(file)
    try:
        with warnings.catch_warnings(record=True) as caught:
            pytest_output.apply_warning_filters(config)
            why = pytest_session.import_test_file(config, Path(file))
    finally:
        observe_for(asking)
    return why or ("it warned" if caught else "")


def _reads(variables: set[str], written: frozenset[str]) -> str:
    """The objection that a file reads a variable which is written between the conftests and its import, or ""."""
    is_read = written and ("*" in variables or not written.isdisjoint(variables))
    return "it reads a variable that is set when pytest is configured" if is_read else ""


# ----------------------------------------------------------------------------------- the run


def _run(
    config: pytest.Config, here: _Preparation, order: Attach, descriptors: Sequence[int], lifeline: int
) -> None:
    """Turn this fork of a prepared process into the run that a client asked for."""
    here.lift_guard()
    *files, last = descriptors
    channel = Channel(sockets.socket(fileno=last))
    os.setsid()
    set_child_subreaper(True)
    end_with(lifeline)
    kept = attached_run.take_files(files, pytest_output.saved_descriptors(config))
    attached_run.renew_buffering()
    os.close(here.printed)
    if here.observer is not None and not here.is_recorded:
        here.observer.abandon()
    pytest_output.renew_capture(config)
    attached_run.take_others(order.environment, here.environment)
    _take_arguments(config, here.run.arguments, order.arguments)
    importlib.invalidate_caches()
    attached_run.shuffle()
    park.end_attached(order, channel, kept, here.inherited)


def _take_arguments(config: pytest.Config, old: Sequence[str], new: Sequence[str]) -> None:
    sys.argv[1:] = new
    for before, now in zip(old, new, strict=True):
        if before != now:
            pytest_config.replace_argument(config, before, now, new)


def unconfigured(config: pytest.Config) -> None:
    """Keep what was imported ahead out of the search for lost exceptions with which pytest ends.

    The search visits all objects five times: 0.1 to 0.8 s. Until then, the garbage collector shows everything as in a
    fresh process.
    """
    if config is _config:
        keep_frozen()
