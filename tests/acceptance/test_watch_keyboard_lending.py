"""A terminal whose keys a watch reads is lent, suspended and resumed."""

from __future__ import annotations

import os
import signal
import termios

import pytest

from .reading_keys import as_before, for_keys, keys

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


# ------------------------------------------------------------------------------------- lending

LENDS = """
@on("l")
def lend():
    with keyboard.lend():
        say("lent", keyboard.read(), keyboard.listening)
        while not select.select([0], [], [], 0.05)[0]:
            pass
        say("said", input())
"""


def test_lend(key_reader):
    terminal = key_reader(LENDS)
    terminal.press("l")
    terminal.wait_for("lent [] False")
    assert as_before(terminal)
    terminal.press("some words\n")
    terminal.wait_for("said some words")
    terminal.wait_until(lambda: for_keys(terminal), "modes for keys")
    terminal.press("zq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["l", "z", "q"]
    assert as_before(terminal)


def test_a_suspension_while_it_is_lent(key_reader):
    terminal = key_reader(LENDS)
    terminal.press("l")
    terminal.wait_for("lent")
    terminal.suspend()
    assert as_before(terminal)
    mark = terminal.mark()
    terminal.resume()
    terminal.wait_for("resumed False", since=mark)
    assert as_before(terminal)
    terminal.press("words\n")
    terminal.wait_for("said words")
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


def test_modes_that_a_borrower_left(key_reader):
    terminal = key_reader(
        """
        @on("l")
        def lend():
            with keyboard.lend():
                subprocess.run(["stty", "raw", "-echo"])
            say("back")
        """
    )
    terminal.press("l")
    terminal.wait_for("back")
    assert for_keys(terminal)
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


# ------------------------------------------------------------------------------------- suspension


def test_suspend_and_resume(key_reader):
    terminal = key_reader()
    for _ in range(2):
        mark = terminal.mark()
        terminal.suspend()
        assert "suspends" in terminal.text(mark)
        assert terminal.foreground_group() == terminal.shell
        assert as_before(terminal)
        mark = terminal.mark()
        terminal.resume()
        terminal.wait_for("resumed True", since=mark)
        assert for_keys(terminal)
        terminal.press("z")
        terminal.wait_for("key 'z'", since=mark)
        assert terminal.text(mark).count("resumed") == 1
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


def test_a_stop_that_can_not_be_handled(key_reader):
    terminal = key_reader()
    os.kill(terminal.pid, signal.SIGSTOP)
    assert terminal.wait_stopped() == signal.SIGSTOP
    termios.tcsetattr(terminal._fd, termios.TCSANOW, terminal.modes_before)  # as shells do
    terminal.resume()
    terminal.wait_for("resumed True")
    assert for_keys(terminal)


def test_in_the_background_and_back(key_reader):
    """It goes on, leaves the terminal to the shell, and is not stopped for it."""
    terminal = key_reader()
    terminal.suspend()
    terminal.resume(background=True)
    terminal.wait_for("resumed False")
    terminal.press("z")
    assert as_before(terminal)
    mark = terminal.mark()
    terminal.resume()
    terminal.wait_for("resumed True", since=mark)
    terminal.press("yq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["z", "y", "q"]
    assert as_before(terminal)


def test_ended_in_the_background(key_reader):
    """The modes of whoever is in the foreground are left alone."""
    terminal = key_reader()
    terminal.suspend()
    terminal.resume(background=True)
    terminal.wait_for("resumed False")
    others = [*terminal.modes()]
    others[3] &= ~termios.ECHO
    termios.tcsetattr(terminal._fd, termios.TCSANOW, others)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == -signal.SIGTERM
    assert terminal.modes() == others


def test_started_in_the_background(key_program):
    terminal = key_program(through="set -m; $KEYS & read line; fg")
    terminal.wait_for("ready True")
    assert terminal.modes() == terminal.modes_before
    mark = terminal.mark()
    terminal.press("\n")
    terminal.wait_for("resumed True", since=mark)
    assert for_keys(terminal)
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)
