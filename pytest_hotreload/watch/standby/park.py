"""Parked processes of a watch: the template, the fork points of its chain, and waiting reruns.

The template is a fresh interpreter that starts pytest once without a session, so that all plugins are imported
as pytest imports them, and then unwinds that start completely. The first fork point is a fork of the template that
starts pytest anew, with nothing left to import, and parks before ``pytest_configure``. The later fork points import
first-party modules. A rerun is a fork of a fork point that continues where the fork point parked.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload._native import (
    freeze,
    keep_frozen,
    put_back_modes,
    remember_modes,
    set_child_subreaper,
)
from pytest_hotreload.compat import pytest_config
from pytest_hotreload.process import adoption, fork_state, import_answers, import_inputs
from pytest_hotreload.process.channel import Channel, pair
from pytest_hotreload.process.fork_server import serve
from pytest_hotreload.process.heartbeat import Pulse
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.template import Become, Parked
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.watch import messages as watch_messages
from pytest_hotreload.watch.protocol import Attach, Consulted, Extend, Inputs, Learned, Ready, Unfit
from pytest_hotreload.watch.standby import attached_run
from pytest_hotreload.watch.standby.preload import FirstParty
from pytest_hotreload.watch.terminal_modes import Modes
from pytest_hotreload.world import contextlib, gc, os, random, select, signal, sockets, subprocess, time

#: The environment variable that holds the inherited descriptors of a template: its channel and its lifeline.
_ENVIRONMENT = "PYTEST_HOTRELOAD_STANDING"

#: Milliseconds between the closing of a dying process's first and last descriptor. A guess, on the safe side.
_DEATH_MS = 200

#: The template's program. The only modules of this package that it loads itself are the recorder of import inputs,
#: which has to see the first module already, and what the recorder imports. The other modules are imported with
#: pytest's plugins, as always.
_BOOT = """\
import os, runpy, sys
path, sys.path[:] = sys.path[1:], {path!r}; sys.argv[:] = {argv!r}
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location('pytest_hotreload.process.import_inputs', {questions!r})
questions = module_from_spec(spec)
spec.loader.exec_module(questions)
asked, environment, plain = set(), dict(os.environ), os.environ.encodekey
def note(name):
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == '<module>' and frame.f_globals.get('__name__') != '__main__':
            asked.add(name)
            break
        frame = frame.f_back
    return plain(name)
os.environ.encodekey = note
recorder = questions.Recorder(stands_in=True)
recorder.start()
def start():
    try:
        runpy.run_module('pytest', run_name='__main__', alter_sys=True)
    except BaseException as error:
        return error
end = start()
recorder.stop()
if hasattr(end, 'park_template'):
    end.park_template(path, environment, asked, plain, recorder)
    sys.modules['pytest_hotreload.watch.standby.park'].exit_rerun(start())
raise end
"""


def start_template(
    arguments: Sequence[str],
    folder: Path,
    lifeline: int,
    environment: Mapping[str, str],
    modes: Modes | None,
) -> tuple[int, Channel]:
    """Start a fresh interpreter that becomes the template. Returns its process id and the channel to it.

    ``modes``: the modes of the terminal at standard input, which the template restores if the watcher is killed.
    Raises OSError if the system refuses.
    """
    ours, theirs = pair()
    passed = [theirs.fileno(), lifeline]
    messages = os.dup(0) if modes is not None else -1  # capture puts another file in place of 0
    told = ":".join([str(messages), *map(str, modes[:4]), _characters(modes).hex()]) if modes else ""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    program = str(Path(import_inputs.__file__))
    code = _BOOT.format(path=sys.path, argv=[sys.argv[0], *arguments], questions=program)
    # Only the watcher handles Ctrl-C. An ignored signal stays ignored across an exec.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", code],
        cwd=folder,
        env={**environment, _ENVIRONMENT: ",".join([*map(str, passed), told])},
        pass_fds=[*passed, messages] if modes is not None else passed,
    )
    signal.signal(signal.SIGINT, heard)
    theirs.close()
    if modes is not None:
        os.close(messages)
    process.returncode = 0  # the process is reaped by the reader of its channel, not by subprocess
    return process.pid, ours


def _characters(modes: Modes) -> bytes:
    return bytes(each if isinstance(each, int) else each[0] for each in modes[6])


def _outlive(lifeline: int, told: str) -> None:
    """Let the template end when the watcher is killed, and restore the terminal's modes then."""
    if told:
        *numbers, characters = told.split(":")
        messages, took, gave, control, local = map(int, numbers)
        os.set_inheritable(messages, False)
        with contextlib.suppress(OSError):  # the terminal hung up
            remember_modes(messages, (took, gave, control, local), bytes.fromhex(characters))
    end_with(lifeline)


