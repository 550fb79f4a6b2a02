"""The effect of each key of a watch, on a terminal."""

from __future__ import annotations

import re

import pytest

from .desk import WATCHING, counts, status_lines

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

#: One file is red; one test has a marker.
THREE = {
    "pytest.ini": "[pytest]\nmarkers = slow: takes its time\n",
    "lib.py": "VALUE = 1\n",
    "test_a.py": """
        import pytest, lib

        def test_value(): assert lib.VALUE == 1

        @pytest.mark.slow
        def test_slow(): pass
    """,
    "test_b.py": """
        def test_red():
            number = 41
            assert number == 42

        def test_green(): pass
    """,
    "test_c.py": "def test_c(): pass\n",
}

#: A test that waits, with a fixture that writes when it goes; and another file.
WAITS = {
    "test_waits.py": """
        import pathlib, time, pytest

        @pytest.fixture
        def guarded():
            yield
            pathlib.Path("../torn-down").write_text("torn down")

        def test_waits(guarded):
            print("about to wait")
            pathlib.Path("../waits").write_text("waits")
            while pathlib.Path("../wait").exists():
                time.sleep(0.01)
    """,
    "test_other.py": "def test_other(): pass\n",
}


@pytest.fixture
def three(desk):
    desk.write(THREE)
    desk.watch("--hotreload-slots=2")
    assert status_lines(desk.term.text())[-1] == "FAIL 1 failed, 4 passed in TIME · watching, h for help"
    return desk


# ------------------------------------------------------------------------------------- what runs


@pytest.mark.parametrize("key", ["\r", "a"])
def test_all(three, key):
    shown = three.press(key)
    assert counts(shown) == ["1 failed, 4 passed"]
    assert "collected 5 items" in shown


def test_all_as_imports_find_it(desk):
    """An import that only looks for a file is no dependency, but what it found must not stay with the fork points."""
    looks = "from pathlib import Path\nFOUND = Path(__file__).with_name('made').joinpath('flag').exists()\n"
    desk.write(
        {"made/other": "", "lib.py": looks, "test_a.py": "import lib\ndef test_a(): assert not lib.FOUND\n"}
    )
    desk.watch()
    desk.write({"made/flag": ""})
    assert counts(desk.press("a")) == ["1 failed"]


@pytest.mark.slow
def test_last_again(three):
    assert counts(three.edit({"test_c.py": "def test_c(): assert True\n"})) == ["1 passed"]
    for _ in range(2):
        shown = three.press("r")
        assert counts(shown) == ["1 passed"]
        assert re.search(r"^test_c\.py \. ", shown, re.MULTILINE)
    assert counts(three.press("a")) == ["1 failed, 4 passed"]
    assert counts(three.press("r")) == ["1 failed, 4 passed"]


def test_red_only(three):
    shown = three.press("f")
    assert counts(shown) == ["1 failed"]
    assert "collected 5 items" in shown
    three.edit({"test_b.py": "def test_red(): pass\ndef test_green(): pass\n"})
    assert three.press("f", "no test is failing") == "no test is failing\n"
    three.term.press("q")
    assert three.term.wait() == 0


def test_red_only_keeps_what_is_red_elsewhere(three):
    """A rerun of some tests of a file says nothing of the others."""
    three.edit({"test_b.py": "def test_red(): assert 0\ndef test_green(): assert 0\n"})
    assert counts(three.press("f")) == ["2 failed"]
    three.edit({"test_b.py": "def test_red(): pass\ndef test_green(): assert 0\n"})
    assert counts(three.press("f")) == ["1 failed"]
    three.edit({"test_b.py": "def test_red(): pass\ndef test_green(): pass\n"})
    assert three.press("f", "no test is failing") == "no test is failing\n"


def test_failures_again(three):
    shown = three.press("v", "AssertionError")
    assert ">       assert number == 42" in shown
    assert "number = 41" in shown
    three.edit({"lib.py": "VALUE = 2\n"})
    old, new = "assert 41 == 42", "assert 2 == 1"  # in the order of what was told last
    three.press("v", re.compile(f"(?s){old}.*{new}|{new}.*{old}"))


def test_why(three):
    three.edit({"lib.py": "VALUE = 1 + 0\n"})
    assert re.fullmatch(r"  .*lib\.py.*\n", three.press("e", "lib.py"))
    three.press("h", "q  quit")


@pytest.mark.slow
def test_new_template(three):
    template = re.compile(r"template (\d+) modules")
    before = set(three.term.processes())
    shown = three.press("R", re.compile(f"(?s)new template: on request.*{WATCHING}"))
    assert "(new template: on request)" in shown
    assert not template.search(shown)
    assert set(three.term.processes()) & before == {three.term.pid}
    assert counts(three.press("a")) == ["1 failed, 4 passed"]


def test_help(three):
    shown = three.press("h", "q  quit")
    for key in "ardRptmcesvPhq":
        assert re.search(rf"\b{key}  +\w", shown), key


