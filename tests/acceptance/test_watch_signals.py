"""Ctrl-C, Ctrl-Z and every way to end a watch: running tests stop properly, and nothing is left behind."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .desk import GONE_SECONDS, WATCHING, counts, status_lines
from .processes import until
from .waiting import WAITS, waiting

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

#: Ticks as long as it runs, and says how often.
TICKS = {
    "test_ticks.py": """
        import pathlib, time

        def test_ticks():
            number = 0
            while not pathlib.Path("../stop").exists():
                number += 1
                pathlib.Path("../ticks").write_text(str(number))
                time.sleep(0.01)
    """,
    "test_other.py": "def test_other(): pass\n",
}
BOTH = pytest.mark.parametrize("kind", ["in-place", "1-slot", "2-slots"])


# ------------------------------------------------------------------------------------- Ctrl-C


def test_interrupted_idle(desk):
    desk.write({"test_a.py": "def test_a(): pass\n"})
    desk.watch()
    desk.term.press("\x03")
    assert desk.term.wait() == 130
    assert "Traceback" not in desk.term.text()
    desk.left_behind()


@BOTH
def test_interrupted_run_goes_back_to_watching(desk, kind):
    term = waiting(desk, kind)
    shown = desk.press("\x03", re.compile("cancelled; .*"))
    desk.says("../torn-down", "torn down")
    assert "!!! KeyboardInterrupt !!!" in shown
    assert re.search(
        r"^=+ .*no tests ran in \d+\.\d\ds =+$|^=+ 1 passed in \d+\.\d\ds =+$", shown, re.MULTILINE
    )
    assert shown.endswith("cancelled; unfinished test files run after the next edit, or press Enter\n")
    assert "Traceback" not in shown
    (desk.root.parent / "wait").unlink()
    assert counts(desk.press("\r")) == ["2 passed"]
    term.press("q")
    assert term.wait() == 0
    desk.left_behind()


@BOTH
def test_interrupted_twice_ends_at_once(desk, kind):
    """Even where the test does not care."""
    stubborn = WAITS["test_waits.py"].replace(
        "def test_waits(guarded):",
        "def test_waits(guarded):\n            import signal; signal.signal(2, signal.SIG_IGN)",
    )
    assert stubborn != WAITS["test_waits.py"]
    slots = "--hotreload-slots=2" if kind == "2-slots" else "--hotreload-slots=1"
    desk.write(WAITS | {"test_waits.py": stubborn})
    if kind == "in-place":
        desk.watch(slots)
        (desk.root.parent / "waits").unlink()
        desk.write({"../wait": ""})
        desk.write({"test_waits.py": stubborn + "\n"})
    else:
        desk.write({"../wait": ""})
        desk.start(desk.command("--watch", slots))
    desk.says("../waits", "waits")
    desk.term.press("\x03")
    time.sleep(0.3)  # two at the same time are one
    desk.term.press("\x03")
    assert desk.term.wait(GONE_SECONDS) == 130
    desk.left_behind()


@pytest.mark.slow
def test_interrupted_again_later_is_a_first_one(desk):
    waiting(desk, "2-slots")
    desk.press("\x03", "cancelled; ")
    (desk.root.parent / "waits").unlink()
    desk.term.press("\r")
    desk.says("../waits", "waits")
    time.sleep(2.1)  # the two seconds in which a second one ends it
    desk.press("\x03", "cancelled; ")
    desk.term.press("\x03")
    assert desk.term.wait() == 130


def test_interrupted_while_it_starts(desk):
    desk.write(
        {
            "conftest.py": "import pathlib, time\npathlib.Path('../waits').write_text('waits')\ntime.sleep(60)\n"
        }
    )
    desk.start(desk.command("--watch"))
    desk.says("../waits", "waits")
    desk.term.press("\x03")
    assert desk.term.wait(GONE_SECONDS) == 130
    assert "Traceback" not in desk.term.text()
    desk.left_behind()


# ------------------------------------------------------------------------------------- Ctrl-Z


def ticks(desk) -> int:
    return int((desk.root.parent / "ticks").read_text() or 0)


def assert_stands_still(desk):
    """All of the family is stopped, and the test does not go on."""
    until(lambda: set(states(desk).values()) == {"T"}, f"all are stopped: {states(desk)}")
    before = ticks(desk)
    time.sleep(0.2)  # twenty ticks
    assert ticks(desk) == before


def states(desk) -> dict[int, str]:
    found = {}
    for pid in desk.term.processes():
        try:
            found[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
    return found


@pytest.mark.parametrize("args", [[], ["--watch"]], ids=["once", "watch"])
@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("isolate", ["file", "strict"])
def test_suspended_with_its_children(desk, args, slots, isolate):
    """They are in process groups of their own, where the terminal's signal does not reach them."""
    desk.write(TICKS)
    desk.start(desk.command(f"--hotreload-slots={slots}", f"--hotreload-isolate={isolate}", *args))
    until(lambda: (desk.root.parent / "ticks").exists() and ticks(desk) > 3, "some ticks")
    desk.term.suspend()
    assert_stands_still(desk)
    assert desk.term.modes() == desk.term.modes_before
    before = ticks(desk)
    desk.term.resume()
    until(lambda: ticks(desk) > before + 3, "more ticks")
    (desk.root.parent / "stop").write_text("")
    desk.term.wait_for("2 passed in")
    if args:
        desk.term.wait_for(WATCHING)
        assert desk.term.modes() != desk.term.modes_before
        desk.term.press("q")
    assert desk.term.wait() == 0
    desk.left_behind()


def test_suspended_in_place(desk):
    desk.write(TICKS | {"../stop": ""})
    desk.watch()
    (desk.root.parent / "stop").unlink()
    (desk.root.parent / "ticks").write_text("0")
    desk.write({"test_ticks.py": TICKS["test_ticks.py"] + "\n"})
    until(lambda: ticks(desk) > 3, "some ticks")
    desk.term.suspend()
    assert_stands_still(desk)
    before = ticks(desk)
    desk.term.resume()
    until(lambda: ticks(desk) > before + 3, "more ticks")
    with desk.seeing(re.compile("PASS.*" + WATCHING)) as seen:
        (desk.root.parent / "stop").write_text("")
    assert counts(seen[0]) == ["1 passed"]


@pytest.mark.parametrize("args", [[], ["--watch"]], ids=["once", "watch"])
@pytest.mark.slow
def test_time_limits_do_not_count_while_suspended(desk, args):
    desk.write(TICKS)
    desk.start(desk.command("--hotreload-slots=2", "--hotreload-timeout=3", *args))
    until(lambda: (desk.root.parent / "ticks").exists() and ticks(desk) > 3, "some ticks")
    desk.term.suspend()
    time.sleep(3.2)  # more than the limit
    before = ticks(desk)
    desk.term.resume()
    until(lambda: ticks(desk) > before + 20, "it goes on beyond the limit")
    (desk.root.parent / "stop").write_text("")
    desk.term.wait_for("2 passed in")


def test_suspended_idle_and_edited(desk):
    """What was edited meanwhile runs when it goes on."""
    desk.write({"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"})
    desk.watch()
    desk.term.suspend()
    until(lambda: set(states(desk).values()) == {"T"}, "all are stopped")
    assert desk.term.modes() == desk.term.modes_before
    desk.write({"test_b.py": "def test_b(): assert 0\n"})
    with desk.seeing() as seen:
        desk.term.resume()
    assert status_lines(seen[0])[-1].startswith("FAIL 1 failed in TIME")
    assert desk.term.modes() != desk.term.modes_before
