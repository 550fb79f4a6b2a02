"""Runs that a server has begun ahead: what runs is what is on the disk, and what leaves something is not ahead."""

from __future__ import annotations

import os
import re

import pytest

from .preparing import FILES, SAYS, WORDS, prepare, said, values
from .processes import until
from .serving import Place
from .test_attach_meeting import another_environment


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path, FILES) as place:
        place.serve()
        yield place


# ------------------------------------------------------------------------------------- edits


def rewrite(file, text):
    """Write a file with the time and the size that it had: an interpreter would take its old bytecode."""
    before = file.stat()
    file.write_text(text)
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["helper.py", "deep.py", "test_a.py"])
def test_an_edit_is_seen_at_once(place, name):
    prepare(place)
    for value in "23":
        file = place.root / name
        text = re.sub(r"helper.VALUE(, \d)?, deep", f"helper.VALUE, {value}, deep", file.read_text())
        file.write_text(re.sub(r"VALUE = \d", f"VALUE = {value}", text))
        wanted = {"helper.py": f"{value} 1", "deep.py": f"1 {value}", "test_a.py": f"1 {value} 1"}
        assert values(place, "test_a.py::test_a") == wanted[name]
        until(lambda: said(place, "test_a.py::test_a").startswith("ahead"), "it is imported ahead again")


def test_an_edit_that_time_and_size_do_not_show(place):
    prepare(place)
    rewrite(place.root / "deep.py", "VALUE = 7\n")
    assert values(place, "test_a.py::test_a") == "1 7"


def test_a_file_that_is_written_again(place):
    prepare(place)
    for name in ("deep.py", "helper.py", "test_a.py"):
        (place.root / name).write_text((place.root / name).read_text())
    assert said(place, "test_a.py::test_a") == "ahead 1 1"


def test_a_conftest_that_appears(place):
    place.write({"sub/test_c.py": SAYS + "def test_a(): print(said())\n"})
    prepare(place, "sub/test_c.py")
    place.write({"sub/conftest.py": "print('appeared')\n"})
    assert said(place, "sub/test_c.py") == "appeared"


def test_a_module_that_appears(place):
    """It is found before the one that was imported."""
    place.write(
        {
            "later/found.py": "VALUE = 'later'\n",
            "test_c.py": SAYS + "import sys\nsys.path[1:1] = ['first', 'later']\nimport found\n"
            "def test_a(): print(said(), found.VALUE)\n",
            "first/other.py": "",
        }
    )
    prepare(place, "test_c.py")
    assert said(place, "test_c.py") == "ahead later"
    place.write({"first/found.py": "VALUE = 'first'\n"})
    assert values(place, "test_c.py") == "first"


def test_a_module_that_disappears(place):
    prepare(place)
    (place.root / "deep.py").unlink()
    plain, attached = (place.say(each, *WORDS, "test_a.py::test_a") for each in ("pytest", "run"))
    assert attached == plain
    assert "No module named 'deep'" in attached.out


def test_files_that_are_read_at_import(place):
    """Also one that did not exist, and a folder that was listed."""
    place.write(
        {
            "data.txt": "1",
            "folder/one": "",
            "test_c.py": SAYS + "import os\nfrom pathlib import Path\n"
            "def read(name):\n    try: return open(name).read()\n    except OSError: return 'none'\n"
            "FOUND = read('data.txt'), read('more.txt'), *sorted(os.listdir('folder'))\n"
            "def test_a(): print(said(), *FOUND)\n",
        }
    )
    for file, text, now in (
        ("data.txt", "2", "2 none one"),
        ("more.txt", "3", "2 3 one"),
        ("folder/two", "", "2 3 one two"),
    ):
        prepare(place, "test_c.py")
        assert said(place, "test_c.py").startswith("ahead")
        place.write({file: text})
        assert values(place, "test_c.py") == now


def test_a_file_that_is_only_looked_for(place):
    place.write({"test_c.py": SAYS + "FOUND = os.path.exists('flag')\ndef test_a(): print(said(), FOUND)\n"})
    for now in ("True", "False"):
        prepare(place, "test_c.py")
        if now == "True":
            place.write({"flag": ""})
        else:
            (place.root / "flag").unlink()
        assert values(place, "test_c.py") == now


def test_what_is_asked_of_files(place):
    """Of files elsewhere, which are not opened. A module that took a function of ``os`` has that of the interpreter."""
    place.write(
        {
            "apart/sized": "",
            "apart/tool": "",
            "test_c.py": SAYS + "import posix, shutil\nfrom os import stat\n"
            "FOUND = os.path.exists('apart/flag'), os.path.getsize('apart/sized')\n"
            "TOOL = shutil.which('tool', path='apart')\n"
            "def test_a(): print(said(), *FOUND, TOOL, stat is os.stat is posix.stat)\n",
        }
    )
    changes = (
        lambda folder: (folder / "flag").write_text(""),
        lambda folder: (folder / "sized").write_text("1"),
        lambda folder: (folder / "tool").chmod(0o755),
    )
    for change, now in zip(changes, ("True 0 None", "True 1 None", "True 1 apart/tool"), strict=True):
        prepare(place, "test_c.py")
        assert said(place, "test_c.py").startswith("ahead")
        change(place.root / "apart")
        assert values(place, "test_c.py") == f"{now} True"


