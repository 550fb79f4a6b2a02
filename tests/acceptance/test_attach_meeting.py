"""Clients find the server of their project, interpreter and environment, in folders that others cannot write to."""

from __future__ import annotations

import os
import re
import site
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from .desk import WATCHING
from .processes import until
from .serving import Place, wait_for
from .terminals import Terminal

# pytest-xdist's workers have a thread; what is forked here executes another program at once.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

FILES = {
    "test_a.py": "def test_a(): pass\n",
    "far/below/test_b.py": "def test_b(): pass\n",
    "docs/guide.md": "",
}
READS = "import os\nMODE = os.environ.get('READS_MODE')\nos.environ['READS_SET'] = 'yes'\n"


STAYS = """
import os, pathlib, signal, time
def test_stays():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pathlib.Path("runs").write_text(f"{os.getpid()}\\n")
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path, FILES) as place:
        yield place


def runs(place, **environ):
    """What an attached run says of itself; its exit status is 0, cold or not."""
    ran = place.say("run", "-q", "-p", "no:cacheprovider", "test_a.py", **environ)
    assert ran.status == 0
    assert "1 passed" in ran.out
    return ran.err


def cold(reason):
    return f"hotreload: {reason}: starting a cold run\n"


# ------------------------------------------------------------------------------------- the project


def test_the_innermost_project_counts(place):
    outer = place.serve()
    (place.root / "far/pytest.ini").write_text("[pytest]\n")
    inner = place.begin("serve", cwd="far")
    assert "serving" in inner.stdout.readline()
    for cwd, server in (("far/below", inner), ("far", inner), (".", outer), ("docs", outer)):
        assert f"process {server.pid}," in place.say("status", cwd=cwd).out


def test_outside_of_the_project(place):
    place.serve()
    assert place.say("status", cwd="..").status == 1


def test_through_a_link(place):
    place.serve()
    (place.root.parent / "link").symlink_to(place.root)
    assert place.say("run", "-q", "test_b.py", cwd="../link/far/below").err == ""


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 8 itself ends in a traceback there")
def test_bad_arguments_of_serve(place):
    said = place.say("serve", "-c", "missing.ini")
    assert said.status == 4
    assert said.err.startswith("ERROR: Config file '<root>/missing.ini' not found.")


def test_idle_time_below_nothing(place):
    said = place.say("serve", "--idle", "-1")
    assert said.status == 2
    assert said.err.endswith("error: --idle is -1, not a number of minutes from 0 (0: never)\n")


def test_a_closed_stdin(place):
    place.serve()
    command = f'"{sys.executable}" -m pytest_hotreload_client run -q test_a.py <&-'
    ran = subprocess.run(
        ["sh", "-c", command], cwd=place.root, env=place.environ, text=True, capture_output=True, check=False
    )
    assert ran.stderr == cold("one of stdin, stdout and stderr is closed")
    assert ran.returncode == 0


# ------------------------------------------------------------------------------------- the environment


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHONHASHSEED", "7"), ("LD_SOMETHING", "x"), ("OMP_NUM_THREADS", "1"), ("LC_MONETARY", "x")],
)
def test_variables_that_are_read_once(place, name, value):
    del place.environ["PYTHONHASHSEED"]  # only the caller sets it
    place.serve()
    assert runs(place, **{name: value}) == cold(f"{name} differs from the template's")


def with_plugin(place, folder):
    """The variables of a run that has a plugin from there."""
    place.write({f"{folder}/reads.py": READS})
    path = ":".join(filter(None, [str(place.root / folder), place.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "PYTEST_PLUGINS": "reads"}


def test_variables_that_imported_modules_read(place):
    given = with_plugin(place, "site-packages")
    place.serve(**given, READS_MODE="one")
    assert runs(place, **given, READS_MODE="one", OTHER_MODE="two") == ""
    assert runs(place, **given, READS_MODE="two") == cold("READS_MODE differs from the template's")
    assert runs(place, **given) == cold("READS_MODE differs from the template's")


def test_variables_that_plugins_of_the_project_read(place):
    """Each run imports these by itself."""
    given = with_plugin(place, "plugins")
    place.write({"test_a.py": "import reads\ndef test_a(): assert reads.MODE == 'two'\n"})
    place.serve(**given, READS_MODE="one")
    assert runs(place, **given, READS_MODE="two") == ""


def test_variables_that_imported_modules_set(place):
    """They are set in an attached run as in a plain one."""
    given = with_plugin(place, "site-packages")
    place.write({"test_set.py": "import os\ndef test_set(): assert os.environ['READS_SET'] == 'yes'\n"})
    place.serve(**given)
    assert place.say("run", "-q", "test_set.py", **given)[0::2] == (0, "")


@pytest.mark.parametrize(
    "named",
    [
        {"PYTEST_PLUGINS": "pytest_hotreload.plugin", "PYTEST_ADDOPTS": ""},
        {"PYTEST_PLUGINS": "hotreload", "PYTEST_ADDOPTS": ""},
        {"PYTEST_ADDOPTS": "-p pytest_hotreload.plugin"},
    ],
    ids=["its module", "its name", "its module by -p"],
)
def test_the_plugin_under_a_name_that_others_give(place, named):
    """pytest refuses one plugin under two names."""
    place.serve(**named)
    assert runs(place, **named) == ""


def test_variables_that_do_not_matter(place):
    place.serve()
    assert runs(place, ANYTHING="else", COLUMNS="60", TERM="vt100", PATH="/nowhere") == ""


def test_flags_of_the_interpreter(place):
    server = place.begin("serve", PYTHONWARNINGS="error::ResourceWarning")
    assert "serving" in server.stdout.readline()
    assert runs(place).startswith("hotreload: this interpreter has another version or other flags than")


def test_watch_among_the_arguments(place):
    place.serve()
    ran = place.say("run", "--hotreload", "--watch", "--watch-first=none", CI="")
    assert ran.err == cold("a watch needs its own terminal")


def another_environment(place):
    """The interpreter of a virtual environment that has what this one has."""
    folder = place.root.parent / "venv"
    venv.EnvBuilder(symlinks=True).create(folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text("\n".join(site.getsitepackages()))
    return str(folder / "bin/python"), packages


def test_another_interpreter(place):
    place.serve()
    place.python, _ = another_environment(place)
    err = runs(place)
    assert err == cold(
        f"the watch or serve of this project uses the interpreter of {os.path.realpath(sys.prefix)}"
    )
    place.serve()
    assert runs(place) == ""


def test_what_is_installed_changes(place):
    """The next run gets a new template; one that is under way goes on in the old one."""
    place.python, packages = another_environment(place)
    place.write(
        {
            "test_long.py": """
