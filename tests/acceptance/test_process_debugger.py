"""The debugger on a terminal: input and output equal plain pytest's, and children wait for the terminal."""

from __future__ import annotations

import contextlib
import difflib
import re
import termios

import pytest

from .processes import Terminal

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

FAILING = {
    "test_a.py": """
        def test_first(): pass

        def test_fails():
            x = 41
            assert x == 42
    """,
    "test_b.py": "def test_other(): pass\n",
}
STOPPING = {
    "test_a.py": """
        def test_stops():
            x = 1
            breakpoint()
            x = 2
            breakpoint()
            assert x == 3

        def test_after(): pass
    """,
    "test_b.py": """
        import time

        def test_other(): time.sleep(0.3)

        def test_stops_too():
            y = 7
            breakpoint()
            assert y == 8
    """,
}


def transcript(terminal: Terminal) -> list[str]:
    """What was on the screen, without what the time or we put there."""
    lines = terminal.text.replace("\r", "\n").splitlines()
    kept = [line.rstrip() for line in lines if not line.startswith(("hotreload:", "running: "))]
    top = str(terminal.root)
    return [
        re.sub(r"=+(.*) in \d+\.\d+s( \(.*\))? =+", r"=\1 =", line).replace(top, "<root>")
        for line in kept
        if line
    ]


def interrupt(terminal: Terminal) -> None:
    """As often as a user would press it: before readline waits for keys, it keeps the signal until the next one."""
    for last in (False, False, True):
        terminal.send("\x03")
        with contextlib.nullcontext() if last else contextlib.suppress(AssertionError):
            terminal.expect("KeyboardInterrupt", 10)
            return


def talk(project, *args: str, slots: int | None, typed: list[str]) -> tuple[int, list[str]]:
    """Type each answer at a prompt of its own."""
    with Terminal(project, *args, slots=slots) as terminal:
        for answer in typed:
            terminal.expect("(Pdb) ", 30)
            if answer == "\x03":
                interrupt(terminal)
            else:
                terminal.send(answer)
        status = terminal.end(30)
        return status, transcript(terminal)


def same_talk(project, *args: str, slots: int, typed: list[str]) -> list[str]:
    plain_status, plain = talk(project, *args, slots=None, typed=typed)
    status, ours = talk(project, *args, slots=slots, typed=typed)
    assert not list(difflib.unified_diff(plain, ours, "plain", "ours", lineterm="", n=1))
    assert status == plain_status
    return ours


def test_post_mortem(project, slots):
    project.write(FAILING)
    shown = same_talk(project, "--pdb", slots=slots, typed=["p x\n", "c\n"])
    assert "(Pdb) p x" in shown
    assert shown[-1] == "= 1 failed, 2 passed ="


def test_quitting_stops_the_run(project, slots):
    project.write(FAILING)
    shown = same_talk(project, "--pdb", slots=slots, typed=["q\n"])
    assert "= 1 failed, 1 passed =" in shown


def test_trace(project):
    project.write({"test_a.py": "def test_a():\n    x = 5\n    assert x\n"})
    same_talk(project, "--trace", slots=2, typed=["n\n", "p x + 1\n", "c\n"])


def test_breakpoints_in_two_files_wait_for_the_terminal(project, slots):
    """Also a second one in the same test, and the lease ends between them."""
    project.write(STOPPING)
    typed = ["p x\n", "c\n", "p x + 20\n", "c\n", "p y * 11\n", "c\n"]
    shown = same_talk(project, slots=slots, typed=typed)
    assert shown[-1] == "= 2 failed, 2 passed ="


@pytest.mark.slow
def test_an_interrupt_in_the_debugger_is_the_debuggers(project):
    project.write(STOPPING)
    same_talk(project, slots=2, typed=["\x03", "p x\n", "q\n"])


@pytest.mark.parametrize("args", [(), ("--pdb",), ("-s",)])
def test_terminal_modes_are_as_before(project, args):
    project.write({"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"})
    with Terminal(project, *args, slots=2) as terminal:
        before = termios.tcgetattr(terminal._fd)
        assert terminal.end() == 0
        assert termios.tcgetattr(terminal._fd) == before
