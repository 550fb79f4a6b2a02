"""The exit of a child does what the exit of a process does: handlers, finalizers, pools, files, buffers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .processes import Process

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]


@pytest.fixture
def project(project):
    """A project whose runs are new interpreters, because the whole end of an interpreter is the subject here."""
    project.cold = True
    return project


def test_exit_handlers_of_the_import_run_once(project, slots):
    """The controller registered them, so the controller runs them."""
    project.write({
        "conftest.py": """
            import atexit, os

            def note(text):
                with open("notes.txt", "a") as file: print(text, file=file)

            atexit.register(note, "conftest")
        """,
        "test_a.py": """
            import atexit, weakref
            from conftest import note

            class Thing: pass

            thing = Thing()
            weakref.finalize(thing, note, "finalizer of the import")
            atexit.register(note, "import")

            def test_a(): pass
        """,
        "test_b.py": """
            import atexit
            from conftest import note

            def test_b(): atexit.register(note, "test")
        """,
    })  # fmt: skip
    plain, ours = project.same(slots=slots)
    assert sorted(ours.read("notes.txt").splitlines()) == sorted(plain.read("notes.txt").splitlines())
    assert sorted(ours.read("notes.txt").splitlines()) == [
        "conftest",
        "finalizer of the import",
        "import",
        "test",
    ]


def test_exit_handlers_of_tests_run_in_reverse(project):
    project.write({
        "test_a.py": """
            import atexit

            def note(text):
                with open("notes.txt", "a") as file: print(text, file=file)

            def test_a():
                atexit.register(note, "first")
                atexit.register(note, "second")

            def test_b():
                atexit.register(1 .__truediv__, 0)
                atexit.register(note, "third")
        """,
    })  # fmt: skip
    plain, ours = project.both(slots=1)
    assert ours.read("notes.txt") == plain.read("notes.txt") == "third\nsecond\nfirst\n"
    assert (ours.errors[0], ours.errors[-1]) == (plain.errors[0], plain.errors[-1])
    assert ours.errors[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("isolate", ["file", "test", "worker"])
@pytest.mark.parametrize(
    "mark", ["", "pytestmark = pytest.mark.hotreload(isolate='strict')\n"], ids=["", "strict"]
)
def test_cleanups_of_the_configuration_run_once(project, slots, isolate, mark):
    """In the process that added them: a conftest's in the controller, a fixture's in the child."""
    if mark and isolate != "file":
        pytest.skip("strict is a mode of files")
    body = "request.config.add_cleanup(lambda: note('test'))"
    test = f"import pytest\n{mark}\ndef test_it(folder, request):\n    {body}\n"
    project.write({
        "conftest.py": """
            import pytest

            def note(text):
                with open("notes.txt", "a") as file: print(text, file=file)

            def pytest_configure(config):
                config.add_cleanup(lambda: note("conftest"))

            @pytest.fixture
            def folder(request):
                request.config.add_cleanup(lambda: note("fixture"))
                request.config.add_cleanup(lambda: 1 / 0) if request.node.path.stem == "test_b" else None
        """,
        "test_a.py": "from conftest import note\n" + test,
        "test_b.py": "from conftest import note\n" + test,
    })  # fmt: skip
    ours = project.run(f"--hotreload-isolate={isolate}", slots=slots)
    # A strict child is a session of its own, whose configuration ends with it.
    assert sorted(ours.read("notes.txt").splitlines()) == ["conftest", *["fixture"] * 2, *["test"] * 2]
    assert "ZeroDivisionError: division by zero" in ours.errors
    assert ours.outcomes == {f"test_{name}.py::test_it": PASSED for name in "ab"}


def test_a_temporary_directory_left_to_its_finalizer_is_removed(project, slots):
    project.write({
        "test_a.py": """
            import tempfile

            folders = [tempfile.TemporaryDirectory(dir=".", prefix="import-")]

            def test_a():
                folders.append(tempfile.TemporaryDirectory(dir=".", prefix="test-"))
        """,
        "test_b.py": """
            import pathlib, test_a

            def test_b():
                assert pathlib.Path(test_a.folders[0].name).is_dir()
        """,
    })  # fmt: skip
    ours = project.run("-W", "ignore", slots=slots)
    assert ours.lines[-1] == "== 2 passed in TIME =="
    assert [each.name for each in ours.root.iterdir() if each.is_dir() and "-" in each.name] == []


LEFT_BEHIND = {
    "multiprocessing pool": """
        import multiprocessing
        kept = []
        def test_a():
            pool = multiprocessing.get_context("fork").Pool(2)
            assert pool.map(abs, [-1, -2]) == [1, 2]
            kept.append(pool)
    """,
    "multiprocessing process": """
        import multiprocessing, time
        def test_a():
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(200,), daemon=True).start()
    """,
    "executor with idle threads": """
        from concurrent.futures import ThreadPoolExecutor
        kept = []
        def test_a():
            pool = ThreadPoolExecutor(2)
            assert list(pool.map(abs, [-1, -2])) == [1, 2]
            kept.append(pool)
    """,
    "process pool": """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        kept = []
        def test_a():
            pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
            assert list(pool.map(abs, [-1, -2])) == [1, 2]
            kept.append(pool)
    """,
}


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_pools_that_are_left_end_quickly_and_unnamed(project, name):
    project.write({"test_a.py": LEFT_BEHIND[name], "test_b.py": "def test_b(): pass\n"})
    began = time.monotonic()
    with Process(project, slots=2) as process:
        ours = process.result()
        assert process.alive() == []
    assert time.monotonic() - began < 20
    assert ours.outcomes == {"test_a.py::test_a": PASSED, "test_b.py::test_b": PASSED}
    assert [each for each in ours.notices if " behind" in each] == []
    assert ours.errors == []
    assert ours.status == 0


def test_buffers_reach_their_files(project, slots):
    """Each line once, whoever holds the file, however it was left."""
    project.write({
        "conftest.py": """
            import pytest

            early = open("early.txt", "w", buffering=65536)
            early.write("conftest\\n")

            def pytest_unconfigure():
                early.write("unconfigure\\n")
        """,
        "test_a.py": """
            import ctypes, logging, logging.handlers, sys

            kept = []

            def test_file_left_open():
                file = open("left.txt", "w", buffering=65536)
                file.write("not flushed")
                kept.append(file)

            def test_binary_left_open():
                file = open("binary", "wb", buffering=65536)
                file.write(b"not flushed")
                kept.append(file)

            def test_handler():
                handler = logging.FileHandler("log.txt", delay=True)
                memory = logging.handlers.MemoryHandler(100, target=handler)
                logging.getLogger("kept").addHandler(memory)
                logging.getLogger("kept").warning("in memory")

            def test_c_stdio():
                libc = ctypes.CDLL(None)
                libc.fopen.restype = ctypes.c_void_p
                file = ctypes.c_void_p(libc.fopen(b"c.txt", b"w"))
                libc.fputs(b"written by C", file)
        """,
        "test_b.py": """
            import conftest

            def test_early():
                conftest.early.write("test\\n")
        """,
    })  # fmt: skip
    plain, ours = project.both("-W", "ignore", "-p", "no:unraisableexception", slots=slots)
    assert ours.lines == plain.lines
    for name, text in (
        ("left.txt", "not flushed"),
        ("binary", "not flushed"),
        ("log.txt", "in memory\n"),
        ("c.txt", "written by C"),
        ("early.txt", "conftest\ntest\nunconfigure\n"),
    ):
        assert (name, plain.read(name)) == (name, text)
        assert (name, ours.read(name)) == (name, text)


def test_c_stdio_on_the_terminal(project, slots):
    """``printf`` into a pipe is buffered by C until the process ends."""
    project.write({
        "test_a.py": """
            import ctypes

            def test_prints():
                ctypes.CDLL(None).puts(b"said by C")
        """
    })  # fmt: skip
    project.environ = {"PYTHONUNBUFFERED": ""}
    plain, ours = project.both(slots=slots)
    assert plain.raw.count("said by C") == ours.raw.count("said by C") == 1
    assert ours.outcomes == {"test_a.py::test_prints": PASSED}


def test_file_descriptors_do_not_add_up(project, slots):
    project.write({f"test_{n:03}.py": "def test_a(): pass\n" for n in range(200)})
    project.write({
        "conftest.py": """
            import os, pytest

            seen = []

            def pytest_runtest_logstart(nodeid):
                seen.append(len(os.listdir("/dev/fd")))

            def pytest_sessionfinish():
                with open("seen.txt", "w") as file: print(*seen, file=file)
        """
    })  # fmt: skip
    ours = project.run("-q", slots=slots)
    seen = [int(each) for each in ours.read("seen.txt").split()]
    assert len(seen) == 200
    assert max(seen[20:]) <= max(seen[:20])
    assert ours.lines[-1].startswith("200 passed")


def test_descriptors_are_as_before_when_the_session_ends(project, slots):
    project.write({
        "conftest.py": """
            import os, pytest

            def opened():
                return len(os.listdir("/dev/fd"))

            @pytest.hookimpl(trylast=True)
            def pytest_collection_finish():
                global before
                before = opened()

            def pytest_sessionfinish():
                with open("seen.txt", "w") as file: print(before, opened(), file=file)
        """,
        "test_a.py": "def test_a(): pass\n",
    })  # fmt: skip
    before, after = project.run(slots=slots).read("seen.txt").split()
    assert int(after) <= int(before)


def test_no_files_of_ours_are_left(project, slots):
    project.write({"test_a.py": "def test_a(tmp_path): pass\n", "test_b.py": "def test_b(): pass\n"})
    temporary = project.top / "temporary"
    temporary.mkdir()
    project.environ = {"TMPDIR": str(temporary)}
    project.same("-p", "no:cacheprovider", slots=slots)
    assert list(temporary.iterdir()) == []
    top = Path(project.top, "forks")
    assert sorted(each.name for each in top.iterdir()) == ["project", "tmp"]
    files = {each.name for each in (top / "project").rglob("*") if "__pycache__" not in each.parts}
    assert files == {"test_a.py", "test_b.py"}