import pathlib, time
def test_long():
    pathlib.Path("runs").write_text("yes\\n")
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
"""
        }
    )
    server = place.serve()
    long = place.begin("run", "-q", "test_long.py")
    wait_for(place.root / "runs")
    before = {*place.alive()} - {server.pid}
    (packages / "fresh.py").write_text("")
    (packages / "fresh.pth").write_text("# nothing\n")
    ran = runs(place)
    assert re.fullmatch(r"hotreload: new template: .* changed\n", ran)
    assert runs(place) == ""
    (place.root / "go").touch()
    assert place.end(long).status == 0
    until(lambda: before.isdisjoint(place.alive()), "the old template has ended")
    assert place.say("stop").status == 0
    assert server.wait() == 0
    assert place.alive() == []


# ------------------------------------------------------------------------------------- the folder


def folder_of(place):
    return place.runtime / "pytest-hotreload"


def spoil(place, how):
    folder = folder_of(place)
    if how == "link":
        (place.runtime / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(place.runtime / "elsewhere")
        return "is not a folder"
    folder.mkdir(mode=0o700)
    if how == "open":
        folder.chmod(0o755)
        return "is accessible to other users"
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12345, -1)
    return "belongs to user 12345"


@pytest.mark.parametrize("how", ["link", "open", "foreign"])
def test_a_folder_that_is_not_private(place, how):
    why = spoil(place, how)
    others = {"XDG_RUNTIME_DIR": str(place.runtime)}
    assert runs(place, **others) == cold(f"{folder_of(place)} {why}")
    assert list(folder_of(place).iterdir()) == []


@pytest.mark.parametrize("how", ["link", "open", "foreign"])
def test_a_server_goes_elsewhere(place, how):
    spoil(place, how)
    place.serve()
    (used,) = place.sockets
    assert list(folder_of(place).iterdir()) == []
    assert (place.runtime / f"pytest-hotreload-{os.geteuid()}" / used).is_socket()
    assert runs(place) == ""


def test_it_is_private(place):
    place.serve()
    (path,) = folder_of(place).iterdir()
    assert oct(folder_of(place).stat().st_mode & 0o777) == "0o700"
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_garbage_is_not_heard(place):
    place.serve()
    (path,) = folder_of(place).iterdir()
    for garbage in (b"\xff" * 100, b"\0\0\0\5abc\0\0", b"\0\0\0\1\0", b""):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            caller.sendall(garbage)
            caller.shutdown(socket.SHUT_WR)
            assert caller.recv(100) == b""
    assert runs(place) == ""


# ------------------------------------------------------------------------------------- a watch


@pytest.mark.slow
def test_a_watch(place):
    command = [sys.executable, "-m", "pytest", "--hotreload", "--watch", "--watch-force"]
    with Terminal(command, cwd=place.root, env={**place.environ, "TERM": "xterm"}) as desk:
        desk.wait_for(WATCHING)
        first = place.say("status", cwd="far").out.splitlines()
        assert first[0].startswith(f"watch of <root>, process {desk.pid}, since ")
        assert runs(place) == ""
        assert place.say("stop") == (
            1,
            "",
            "hotreload: a watch can be ended only in its own terminal, with q\n",
        )
        since = desk.mark()
        (place.root / "test_a.py").write_text("def test_a(): assert True\n")
        desk.wait_for(WATCHING, since=since)
        assert "1 passed" in desk.text(since)
        assert runs(place) == ""
        assert place.say("status").out.splitlines()[-1] == "2 attached runs so far, 0 running"
        assert place.say("serve").status == 1
        desk.press("q")
        assert desk.wait() == 0
    assert runs(place) == cold("no watch or serve in this project")
    assert not place.sockets


@pytest.mark.slow
def test_a_caller_of_a_watch_that_dies(place):
    """Its run does not care for SIGINT, and the watch has nothing else to do meanwhile."""
    place.write({"test_a.py": STAYS})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--hotreload",
        "--watch",
        "--watch-force",
        "--watch-first=none",
    ]
    with Terminal(command, cwd=place.root, env={**place.environ, "TERM": "xterm"}) as desk:
        desk.wait_for(WATCHING)
        caller = place.begin("run", "-q", "test_a.py")
        run = int(wait_for(place.root / "runs"))
        caller.kill()
        until(lambda: not Path(f"/proc/{run}").exists(), "the run has ended")
        desk.press("q")
        desk.wait()
    assert place.alive() == []


def test_a_watch_beside_a_serve(place):
    place.serve()
    command = [sys.executable, "-m", "pytest", "--hotreload", "--watch", "--watch-force"]
    with Terminal(command, cwd=place.root, env={**place.environ, "TERM": "xterm"}) as desk:
        line = f"pytest-hotreload run can't attach to this watch: {Path(place.root)} is already served by"
        desk.wait_for(re.compile(re.escape(line[:60])))
        desk.wait_for(WATCHING)
        desk.press("q")
        assert desk.wait() == 0
    assert runs(place) == ""
