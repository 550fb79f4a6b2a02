"""The keys of a real terminal, and its modes, which every way to end restores."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import textwrap

import pytest

from .terminals import Terminal

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

#: Says what it sees. ``q`` leaves the loop, other letters do what BEFORE and ACTIONS say.
PROGRAM = """
import atexit, os, select, signal, subprocess, sys, termios, time
from pytest_hotreload.watch.keyboard import Keyboard

def say(*words):
    print(*words, file=sys.stderr, flush=True)

{before}
keyboard = Keyboard()
keyboard.on_suspend = lambda: say("suspends")
keyboard.on_resume = lambda: say("resumed", keyboard.listening)
ACTIONS = {{}}

def on(key):
    return lambda action: ACTIONS.setdefault(key, action)
{actions}
say("ready", keyboard.is_terminal)
leave = False
while not keyboard.closed and not leave:
    select.select([keyboard] if keyboard.listening else [], [], [], 0.05)
    for key in keyboard.keys():
        say("key", ascii(key))
        leave = key == "q"
        ACTIONS.get(key, lambda: None)()
say("left", keyboard.closed)
"""

ASKS = """
@on("a")
def ask():
    say("answer", repr(keyboard.ask("> ")))
"""


@pytest.fixture
def program(tmp_path):
    """Starts the program on a terminal: ``start(actions, before=…, through="sh script with $KEYS", TERM=…)``."""
    started = []

    def start(
        actions: str = "", *, before: str = "", through: str = "exec $KEYS", columns: int = 80, **environ: str
    ) -> Terminal:
        parts = {"before": textwrap.dedent(before), "actions": textwrap.dedent(actions)}
        script = tmp_path / "keys.py"
        script.write_text(PROGRAM.format(**parts))
        terminal = Terminal(
            ["sh", "-c", through],
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm", "KEYS": f"{sys.executable} {script}", **environ},
            rows=12,
            columns=columns,
        )
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def ready(program):
    """The same, once it reads keys."""

    def start(*args: str, **how: str) -> Terminal:
        terminal: Terminal = program(*args, **how)
        terminal.wait_for("ready True\n")
        return terminal

    return start


def keys(terminal: Terminal, since: int = 0) -> list[str]:
    return re.findall(r"^key '(.*)'$", terminal.text(since), re.MULTILINE)


def as_before(terminal: Terminal) -> bool:
    """Also that the terminal was told to send pasted text as it is."""
    told = terminal.log.rfind("\x1b[?2004l") >= terminal.log.rfind("\x1b[?2004h")
    return told and terminal.modes() == terminal.modes_before


def for_keys(terminal: Terminal) -> bool:
    """No echo, no lines; signals and the processing of output as before."""
    now, before = terminal.modes(), terminal.modes_before
    changed = termios.ECHO | termios.ICANON
    return now[:3] == before[:3] and now[3] == before[3] & ~changed and bool(now[3] & termios.ISIG)


def for_a_line(terminal: Terminal) -> bool:
    """The terminal's own line mode, in which Ctrl-C is no signal, and Ctrl-Z is one."""
    now, before = terminal.modes(), terminal.modes_before
    same = now[:6] == before[:6] and now[6][termios.VSUSP] == before[6][termios.VSUSP]
    return same and now[6][termios.VINTR] != before[6][termios.VINTR]


# ------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("pressed", "key"),
    [("a", "a"), ("P", "P"), ("\r", "\\n"), ("\n", "\\n"), (" ", " "), ("é", "\\xe9"), ("\x04", "\\x04")],
)
def test_a_key_comes_at_once_and_is_not_echoed(ready, pressed, key):
    terminal = ready()
    assert for_keys(terminal)
    mark = terminal.mark()
    terminal.press(pressed)
    assert terminal.wait_for(re.compile("key .*\n"), since=mark) == f"key '{key}'\n"
    assert terminal.text(mark) == f"key '{key}'\n"


