"""The accesses that count, the time at which they count, and the absence of side effects of recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from .recording import execute, linux_only, recorded, settle, state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def files(root: Path) -> Path:
    (root / "d").mkdir()
    for name in ("a", "b", "d/c"):
        (root / name).write_text(name)
    settle(root)
    return root


@linux_only
def test_the_longest_prefix_decides(files: Path) -> None:
    body = """
        begin(root="/", ignored=[os.path.abspath("d")], temporary=[os.path.abspath("d/t")])
        for name in ("a", "d/c", "d/t/new"): open(name, "a").close()
        os.listdir("d/t")
        end()
    """
    (files / "d" / "t").mkdir()
    settle(files)
    old = state(files / "d" / "t")
    assert recorded(files, body.replace('open(name, "a")', "open(name)").replace(', "d/t/new"', "")) == [
        ("", "read", str(files / "a"), state(files / "a")),
        ("", "read", str(files / "d" / "t"), old),
    ]
    assert recorded(files, body) == [("", "update", str(files / "a"), state(files / "a"))]
    assert recorded(files, body.replace('"/"', '"d/t"').replace("temporary", "callers"))[1:] == [
        ("", "update", str(files / "d" / "t" / "new"), state(files / "d" / "t" / "new")),
        ("", "list", str(files / "d" / "t"), None),
    ]


@linux_only
def test_of_temporary_files_those_count_that_were_there(files: Path) -> None:
    temporary = files.parent / "temporary"
    temporary.mkdir()
    for name in ("read", "updated", "written", "removed"):
        (temporary / name).write_text(name)
    (temporary / "old").mkdir()
    settle(temporary)
    (temporary / "link").symlink_to(files / "d")
    states = {path.name: state(path) for path in temporary.iterdir()}
    body = """
        t = os.path.abspath("../temporary")
        begin(temporary=[t])
        open(f"{t}/read").close(); open(f"{t}/updated", "a").close(); os.listdir(f"{t}/old")
        open(f"{t}/written", "w").write("x"); open(f"{t}/written").close(); os.remove(f"{t}/removed")
        open(f"{t}/new", "w").close(); open(f"{t}/new").close(); os.mkdir(f"{t}/folder"); os.listdir(f"{t}/folder")
        try: open(f"{t}/no")
        except FileNotFoundError: pass
        open(f"{t}/link/c").close(); os.listdir(f"{t}/link")
        end()
    """
    assert recorded(files, body) == [
        *(("", "read", str(temporary / name), states[name]) for name in ("read", "updated")),
        ("", "list", str(temporary / "old"), None),
        ("", "read", str(files / "d" / "c"), state(files / "d" / "c")),
        ("", "list", str(files / "d"), None),
    ]


@linux_only
def test_callers_are_not_recorded(files: Path) -> None:
    (files / "caller").mkdir()
    (files / "caller" / "it.py").write_text("def run(): open('a').close()\ndef call(f): f()")
    body = """
        sys.path.insert(0, os.path.abspath("caller")); import it
        begin(callers=[os.path.abspath("caller")])
        it.run(); os.listdir("d")
        it.call(lambda: open("b").close())
        end()
    """
    rows = recorded(files, body)
    assert [row[1:3] for row in rows] == [
        ("list", str(files / "d")),
        ("read", str(files / "b")),
    ]


@linux_only
def test_nothing_is_recorded_before_and_after(files: Path) -> None:
    body = """
        assert _native.observed() == [] and _native.observe_for("x") == ""
        _native.stop_observing()
        open("a").close()
        begin()
        assert _native.observed() == []
        open("b").close()
        assert [row[2] for row in _native.observed()] == [os.path.abspath("b")]
        open("b").close(); open("a").close()
        assert [row[2] for row in _native.observed()] == [os.path.abspath("b"), os.path.abspath("a")]
        open("a").close()
        begin()
        assert _native.observed() == []
        open("a").close()
        _native.stop_observing()
        open("b").close()
        assert _native.observed() == []
        end()
    """
    assert recorded(files, body) == []


@linux_only
def test_a_forked_child_records_for_itself(files: Path) -> None:
    body = """
        begin(); open("a").close(); open("d/c", "w").close()
        if os.fork() == 0:
            begin(); open("d/c").close(); open("b").close(); end(); os._exit(0)
        os.wait()
    """
    assert [row[1:3] for row in recorded(files, body)] == [
        ("read", str(files / "d" / "c")),
        ("read", str(files / "b")),
    ]


@linux_only
def test_every_thread_is_recorded(files: Path) -> None:
    for number in range(800):
        (files / "d" / str(number)).touch()
    body = """
        import threading
        sys.setswitchinterval(1e-6)
        def work(part):
            for number in range(part, 800, 8):
                open(f"d/{number}").close()
        threads = [threading.Thread(target=work, args=(part,)) for part in range(8)]
        begin()
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        end()
    """
    assert sorted(row[2] for row in recorded(files, body)) == sorted(
        str(files / "d" / str(number)) for number in range(800)
    )


@linux_only
def test_exceptions_are_as_without(files: Path) -> None:
    body = """
        import gc, traceback
        class Odd:
            def __fspath__(self): raise RuntimeError("odd")
        def check():
            for call in (lambda: open("no"), lambda: open(Odd()), lambda: os.listdir("a"), lambda: open("a\\0"),
                         lambda: os.open("no", 0), lambda: open(12345), lambda: os.rename("no", "x")):
                try: call()
                except Exception: traceback.print_exc()
            class Closing:
                def __del__(self): open("a").close()
            try:
                closing = Closing(); raise KeyError("kept")
            except KeyError as error:
                del closing; print(repr(error))
    """
    without = execute(files, f"{body}    check()\n")
    assert without.count("Traceback") == 7
    assert execute(files, f"{body}    begin()\n        check()\n") == without


@linux_only
def test_files_that_are_opened_at_exit_do_no_harm(files: Path) -> None:
    body = """
        import atexit
        class Last:
            def __del__(self, open=open): open("a").close()
        sys.last = Last(); kept = Last(); kept.me = kept
        atexit.register(lambda: open("b").close())
        begin()
    """
    assert execute(files, body) == ""
