"""Attached runs equal plain pytest: outcomes, output, files, exit status, and everything from the client."""

from __future__ import annotations

import re

import pytest

from .serving import Place, wait_for

COLD = "hotreload: no watch or serve in this project: starting a cold run\n"
FILES = {
    "conftest.py": "import pytest\n@pytest.fixture\ndef three():\n    yield 3\n    print('torn down')\n",
    "test_kinds.py": """
import sys, warnings
import pytest

def test_passes(three):
    print("said", file=sys.stderr)

def test_fails(three):
    print("before")
    assert [three] == [4]

@pytest.mark.skip(reason="not now")
def test_skipped():
    pass

@pytest.mark.xfail
def test_expected():
    raise ValueError

def test_warns():
    warnings.warn("careful")

@pytest.mark.parametrize("word", ["a", "ü"])
def test_words(word):
    assert word == "a"
""",
    "sub/test_more.py": "def test_more(): pass\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("attached"), FILES) as place:
        place.serve()
        yield place


@pytest.mark.parametrize(
    "arguments",
    [
        ("-v",),
        ("-rA", "-q", "--color=yes"),
        ("-x", "-vv", "--setup-show"),
        ("-k", "words or more"),
        ("-k", "nothing"),
        ("--no-such-option",),
        ("missing.py",),
        ("--collect-only", "sub"),
        ("--version",),
        ("-s", "-v", "--tb=short"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_plain_and_attached(place, arguments):
    words = ("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)
    plain, attached = place.say("pytest", *words), place.say("run", *words)
    assert attached == plain


@pytest.mark.parametrize("words", [("-n", "2"), ("--hotreload", "--hotreload-slots=2")], ids=" ".join)
def test_in_parallel(place, words):
    arguments = ("-p", "no:cacheprovider", "-p", "no:randomly", *words)
    plain, attached = place.say("pytest", *arguments), place.say("run", *arguments)
    counts = [
        re.findall(r"= (\d.*) in TIME", ran.out) or re.findall(r"== (\d.*) ==", ran.out)
        for ran in (plain, attached)
    ]
    assert counts[0] == counts[1]
    assert "2 failed, 4 passed, 1 skipped, 1 xfailed, 1 warning" in attached.out
    assert (attached.status, attached.err) == (plain.status, plain.err) == (1, "")


def test_coverage(place):
    pytest.importorskip("pytest_cov")
    words = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--cov=.", "--cov-report=term-missing")
    plain, attached = place.say("pytest", *words), place.say("run", *words)
    assert attached == plain
    assert "test_kinds.py" in plain.out.partition("coverage:")[2]


def test_junit_file(place):
    def written(command):
        place.say(command, "-p", "no:cacheprovider", "-p", "no:randomly", "--junitxml=junit.xml")
        text = (place.root / "junit.xml").read_text()
        return re.sub(r'(time|timestamp)="[^"]*"', "", text)

    plain = written("pytest")
    assert written("run") == plain
    assert 'tests="8"' in plain


def test_last_failed_is_of_the_project(place):
    place.say("run", "-q", "-p", "no:randomly")
    again = place.say("run", "-q", "-p", "no:randomly", "--lf")
    assert again.status == 1
    assert "2 failed in TIME" in again.out


def test_what_the_caller_gives(place):
    place.write(
        {
            "sub/given.py": """
import os, sys
def test_given():
    assert sys.stdin.read() == "typed\\n"
    os.close(os.open("made", os.O_CREAT, 0o666))
    seen = os.getcwd(), ascii(os.environ["OWN"]), oct(os.stat("made").st_mode), sys.path[0]
    os.remove("made")
    sys.__stdout__.write(f"{seen}\\n")
"""
        }
    )
    words = ("-q", "-s", "-p", "no:randomly", "given.py")
    ran = {}
    for command in ("pytest", "run"):
        ran[command] = place.say(command, *words, cwd="sub", given="typed\n", OWN="ü\udce4 = x")
    assert ran["run"] == ran["pytest"]
    seen = ("<root>/sub", ascii("ü\udce4 = x"), "0o100644", "<root>/sub")
    assert ran["run"].out.splitlines()[0] == str(seen)
    assert ran["run"].status == 0


def test_the_environment_is_the_callers_alone(place):
    place.write(
        {
            "environ.py": "import os\ndef test_it(): print(*sorted(map('='.join, os.environ.items())), sep='\\n')\n"
        }
    )
    words = ("-q", "-s", "environ.py", "-p", "no:randomly")
    plain, attached = place.say("pytest", *words, OWN="1"), place.say("run", *words, OWN="1")
    assert attached.out == plain.out
    assert "\nOWN=1\n" in attached.out


def test_interpreter_ends_as_ever(place):
    place.write(
        {
            "ends.py": """
import atexit, threading, time
def test_it():
    atexit.register(print, "at exit", flush=True)
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread", flush=True))).start()
    open("unclosed", "w").write("kept")
"""
        }
    )
    ran = place.say("run", "-q", "-s", "ends.py")
    assert ran.out.splitlines()[-2:] == ["thread", "at exit"]
    assert (place.root / "unclosed").read_text() == "kept"


def test_two_at_once(place):
    place.write(
        {
            "meet.py": """
import os, pathlib, time
def test_meet():
    pathlib.Path("meet-" + os.environ["ME"]).write_text(f"{os.getpid()}\\n")
    while not pathlib.Path("meet-" + os.environ["OTHER"]).exists():
        time.sleep(0.01)
"""
        }
    )
    one = place.begin("run", "-q", "meet.py", ME="one", OTHER="two")
    two = place.begin("run", "-q", "meet.py", ME="two", OTHER="one")
    assert [place.end(each).status for each in (one, two)] == [0, 0]
    assert wait_for(place.root / "meet-one") != wait_for(place.root / "meet-two")


def test_from_a_folder_below(place):
    ran = place.say("run", "-q", "test_more.py", cwd="sub")
    assert (ran.status, ran.err) == (0, "")


def test_random_numbers_differ(place):
    place.write(
        {"draw.py": "import random, sys\ndef test_it(): sys.__stdout__.write(f'|{random.random()}|')\n"}
    )
    drawn = {place.say("run", "-q", "-s", "-p", "no:randomly", "draw.py").out.split("|")[1] for _ in range(3)}
    assert len(drawn) == 3


def test_an_edited_plugin_of_the_project(tmp_path):
    files = {
        "pytest.ini": "[pytest]\naddopts = -p ours\n",
        "ours.py": "def pytest_report_header(): return 'one'\n",
        "test_a.py": "def test_a(): pass\n",
    }
    with Place(tmp_path, files) as place:
        place.serve(PYTHONPATH=path(place))
        assert "\none\n" in place.say("run", PYTHONPATH=path(place)).out
        place.write({"ours.py": "def pytest_report_header(): return 'other'\n"})
        ran = place.say("run", PYTHONPATH=path(place))
        assert "\nother\n" in ran.out
        assert ran.err == ""


def path(place):
    return ":".join(filter(None, [str(place.root), place.environ.get("PYTHONPATH", "")]))


def test_what_runs_import_is_learned(tmp_path):
    """By the second run that had to import it."""
    test = (
        "from pytest_hotreload.process import adoption\n"
        "def test_a():\n    print('|', adoption.is_warm('imaplib'), '|')\n    import imaplib\n"
    )
    with Place(tmp_path, {"test_a.py": test}) as place:
        place.serve()
        assert [place.say("run", "-q", "-s").out.split()[1] for _ in range(3)] == ["False", "False", "True"]
