"""Forks of the template of a watch (``template.py``): the fork points of its chain, and waiting reruns.

The first fork point is a fork of the template that starts pytest anew, with nothing left to import, and parks before
``pytest_configure``. The later fork points import first-party modules. A rerun is a fork of a fork point that continues
where the fork point parked.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_hotreload._native import (
    freeze,
    keep_frozen,
    put_back_modes,
    set_child_subreaper,
)
from pytest_hotreload.process import adoption, fork_state, open_files
from pytest_hotreload.process.channel import Channel
from pytest_hotreload.process.fork_server import serve
from pytest_hotreload.process.heartbeat import Pulse
from pytest_hotreload.process.lifeline import end_with
from pytest_hotreload.process.template import Become
from pytest_hotreload.records.observer import Observer
from pytest_hotreload.watch import messages as watch_messages
from pytest_hotreload.watch.attach_protocol import Attach, Learned
from pytest_hotreload.watch.protocol import Extend, Ready, Unfit
from pytest_hotreload.watch.standby import attached_run, run_facts
from pytest_hotreload.watch.standby.asking import ASKING
from pytest_hotreload.watch.standby.preload import FirstParty
from pytest_hotreload.world import contextlib, gc, os, random, signal, sockets, time


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
_is_attached = False


def is_standing() -> bool:
    """Whether this process is a fork point or a rerun of a watch."""
    return _here is not None


def tell_ready(channel: Channel, message: Ready) -> None:
    """Report that this process is parked. If the watcher has ended, exit without a traceback."""
    try:
        channel.send(-1, message)
    except OSError:
        put_back_modes()
        os._exit(0)


def serve_forks(
    control: Channel, lifeline: int, become: Callable[..., None], answer: Callable[[Any], Any] | None = None
) -> tuple[Become, int]:
    """Serve as a fork point until the channel closes. Returns in forks only: the order, and the parent's pipe."""
    own = os.pipe()
    open_files.keep(own)  # forks wait at the one end for the end of this process
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


def enter(fork: tuple[Become, int]) -> _ParkedState:
    global _here
    become, lifeline = fork
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


def attach(order: Attach, become: Become, lifeline: int, beginning: attached_run.InterpreterStart) -> None:
    """Turn this fork into an attached run, which has no connection to the watch except for its end."""
    global _is_attached
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *files, last = become.descriptors
    kept = attached_run.begin(order, files, lifeline, beginning)
    _is_attached = True
    end_attached(order, Channel(sockets.socket(fileno=last)), kept, fork_state.inventory())


def end_attached(
    order: Attach, channel: Channel, files: Sequence[int], inherited: fork_state.Inherited
) -> None:
    """Set the end of an attached run, and what it does if the template's modules do not suit it.

    ``files``: copies of the client's open files.
    """
    global _end

    def start_over(module: str, why: str) -> None:
        channel.send(-1, Unfit(module, why))
        attached_run.start_over(order, files, watch_messages.unfit(module, why))

    def finish(_: int) -> None:
        channel.send(-1, Learned(fork_state.new_modules(inherited), run_facts.facts()))

    adoption.on_difference(start_over)
    _end = _Ended(inherited, finish)


def is_attached() -> bool:
    """Whether this process is an attached run that starts pytest."""
    return _is_attached


def raise_become(start: Any, descriptors: list[int]) -> None:
    """Leave the loop of a fork point, in a fork."""
    raise Become(start, [os.dup(descriptor) for descriptor in descriptors])


def ignoring_interrupts(become: Callable[..., None]) -> Callable[..., None]:
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
        ASKING.end()
        first_party.hold(since_ns)
        tell_ready(_here.channel, Ready(first_party.inputs(), first_party.refused))
        adoption.before_tests(ahead=True)
        keep_frozen()
        gc.collect()
        fork_state.flush_before_fork(fork_state.inventory())
        freeze()
        become, lifeline = serve_forks(_here.channel, _here.lifeline, ignoring_interrupts(raise_become))
        place = enter((become, lifeline))
        if isinstance(place.order, Extend):
            since_ns = time.time_ns()
            ASKING.begin()
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
