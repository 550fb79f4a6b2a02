"""Two files that use one thing on their first run beside each other: the second runs again alone.

In each project ``test_a.py`` has the thing until ``test_b.py`` met it, or 30 s long.
"""

from __future__ import annotations

import re
import sys

import pytest

from .keeping import Kept, outcomes, said
from .ports import free_port

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="who holds a port is seen on Linux only"
)

HELPERS = """\
    import os, socket, subprocess, sys, threading, time
    from pathlib import Path

    PORT, MEET, SHARED = int(os.environ["DEMO_PORT"]), Path(os.environ["DEMO_MEET"]), Path(os.environ["DEMO_SHARED"])

    def until(name, seconds=30):
        deadline = time.monotonic() + seconds
        while not (MEET / name).exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    was_alone = None

    def alone():
        '''Whether the two files had met before this try of the test began.'''
        return was_alone

    def meet():
        '''In the second file: wait for the first one, which lets go soon after, whatever becomes of this process.'''
        global was_alone
        was_alone = (MEET / "met").exists()
        if not was_alone:
            assert until("held")
            (MEET / "met").touch()

    def hold():
        (MEET / "held").touch()
        until("met")
        time.sleep(0.5)

    def serve(address=None, family=socket.AF_INET, kind=socket.SOCK_STREAM, *options):
        one = socket.socket(family, kind)
        for option in options:
            one.setsockopt(socket.SOL_SOCKET, option, 1)
        one.bind(address or ("127.0.0.1", PORT))
        if kind == socket.SOCK_STREAM:
            one.listen()
        return one

    def in_a_process(code):
        text = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {PORT})); s.listen(); {code}"
        return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    """

#: What the first file does while the second one runs; what the second one tries; whether that is one thing too many.
PORTS = {
    "a server in a thread": (
        "with serve(): hold()",
        """
        started = threading.Event()
        def run():
            try:
                with serve(): started.set()
            except OSError:
                pass
        threading.Thread(target=run).start()
        started.wait()
        """,
        "bind",
    ),
    "any address": ("with serve(('0.0.0.0', PORT)): hold()", "serve().close()", "bind"),
    "IPv6 beside IPv4": ("with serve(('::', PORT), socket.AF_INET6): hold()", "serve().close()", "bind"),
    "another address": ("with serve(('127.0.0.2', PORT)): hold()", "serve().close()", ""),
    "UDP": (
        "with serve(None, socket.AF_INET, socket.SOCK_DGRAM): hold()",
        "serve(None, socket.AF_INET, socket.SOCK_DGRAM).close()",
        "bind",
    ),
    "UDP beside TCP": (
        "with serve(None, socket.AF_INET, socket.SOCK_DGRAM): hold()",
        "serve().close()",
        "",
    ),
    "a port that both may have": (
        "with serve(None, socket.AF_INET, socket.SOCK_STREAM, socket.SO_REUSEPORT): hold()",
        "serve(None, socket.AF_INET, socket.SOCK_STREAM, socket.SO_REUSEPORT).close(); assert alone()",
        "bind",
    ),
    "a socket with a path": (
        "with serve(str(SHARED), socket.AF_UNIX): hold(); SHARED.unlink()",
        "serve(str(SHARED), socket.AF_UNIX).close(); SHARED.unlink()",
        "bind",
    ),
    "a server in another program": (
        (
            "p = in_a_process('print(1, flush=True); import time; time.sleep(60)'); p.stdout.readline(); hold(); "
            "p.kill(); p.wait()"
        ),
        "serve().close()",
        "bind",
    ),
    "a client of another's server": (
        "with serve(): hold()",
        """
        try:
            socket.create_connection(("localhost", PORT)).close()
        except OSError:
            return
        assert alone(), "somebody else's server answered"
        """,
        "connect",
    ),
    "a client of its own server": (
        "with serve(('127.0.0.2', PORT)): hold()",
        "with serve(): socket.create_connection(('127.0.0.1', PORT)).close()",
        "",
    ),
    "a port that was let go": (
        "serve().close(); hold()",
        "serve().close()",
        "",
    ),
}  # fmt: skip


@pytest.fixture
def port():
    return free_port()


def indented(text):
    lines = text.strip("\n").splitlines()
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join("    " + line[least:] for line in lines)


