"""A debugger in a watch, and other readers of the terminal: the keys are theirs, and then the watch's again."""

from __future__ import annotations

import contextlib
import re

import pytest

from .desk import WATCHING, counts, status_lines

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

#: One file is red.
THREE = {
    "lib.py": "VALUE = 1\n",
    "test_a.py": """
        import lib

        def test_value(): assert lib.VALUE == 1

        def test_other(): pass
    """,
    "test_b.py": """
        def test_red():
            number = 41
            assert number == 42

        def test_green(): pass
    """,
    "test_c.py": "def test_c(): pass\n",
}


@pytest.fixture
def three(desk):
    desk.write(THREE)
    desk.watch("--hotreload-slots=2")
    assert status_lines(desk.term.text())[-1] == "FAIL 1 failed, 4 passed in TIME · watching, h for help"
    return desk


def debugged(desk, first, *more):
    """Commands to a debugger whose prompt is there, each with a part of its answer."""
    desk.term.wait_for("(Pdb) ", since=first)
    for command, answer in more:
        mark = desk.term.mark()
        desk.term.press(command + "\r")
        desk.term.wait_for(answer, since=mark)
        if answer != WATCHING:
            assert desk.term.text(mark).startswith(command + "\n"), "it is echoed, once"


def interrupt_debugger(desk):
    """Ctrl-C, as often as a user would press it.

    An interpreter misses one between showing its prompt and listening: without us, 10 of 200 at once after "(Pdb) ".
    """
    answer = re.compile(r"(?s)KeyboardInterrupt.*\(Pdb\) ")
    mark = desk.term.mark()
    for last in (False, False, True):
        desk.term.press("\x03")
        with contextlib.nullcontext() if last else contextlib.suppress(AssertionError):
            desk.term.wait_for(answer, since=mark, timeout=5)
            return


def test_debug_the_last_failure(three):
    mark = three.term.mark()
    three.term.press("d")
    debugged(
        three,
        mark,
        ("p number + 1", "42\n(Pdb) "),
        ("w", "-> assert number == 42\n(Pdb) "),
    )
    shown = three.press("q\r")
    assert status_lines(shown) == ["FAIL 1 failed in TIME · watching, h for help"]
    assert three.term.modes() != three.term.modes_before
    assert counts(three.press("a")) == ["1 failed, 4 passed"]
    three.term.press("q")
    assert three.term.wait() == 1
    three.left_behind()


STOPS = """
    def test_stops():
        number = 6
        breakpoint()
        assert number == 6

    def test_after(): pass
"""


@pytest.mark.parametrize("several", [False, True], ids=["one-file", "several"])
def test_breakpoint(three, several):
    """In the rerun itself, and in a child; keys are the debugger's meanwhile."""
    mark = three.term.mark()
    three.write({"test_c.py": STOPS})
    if several:
        three.write({"lib.py": "VALUE = 1 + 0\n"})
    debugged(
        three,
        mark,
        ("p number * 7", "42\n(Pdb) "),
        ("h", re.compile(r"(?s)Documented commands.*\(Pdb\) ")),
        (
            "w",
            re.compile(r"-> (assert number == 6|breakpoint\(\))\n\(Pdb\) "),
        ),  # the latter from Python 3.13 on
    )
    shown = three.press("c\r", re.compile("(PASS|FAIL).*" + WATCHING))
    assert counts(shown) == ["4 passed" if several else "2 passed"]
    assert three.term.modes() != three.term.modes_before
    assert counts(three.press("f")) == ["1 failed"]


def test_breakpoint_that_is_quit(three):
    mark = three.term.mark()
    three.write({"test_c.py": STOPS})
    debugged(three, mark, ("p number", "6\n(Pdb) "))
    shown = three.press("q\r")
    assert "Quitting debugger" in shown
    assert three.term.modes() != three.term.modes_before
    assert counts(three.press("f")) == ["1 failed"]


def test_edit_while_a_debugger_waits(three):
    """It is not taken from under the user's hands; the edit runs afterwards."""
    mark = three.term.mark()
    three.write({"test_c.py": STOPS})
    debugged(three, mark, ("p number", "6\n(Pdb) "))
    three.write({"lib.py": "VALUE = 2\n"})
    debugged(three, mark, ("p number + 1", "7\n(Pdb) "))
    shown = three.press("c\r", re.compile(f"(?s)FAIL 2 passed.*FAIL 1 failed, 1 passed.*{WATCHING}"))
    assert re.search(r"^RERUN lib\.py → 1 of 3 test files", shown, re.MULTILINE)


def test_input_without_capture(desk):
    desk.write({"test_a.py": "def test_a(): assert input('name? ') == 'Ada'\n"})
    desk.start(desk.command("--watch", "-s"))
    desk.term.wait_for("name? ")
    assert counts(desk.press("Ada\r")) == ["1 passed"]
    desk.press("a", "name? ")
    assert counts(desk.press("Eve\r")) == ["1 failed"]
    desk.term.press("q")
    assert desk.term.wait() == 1
    desk.left_behind()


def test_control_c_in_a_debugger_is_the_debuggers(three):
    mark = three.term.mark()
    three.write({"test_c.py": STOPS})
    debugged(three, mark, ("p number", "6\n(Pdb) "))
    interrupt_debugger(three)
    shown = three.press("c\r", re.compile("FAIL.*" + WATCHING))
    assert counts(shown) == ["2 passed"]
    assert counts(three.press("f")) == ["1 failed"]
