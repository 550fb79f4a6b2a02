"""The output of a watch: its lines, the screen, colours; and processes that share the terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from .desk import WATCHING, status_lines

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CLEARED = "\x1b[2J\x1b[H"
TWO = {
    "lib.py": "VALUE = 1\n",
    "test_a.py": "import lib\n\ndef test_a(): assert lib.VALUE == 1\n",
    "test_b.py": "def test_b(): pass\n",
}


# ------------------------------------------------------------------------------------- its lines


def test_header_rerun_line_status_line(desk):
    desk.write(TWO)
    desk.watch("--hotreload-slots=2")
    shown = desk.term.screen()
    version = ".".join(map(str, __import__("sys").version_info[:3]))
    header = (
        rf"hotreload: python {re.escape(version)} · template \d+ modules in \d\.\d s · 2 test files · 2 slots"
    )
    assert re.fullmatch(header, shown[0])
    assert re.fullmatch(
        r"PASS 2 passed in \d\.\d\d s · watching, h for help",
        shown[-1],
    )
    desk.edit({"lib.py": "VALUE = 1 + 0\n"})
    shown = desk.term.screen()
    assert re.fullmatch(
        r"RERUN lib\.py → 1 of 2 test files \((no reload needed|from fork point \d)\)", shown[0]
    )
    assert re.fullmatch(
        r"PASS 1 passed in \d\.\d\d s · watching, h for help",
        shown[-1],
    )


def test_what_an_edit_affects_not(desk):
    desk.write(TWO | {"alone.py": ""})
    desk.watch()
    assert desk.edit({"alone.py": "x = 1\n"}) == (
        "alone.py: no test file is affected · watching, h for help\n"
    )
    assert desk.edit({"alone.py": "x = 1\n"}) == "alone.py: no content change · watching, h for help\n"
    assert desk.term.screen()[-2:] == [
        "alone.py: no test file is affected · watching, h for help",
        "alone.py: no content change · watching, h for help",
    ]


def test_red_elsewhere_is_not_green(desk):
    desk.write(TWO)
    desk.watch()
    desk.edit({"lib.py": "VALUE = 2\n"})
    shown = desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert status_lines(shown) == [
        "FAIL 1 passed in TIME · still failing: test_a.py::test_a · watching, h for help"
    ]
    assert "test_a" not in shown.split("FAIL")[0]


# ------------------------------------------------------------------------------------- the screen


def test_screen_is_cleared_at_a_rerun_and_never_the_scrollback(desk):
    desk.write(TWO)
    desk.watch()
    first = desk.term.log.count(CLEARED)
    desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert desk.term.log.count(CLEARED) == first + 1
    assert desk.term.screen()[0].startswith("RERUN test_b.py → 1 of 2 test files")
    desk.press("h", "q  quit")
    desk.press("v", "no test is failing")
    assert desk.term.log.count(CLEARED) == first + 1
    assert "\x1b[3J" not in desk.term.log
    assert "\x1b[?1049h" not in desk.term.log  # the other screen, which has no scrollback


@pytest.mark.parametrize("how", ["--no-clear", "TERM=dumb"])
def test_screen_is_not_cleared(desk, how):
    desk.write(TWO)
    args, environ = ([how], {}) if how.startswith("--") else ([], {"TERM": "dumb"})
    desk.watch(*args, **environ)
    desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert CLEARED not in desk.term.log
    assert [line[:5] for line in desk.term.screen() if line[:5] in ("hotre", "RERUN", "PASS ")] == [
        "hotre",
        "hotre",  # why the first run runs what it runs
        "PASS ",
        "RERUN",
        "PASS ",
    ]


def test_colours(desk):
    desk.write(TWO)
    desk.watch()
    assert re.search(r"\x1b\[32mPASS 2 passed .*help\x1b\[0m", desk.term.log)
    mark = desk.term.mark()
    desk.edit({"lib.py": "VALUE = 2\n"})
    log = desk.term.log[mark:]
    assert re.search(r"\x1b\[1mRERUN lib\.py .*\x1b\[0m", log)
    assert re.search(r"\x1b\[31mFAIL 1 failed .*help\x1b\[0m", log)
    assert re.search(r"\x1b\[31m=+ .*1 failed", log)  # pytest's own


def test_no_colours_where_they_are_unwanted(desk):
    desk.write(TWO)
    desk.watch("--color=no", NO_COLOR="1")
    desk.edit({"lib.py": "VALUE = 2\n"})
    assert re.findall(r"\x1b\[\d*m", desk.term.log) == []


def test_narrow_terminal(desk):
    desk.write(TWO)
    desk.watch(rows=10, columns=30)
    shown = desk.edit({"lib.py": "VALUE = 2\n"})
    assert "=== 1 failed in" in shown
    assert max(map(len, desk.term.screen())) <= 30
    # A space at the end of a row is not seen, so words are compared without spaces.
    assert "".join(desk.term.screen()).replace(" ", "").endswith(WATCHING.replace(" ", ""))
    assert status_lines(shown)[0].startswith("FAIL 1 failed in TIME")


def test_resize(desk):
    desk.write(TWO)
    desk.watch(columns=120)
    desk.term.resize(30, 50)
    shown = desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert {len(line) for line in shown.split("\n") if line.startswith("====")} == {50}
    desk.term.resize(30, 90)
    shown = desk.press("a")
    assert {len(line) for line in shown.split("\n") if line.startswith("====")} == {90}


# ------------------------------------------------------------------------------------- no terminal, or half of one


def started_with(desk, shell, **environ):
    """A shell script with the watch's command in ``$WATCH``."""
    command = " ".join(desk.command("--watch", "-p", "no:cacheprovider"))
    desk.write(TWO)
    return desk.start(["sh", "-c", shell], WATCH=command, **environ)


