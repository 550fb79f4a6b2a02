"""Runs that a server has begun ahead: they equal plain pytest, and end as it does."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from .preparing import FILES, SAYS, WORDS, prepare, said
from .processes import until
from .serving import Place, wait_for
from .test_attach_lives import HANGS, is_gone, terminal
from .test_attach_same import FILES as KINDS


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path, FILES) as place:
        place.serve()
        yield place


# ------------------------------------------------------------------------------------- which runs


def test_the_same_file(place):
    assert said(place, "test_a.py::test_a") == "here 1 1"
    prepare(place)
    assert said(place, "test_a.py::test_a") == "ahead 1 1"
    assert said(place, "test_a.py::test_b") == "ahead"
    assert said(place, "test_a.py") == "ahead 1 1"


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("-v", "test_a.py"), {}),
        (("test_a.py", "test_other.py"), {}),
        (("test_other.py",), {}),
        ((".",), {}),
        (("./test_a.py",), {}),
        (("test_a.py",), {"READ": "1"}),
        (("test_a.py",), {"PYTEST_OWN": "1"}),
    ],
    ids=str,
)
def test_other_runs(place, words, environ):
    """They import for themselves."""
    prepare(place)
    ran = place.say("run", *WORDS, *words, **environ)
    assert ran.status == 0
    assert "here" in ran.out
    assert "ahead" not in ran.out


def test_variables_that_do_not_matter(place):
    prepare(place)
    assert said(place, "test_a.py", COLUMNS="60", LINES="7", SHLVL="9") == "ahead 1 1"


def test_variables_that_matter_if_they_are_read(place):
    place.write(
        {"test_c.py": SAYS + "WIDTH = os.environ.get('COLUMNS')\ndef test_a(): print(said(), WIDTH)\n"}
    )
    prepare(place, "test_c.py", COLUMNS="60")
    assert said(place, "test_c.py", COLUMNS="60") == "ahead 60"
    assert said(place, "test_c.py", COLUMNS="70") == "here 70"


def test_variables_that_nothing_has_read(place):
    """The run has its own, also those that are missing in it."""
    place.write(
        {
            "test_c.py": SAYS + "def test_a(): print(said(), *map(os.environ.get, ('ONE', 'TWO', 'SET')))\n",
            "conftest.py": "import os\nos.environ['SET'] = 'by the conftest'\n",
        }
    )
    prepare(place, "test_c.py", ONE="1", SET="0")
    assert said(place, "test_c.py", ONE="1", SET="0") == "ahead 1 None by the conftest"
    assert said(place, "test_c.py", TWO="2", SET="0") == "ahead None 2 by the conftest"


def test_variables_that_native_code_reads(place, tmp_path_factory):
    """They are not seen to be read: a run with other ones imports the file itself."""
    place.write(
        {
            "test_c.py": SAYS + "import tempfile, time\nHOUR = time.localtime(0).tm_hour\n"
            "def test_a(): print(said(), HOUR, time.localtime(0).tm_hour, time.timezone, tempfile.gettempdir())\n"
        }
    )
    folders = [str(tmp_path_factory.mktemp("temporary")) for _ in range(2)]
    here = {"TZ": "UTC", "TMPDIR": folders[0]}
    prepare(place, "test_c.py", **here)
    assert said(place, "test_c.py", **here) == f"ahead 0 0 0 {folders[0]}"
    assert said(place, "test_c.py", **here | {"TZ": "Asia/Tokyo"}) == f"here 9 9 -32400 {folders[0]}"
    assert said(place, "test_c.py", **here | {"TMPDIR": folders[1]}) == f"here 0 0 0 {folders[1]}"


def test_all_variables(place):
    """A module that has read all of them is imported again where any other one differs."""
    place.write({"test_c.py": SAYS + "ALL = dict(os.environ)\ndef test_a(): print(said(), ALL.get('ONE'))\n"})
    prepare(place, "test_c.py", ONE="1")
    assert said(place, "test_c.py", ONE="1") == "ahead 1"
    assert said(place, "test_c.py", ONE="2") == "here 2"


@pytest.mark.parametrize("number", ["1", "2"])
@pytest.mark.slow
def test_with_hotreload(place, number):
    """The test runs in a child, as in any such run; its record is of what is on the disk."""
    words = ("-q", "-s", "--hotreload", f"--hotreload-slots={number}")
    place.write(
        {
            "test_a.py": "import os, helper, deep\nHERE = os.getpid()\n"
            "def test_a(): print(HERE, helper.VALUE, deep.VALUE)\ndef test_b(): pass\n"
        }
    )
    time.sleep(2.1)  # records of younger files do not hold
    place.prepare(*words, "test_a.py::test_a", file="test_a.py")
    # The first runs report modules to import ahead, and the processes are prepared anew.
    ran = [place.prepare(*words, "test_a.py", file="test_a.py") for _ in range(5)]
    fresh = place.say("pytest", *words, "--affected", "test_a.py")
    assert (fresh.status, "2 deselected" in fresh.out) == (0, True), fresh.out
    plain = place.say("pytest", *words, "test_a.py")
    assert {each.status for each in (*ran, plain)} == {0}
    *_, last, again = (importer(each.out) for each in ran)
    assert last == again
    assert importer(plain.out) != last
    assert {unlike(each.out) for each in ran} == {unlike(plain.out)}
    place.write({"deep.py": "VALUE = 5\n"})
    assert " 1 5" in place.say("run", *words, "test_a.py").out
    place.write({"deep.py": "VALUE = 6\n"})
    affected = place.say("pytest", *words, "--affected", "test_a.py")
    assert (affected.status, " 1 6" in affected.out) == (0, True)


def importer(text):
    """The process that imported the test file."""
    return next(word for word in text.split() if word.strip(".").isdigit()).strip(".")


def unlike(text):
    """Output without process ids and the processor time of a run."""
    return re.sub(r"\d{3,}|\d+\.\d+ s of CPU.*", "N", text)


@pytest.mark.parametrize(
    "option",
    ["--hotreload-json=out.json", "--hotreload-isolate=strict", "--affected", "--hotreload-start=spawn"],
)
def test_options_of_hotreload_that_do_more(place, option):
    refused = place.refused(*WORDS, "--hotreload", option, "test_a.py")
    assert refused == "the conftests, because its options do more than to run tests in forks"


# ------------------------------------------------------------------------------------- the same as plain pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("-v",),
        ("-rA", "-q", "--color=yes"),
        ("-x", "-vv", "--setup-show"),
        ("-k", "words or fails"),
        ("-k", "nothing"),
        ("-s", "-v", "--tb=short"),
        ("--collect-only",),
        ("--capture=sys",),
        ("--junitxml=out.xml",),
        ("-W", "error"),
        ("--import-mode=importlib",),
        ("--cov=.",),
    ],
    ids=" ".join,
)
def test_plain_and_prepared(tmp_path, arguments):
    """In each run: the first, which prepares the others if it can, and the two after it."""
    with Place(tmp_path, KINDS) as place:
        place.serve()
        words = ("-p", "no:cacheprovider", "-p", "no:randomly", *arguments, "test_kinds.py")
        plain = place.say("pytest", *words)
        assert place.say("run", *words) == plain
        until(lambda: "imported ahead: " in place.say("status").out, "it is prepared, or refused")
        assert place.say("run", *words) == plain
        assert place.say("run", *words) == plain


SEES = """
import atexit, gc, os, random, sys
import pytest

