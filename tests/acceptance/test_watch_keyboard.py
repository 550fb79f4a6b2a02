"""The keys of a real terminal, and its modes, which every way to end restores."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from .reading_keys import ASKS, PROGRAM, as_before, for_a_line, for_keys, keys

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


# ------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("pressed", "key"),
    [("a", "a"), ("P", "P"), ("\r", "\\n"), ("\n", "\\n"), (" ", " "), ("é", "\\xe9"), ("\x04", "\\x04")],
)
def test_a_key_comes_at_once_and_is_not_echoed(key_reader, pressed, key):
    terminal = key_reader()
    assert for_keys(terminal)
    mark = terminal.mark()
    terminal.press(pressed)
    assert terminal.wait_for(re.compile("key .*\n"), since=mark) == f"key '{key}'\n"
    assert terminal.text(mark) == f"key '{key}'\n"


def test_keys_come_in_their_order(key_reader):
    terminal = key_reader()
    terminal.press("abc\rdefq")
    assert terminal.wait() == 0
    assert keys(terminal) == ["a", "b", "c", "\\n", "d", "e", "f", "q"]
    assert as_before(terminal)


def test_what_other_keys_send_is_no_letters(key_reader):
    """Arrows, function keys, Alt with a letter; each in one piece, and one in two."""
    terminal = key_reader()
    terminal.press("\x1b[A\x1b[1;5C\x1bOP\x1b[15~\x1b[[A\x1bq\x1b[")
    terminal.press("Bz")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["z"]


def test_escape_is_a_key(key_reader):
    terminal = key_reader()
    terminal.press("\x1b")
    terminal.wait_for("key '\\x1b'")


def test_pasted_text_is_no_keys(key_reader):
    terminal = key_reader()
    terminal.paste("quit\nPq\n")
    terminal.press("z")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["z"]


def test_a_terminal_that_understands_nothing_is_told_nothing(key_reader):
    terminal = key_reader(TERM="dumb")
    terminal.press("q")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.log
    assert as_before(terminal)


def test_typed_ahead_is_kept(key_program):
    terminal = key_program(before="say('first', input())")
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
def test_ask(key_reader, typed, shown, answer):
    """The keys that the terminal's line mode has: erase, a word, all of it."""
    terminal = key_reader(ASKS)
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
def test_ask_is_given_up(key_reader, typed):
    """By Escape, Ctrl-C, Ctrl-D, and by what cursor and function keys send, none of which is a key afterwards."""
    terminal = key_reader(ASKS)
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


def test_ask_shows_what_is_typed(key_reader):
    terminal = key_reader(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("tests/api")
    terminal.wait_for_screen("\n> tests/api")
    terminal.press("\r")
    terminal.wait_for("answer 'tests/api'\n")


def test_ask_takes_pasted_text(key_reader):
    """Without brackets: a line of it is a line."""
    terminal = key_reader(ASKS)
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.paste("src/pay/card.py\n")
    terminal.wait_for("answer 'src/pay/card.py'\n")
    terminal.paste("quit\nPq\n")  # in brackets again
    terminal.press("z")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["a", "z"]


def test_ask_has_what_was_typed_before_it(key_reader):
    terminal = key_reader(ASKS)
    terminal.press("aone")
    terminal.wait_for_screen("\n> one")
    terminal.press(" two\r")
    terminal.wait_for("answer 'one two'\n")


def test_keys_behind_an_answer_are_kept(key_reader):
    terminal = key_reader(ASKS)
    terminal.press("ax\ryz")
    terminal.wait_for("key 'z'")
    assert keys(terminal) == ["a", "y", "z"]
    assert "answer 'x'" in terminal.text()


def test_ask_goes_on_after_a_suspension(key_reader):
    """What was typed is gone, as a terminal does it."""
    terminal = key_reader(ASKS)
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


# ------------------------------------------------------------------------------------- no terminal


def test_only_the_keys_come_from_a_terminal(key_reader, tmp_path):
    terminal = key_reader(ASKS, through="exec $KEYS > out")
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("x\rq")
    assert terminal.wait() == 0
    assert "answer 'x'" in terminal.text()
    assert (tmp_path / "out").read_text() == ""
    assert as_before(terminal)


def test_the_terminal_is_opened_for_reading_only(key_reader):
    terminal = key_reader(ASKS, through="exec $KEYS < $(tty)")
    terminal.press("a")
    terminal.wait_for_screen("\n>")
    terminal.press("x\rq")
    assert terminal.wait() == 0
    assert "answer 'x'" in terminal.text()
    assert as_before(terminal)


def test_without_a_terminal_there_are_no_keys(key_program):
    """Standard output is one; what comes is read to its end, and nothing is asked."""
    terminal = key_program(before="", actions=ASKS + "ask()\n", through="printf 'aq\\n' | $KEYS")
    assert terminal.wait() == 0
    assert terminal.text().splitlines() == ["answer None", "ready False", "left True"]
    assert "\x1b" not in terminal.log
    assert terminal.modes() == terminal.modes_before


def test_standard_input_is_closed(key_program):
    terminal = key_program(through="exec $KEYS <&-")
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
