"""The moments at which Ctrl-C takes effect in the run loop."""

from __future__ import annotations

import os
import signal

import pytest

from pytest_hotreload.process.interrupts import Interrupts

# pytest-xdist's workers have a thread; what is forked here leaves at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def plain_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_is_noted_and_raised_when_looked_for():
    ctrl_c = Interrupts(once=False)
    ctrl_c.begin()
    ctrl_c.look()
    press()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.look()
    ctrl_c.look()


def test_the_second_strikes_where_it_is():
    ctrl_c = Interrupts(once=False)
    ctrl_c.begin()
    press()
    with pytest.raises(KeyboardInterrupt):
        press()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.look()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_once_a_second_one_means_nothing():
    ctrl_c = Interrupts(once=True)
    ctrl_c.begin()
    press()
    press()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.look()
    press()
    ctrl_c.look()


def test_what_comes_after_the_last_turn_is_raised_too():
    ctrl_c = Interrupts(once=False)
    ctrl_c.begin()
    press()
    ctrl_c.end()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        ctrl_c.look()


def test_a_handler_of_somebody_else_stays():
    pressed = []
    ctrl_c = Interrupts(once=False)
    signal.signal(signal.SIGINT, lambda *_: pressed.append("before"))
    ctrl_c.begin()
    press()
    ctrl_c.end()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ctrl_c.begin()
    signal.signal(signal.SIGINT, lambda *_: pressed.append("meanwhile"))
    ctrl_c.end()
    press()
    ctrl_c.look()
    assert pressed == ["before", "meanwhile"]


def test_in_a_fork_it_strikes_at_once():
    ctrl_c = Interrupts(once=False)
    ctrl_c.begin()
    pid = os.fork()
    if not pid:
        try:
            press()
        except KeyboardInterrupt:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