def test_an_installed_file_that_is_edited(tmp_path):
    """No installer did it, so nothing but the file shows it."""
    with Place(tmp_path, FILES) as place:
        place.python, packages = another_environment(place)
        (packages / "theirs.py").write_text("VALUE = 1\n")
        place.write({"test_c.py": SAYS + "import theirs\ndef test_a(): print(said(), theirs.VALUE)\n"})
        place.serve()
        prepare(place, "test_c.py")
        (packages / "theirs.py").write_text("VALUE = 20\n")
        ran = place.say("run", *WORDS, "test_c.py")
        assert (ran.status, ran.out.split()[1]) == (0, "20")


def test_an_ini_file_that_changes(place):
    prepare(place)
    place.write({"pytest.ini": "[pytest]\naddopts = -vv\n"})
    ran = place.say("run", *WORDS, "test_a.py")
    assert "test_a.py::test_a " in ran.out


def test_a_file_that_did_not_compile(place):
    """It is tried again when it is mended."""
    good = (place.root / "test_a.py").read_text()
    prepare(place)
    place.write({"test_a.py": "def\n"})
    assert place.say("run", *WORDS, "test_a.py").status == 2
    until(lambda: "not imported ahead: test_a.py, because SyntaxError" in place.say("status").out, "refused")
    place.write({"test_a.py": good})
    prepare(place)
    assert said(place, "test_a.py::test_a") == "ahead 1 1"


# ------------------------------------------------------------------------------------- what is not ahead


@pytest.mark.parametrize("where", ["test_c.py", "conftest.py"])
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print('said')", "it printed something"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=[600], daemon=True).start()",
            "thread",
        ),
        ("FILE = open(__file__)", "open"),
        ("import socket\nPAIR = socket.socketpair()", "open"),
        ("import subprocess\nsubprocess.run(['true'])", "did more than to read"),
        ("open('written', 'w').close()", "did more than to read"),
        ("import random\nrandom.seed(7)", "random numbers"),
        ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)", "SIGINT"),
        *(
            (f"import signal\nsignal.setitimer(signal.{timer}, 600)", "set a timer")
            for timer in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
        ),
        ("import mmap\nMAP = mmap.mmap(-1, 4096)", "shares memory"),
    ],
    ids=lambda value: value.split("\n")[-1][:40],
)
def test_imports_that_leave_something(place, code, why, where):
    files = {"test_c.py": "def test_a(): pass\n", "conftest.py": ""}
    place.write({**files, where: f"{code}\n{files[where]}"})
    refused = place.refused(*WORDS, "test_c.py")
    assert why in refused
    assert refused.startswith("test_c.py, because" if where == "test_c.py" else "the conftests, because")
    for _ in range(2):
        plain, attached = (place.say(command, *WORDS, "test_c.py") for command in ("pytest", "run"))
        assert attached == plain


def test_warnings_of_imports(place):
    place.write({"test_c.py": "import warnings\nwarnings.warn('careful')\ndef test_a(): pass\n"})
    assert place.refused(*WORDS, "test_c.py") == "test_c.py, because it warned"
    assert "1 passed, 1 warning" in place.say("run", *WORDS, "test_c.py").out


@pytest.mark.parametrize(
    "hook",
    [
        "def pytest_configure(config): helper.VALUE = 2",
        "def pytest_sessionstart(session): helper.VALUE = 2",
        "def pytest_collection(session): helper.VALUE = 2",
        (
            "def pytest_configure(config): config.pluginmanager.register(Late())\n"
            "class Late:\n    def pytest_collectstart(self): helper.VALUE = 2"
        ),
    ],
)
def test_hooks_before_the_collection(place, hook):
    """The test file is imported behind them."""
    place.write({"conftest.py": f"import helper\n{hook}\n"})
    place.write(
        {"test_c.py": SAYS + "import helper\nTAKEN = helper.VALUE\ndef test_a(): print(said(), TAKEN)\n"}
    )
    for _ in range(4):
        assert said(place, "test_c.py") == "here 2"


def test_a_hook_that_declares_markers(place):
    place.write(
        {
            "conftest.py": "import helper\ndef pytest_configure(config):\n"
            "    config.addinivalue_line('markers', 'slow: takes long')\n"
        }
    )
    prepare(place)
    assert said(place, "test_a.py::test_a") == "ahead 1 1"


def test_variables_that_a_plugin_sets(place):
    """Between the conftests and the import of the test file, which reads one."""
    place.python, packages = another_environment(place)
    (packages / "sets.py").write_text("import os\ndef pytest_sessionstart(): os.environ['VALUE'] = 'set'\n")
    place.write({"test_c.py": SAYS + "VALUE = os.environ.get('VALUE')\ndef test_a(): print(said(), VALUE)\n"})
    place.say("stop")
    place.environ["PYTEST_PLUGINS"] = "sets"
    place.serve()
    reason = "test_c.py, because it reads a variable that is set when pytest is configured"
    assert place.refused(*WORDS, "test_c.py") == reason
    assert said(place, "test_c.py") == "here set"


def test_a_file_of_another_name(place):
    """Its assertions are rewritten only because it is named."""
    place.write({"checks.py": SAYS + "def test_a(): assert [1] == [2]\n"})
    assert "its name is none of python_files" in place.refused(*WORDS, "checks.py")
    plain, attached = (place.say(command, *WORDS, "checks.py") for command in ("pytest", "run"))
    assert attached == plain
    assert "At index 0 diff: 1 != 2" in attached.out
