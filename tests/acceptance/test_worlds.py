"""Tests that replace parts of the standard library, each in a file: results and output equal plain pytest's."""

from __future__ import annotations

from typing import Any

import pytest

OTHER = {"test_other.py": "def test_other(): pass\n"}


def test_a_fake_file_system(project: Any, slots: int) -> None:
    pytest.importorskip("pyfakefs", reason="pyfakefs is not installed")
    project.plugins = ["pyfakefs.pytest_plugin"]
    project.write(
        {
            **OTHER,
            "test_fs.py": """
            import os
            from pathlib import Path

            def test_within(fs, capsys):
                fs.create_file("/data/a.txt", contents="hello")
                assert Path("/data/a.txt").read_text() == "hello"
                print("out")

            def test_fails(fs):
                assert os.path.exists("/nowhere")

            def test_without(tmp_path):
                (tmp_path / "x").write_text("1")

            def test_last(fs):
                print("last")
        """,
        }
    )
    _, ours = project.same("-v", slots=slots)
    assert ours.outcomes["test_fs.py::test_fails"][1] == ("call", "failed")
    assert [outcomes[1] for name, outcomes in ours.outcomes.items() if "fails" not in name] == [
        ("call", "passed")
    ] * 4


CLOCKS = {
    "freezegun": "import freezegun\nfreezegun.freeze_time('2020-01-01').start()\n",
    "time_machine": "import time_machine\ntime_machine.travel(0.0, tick=False).start()\n",
    "unittest": "import time\ntime.monotonic = time.perf_counter = time.time = lambda: 7.0\n",
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_a_conftest_stopped(project: Any, slots: int, clock: str) -> None:
    """The time limit still acts on it, and records are not taken for older than they are."""
    pytest.importorskip(clock, reason=f"{clock} is not installed")
    project.write(
        {
            **OTHER,
            "conftest.py": CLOCKS[clock],
            "test_clock.py": """
            import time

            def test_stands(): assert time.time() == time.time()
            def test_fails(): assert 0
        """,
            "test_hangs.py": """
            import signal

            def test_hangs(): signal.pause()
        """,
        }
    )
    ours = project.run("--hotreload-timeout=1", slots=slots)
    assert ours.status == 1
    failed = [name for name, outcomes in ours.outcomes.items() if "failed" in dict(outcomes).values()]
    assert failed == ["test_clock.py::test_fails", "test_hangs.py::test_hangs"]
    assert len(ours.outcomes) == 4
    plain, ours = project.both("test_clock.py", "test_other.py", slots=slots)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)


@pytest.mark.parametrize("clock", ["unittest.mock.MagicMock()", "lambda: Time()", "lambda: float('nan')"])
def test_what_a_subtest_took_by_a_clock_of_the_test(project: Any, slots: int, clock: str) -> None:
    """pytest reads that clock by a name that tests replace, so a report's duration may be anything."""
    project.write(
        {
            **OTHER,
            "test_clock.py": f"""
            import unittest.mock

            class Time:
                def __sub__(self, other): return "a while"

            def test_subtests(request, monkeypatch):
                monkeypatch.setattr("time.perf_counter", {clock})
                subtests = request.getfixturevalue("subtests")
                with subtests.test("fails"):
                    assert 0

            def test_after(): pass
        """,
        }
    )
    reports = [
        "--hotreload-json=r.json",
        "--hotreload-report=r.html",
        "--hotreload-trace=t.json",
        "--shard=1/1",
    ]
    _, ours = project.same(slots=slots, extra=reports)
    assert ours.status == 1


GEVENT = {
    "conftest.py": """
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from gevent import monkey
            monkey.patch_all()
        import threading, time

        time.sleep(0.01)
        threading.Thread(target=lambda: None).start()
    """,
    "test_g.py": """
        import os, queue, subprocess, threading, time
        import gevent

        def test_spawn():
            out = []
            gevent.joinall([gevent.spawn(lambda n=n: (time.sleep(0.01), out.append(n))) for n in range(3)])
            assert sorted(out) == [0, 1, 2]

        def test_thread():
            told = queue.Queue()
            threading.Thread(target=lambda: (time.sleep(0.01), told.put(1))).start()
            assert told.get(timeout=5) == 1

        def test_process():
            assert subprocess.run(["echo", "x"], capture_output=True).stdout == b"x\\n"

        def test_fork():
            pid = os.fork()
            if pid == 0:
                os._exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3

        def test_fails():
            assert 0
    """,
}


