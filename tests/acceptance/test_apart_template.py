"""The contents of the template, and files whose import leaves threads behind."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from .processes import Process, until

STRICT = "--hotreload-isolate=strict"
SPAWN = "--hotreload-start=spawn"
SITE = "../lib/site-packages/"
PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
NATIVE = """\
    import ctypes
    _libc = ctypes.CDLL(None)
    _sleep = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    _thread = ctypes.c_ulong()
    _libc.pthread_create(ctypes.byref(_thread), None, ctypes.cast(_libc.pause, ctypes.c_void_p), None)
    """


def _importers(*lines, count=3):
    body = "".join(f"import {line}\n" for line in lines)
    return {f"test_{n}.py": body + f"def test_{n}(): pass\n" for n in "abcdef"[:count]}


def _wrote(module):
    return f"""\
        import os
        with open(os.environ["RECORDER_OUT"] + ".{module}", "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        """


@pytest.fixture
def installed(project):
    project.outside = ["../lib/site-packages"]
    return project


def test_shared_imports_are_paid_once(installed, slots):
    installed.write(
        {SITE + "costly.py": _wrote("costly"), SITE + "rare.py": _wrote("rare"), **_importers("costly")}
    )
    installed.write({"test_r.py": "import rare\ndef test_r(): pass\n"})
    _, ours = installed.same(slots=slots, extra=[STRICT])
    top = ours.root.parent
    assert len((top / "recorded.costly").read_text().split()) == 2  # the controller's and the template's
    assert len((top / "recorded.rare").read_text().split()) == 2  # the controller's and its one reader's


def test_template_holds_nothing_of_the_suite(installed, slots):
    installed.write(
        {
            SITE + "third.py": "import os\nPID = os.getpid()\n",
            "first.py": "import third\n",
            "pack/__init__.py": "",
            "pack/inner.py": "",
            "conftest.py": """\
                import sys
                before = set(sys.modules)
                """,
            **{
                f"test_{n}.py": f"""\
                    import os, third, first, pack.inner
                    import conftest

                    def test_{n}():
                        import late
                        own = {{"third", "first", "pack", "pack.inner", "late", "test_a", "test_b"}}
                        assert not conftest.before & own
                        print("third was there:", third.PID != os.getpid())
                    """
                for n in "ab"
            },
            "late.py": "",
        }
    )
    for _ in range(2):  # the second with what the first has learned
        ours = installed.run(STRICT, "-rP", slots=slots)
        assert ours.outcomes == {"test_a.py::test_a": PASSED, "test_b.py::test_b": PASSED}
        assert ours.output.count("third was there: True") == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ValueError('not twice')", "its import failed: ValueError: not twice"),
        ("sys.exit(3)", "its import failed: SystemExit: 3"),
        ("os._exit(3)", "ended the process"),
        (
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "starts a thread while it is imported",
        ),
    ],
    ids=["raises", "exits", "os-exit", "thread"],
)
def test_quarantine(installed, text, why):
    """What fails in the template alone costs that module there, and no test."""
    installed.write(
        {
            SITE + "fine.py": _wrote("fine"),
            SITE + "bad.py": f"""\
                import os, sys, threading, time
                if "conftest" not in sys.modules:
                    {text}
                """,
            "conftest.py": "",
            **_importers("bad", "fine"),
        }
    )
    plain, ours = installed.both("-v", slots=2, extra=[STRICT])
    assert ours.outcomes == plain.outcomes
    assert ours.status == 0
    assert f"  bad: {why}" in ours.output.splitlines()


def test_imports_are_heard_once(installed, slots):
    installed.write(
        {
            SITE + "loud.py": "import warnings\nprint('loud')\nwarnings.warn('a warning of loud')\n",
            **_importers("loud"),
        }
    )
    _, ours = installed.same("-s", slots=slots, extra=[STRICT])
    assert ours.output.count("a warning of loud") == 2  # its text, and its line of source
    assert ours.lines.count("loud") <= 1


def test_what_was_learned_is_warmed(installed):
    installed.write(
        {
            SITE + "later.py": _wrote("later"),
            **{f"test_{n}.py": f"def test_{n}():\n    import later\n" for n in "abc"},
        }
    )
    path = installed.root("forks").parent / "recorded.later"
    installed.run(STRICT, slots=1)
    assert len(path.read_text().split()) == 3
    assert "later" in (installed.root("forks") / ".pytest_cache/v/hotreload/learned").read_text()
    path.unlink()
    installed.run(STRICT, slots=1)
    assert len(path.read_text().split()) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "import threading, time\nt = threading.Thread(target=time.sleep, args=(99,), daemon=True, name='mine')\nt.start()",  # noqa: E501
            "the thread mine",
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1, 'pool')\npool.submit(int).result()",  # noqa: E501
            "the thread pool_0",
        ),
        (NATIVE, "1 native thread"),
    ],
    ids=["thread", "executor", "native"],
)
def test_file_with_threads_runs_apart(installed, slots, text, what):
    if what == "1 native thread" and sys.platform != "linux":
        pytest.skip("native threads are counted on Linux only")
    import textwrap

    text = textwrap.dedent(text)
    use = "    assert pool.submit(int).result() == 0\n" if "pool" in text else "    pass\n"
    installed.write(
        {
            "test_b.py": f"{text}\ndef test_b():\n{use}",
            "test_a.py": "def test_a(): pass\n",
            "test_c.py": "def test_c(): pass\n",
        }
    )
    _, ours = installed.same(slots=slots)
    said = f"hotreload: test_b.py started {what} while it was imported, so it is collected and run in its own process"
    assert [line for line in ours.notices if "while it was imported" in line] == [said]


@pytest.mark.skipif(sys.platform != "linux", reason="native threads are counted on Linux only")
def test_threads_of_an_import_alone_are_harmless(installed, slots):
    installed.write({SITE + "blas.py": NATIVE, **_importers("blas")})
    _, ours = installed.same(slots=slots)
    assert not any("while it was imported" in line for line in ours.notices)


@pytest.mark.parametrize("option", [STRICT, SPAWN])
def test_nothing_outlives_a_killed_controller(project, option):
    text = "import pathlib, time\ndef test_it():\n    pathlib.Path(__file__ + '.runs').write_text('')\n    time.sleep(99)\n"  # noqa: E501
    project.write({"test_a.py": text, "test_b.py": text})
    with Process(project, option, slots=2) as process:
        until(lambda: len(list(process.root.glob("*.runs"))) == 2, "both tests run")
        os.kill(process.pid, signal.SIGKILL)
        process.end()
        until(lambda: not process.alive(), "the end of all processes", 5)


def test_spawned_interpreters_are_like_the_first(project, slots):
    project.write(
        {
            "test_a.py": """\
                import os, sys, pytest, __main__

                def test_a():
                    assert __main__.__file__ == os.path.join(os.path.dirname(pytest.__file__), "__main__.py")
                    assert sys.flags.dev_mode and "error::UserWarning" in sys.warnoptions
                    assert os.path.basename(sys.argv[0]) == "__main__.py"
                    assert os.getcwd() == os.path.dirname(__file__)
                """
        }
    )
    command = project.command
    project.command = lambda args, slots: [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "error::UserWarning",
        *command(args, slots)[1:],
    ]
    _, ours = project.same(slots=slots, extra=[SPAWN])
    assert ours.status == 0