def test_keys_without_a_meaning(three):
    mark = three.term.mark()
    three.term.press("xyz\x1b[A\x1b[15~ \t\u00e9")
    three.press("h", "q  quit")
    assert three.term.text(mark).count("\n") == 5  # the help's


@pytest.mark.parametrize(("red", "status"), [("0", 1), ("True", 0)])
def test_quit(desk, red, status):
    desk.write({"test_a.py": f"def test_a(): assert {red}\n"})
    desk.watch()
    desk.term.press("q")
    assert desk.term.wait() == status
    desk.left_behind()


# ------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("key", "prompt", "typed", "ran", "told"),
    [
        ("p", "path: ", "test_a", "2 passed", "only path 'test_a'"),
        ("t", "-k: ", "slow or green", "2 passed", "only -k 'slow or green'"),
        ("m", "-m: ", "slow", "1 passed", "only -m 'slow'"),
    ],
)
def test_filter(three, key, prompt, typed, ran, told):
    """What is red and left out is red still, and named."""
    three.press(key, prompt)
    three.term.press("tst" + "\x7f" * 3)
    shown = three.press(typed + "\r", re.compile(f"(PASS|FAIL).*{WATCHING}"))
    assert status_lines(shown) == [
        f"FAIL {ran} in TIME · {told} · still failing: test_b.py::test_red · watching, h for help"
    ]
    assert counts(three.press("a")) == [ran]
    shown = three.edit({"lib.py": "VALUE = 1 + 0\n"})
    assert told in status_lines(shown)[0]
    assert counts(three.press("c")) == ["2 passed"]  # the edit's file, of which tests were left out
    assert counts(three.press("a")) == ["1 failed, 4 passed"]
    assert three.press("c") == "watching, h for help\n"


@pytest.mark.slow
def test_filters_together_and_edited(three):
    three.press("p", "path: ")
    three.press("test_b\r")
    three.press("t", "-k: ")
    assert counts(three.press("green\r")) == ["1 passed"]
    assert three.press("t", "-k: ").startswith("-k is 'green' now; an empty line removes it\n")
    shown = three.press("red\r")
    assert status_lines(shown) == [
        "FAIL 1 failed in TIME · only -k 'red', path 'test_b' · watching, h for help"
    ]
    assert "path is 'test_b' now" in three.press("p", "path: ")
    assert counts(three.press("\r")) == ["1 failed"]
    assert counts(three.press("r")) == ["1 failed"]


def test_filter_given_up(three):
    three.press("t", "-k: ")
    mark = three.term.mark()
    three.term.press("green\x1b")
    three.term.wait_for_screen(re.compile(f"{WATCHING}$"))
    assert counts(three.press("a")) == ["1 failed, 4 passed"]
    assert "only" not in three.term.text(mark)


def test_filter_that_leaves_nothing(three):
    three.press("t", "-k: ")
    shown = three.press("nothing_of_this_name\r")
    told = "only -k 'nothing_of_this_name' · still failing: test_b.py::test_red"
    assert status_lines(shown) == [f"FAIL no tests ran in TIME · {told} · watching, h for help"]
    assert three.press("c") == "watching, h for help\n"
    assert counts(three.press("a")) == ["1 failed, 4 passed"]


@pytest.mark.parametrize(
    ("key", "prompt", "typed", "told"),
    [
        ("t", "-k: ", "bad(", "Wrong expression passed to '-k': bad(: at column 5: "),
        ("t", "-k: ", "a) or (b", "Wrong expression passed to '-k': a) or (b: at column 2: "),
        ("t", "-k: ", "größer und", "Wrong expression passed to '-k': größer und: at column 8: "),
        ("t", "-k: ", "(" * 2000, "Wrong expression passed to '-k': " + "(" * 50),
        ("m", "-m: ", "slow and", "Wrong expression passed to '-m': slow and: at column 9: "),
        ("m", "-m: ", "slow(1)", "Wrong expression passed to '-m': slow(1): at column "),
        ("p", "path: ", "no/such", "no test file has 'no/such' in its path"),
        ("p", "path: ", "test_a.py::nope", "no test file has 'test_a.py::nope' in its path"),
    ],
)
def test_filter_that_is_none(three, key, prompt, typed, told):
    """One line says what is wrong with it; what was chosen before goes on."""
    three.press("p", "path: ")
    three.press("test_a\r")
    three.press(key, prompt)
    shown = three.press("\x15" + typed + "\r", "the filters are unchanged")
    lines = [line for line in shown.replace("\n", "").split("\x1b[K") if told[:20] in line]
    assert told in "".join(lines), shown
    assert "Error" not in shown
    assert status_lines(three.press("a")) == [
        "FAIL 2 passed in TIME · only path 'test_a' · still failing: test_b.py::test_red · watching, h for help"
    ]


