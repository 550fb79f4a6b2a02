"""Files that share a port, a path that they write, or a declared name do not run at the same time."""

from __future__ import annotations

import re
import socket

import pytest

from .keeping import Kept, outcomes, said
from .ports import free_port

#: Each test notes when it ran, in a folder outside of the project.
TIMES = """\
    import os, time
    from pathlib import Path

    def note(name, seconds):
        began = time.monotonic()
        {body}
        time.sleep(seconds)
        (Path(os.environ["DEMO_TIMES"]) / name).write_text(f"{{began}} {{time.monotonic()}}")
    """
BINDS = """\
    import socket, time

    def test_first(): pass

    def test_port():
        with socket.create_server(("127.0.0.1", {port})):
            time.sleep(0.4)

    def test_last(): pass
    """


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def times(tmp_path):
    folder = tmp_path / "times"
    folder.mkdir()
    return folder


def overlap(times, one, other):
    (one_began, one_ended), (other_began, other_ended) = (
        map(float, (times / name).read_text().split()) for name in (one, other)
    )
    return one_began < other_ended and other_began < one_ended


@pytest.mark.slow
def test_a_fixed_port(tmp_path, port):
    files = {f"test_{name}.py": BINDS.format(port=port) for name in "ab"}
    kept = Kept(tmp_path, files)
    plain = kept.run(slots=1)
    kept.project.forget()
    ours = kept.run(slots=2)
    assert (ours.status, ours.outcomes) == (0, plain.outcomes)
    assert [phase for phases in ours.outcomes.values() for phase in phases] == [
        ("setup", "passed"), ("call", "passed"), ("teardown", "passed")
    ] * 6  # fmt: skip
    notice, summary = said(ours)
    assert re.fullmatch(
        rf"test_([ab])\.py: test_port tried to bind 127\.0\.0\.1:{port}, which test_(?!\1)[ab]\.py was using; "
        "the file ran again alone, and that result is used",
        notice,
    )
    assert summary == "unchanged since their last run: 0 of 2 test files (2 new)"
    assert kept.files() == ["test_a.py", "test_b.py"]

    again = kept.run(slots=2)
    assert (again.status, again.outcomes) == (0, plain.outcomes)
    assert said(again) == [
        f"2 files share port {port}, so only one of them runs at a time",
        "unchanged since their last run: 2 of 2 test files",
    ]
    assert said(kept.run(slots=1)) == ["unchanged since their last run: 2 of 2 test files"], (
        "one slot needs no turns"
    )


def test_a_port_that_others_hold(tmp_path, port):
    """It fails as in plain pytest, after one more try, alone."""
    kept = Kept(
        tmp_path,
        {"test_a.py": BINDS.format(port=port), "test_b.py": "import time\ndef test_b(): time.sleep(0.5)\n"},
    )
    with socket.socket() as held:
        held.bind(("127.0.0.1", port))
        held.listen()
        plain, ours = kept.project.both(slots=2)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)
    assert outcomes(ours) == {
        "test_a.py::test_first": "passed",
        "test_a.py::test_port": "failed",
        "test_a.py::test_last": "passed",
        "test_b.py::test_b": "passed",
    }
    assert said(ours) == [
        "test_a.py: test_port: address already in use; the file ran again alone, and that result is used",
        "unchanged since their last run: 0 of 2 test files (2 new)",
    ]


MEET = """\
    import os, socket, time
    from pathlib import Path

    PORT, TIMES = int(os.environ["DEMO_PORT"]), Path(os.environ["DEMO_TIMES"])

    def serve(port):
        return socket.create_server(("127.0.0.1", port))

    def serve_at_last():
        while True:
            try:
                return serve(PORT).close()
            except OSError:
                time.sleep(0.05)

    def until(name):
        deadline = time.monotonic() + 30
        while not (TIMES / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.02)
    """
#: Until the other one, which wants it, was interrupted or has run.
HOLDS = """\
    from meet import *

    def test_holds():
        with serve(PORT):
            (TIMES / "held").touch()
            until("done")
    """
WAITS = {
    "binds again and again": "serve_at_last()",
    "binds once": "wait_once()",
    "binds once, apart": "wait_once()",
    "a process of it binds": "wait_for_a_process()",
}
WANTS = """\
    from multiprocessing import get_context
    from meet import *

    def wait_once():
        try:
            serve(PORT).close()
        except OSError:
            time.sleep(30)

    def wait_for_a_process():
        process = get_context("fork").Process(target=serve_at_last)
        process.start()
        process.join()

    def test_first():
        until("held")
        Path(__file__).with_name("first.txt").read_text()

    def test_port():
        try:
            {waits}
        except KeyboardInterrupt:
            (TIMES / "done").touch()
            raise

    def test_last(): pass
    """


def meeting(tmp_path, times, port, files):
    kept = Kept(tmp_path, {"meet.py": MEET, "test_a.py": HOLDS, **files})
    kept.environ.update(DEMO_TIMES=str(times), DEMO_PORT=str(port))
    return kept


@pytest.mark.parametrize("how", WAITS)
def test_a_port_that_is_waited_for(tmp_path, times, port, how):
    """Without failing: in plain pytest nobody holds it then."""
    wants = WANTS.format(waits=WAITS[how])
    kept = meeting(tmp_path, times, port, {"test_b.py": wants, "first.txt": "1"})
    apart = ["--hotreload-isolate=strict"] if "apart" in how else []
    ours = kept.run(*apart, slots=2)
    names = ("test_a.py::test_holds", *(f"test_b.py::test_{name}" for name in ("first", "port", "last")))
    assert list(ours.outcomes.items()) == [
        (name, [(phase, "passed") for phase in ("setup", "call", "teardown")]) for name in names
    ]
    assert ours.status == 0
    waited = f"test_b.py: test_port tried to bind 127.0.0.1:{port}, which test_a.py was using"
    assert [line for line in said(ours) if not line.startswith("template: ")] == [
        f"{waited}; the file ran again alone, and that result is used",
        "unchanged since their last run: 0 of 2 test files (2 new)",
    ]
    again = kept.run(slots=2)
    turns = f"2 files share port {port}, so only one of them runs at a time"
    assert said(again) == [turns, "unchanged since their last run: 2 of 2 test files"]
    kept.write({"first.txt": "2"})
    assert kept.affected() == {"test_b.py": "first.txt"}, "what ran before counts, too"


