"""Every way in which a process that reads keys ends restores the modes of its terminal."""

from __future__ import annotations

import os
import signal
import termios

import pytest

from .reading_keys import ASKS, as_before, for_keys, keys

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


# ------------------------------------------------------------------------------------- ways out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_end(key_reader, number):
    terminal = key_reader()
    os.kill(terminal.pid, number)
    assert terminal.wait() == -number
    assert as_before(terminal)


def test_a_handler_that_stood_there_runs(key_reader):
    terminal = key_reader(before="signal.signal(signal.SIGTERM, lambda *_: (say('mine'), os._exit(7)))")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == 7
    assert "mine" in terminal.text()
    assert as_before(terminal)


def test_a_handler_that_goes_on_keeps_its_keys(key_reader):
    terminal = key_reader(before="signal.signal(signal.SIGTERM, lambda *_: say('mine'))")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.wait_for("mine")
    terminal.wait_until(lambda: for_keys(terminal), "modes for keys")
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


def test_an_ignored_signal_stays_ignored(key_reader):
    terminal = key_reader(through="trap '' TERM; exec $KEYS")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.press("q")
    assert terminal.wait() == 0
    assert keys(terminal) == ["q"]
    assert as_before(terminal)


def test_handlers_are_put_back(key_reader):
    before = """
        numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT]
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        found = [signal.getsignal(number) for number in numbers]
    """
    actions = """
        @on("c")
        def close():
            keyboard.close()
            keyboard.close()
            say("same", found == [signal.getsignal(number) for number in numbers], keyboard.read())
    """
    terminal = key_reader(actions, before=before)
    terminal.press("c")
    terminal.wait_for("same True []")
    assert as_before(terminal)


@pytest.mark.parametrize(
    ("action", "status"),
    [("sys.exit(3)", 3), ("1 / 0", 1), ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT)],
)
def test_ways_out_without_a_close(key_reader, action, status):
    terminal = key_reader(f"on('x')(lambda: {action})")
    terminal.press("x")
    assert terminal.wait() == status
    assert as_before(terminal)


def test_an_interrupt_is_a_signal(key_reader):
    terminal = key_reader()
    terminal.press("\x03")
    assert terminal.wait() == -signal.SIGINT
    assert "KeyboardInterrupt" in terminal.text()
    assert as_before(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_asking(key_reader, number):
    terminal = key_reader(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    os.kill(terminal.pid, number)
    assert terminal.wait() == -number
    assert as_before(terminal)


def test_the_terminal_hangs_up(key_program, tmp_path):
    """The signal is ignored, as by nohup; that the terminal is gone is seen."""
    terminal = key_program(through="trap '' HUP; exec $KEYS 2> out")
    terminal.wait_until(lambda: (tmp_path / "out").exists() and for_keys(terminal), "modes for keys")
    terminal.hang_up()
    assert terminal.wait() == 0
    assert (tmp_path / "out").read_text() == "ready True\nleft True\n"


# ------------------------------------------------------------------------------------- others

GUARDED = """
guarded, ours = os.pipe()
guard = subprocess.Popen(
    [sys.executable, "-c", '''if 1:
        import os, sys
        from pytest_hotreload.watch.terminal_modes import restore
        modes = eval(sys.argv[2])
        os.read(int(sys.argv[1]), 1)
        print("restored", restore(0, modes), flush=True)
    ''', str(guarded), repr(keyboard.modes)],
    pass_fds=[guarded],
    preexec_fn=os.setpgrp,
)
os.close(guarded)
"""


@pytest.mark.parametrize("asks", [False, True])
def test_killed_and_restored_by_another_process(key_reader, asks):
    terminal = key_reader(GUARDED + ASKS)
    if asks:
        terminal.press("a")
        terminal.wait_for_screen("\n>")
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.wait() == -signal.SIGKILL
    terminal.wait_for("restored True")
    assert as_before(terminal)


def test_modes_of_a_shell_are_left_alone(key_reader):
    """What readline sets for its prompt."""
    terminal = key_reader(GUARDED)
    prompt = terminal.modes()
    prompt[0] &= ~termios.ICRNL
    termios.tcsetattr(terminal._fd, termios.TCSANOW, prompt)
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.wait_for("restored False")
    assert terminal.modes() == prompt


def test_a_forked_child_has_no_say(key_reader):
    """Neither its end nor a signal to it changes anything, and its handlers are as they were."""
    terminal = key_reader(
        """
        @on("f")
        def fork():
            if not os.fork():
                say("child", keyboard.closed, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
                keyboard.close()
                sys.exit(5)
            say("status", os.waitstatus_to_exitcode(os.wait()[1]))
        """
    )
    terminal.press("f")
    terminal.wait_for("status 5")
    assert "child True True" in terminal.text()
    assert for_keys(terminal)
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)