def project(tmp_path, port, first, second, **files):
    (tmp_path / "meet").mkdir()
    head = "from helpers import *\n"
    kept = Kept(tmp_path, {
        "helpers.py": HELPERS,
        "test_a.py": f"{head}def test_a():\n{indented(first)}\n",
        "test_b.py": f"{head}def test_first(): pass\ndef test_b():\n    meet()\n{indented(second)}\n"
        "def test_last(): pass\n",
        **files,
    })  # fmt: skip
    kept.environ.update(
        DEMO_PORT=str(port), DEMO_MEET=str(tmp_path / "meet"), DEMO_SHARED=str(tmp_path / "shared")
    )
    return kept


ALL_PASS = {
    "test_a.py::test_a": "passed",
    **{f"test_b.py::test_{name}": "passed" for name in ("first", "b", "last")},
}
DID = {
    "bind": r"test_b\.py: test_b tried to bind \S+, which test_a\.py was using; ",
    "connect": r"test_b\.py: test_b tried to connect to \S+, a server that test_a\.py started; ",
    "path": r"test_b\.py: test_b failed after it used \S+, which test_a\.py wrote at the same time; ",
}


def check(ours, what, again):
    assert (ours.status, outcomes(ours)) == (0, ALL_PASS), ours.raw
    *notices, _ = said(ours)
    assert len(notices) == bool(what), notices
    if what:
        assert re.fullmatch(DID[what] + "the file ran again alone, and that result is used", notices[0]), (
            notices
        )
    assert again == bool(what)


@pytest.mark.parametrize("how", PORTS)
def test_a_port(tmp_path, port, how):
    first, second, what = PORTS[how]
    kept = project(tmp_path, port, first, second + "\n" if "\n" in second else second)
    check(kept.run(slots=2), what, bool(what))
    if what:
        assert said(kept.run(slots=2))[0].endswith(", so only one of them runs at a time")


def test_a_port_without_records(tmp_path, port):
    """The hook is there without them."""
    first, second, _ = PORTS["a server in a thread"]
    ours = project(tmp_path, port, first, second).run("-p", "no:cacheprovider", slots=2)
    assert (ours.status, outcomes(ours)) == (0, ALL_PASS), ours.raw
    assert re.match(DID["bind"], said(ours)[0])


def test_children_of_several_files(tmp_path, port):
    """The file that runs again gets a child of its own, which takes no other file; what waited behind it runs, too."""
    first, second, _ = PORTS["a server in a thread"]
    others = {f"test_{name}.py": "def test_it(): pass\n" for name in "cde"}
    ours = project(tmp_path, port, first, second, **others).run("--hotreload-isolate=worker", slots=2)
    expected = {**ALL_PASS, **{f"{name}::test_it": "passed" for name in others}}
    assert (ours.status, outcomes(ours)) == (0, expected), ours.raw
    assert f" {len(expected)} passed" in ours.raw  # each once, though the file's first test ran twice
    assert re.match(DID["bind"], said(ours)[0])


@pytest.mark.slow
def test_a_test_that_does_not_stop(tmp_path, port):
    """A server thread that is waited for, and a test that Ctrl-C does not end: it is killed."""
    stubborn = """
        while True:
            try:
                serve().close()
                return
            except BaseException:
                time.sleep(0.01)
    """
    first = "with serve(): hold(); time.sleep(6)"
    ours = project(tmp_path, port, first, stubborn).run(slots=2)
    check(ours, "bind", True)


