"""Options, invalid input, the closing line, and the second run after a signal or a hang."""

from __future__ import annotations

import re

import pytest

SMALL = {"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): assert 0\n"}
BAD = {
    "--hotreload-slots=0": "--hotreload-slots is '0', not a number from 1 to 1024",
    "--hotreload-slots=x": "--hotreload-slots is 'x', not a number from 1 to 1024",
    "--hotreload-timeout=-1": "--hotreload-timeout is '-1', not a number of seconds above 0",
    "--hotreload-timeout=abc": "--hotreload-timeout is 'abc', not a number of seconds above 0",
    "--hotreload-timeout=nan": "--hotreload-timeout is 'nan', not a number of seconds above 0",
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_values_are_one_line(project, argument):
    project.write(SMALL)
    ours = project.run(argument, slots=2)
    assert not ours.lines
    (line,) = [each for each in ours.errors if each]
    assert line.startswith(f"ERROR: hotreload: {BAD[argument]}; hint: ")
    assert ours.status == 4


def test_an_unknown_isolation(project):
    project.write(SMALL)
    ours = project.run("--hotreload-isolate=nothing", slots=2)
    assert any("--hotreload-isolate: invalid choice: 'nothing'" in line for line in ours.errors)
    assert ours.status == 4


def test_a_free_threaded_build_is_refused(project):
    project.write({**SMALL, "free_threaded.py": "import sys\nsys.abiflags = 't'\n"})
    ours = project.run("-p", "free_threaded", slots=2)
    assert not ours.lines
    (line,) = [each for each in ours.errors if each]
    assert re.fullmatch(r"ERROR: hotreload: this Python 3\.\d+ is a free-threaded build, .*; hint: .*", line)
    assert ours.status == 4


def test_a_path_that_does_not_exist(project):
    project.write(SMALL)
    plain, ours = project.both("nowhere.py", slots=2)
    assert ours.status == plain.status == 4
    assert ours.errors == plain.errors
    assert ours.lines == plain.lines


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"test_a.py": "long", "test_b.py": NaN, "x": 1e999}', "\0"])
def test_a_corrupt_cache(project, text):
    project.write({
        **SMALL,
        ".pytest_cache/v/hotreload/durations": text,
        ".pytest_cache/v/hotreload/learned": text,
        ".pytest_cache/d/hotreload/hotreload-imports-v1.json": text,
    })  # fmt: skip
    _, ours = project.same(slots=2)
    assert len(ours.notices) == 3, "header, records and closing line"
    assert set(ours.json(".pytest_cache/v/hotreload/durations")) >= {"test_a.py", "test_b.py"}


def test_a_cache_folder_that_is_a_file(project):
    project.write({**SMALL, ".pytest_cache": "a file"})
    plain, ours = project.both(slots=2)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert len(ours.warnings) == len(plain.warnings)
    (line,) = [each for each in ours.notices if "cache" in each]
    assert line.startswith("hotreload: the cache folder can't be written (")


def test_the_ini_and_its_undoing(project):
    project.write({**SMALL, "pytest.ini": "[pytest]\nhotreload = true\n"})
    on = project.run("-v", slots=None)
    assert on.notices[-1].startswith("hotreload: 2 files in 2 children")
    off = project.run("--no-hotreload", slots=None)
    assert not off.notices
    assert on.outcomes == off.outcomes


def test_options_from_the_environment(project):
    project.write(SMALL)
    project.environ = {"PYTEST_ADDOPTS": "--hotreload --hotreload-slots=1"}
    assert project.run(slots=None).notices[-1] == "hotreload: 2 files in 2 children"


@pytest.mark.parametrize("dest", ["", ', dest="other"'])
def test_another_plugin_owns_the_short_name(project, dest):
    owner = f"def pytest_addoption(parser): parser.addoption('--hotreload', action='store_true'{dest})\n"
    project.write({**SMALL, "owner.py": owner})
    project.outside = ["."]
    command = project.command

    def with_owner_first(args, slots):
        words = command(args, None)
        return [*words[:3], "-p", "owner", *words[3:]]

    project.command = with_owner_first
    theirs = project.run("--hotreload", slots=None)
    assert not theirs.notices
    assert theirs.status == 1, theirs.errors
    ours = project.run("--hotreload-on", "--hotreload-slots=1", slots=None)
    assert ours.notices[-1] == "hotreload: 2 files in 2 children"
    assert ours.outcomes == theirs.outcomes


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "2 files in 2 children"),
        (["--hotreload-isolate=test"], "2 files in 3 children"),
        (["--hotreload-isolate=worker"], "2 files in 1 child"),
        (["test_a.py"], "1 file in 1 child"),
    ],
)
def test_the_closing_line(project, arguments, line):
    project.write({**SMALL, "test_b.py": "def test_b(): pass\ndef test_c(): pass\n"})
    assert project.run(*arguments, slots=1).notices[-1] == f"hotreload: {line}"
    files = line.partition(" in ")[0]
    last = project.run(*arguments, slots=2).notices[-1]
    assert re.match(rf"hotreload: {files} in \d child(ren)?( · .* s of CPU saved|$)", last)
    assert not project.run("-q", slots=1).notices


CRASH = """
    import os, signal
    from pathlib import Path

    def test_before(): pass
    def test_dies():
        {when}
        os.kill(os.getpid(), signal.SIGSEGV)
    def test_after(): pass
"""
AGAIN = (
    "the process of test_dies was killed by SIGSEGV (signal 11); "
    "the test ran again in a fresh process, and that result is used"
)


@pytest.mark.parametrize("once", [True, False])
def test_a_signal_gets_a_second_try(project, slots, once):
    marker = "\n        if Path('tried').exists(): return\n        Path('tried').touch()"
    project.write(
        {"test_a.py": CRASH.format(when=marker if once else ""), "test_b.py": "def test_b(): pass\n"}
    )
    ours = project.run(slots=slots)
    assert [each for each in ours.notices if "ran again" in each] == [f"hotreload: test_a.py: {AGAIN}"]
    assert ours.lines[-1] == ("== 4 passed in TIME ==" if once else "== 1 failed, 3 passed in TIME ==")
    assert ours.status == (0 if once else 1)
    dies = ours.outcomes["test_a.py::test_dies"]
    assert [each for each in dies if each[0] == "call"] == [("call", "passed" if once else "failed")]
    if not once:
        assert "was killed by SIGSEGV (signal 11) during call" in ours.output


HANG = {
    "impatient.py": "from pytest_hotreload.run import timeouts\ntimeouts.HANG_SECONDS = 1.0\n",
    "test_a.py": """
        import time
        from pathlib import Path

        def test_before(): pass
        def test_hangs():
            if not Path("tried").exists():
                Path("tried").touch()
                time.sleep(2.5)
            else:
                Path("again").touch()
    """,
}
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


@pytest.mark.parametrize("threads", [True, False])
def test_a_hang_after_a_fork_with_threads(project, slots, threads):
    project.write({**HANG, "conftest.py": THREAD if threads else ""})
    project.plugins, project.outside = ["impatient"], ["."]
    ours = project.run(slots=slots)
    assert ours.lines[-1] == "== 2 passed in TIME =="
    told = [each for each in ours.notices if "ran again" in each]
    assert (ours.root / "again").exists() is threads
    if threads:
        (line,) = told
        assert "the process of test_hangs used no CPU time for 1 s after a fork" in line
        assert line.endswith("the test ran again in a fresh process, and that result is used")
    else:
        assert not told