def test_input_from_elsewhere_output_to_the_terminal(desk):
    """There are no keys; the screen is one all the same, and the end of the input ends it."""
    os.mkfifo(desk.root.parent / "keys")
    term = started_with(desk, "exec $WATCH < ../keys")
    with (desk.root.parent / "keys").open("w") as keys:
        term.wait_for(WATCHING)
        assert term.modes() == term.modes_before
        desk.edit({"test_b.py": "def test_b(): assert True\n"})
        assert desk.term.screen()[0].startswith("RERUN")
        keys.write("q")
    assert term.wait() == 0
    desk.left_behind()


@pytest.mark.parametrize(("asserts", "status"), [("True", 0), ("0", 1)])
def test_no_input_at_all(desk, asserts, status):
    """The end of the input ends it, and what it was started for runs first."""
    desk.write(TWO | {"test_b.py": f"def test_b(): assert {asserts}\n"})
    command = " ".join(desk.command("--watch"))
    term = desk.start(["sh", "-c", "exec $WATCH < /dev/null"], WATCH=command)
    assert term.wait() == status
    assert status_lines(term.text())[-1].startswith(
        "PASS 2 passed" if status == 0 else "FAIL 1 failed, 1 passed"
    )
    desk.left_behind()


def test_input_from_the_terminal_output_to_elsewhere(desk):
    """A line an event, no colours, no cleared screen; keys are keys."""
    term = started_with(desk, "exec $WATCH > ../out")
    desk.says("../out", WATCHING)
    assert term.modes() != term.modes_before
    desk.write({"test_b.py": "def test_b(): assert 0\n"})
    desk.says("../out", "FAIL 1 failed")
    term.press("q")
    assert term.wait() == 1
    written = (desk.root / "../out").read_text()
    assert "\x1b" not in written
    desk.left_behind()


def test_pager_that_ends(desk):
    term = started_with(desk, "$WATCH 2>../err | head -n 3; cat ../err; exit 7")
    assert term.wait() == 7
    assert "Traceback" not in term.text()
    assert "Exception" not in term.text()
    assert "rror" not in term.text()
    desk.left_behind()


# ------------------------------------------------------------------------------------- in the background


def test_background_job(desk):
    """It reruns and is not stopped; the terminal's modes and keys are the shell's until it comes to the front."""
    desk.write(TWO)
    desk.watch()
    term = desk.term
    term.suspend()
    assert term.modes() == term.modes_before
    term.resume(background=True)
    shown = desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert status_lines(shown) == ["PASS 1 passed in TIME · watching, h for help"]
    assert term.foreground_group() == term.shell
    assert term.modes() == term.modes_before
    term.resume()
    term.wait_until(lambda: term.modes() != term.modes_before, "a keyboard's modes")
    assert "no test is failing" in desk.press("v", "no test is failing")
    term.press("q")
    assert term.wait() == 0
    desk.left_behind()


def test_started_in_the_background(desk):
    """By a shell with job control: no key is read, no mode changed, and it is not stopped."""
    command = " ".join(desk.command("--watch"))
    desk.write(TWO)
    term = desk.start(["bash", "-c", "set -m; $WATCH & echo $! > ../pid; wait $!"], WATCH=command)
    term.wait_for("PASS 2 passed")
    assert term.modes() == term.modes_before
    shown = desk.edit({"test_b.py": "def test_b(): assert True\n"})
    assert status_lines(shown) == ["PASS 1 passed in TIME · watching, h for help"]
    os.kill(int((desk.root / "../pid").read_text()), signal.SIGTERM)
    assert term.wait() == 128 + signal.SIGTERM
    desk.left_behind()


def test_ci_refuses(desk):
    command, environ = desk.command("--watch"), desk.environ(CI="1")
    ran = subprocess.run(command, cwd=desk.root, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 4
    assert "--watch-force" in ran.stderr