def _left_behind(lifeline: int) -> None:
    """Restore the terminal's modes if the watcher died.

    To be called in the process that remembers the modes, after the template ended: the template may have noticed the
    watcher's death earlier.
    """
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(_DEATH_MS):
        put_back_modes()


class TemplateStart(BaseException):
    """Unwinds a template's first start of pytest, back to where that start began."""

    def __init__(self, control: Channel, lifeline: int) -> None:
        super().__init__()
        self.control, self.lifeline = control, lifeline
        self._rewriting = pytest_config.rewriting_hook()

    def park_template(
        self,
        path: list[str],
        environment: dict[str, str],
        asked: set[str],
        plain: Any,
        recorder: import_inputs.Recorder,
    ) -> None:
        """Serve as the template until the watcher closes the channel. Returns in forks only.

        ``path``, ``environment``: ``sys.path`` and the variables at the interpreter's start. ``asked``: the variables
        for :class:`Consulted`, a set that grows. ``plain``: the original ``os.environ.encodekey``, which was replaced
        to note these variables. ``recorder``: the import inputs of plugins.
        """
        self._asked = asked
        recorder.forget_stand_ins()
        _ready(self.control, Ready(Inputs()))
        exit_rerun = functools.partial(_left_behind, self.lifeline)
        parked = Parked(self.control, self.lifeline, exit_rerun, recorder, _pytests_own(recorder))
        self._answer = parked.answer
        become, lifeline = _serve(
            self.control, self.lifeline, _ignoring_interrupts(parked.become), self._rewrite_and_answer
        )
        os.environ.encodekey = plain
        order: Any = become.start.assignment
        if isinstance(order, Attach):
            _attach(order, become, lifeline, attached_run.Beginning(path, environment))
        else:
            _enter((become, lifeline))

    def _rewrite_and_answer(self, message: Any) -> Any:
        """Answer a message with pytest's rewriting hook installed, and send the variables that modules have read.

        The hook rewrites plugin modules at their import; otherwise each start of pytest would warn about them.
        """
        if self._rewriting is not None:
            sys.meta_path.insert(0, self._rewriting)
        try:
            return self._answer(message)
        finally:
            if self._rewriting is not None:
                sys.meta_path.remove(self._rewriting)
            with contextlib.suppress(OSError):  # the watcher has ended: the next read shows it
                self.control.send(-1, Consulted(frozenset(self._asked)))


def _pytests_own(recorder: import_inputs.Recorder) -> set[str]:
    """The modules that stay in ``sys.modules``: pytest, this package, and their imports. Every run has them first."""
    own = [name for name in recorder.modules if name.partition(".")[0] in import_answers.OURS]
    return recorder.imported_by([*own, "pygments", "cloudpickle"])


def template_start() -> TemplateStart | None:
    """The exception that makes this interpreter the template; None if :func:`start_template` did not start it.

    To be called before the first conftest.
    """
    named = os.environ.pop(_ENVIRONMENT, "")
    if not named:
        return None
    *numbers, told = named.split(",")
    descriptors = [int(number) for number in numbers]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    _outlive(descriptors[1], told)
    control = Channel(sockets.socket(fileno=descriptors[0]))
    control.descriptors = []
    return TemplateStart(control, descriptors[1])


@dataclass
class _ParkedState:
    """The state of this process, a fork point or a rerun."""

    #: The channel to the watcher.
    channel: Channel
    #: The pipe that closes when the parent ends.
    lifeline: int
    order: Any


@dataclass
class _Ended:
    """The steps of a rerun or attached run after pytest's own end."""

    inherited: fork_state.Inherited
    #: Called with the exit status.
    finish: Callable[[int], None] = field(default=lambda _: None)


_here: _ParkedState | None = None
_end: _Ended | None = None


def is_standing() -> bool:
    """Whether this process is a fork point or a rerun of a watch."""
    return _here is not None


def _ready(channel: Channel, message: Ready) -> None:
    """Report that this process is parked. If the watcher has ended, exit without a traceback."""
    try:
        channel.send(-1, message)
    except OSError:
        put_back_modes()
        os._exit(0)