def test_filter_that_only_the_session_refuses(desk):
    """A plugin, or pytest's own check of marker names, has the last word."""
    refuses = """
        import pytest

        def pytest_collection_modifyitems(config):
            if "unwanted" in config.option.keyword:
                raise pytest.UsageError("nobody wants that")
    """
    desk.write({"conftest.py": refuses, "test_a.py": "def test_a(): pass\n"})
    desk.watch("--hotreload-slots=2")
    desk.press("t", "-k: ")
    shown = desk.press("unwanted\r", "the filters are unchanged")
    assert "ERROR: nobody wants that" in shown
    assert "INTERNALERROR" not in shown
    assert counts(desk.press("a")) == ["1 passed"]


def test_filter_hides_no_edit(three):
    """What a filter left out after an edit runs as soon as the filter is gone."""
    three.press("p", "path: ")
    three.press("test_c\r")
    three.edit({"lib.py": "VALUE = 2\n"})
    shown = three.press("c")
    assert status_lines(shown) == [
        "FAIL 1 failed, 1 passed in TIME · still failing: test_b.py::test_red · watching, h for help"
    ]


# ------------------------------------------------------------------------------------- while tests run


def waiting(desk, *args):
    """A watch whose first run waits in a test."""
    desk.write(WAITS | {"../wait": ""})
    desk.start(desk.command("--watch", *args))
    desk.says("../waits", "waits")
    return desk


@pytest.mark.parametrize("slots", [1, 2])
def test_what_is_running(desk, slots):
    waiting(desk, f"--hotreload-slots={slots}")
    shown = desk.press("s", "about to wait")
    found = re.search(r"  test_waits\.py::test_waits \(process (\d+), (\d+\.\d) s\): about to wait", shown)
    assert found
    assert int(found[1]) in desk.term.processes()
    assert float(found[2]) < 30
    (desk.root.parent / "wait").unlink()
    desk.term.wait_for(re.compile("PASS.*" + WATCHING))
    assert desk.press("s", "nothing is running") == "nothing is running\n"


def test_what_is_running_in_place(desk):
    """One file alone runs in the rerun's own process."""
    desk.write(WAITS)
    desk.watch()
    (desk.root.parent / "waits").unlink()
    desk.write({"../wait": ""})
    desk.write({"test_waits.py": WAITS["test_waits.py"] + "\n"})
    desk.says("../waits", "waits")
    shown = desk.press("s", re.compile(r"test_waits.*\n"))
    assert re.search(r"  test_waits\.py::test_waits \(process \d+, \d+\.\d s\): about to wait", shown)
    with desk.seeing() as seen:
        (desk.root.parent / "wait").unlink()
    assert counts(seen[0]) == ["1 passed"]


@pytest.mark.parametrize("slots", [1, 2])
def test_run_key_cancels_the_run(desk, slots):
    waiting(desk, f"--hotreload-slots={slots}")
    mark = desk.term.mark()
    (desk.root.parent / "waits").unlink()
    desk.term.press("a")
    desk.says("../torn-down", "torn down")
    desk.says("../waits", "waits")
    with desk.seeing() as seen:
        (desk.root.parent / "wait").unlink()
    assert "KeyboardInterrupt" in desk.term.text(mark)
    assert counts(seen[0]) == ["2 passed"]


def test_run_key_cancels_a_run_in_place(desk):
    desk.write(WAITS)
    desk.watch()
    (desk.root.parent / "torn-down").unlink()
    (desk.root.parent / "waits").unlink()
    desk.write({"../wait": ""})
    desk.write({"test_waits.py": WAITS["test_waits.py"] + "\n"})
    desk.says("../waits", "waits")
    (desk.root.parent / "waits").unlink()
    desk.term.press("a")
    desk.says("../torn-down", "torn down")
    desk.says("../waits", "waits")
    with desk.seeing(re.compile("PASS.*" + WATCHING)) as seen:
        (desk.root.parent / "wait").unlink()
    assert counts(seen[0]) == ["2 passed"]


def test_pause(desk):
    """Edits are kept, and run when it goes on."""
    desk.write(THREE)
    desk.watch()
    assert desk.press("P", "resumes\n") == "paused: edits are kept, P resumes\n"
    mark = desk.term.mark()
    desk.write({"test_c.py": "def test_c(): assert 0\n"})
    desk.write({"lib.py": "VALUE = 2\n"})
    desk.press("h", "q  quit")
    assert "RERUN" not in desk.term.text(mark)
    shown = desk.press("P", re.compile("FAIL.*" + WATCHING))
    assert counts(shown) == ["2 failed, 1 passed"]
    assert re.search(r"^RERUN lib\.py, test_c\.py → 2 of 3 test files", shown, re.MULTILINE)


def test_quit_during_a_run(desk):
    waiting(desk)
    desk.term.press("q")
    assert desk.term.wait() == 1  # nobody knows
    desk.left_behind()