@pytest.mark.parametrize("then", ["serve(other)", "serve(0)", "pytest.skip()", "None"])
def test_a_port_that_a_test_does_without(tmp_path, times, port, then):
    """In plain pytest it has the port, so whatever it does without one does not count."""
    other = free_port()
    kept = meeting(tmp_path, times, port, {
        "test_b.py": f"""
            import pytest
            from meet import *
            other = {other}
            def test_port():
                until("held")
                try:
                    served = serve(PORT)
                except OSError:
                    (TIMES / "done").touch()
                    served = {then}
                assert served.getsockname()[1] == PORT
        """,
    })  # fmt: skip
    ours = kept.run(slots=2)
    assert outcomes(ours) == {"test_a.py::test_holds": "passed", "test_b.py::test_port": "passed"}
    waited = f"test_b.py: test_port tried to bind 127.0.0.1:{port}, which test_a.py was using"
    assert said(ours) == [
        f"{waited}; the file ran again alone, and that result is used",
        "unchanged since their last run: 0 of 2 test files (2 new)",
    ]


@pytest.mark.slow
def test_a_path_that_both_write(tmp_path, times):
    """From the second run on, when it is known. A file that shares nothing runs beside either."""
    writes = TIMES.format(body="Path(__file__).with_name('shared.txt').write_text(name)")
    quiet = TIMES.format(body="pass")
    kept = Kept(tmp_path, {
        "test_a.py": writes + "\n    def test_a(): note('a', 0.4)\n",
        "test_b.py": writes + "\n    def test_b(): note('b', 0.4)\n",
        "test_c.py": quiet + "\n    def test_c(): note('c', 0.3)\n",
        "test_d.py": quiet + "\n    def test_d(): note('d', 0.3)\n",
    })  # fmt: skip
    kept.environ["DEMO_TIMES"] = str(times)
    first = kept.run(slots=2)
    assert said(first) == ["unchanged since their last run: 0 of 4 test files (4 new)"]
    assert overlap(times, "a", "b")
    second = kept.run(slots=2)
    assert said(second)[0] == "2 files share shared.txt, so only one of them runs at a time"
    assert second.outcomes == first.outcomes
    assert not overlap(times, "a", "b")
    assert any(overlap(times, one, other) for one in "ab" for other in "cd")
    kept.run(slots=4)
    assert not overlap(times, "a", "b")
    assert overlap(times, "c", "d")


SERIAL = {
    "marker": {
        "test_a.py": "pytestmark = __import__('pytest').mark.hotreload(serial='db')\n",
        "test_b.py": "import pytest\n@pytest.mark.hotreload(serial='db')\ndef test_marked(): pass\n",
    },
    "ini": {"pytest.ini": "[pytest]\nhotreload_serial = db -> test_a.py\n    db -> test_b.py\n"},
    "ini glob": {"pytest.ini": "[pytest]\nhotreload_serial = db -> **/test_?.py\n"},
    "ini class": {"pytest.ini": "[pytest]\nhotreload_serial = db -> test_[a-c].py\n"},
}  # fmt: skip


@pytest.mark.parametrize("how", SERIAL)
@pytest.mark.slow
def test_a_declared_name(tmp_path, times, how):
    """On the first run already."""
    body = "\n".join(line[4:] for line in TIMES.format(body="pass").splitlines())
    heads = SERIAL[how]
    kept = Kept(tmp_path, {
        "pytest.ini": heads.get("pytest.ini", "[pytest]\n"),
        "test_a.py": heads.get("test_a.py", "") + body + "\ndef test_it(): note('a', 0.3)\n",
        "test_b.py": heads.get("test_b.py", "") + body + "\ndef test_it(): note('b', 0.3)\n",
        "test_other.py": body + "\ndef test_it(): note('other', 0.3)\n",
    })  # fmt: skip
    kept.environ["DEMO_TIMES"] = str(times)
    result = kept.run("--strict-markers", slots=3)
    assert result.status == 0, result.raw
    assert said(result) == [
        "2 files share serial db, so only one of them runs at a time",
        "unchanged since their last run: 0 of 3 test files (3 new)",
    ]
    assert not overlap(times, "a", "b")
    assert overlap(times, "a", "other") or overlap(times, "b", "other")
    assert said(kept.run("--strict-markers", slots=1)) == [
        "unchanged since their last run: 3 of 3 test files"
    ]
    for argument in ("--no-cache", "--hotreload-isolate=worker"):
        for name in ("a", "b"):
            (times / name).unlink()
        result = kept.run("--strict-markers", argument, slots=2)
        assert said(result)[0] == "2 files share serial db, so only one of them runs at a time"
        assert not overlap(times, "a", "b"), "what is declared holds without records, too"


def test_the_marker_is_known(project):
    """With and without hotreload."""
    project.write({"test_a.py": "import pytest\n@pytest.mark.hotreload(serial='x')\ndef test_a(): pass\n"})
    plain, ours = project.same("--strict-markers", slots=2)
    assert outcomes(plain) == outcomes(ours) == {"test_a.py::test_a": "passed"}