class Mine: pass
KEPT = Mine()
atexit.register(print, "at exit")

def test_sees(request, pytestconfig, recwarn):
    print(sys.argv[1:], pytestconfig.args, pytestconfig.invocation_params.args, pytestconfig.option.file_or_dir)
    print(pytestconfig.known_args_namespace.file_or_dir, request.session.name, request.node.nodeid)
    print([type(each).__name__ for each in gc.get_objects() if type(each) is Mine])
    print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering, os.getcwd(), __name__)
    print(sorted(os.environ.items()), sys.path, sys.flags, len(os.listdir("/proc/self/task")))
    print(sys.gettrace(), sys.getprofile(), [hook.__class__.__name__ for hook in sys.meta_path])

def test_other(request):
    print(sys.argv[1:], request.config.args)
"""


def test_what_a_test_sees(tmp_path):
    with Place(tmp_path, {"test_sees.py": SEES}) as place:
        place.serve()
        place.prepare(*WORDS, "test_sees.py", file="test_sees.py")
        for test in ("test_sees.py::test_sees", "test_sees.py::test_other", "test_sees.py"):
            plain, attached = (place.say(each, *WORDS, test, COLUMNS="70") for each in ("pytest", "run"))
            assert attached.out.splitlines() == plain.out.splitlines()
            assert attached == plain


def test_standard_input(place):
    place.write(
        {
            "test_c.py": SAYS + "import sys\ndef test_a(): pass\ndef test_reads():\n    print(said())\n"
            "    assert sys.stdin.read() == 'typed\\n'\n    assert sys.__stdout__.fileno() == 1\n"
        }
    )
    prepare(place, "test_c.py")
    ran = place.say("run", *WORDS, "test_c.py::test_reads", given="typed\n")
    assert (ran.status, ran.out.split()[0].strip(".")) == (0, "ahead")


@pytest.mark.slow
def test_more_files_than_are_kept(place):
    """The file that was used last is dropped last."""
    names = [f"test_{letter}.py" for letter in "cdefg"]
    place.write(dict.fromkeys(names, SAYS + "def test_a(): print(said())\n"))
    for name in names:
        prepare(place, name)
        if name != names[0]:
            assert said(place, names[0]) == "ahead"
    assert said(place, names[1]) == "here"


def test_random_numbers_differ(place):
    place.write({"test_c.py": SAYS + "import random\ndef test_a(): print(said(), random.random())\n"})
    prepare(place, "test_c.py")
    drawn = {said(place, "test_c.py") for _ in range(3)}
    assert len(drawn) == 3
    assert {each.split()[0] for each in drawn} == {"ahead"}


def test_two_at_once(place):
    place.write(
        {
            "test_meet.py": SAYS + "import pathlib, time\ndef test_a(): pass\n"
            "def test_meet():\n    print(said())\n    pathlib.Path(f'../meet-{os.getpid()}').touch()\n"
            "    while len(list(pathlib.Path('..').glob('meet-*'))) < 2: time.sleep(0.01)\n"
        }
    )
    prepare(place, "test_meet.py")
    runs = [place.begin("run", *WORDS, "test_meet.py::test_meet") for _ in range(2)]
    ended = [place.end(run) for run in runs]
    assert [(ran.status, ran.out.split()[0].strip(".")) for ran in ended] == [(0, "ahead")] * 2


# ------------------------------------------------------------------------------------- ends


def begun(place, test):
    """A prepared run of this test, when it runs: the caller, and the run's process."""
    place.write({"test_hangs.py": HANGS + "\ndef test_a(): pass\n"})
    prepare(place, "test_hangs.py")
    caller = place.begin("run", *WORDS, f"test_hangs.py::{test}")
    return caller, int(wait_for(place.root / "runs"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_run(place, number):
    caller, run = begun(place, "test_waits")
    caller.send_signal(number)
    ran = place.end(caller)
    if number == signal.SIGINT:
        assert ran.status == 2
        assert "KeyboardInterrupt" in ran.out
        assert (place.root / "cleaned").exists()
    else:
        assert ran.status == 128 + signal.SIGTERM
    assert is_gone(run)


def test_a_caller_that_dies(place):
    caller, run = begun(place, "test_waits")
    caller.kill()
    until(lambda: is_gone(run), "the run has ended")
    assert (place.root / "cleaned").exists()


def test_a_run_that_dies(place):
    place.write({"test_hangs.py": HANGS + "\ndef test_a(): pass\n"})
    prepare(place, "test_hangs.py")
    assert place.say("run", *WORDS, "test_hangs.py::test_aborts").status == 128 + signal.SIGABRT
    assert "imported ahead: test_hangs.py" in place.say("status").out


def test_a_run_that_is_under_way_when_its_file_changes(place):
    caller, run = begun(place, "test_waits")
    place.write({"test_hangs.py": "def test_a(): pass\n"})
    assert place.say("run", *WORDS, "test_hangs.py").status == 0
    assert not is_gone(run)
    caller.send_signal(signal.SIGINT)
    assert place.end(caller).status == 2


def test_a_daemon_that_a_run_leaves(place):
    place.write({"test_hangs.py": HANGS + "\ndef test_a(): pass\n"})
    prepare(place, "test_hangs.py")
    ran = place.say("run", *WORDS, "test_hangs.py::test_leaves_a_daemon")
    assert ran.status == 0
    assert "left a process behind; killed: sleep 600" in ran.err


def test_stop(place):
    prepare(place)
    server = int(place.say("status").out.partition("process ")[2].partition(",")[0])
    assert place.say("stop").status == 0
    until(lambda: set(place.alive()) <= {server}, "nothing but the server is left", 0.1)
    until(lambda: not place.alive(), "the server has ended")


def test_a_server_that_is_killed(place):
    prepare(place)
    server = int(place.say("status").out.partition("process ")[2].partition(",")[0])
    os.kill(server, signal.SIGKILL)
    until(lambda: not place.alive(), "all processes have ended")


def test_the_debugger(place):
    place.write(
        {
            "test_debugged.py": SAYS + "import shutil, sys\ndef test_a(): pass\n"
            "def test_seen():\n    seen = sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering\n"
            "    size = shutil.get_terminal_size().columns\n    value = 41\n    breakpoint()\n"
            "    assert (value, said(), size, seen) == (42, 'ahead', 77, (True, True, True))\n"
        }
    )
    prepare(place, "test_debugged.py", TERM="xterm")
    with terminal(place, "run", *WORDS, "test_debugged.py::test_seen") as desk:
        desk.wait_for("(Pdb)")
        since = desk.mark()
        desk.press("value = 42\r")
        desk.wait_for("(Pdb)", since=since)
        desk.press("c\r")
        desk.wait_for("1 passed")
        assert desk.wait() == 0
        assert "\x1b[32m" in desk.log