def test_keys_come_in_their_order(ready):
    terminal = ready()
    terminal.press("abc\rdefq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["a", "b", "c", "\\n", "d", "e", "f", "q"]
    assert as_before(terminal)


def test_what_other_keys_send_is_no_letters(ready):
    """Arrows, function keys, Alt with a letter; each in one piece, and one in two."""
    terminal = ready()
    terminal.press("\x1b[A\x1b[1;5C\x1bOP\x1b[15~\x1b[[A\x1bq\x1b[")
    terminal.press("Bz")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["z"]


def test_escape_is_a_key(ready):
    terminal = ready()
    terminal.press("\x1b")
    terminal.wait_for("key '\\x1b'")


def test_pasted_text_is_no_keys(ready):
    terminal = ready()
    terminal.paste("quit\nPq\n")
    terminal.press("z")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["z"]


def test_a_terminal_that_understands_nothing_is_told_nothing(ready):
    terminal = ready(TERM="dumb")
    terminal.press("q")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.log
    assert as_before(terminal)


def test_typed_ahead_is_kept(program):
    terminal = program(before="say('first', input())")
    terminal.press("one\nab")
    terminal.wait_for("first one")
    terminal.wait_for("key 'b'")
    assert keys(terminal) == ["a", "b"]


# ------------------------------------------------------------------------------------- a line


@pytest.mark.parametrize(
    ("typed", "shown", "answer"),
    [
        ("tests/api\r", "> tests/api", "'tests/api'"),
        ("\r", ">", "''"),
        ("abc\x7fd\x17one two\x17x\r", "> one x", "'one x'"),
        ("abc\x15é\r", "> é", "'é'"),
        ("abc\x04d\r", "> abcd", "'abcd'"),
    ],
)
def test_ask(ready, typed, shown, answer):
    """The keys that the terminal's line mode has: erase, a word, all of it."""
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    assert for_a_line(terminal)
    before = terminal.screen()[:-1]
    terminal.press(typed)
    terminal.wait_for(f"answer {answer}\n")
    assert terminal.screen() == [*before, shown, f"answer {answer}"]
    assert for_keys(terminal)
    terminal.press("zq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["a", "z", "q"]
    assert as_before(terminal)


@pytest.mark.parametrize("typed", ["abc\x1b", "abc\x03", "\x04", "abc\x1b[D", "ab\x1bOP"])
def test_ask_is_given_up(ready, typed):
    """By Escape, Ctrl-C, Ctrl-D, and by what cursor and function keys send, none of which is a key afterwards."""
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    before = terminal.screen()[:-1]
    terminal.press(typed)
    terminal.wait_for("answer None\n")
    assert terminal.screen() == [*before, "answer None"]  # the line is gone
    assert for_keys(terminal)
    terminal.press("zq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["a", "z", "q"]
    assert as_before(terminal)


def test_ask_shows_what_is_typed(ready):
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("tests/api")
    terminal.wait_for_screen("\n> tests/api")
    terminal.press("\r")
    terminal.wait_for("answer 'tests/api'\n")


def test_ask_takes_pasted_text(ready):
    """Without brackets: a line of it is a line."""
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.paste("src/pay/card.py\n")
    terminal.wait_for("answer 'src/pay/card.py'\n")
    terminal.paste("quit\nPq\n")  # in brackets again
    terminal.press("z")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["a", "z"]


def test_ask_has_what_was_typed_before_it(ready):
    terminal = ready(ASKS)
    terminal.press("aone")
    terminal.wait_for_screen("\n> one")
    terminal.press(" two\r")
    terminal.wait_for("answer 'one two'\n")


def test_keys_behind_an_answer_are_kept(ready):
    terminal = ready(ASKS)
    terminal.press("ax\ryz")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["a", "y", "z"]
    assert "answer 'x'" in terminal.text()


def test_ask_goes_on_after_a_suspension(ready):
    """What was typed is gone, as a terminal does it."""
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("one")
    terminal.wait_for_screen("\n> one")
    terminal.suspend()
    assert as_before(terminal)
    mark = terminal.mark()
    terminal.resume()
    terminal.wait_for("> ", since=mark)
    assert for_a_line(terminal)
    terminal.press("two\r")
    terminal.wait_for("answer 'two'\n")
    assert for_keys(terminal)


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


def test_lend(ready):
    terminal = ready(LENDS)
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


def test_a_suspension_while_it_is_lent(ready):
    terminal = ready(LENDS)
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


def test_modes_that_a_borrower_left(ready):
    terminal = ready(
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


def test_suspend_and_resume(ready):
    terminal = ready()
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


def test_a_stop_that_can_not_be_handled(ready):
    terminal = ready()
    os.kill(terminal.pid, signal.SIGSTOP)
    assert terminal.wait_stopped() == signal.SIGSTOP
    termios.tcsetattr(terminal._fd, termios.TCSANOW, terminal.modes_before)  # as shells do
    terminal.resume()
    terminal.wait_for("resumed True")
    assert for_keys(terminal)


def test_in_the_background_and_back(ready):
    """It goes on, leaves the terminal to the shell, and is not stopped for it."""
    terminal = ready()
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


def test_ended_in_the_background(ready):
    """The modes of whoever is in the foreground are left alone."""
    terminal = ready()
    terminal.suspend()
    terminal.resume(background=True)
    terminal.wait_for("resumed False")
    others = [*terminal.modes()]
    others[3] &= ~termios.ECHO
    termios.tcsetattr(terminal._fd, termios.TCSANOW, others)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == -signal.SIGTERM
    assert terminal.modes() == others


def test_started_in_the_background(program):
    terminal = program(through="set -m; $KEYS & read line; fg")
    terminal.wait_for("ready True")
    assert terminal.modes() == terminal.modes_before
    mark = terminal.mark()
    terminal.press("\n")
    terminal.wait_for("resumed True", since=mark)
    assert for_keys(terminal)
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


# ------------------------------------------------------------------------------------- ways out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_end(ready, number):
    terminal = ready()
    os.kill(terminal.pid, number)
    assert terminal.wait() == -number
    assert as_before(terminal)


def test_a_handler_that_stood_there_runs(ready):
    terminal = ready(before="signal.signal(signal.SIGTERM, lambda *_: (say('mine'), os._exit(7)))")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait() == 7
    assert "mine" in terminal.text()
    assert as_before(terminal)


def test_a_handler_that_goes_on_keeps_its_keys(ready):
    terminal = ready(before="signal.signal(signal.SIGTERM, lambda *_: say('mine'))")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.wait_for("mine")
    terminal.wait_until(lambda: for_keys(terminal), "modes for keys")
    terminal.press("q")
    assert terminal.wait() == 0
    assert as_before(terminal)


def test_an_ignored_signal_stays_ignored(ready):
    terminal = ready(through="trap '' TERM; exec $KEYS")
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.press("q")
    assert terminal.wait() == 0
    assert keys(terminal) == ["q"]
    assert as_before(terminal)


def test_handlers_are_put_back(ready):
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
    terminal = ready(actions, before=before)
    terminal.press("c")
    terminal.wait_for("same True []")
    assert as_before(terminal)


@pytest.mark.parametrize(
    ("action", "status"),
    [("sys.exit(3)", 3), ("1 / 0", 1), ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT)],
)
def test_ways_out_without_a_close(ready, action, status):
    terminal = ready(f"on('x')(lambda: {action})")
    terminal.press("x")
    assert terminal.wait() == status
    assert as_before(terminal)


def test_an_interrupt_is_a_signal(ready):
    terminal = ready()
    terminal.press("\x03")
    assert terminal.wait() == -signal.SIGINT
    assert "KeyboardInterrupt" in terminal.text()
    assert as_before(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_asking(ready, number):
    terminal = ready(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    os.kill(terminal.pid, number)
    assert terminal.wait() == -number
    assert as_before(terminal)


def test_the_terminal_hangs_up(program, tmp_path):
    """The signal is ignored, as by nohup; that the terminal is gone is seen."""
    terminal = program(through="trap '' HUP; exec $KEYS 2> out")
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
def test_killed_and_restored_by_another_process(ready, asks):
    terminal = ready(GUARDED + ASKS)
    if asks:
        terminal.press("a")
        terminal.wait_for_screen("\n>")
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.wait() == -signal.SIGKILL
    terminal.wait_for("restored True")
    assert as_before(terminal)


def test_modes_of_a_shell_are_left_alone(ready):
    """What readline sets for its prompt."""
    terminal = ready(GUARDED)
    prompt = terminal.modes()
    prompt[0] &= ~termios.ICRNL
    termios.tcsetattr(terminal._fd, termios.TCSANOW, prompt)
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.wait_for("restored False")
    assert terminal.modes() == prompt


def test_a_forked_child_has_no_say(ready):
    """Neither its end nor a signal to it changes anything, and its handlers are as they were."""
    terminal = ready(
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


# ------------------------------------------------------------------------------------- no terminal


def test_only_the_keys_come_from_a_terminal(ready, tmp_path):
    terminal = ready(ASKS, through="exec $KEYS > out")
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("x\rq")
    assert terminal.wait() == 0
    assert "answer 'x'" in terminal.text()
    assert (tmp_path / "out").read_text() == ""
    assert as_before(terminal)


def test_the_terminal_is_opened_for_reading_only(ready):
    terminal = ready(ASKS, through="exec $KEYS < $(tty)")
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("x\rq")
    assert terminal.wait() == 0
    assert "answer 'x'" in terminal.text()
    assert as_before(terminal)


def test_without_a_terminal_there_are_no_keys(program):
    """Standard output is one; what comes is read to its end, and nothing is asked."""
    terminal = program(before="", actions=ASKS + "ask()\n", through="printf 'aq\\n' | $KEYS")
    assert terminal.wait() == 0
    assert terminal.text().splitlines() == ["answer None", "ready False", "left True"]
    assert "\x1b" not in terminal.log
    assert terminal.modes() == terminal.modes_before


def test_standard_input_is_closed(program):
    terminal = program(through="exec $KEYS <&-")
    assert terminal.wait() == 0
    assert terminal.text().splitlines() == ["ready False", "left True"]


def test_it_waits_for_the_end(tmp_path):
    """No key is made of a line, and the end is seen when it comes."""
    script = tmp_path / "keys.py"
    script.write_text(PROGRAM.format(before="", actions=""))
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "ready False\n"
        process.stdin.write("q\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.stdin.close()
        assert process.stderr.read() == "left True\n"
        assert process.wait() == 0
