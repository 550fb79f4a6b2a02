"""The ends of shared session fixtures: errors in setups and teardowns, deaths, Ctrl-C, a killed controller."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .shared_suites import FOUR, SLOW, shared_lines


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_torn_down_after_a_stop(suite, slots, option):
    made = suite(SLOW, {f"test_{name}.py": "def test_it(base): assert 0\n" for name in FOUR})
    made.project.run(slots=slots)
    plain, ours = made.learned(option, slots=slots)
    words = [word for word, _ in made.words()]
    assert words == ["up", "down"]
    assert (ours.status, ours.lines[-1]) == (plain.status, plain.lines[-1])


def test_a_teardown_that_fails(suite, slots):
    made = suite(
        """
        def close(): raise OSError("down and out")

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.15)
            yield 1
            close()
        """
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.lines[-1] == "== 4 passed, 1 error in TIME =="


def test_a_setup_that_fails(suite, slots):
    made = suite(
        "@pytest.fixture(scope='session')\ndef base():\n    time.sleep(0.15)\n    raise OSError('no')\n"
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines


DYING = """
@pytest.fixture(scope="session")
def base():
    note("up")
    time.sleep(0.15)
    if os.environ.get("FATAL") and open(os.environ["NOTES"]).read().count("up") == 1:
        {how}
    return 1
"""


@pytest.mark.parametrize(
    ("how", "options"),
    [("os.kill(os.getpid(), 9)", ()), ("os._exit(0)", ()), ("time.sleep(100)", ("--hotreload-timeout=1",))],
    ids=["killed", "exit", "hangs"],
)
def test_a_process_that_ends_while_it_sets_up(suite, how, options):
    """The first setup of the run, which is that of the process; each child then makes its own."""
    made = suite(DYING.format(how=how))
    made.project.run(slots=2)
    made.words()
    made.project.environ["FATAL"] = "1"
    ours = made.project.run(*options, slots=2)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert ours.status == 0
    assert len(made.words()) == 5
    if options:
        assert any("setting up base exceeded the time limit of 1 s" in line for line in ours.notices)


def test_ctrl_c_during_a_setup(suite, slots):
    made = suite(
        """
        @pytest.fixture(scope="session")
        def base():
            note("up")
            time.sleep(0.15)
            if os.environ.get("WAITS"):
                time.sleep(60)
            yield 1
            close()

        @pytest.fixture(scope="session")
        def first():
            note("first")
            time.sleep(0.15)
            yield 1
            close()

        def close(): note("down")
        """,
        {f"test_{name}.py": "def test_it(first, base): assert base\n" for name in FOUR},
    )
    made.project.run(slots=slots)
    made.words()
    made.project.environ["WAITS"] = "1"
    run = made.project.start(slots=slots, side="forks")
    deadline = time.monotonic() + 20
    while not (made.notes.exists() and "up" in made.notes.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(2)
    ours = made.project.finish(run, "forks")
    assert ours.status == 2
    assert [word for word, _ in made.words()] == ["first", "up", "down"], "what was set up is torn down"


def test_nothing_stays_if_the_controller_is_killed(suite, slots):
    made = suite(
        SLOW, {f"test_{name}.py": "import time\ndef test_it(base): time.sleep(30)\n" for name in FOUR}
    )
    quick = {f"test_{name}.py": "def test_it(base): pass\n" for name in FOUR}
    slow = {name: (made.project.root("forks") / name).read_text() for name in quick}
    made.project.write(quick)
    made.project.run(slots=slots)
    made.project.write(slow)
    made.words()
    run = made.project.start(slots=slots, side="forks")
    deadline = time.monotonic() + 20
    while not made.notes.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    (holder,) = {int(pid) for _, pid in made.words()}
    assert Path(f"/proc/{holder}").exists()
    run.send_signal(9)
    made.project.finish(run, "forks")
    while Path(f"/proc/{holder}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_exit_handlers_of_a_setup(suite, slots):
    """What they print follows the last line, as in plain pytest."""
    made = suite(
        """
        import atexit

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.15)
            atexit.register(lambda: print("left in the end"))
            return 1
        """
    )
    plain, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert plain.lines[-1] == "left in the end"
    assert ours.lines == plain.lines