def _serve(
    control: Channel, lifeline: int, become: Callable[..., None], answer: Callable[[Any], Any] | None = None
) -> tuple[Become, int]:
    """Serve as a fork point until the channel closes. Returns in forks only: the order, and the parent's pipe."""
    own = os.pipe()
    try:
        serve(control, become, lifeline, answer)
    except Become as chosen:
        os.close(own[1])
        os.close(lifeline)
        return chosen, own[0]
    except BaseException:
        fork_state.print_fatal_traceback()
        put_back_modes()
        os._exit(70)  # EX_SOFTWARE; the watcher sees the channel close
    put_back_modes()  # the end of the channel may be the first sign of the watcher's death
    os._exit(0)


def _enter(born: tuple[Become, int]) -> _ParkedState:
    global _here
    become, lifeline = born
    channel = Channel(sockets.socket(fileno=become.descriptors[0]))
    channel.descriptors = []
    _here = _ParkedState(channel, lifeline, become.start.assignment)
    adoption.on_difference(_give_up)
    return _here


def _give_up(module: str, why: str) -> None:
    """End this process and report that it needs a template without this module."""
    assert _here is not None
    with contextlib.suppress(OSError):
        _here.channel.send(-1, Unfit(module, why))
    os._exit(0)


def _attach(order: Attach, become: Become, lifeline: int, beginning: attached_run.Beginning) -> None:
    """Turn this fork into an attached run, which has no connection to the watch except for its end."""
    global _end
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *files, last = become.descriptors
    kept = attached_run.begin(order, files, lifeline, beginning)
    channel = Channel(sockets.socket(fileno=last))

    def start_over(module: str, why: str) -> None:
        channel.send(-1, Unfit(module, why))
        attached_run.start_over(order, kept, watch_messages.unfit(module, why))

    adoption.on_difference(start_over)
    inherited = fork_state.inventory()
    _end = _Ended(inherited, lambda _: channel.send(-1, Learned(fork_state.new_modules(inherited))))


def _become(start: Any, descriptors: list[int]) -> None:
    raise Become(start, [os.dup(descriptor) for descriptor in descriptors])


def _ignoring_interrupts(become: Callable[..., None]) -> Callable[..., None]:
    """``become`` with SIGINT ignored: forks that start or import ignore Ctrl-C, which only interrupts tests."""

    def ignoring(start: Any, descriptors: list[int]) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        become(start, descriptors)

    return ignoring


# ----------------------------------------------------------------------------------- fork points


def park(
    config: pytest.Config, observer: Observer | None, since_ns: int
) -> tuple[Channel, FirstParty, Pulse]:
    """Serve as a fork point; each :class:`Extend` makes a fork that becomes the next one. Returns in reruns only.

    ``since_ns``: the time at which this process was configured, on the clock of file times.
    """
    assert _here is not None
    first_party = FirstParty(config, observer)
    seeded = random.getstate()
    while True:
        first_party.hold(since_ns)
        _ready(_here.channel, Ready(first_party.inputs(), first_party.refused))
        keep_frozen()
        gc.collect()
        fork_state.flush_before_fork(fork_state.inventory())
        freeze()
        become, lifeline = _serve(_here.channel, _here.lifeline, _ignoring_interrupts(_become))
        place = _enter((become, lifeline))
        if isinstance(place.order, Extend):
            since_ns = time.time_ns()
            first_party.extend(place.order)
            continue
        _resume(seeded)
        first_party.known = place.order.known
        pulse = Pulse(become.descriptors[1])
        os.close(become.descriptors[1])
        return place.channel, first_party, pulse


def _resume(seeded: object) -> None:
    """Set up the process-specific state of a rerun, which ignores Ctrl-C until its tests begin."""
    global _end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert _here is not None
    set_child_subreaper(True)
    end_with(_here.lifeline)
    if random.getstate() == seeded:
        random.seed()
    _end = _Ended(fork_state.inventory())


# ----------------------------------------------------------------------------------- the end


def finalize(finish: Callable[[int], None]) -> None:
    """Register ``finish``, which is called with the exit status when the rerun is over."""
    assert _end is not None
    _end.finish = finish


def exit_rerun(end: BaseException | None) -> None:
    """Exit as the interpreter would after the exception that ended pytest. Never returns.

    A normal exit of a forked process crashed with some packages: see ``fork_state.leave``.
    """
    status = _status_of(end)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if _end is not None:
            fork_state.leave(_end.inherited)
            _end.finish(status)
    except BaseException:
        fork_state.print_fatal_traceback()
    finally:
        os._exit(status)


def _status_of(end: BaseException | None) -> int:
    if end is None or (isinstance(end, SystemExit) and end.code is None):
        return 0
    if isinstance(end, SystemExit):
        if isinstance(end.code, int):
            return end.code & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    traceback.print_exception(end)
    return 1