PATHS = {
    "a file that both write": (
        "SHARED.write_text('a'); hold(); assert SHARED.read_text() == 'a'; SHARED.unlink()",
        "SHARED.open('a').close(); assert SHARED.read_text() == ''; SHARED.unlink()",
    ),
    "a folder that is there": (
        "SHARED.mkdir(); hold(); SHARED.rmdir()",
        "SHARED.mkdir(); SHARED.rmdir()",
    ),
    "a lock file": (
        "os.close(os.open(SHARED, os.O_CREAT | os.O_EXCL)); hold(); SHARED.unlink()",
        "os.close(os.open(SHARED, os.O_CREAT | os.O_EXCL)); SHARED.unlink()",
    ),
    "a database": (
        """
        import sqlite3
        one = sqlite3.connect(SHARED, isolation_level=None)
        one.execute("create table t (x)"); one.execute("begin exclusive"); hold(); one.execute("rollback")
        one.execute("drop table t"); one.close(); SHARED.unlink()
        """,
        """
        import sqlite3
        one = sqlite3.connect(SHARED, isolation_level=None, timeout=0.05)
        one.execute("create table t (x)"); one.close(); SHARED.unlink()
        """,
    ),
    "a file of the project": (
        "Path('out.txt').write_text('a'); hold(); Path('out.txt').unlink()",
        "Path('out.txt').open('x').close(); Path('out.txt').unlink()",
    ),
    "a folder's content": (
        "SHARED.mkdir(); (SHARED / 'x').touch(); hold(); (SHARED / 'x').unlink(); SHARED.rmdir()",
        "SHARED.mkdir(exist_ok=True)\nassert os.listdir(SHARED) == []\nSHARED.rmdir()",
    ),
    "a file that comes late": (
        "hold(); SHARED.write_text('a'); (MEET / 'wrote').touch()",
        "try:\n    SHARED.read_text()\nfinally:\n    until('wrote')\nSHARED.unlink()",
    ),
    "a file that is moved away": (
        "SHARED.write_text('a'); SHARED.rename(str(SHARED) + '2'); hold(); os.rename(str(SHARED) + '2', SHARED)",
        "os.unlink(SHARED)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", PATHS)
def test_a_path(tmp_path, port, how):
    first, second = PATHS[how]
    kept = project(tmp_path, port, first, second)
    check(kept.run(slots=2), "path", True)


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_controller_that_hears_of_it_late(tmp_path, port, when):
    """What the tests before it said is still on its way then: each is reported once."""
    first, second, _ = PORTS["a server in a thread"]
    kept = project(tmp_path, port, "pass", "pass")
    kept.write({
        "conftest.py": f"""
            import os, time

            def pytest_runtest_logreport(report):
                is_here = "PYTEST_XDIST_WORKER" not in os.environ
                if is_here and report.nodeid == "test_a.py::test_first" and report.when == "{when}":
                    time.sleep(1)
        """,
        # The first file is shown while it runs.
        "test_a.py": f"from helpers import *\ndef test_first(): pass\ndef test_a():\n    meet()\n{indented(second)}\n",
        "test_b.py": f"from helpers import *\ndef test_b():\n{indented(first)}\n",
    })  # fmt: skip
    ours = kept.run(slots=2)
    assert ours.status == 0, ours.raw
    assert said(ours)[0].endswith("the file ran again alone, and that result is used")
    once = [(phase, "passed") for phase in ("setup", "call", "teardown")]
    tests = ("test_a.py::test_first", "test_a.py::test_a", "test_b.py::test_b")
    assert ours.outcomes == dict.fromkeys(tests, once)


def test_a_folder_that_both_find(tmp_path, port):
    """`mkdir(exist_ok=True)` of what was there before makes nothing, for which anybody could fail."""
    (tmp_path / "shared").mkdir()
    both = "SHARED.mkdir(exist_ok=True); os.makedirs(SHARED, exist_ok=True)"
    ours = project(tmp_path, port, f"{both}; hold()", f"{both}; assert 0").run(slots=2)
    assert outcomes(ours) == {**ALL_PASS, "test_b.py::test_b": "failed"}
    assert said(ours) == ["unchanged since their last run: 0 of 2 test files (2 new)"]


def test_a_failure_of_its_own(tmp_path, port):
    """What fails alone, too, is a failure; what nobody else wrote is none of this."""
    temporary = "import tempfile; tempfile.TemporaryFile().close(); "
    first = f"{temporary}SHARED.write_text('a'); hold()"
    kept = project(tmp_path, port, first, "SHARED.write_text('b'); assert 0")
    ours = kept.run(slots=2)
    assert outcomes(ours) == {**ALL_PASS, "test_b.py::test_b": "failed"}
    assert re.match(DID["path"], said(ours)[0])
    kept.write(
        {
            "test_b.py": "from helpers import *\ndef test_b():\n"
            f"    meet(); {temporary}(SHARED.parent / 'own').touch(); assert 0\n"
        }
    )
    for path in (tmp_path / "meet").iterdir():
        path.unlink()
    kept.project.forget()
    ours = kept.run(slots=2)
    assert outcomes(ours) == {"test_a.py::test_a": "passed", "test_b.py::test_b": "failed"}
    assert said(ours) == ["unchanged since their last run: 0 of 2 test files (2 new)"]