@pytest.mark.parametrize("how", ["", "--hotreload-isolate=strict", "--hotreload-start=spawn"])
def test_a_conftest_that_patches_by_gevent(project: Any, how: str) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    project.write({**OTHER, **GEVENT})
    project.same(slots=2, extra=[how] if how else [])


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("instead", ["lambda *a, **k: None", "None"])
def test_a_stream_that_the_last_file_replaces(project: Any, slots: int, stream: str, instead: str) -> None:
    """While it is imported, so in the controller; what processes print reaches the terminal all the same."""
    project.write(
        {
            "test_a.py": f"""
            import os

            def test_prints():
                os.system("echo from a process >&{1 if stream == "stdout" else 2}")

            def test_fails():
                assert 0
        """,
            "test_b.py": f"""
            import sys
            sys.{stream} = {instead}

            def test_b(): pass
        """,
        }
    )
    plain, ours = project.both("-s", "-v", slots=slots)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)
    assert any("from a process" in text for text in (ours.raw, *ours.errors))


def test_processes_whose_end_a_conftest_ignores(project: Any, slots: int) -> None:
    project.write(
        {
            **OTHER,
            "conftest.py": "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n",
            "test_a.py": """
            import signal

            def test_is_ignored(): assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
            def test_fails(): assert 0
        """,
        }
    )
    project.same(slots=slots)


def test_modules_that_are_gone_for_good(project: Any, slots: int) -> None:
    """Reports are pickled by references to classes, which are looked up in modules."""
    project.write(
        {
            **OTHER,
            "test_imports.py": """
            import builtins

            plain = builtins.__import__

            def without(name, *args, **kwargs):
                if name.startswith(("pytest_hotreload", "_pytest.reports", "copyreg", "pickle")):
                    raise ImportError(name)
                return plain(name, *args, **kwargs)

            def test_some_can_not_be_imported():
                builtins.__import__ = without

            def test_fails():
                assert [1, 2] == [1, 3]
        """,
            "test_modules.py": """
            import sys

            def test_of_pytest():
                for name in [name for name in sys.modules if name.startswith(("_pytest.reports", "pytest_hotreload"))]:
                    del sys.modules[name]

            def test_fails():
                assert [1, 2] == [1, 3]

            def test_still_gone():
                assert "_pytest.reports" not in sys.modules
        """,
        }
    )
    project.same(slots=slots)


def test_objects_that_answer_nobody(project: Any, slots: int) -> None:
    project.write(
        {
            **OTHER,
            "test_objects.py": """
            import sys, types, weakref

            class Thing: pass

            class Grumpy:
                @property
                def __class__(self): raise RuntimeError("not in a request")
                def __eq__(self, other): raise RuntimeError("no")
                def __bool__(self): raise RuntimeError("no")
                __hash__ = None

            class Meta(type):
                def __instancecheck__(cls, thing): raise RuntimeError("no")
                def __subclasscheck__(cls, thing): raise RuntimeError("no")

            class Odd(metaclass=Meta): pass

            class Lazy(types.ModuleType):
                def __getattribute__(self, name): raise RuntimeError("not yet")

            kept = []

            def test_dead_proxy():
                thing = Thing()
                kept.append(weakref.proxy(thing))

            def test_others():
                kept.extend([Grumpy(), Odd(), Lazy("lazy")])

            def test_modules():
                sys.modules["lazy_module"] = Lazy("lazy_module")
                sys.modules["grumpy_module"] = Grumpy()

            def test_raises():
                class Error(Exception):
                    def __getattribute__(self, name):
                        if name == "exceptions": raise RuntimeError("no")
                        return super().__getattribute__(name)
                raise Error("shown")
        """,
        }
    )
    _, ours = project.same(slots=slots)
    assert [outcomes[1][1] for outcomes in ours.outcomes.values()] == [
        "passed",
        "passed",
        "passed",
        "failed",
        "passed",
    ]


def test_what_is_frozen_is_not_noticed(project: Any, slots: int) -> None:
    project.cold = True  # in a warm run the server's objects are frozen, with plain pytest, too
    project.write(
        {
            **OTHER,
            "conftest.py": "from gc import get_objects\n",
            "test_gc.py": """
            import gc, inspect, sys, traceback, weakref
            from conftest import get_objects

            class Thing: pass

            inherited = Thing()
            inherited.itself = inherited
            gone = weakref.ref(inherited)

            def test_none_is_counted():
                assert gc.get_freeze_count() == 0

            def test_an_inherited_cycle_is_collected():
                globals().pop("inherited")
                gc.collect()
                assert gone() is None

            def test_they_are_native():
                for function in (gc.get_objects, gc.get_referrers, gc.collect, gc.freeze):
                    assert inspect.isbuiltin(function) and function.__module__ == "gc" and function.__self__ is gc
                assert get_objects is gc.get_objects
        """,
            "test_early.py": """
            from conftest import get_objects
            everything = []

            def test_one_that_was_taken_early_sees_all():
                assert any(each is everything for each in get_objects())
        """,
            "test_referrers.py": """
            import gc, pytest, sys

            class Thing: pass

            def referrers():
                thing = Thing()
                return gc.get_referrers(thing)

            def test_no_frame_of_ours():
                assert referrers() == []

            def test_errors_are_the_same():
                with pytest.raises(TypeError) as caught:
                    gc.get_objects(generation="x")
                assert len(caught.traceback) == 1
        """,
        }
    )
    project.same(slots=slots)
