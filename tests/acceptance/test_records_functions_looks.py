"""What looks at code, and other tools that observe the interpreter: where records of functions cannot tell."""

from __future__ import annotations

import os
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from .keeping import Kept, outcomes

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on"
)


@pytest.mark.parametrize(
    "look",
    [
        "import inspect\n    assert inspect.getsource(part.f)",
        "assert 'return' in open(part.__file__).read()",
        "assert part.f.__code__.co_consts",
        "import linecache\n    assert linecache.getline(part.__file__, 1)",
        "import importlib.util\n    assert open(importlib.util.cache_from_source(part.__file__), 'rb').read()",
        "import types\n    assert types.FunctionType(part.f.__code__.replace(co_name='g'), {})() == 1",
        "import subprocess, sys\n    subprocess.run([sys.executable, '-c', '1'], check=True)",
    ],
)
def test_code_that_was_looked_at_counts_as_a_whole(tmp_path, look):
    kept = Kept(tmp_path, {
        "part.py": "def f():\n    return 1\n\ndef g():\n    return 2\n",
        "test_a.py": f"import part\n\ndef test_a():\n    {look}\n",
        "test_b.py": "import part\n\ndef test_b():\n    assert part.f() == 1\n",
    })  # fmt: skip
    kept.run()
    kept.edit("part.py", "return 2", "return 3")
    assert list(kept.affected()) == ["test_a.py"]


def test_asking_for_signatures_is_no_look_at_code(tmp_path):
    kept = Kept(tmp_path, {
        "part.py": """\
            import typing

            @typing.overload
            def f(n: int) -> int: ...
            @typing.overload
            def f(n: str) -> str: ...
            def f(n=1):
                return n

            async def g():
                return 2
            """,
        "test_a.py": """\
            import inspect, part

            def test_a():
                assert str(inspect.signature(part.f)) == "(n=1)"
                assert inspect.iscoroutinefunction(part.g)
            """,
    })  # fmt: skip
    kept.run()
    kept.edit("part.py", "return 2", "return 3")
    assert kept.affected() == {}


ANNOTATED = """\
    import dataclasses

    def f(n: int, *, z: "str" = "") -> int:
        return n

    @dataclasses.dataclass
    class Item:
        size: int = 1

        def times(self, n: int) -> int:
            return n

    def outer():
        kind = int

        def inner(n: kind):
            class Local:
                size: kind

            return Local

        return inner

    def g(n: int) -> int:
        return 2

    LIMIT: int = 3
    """


@pytest.mark.parametrize(
    "ask",
    [
        "inspect.signature(part.f)",
        "inspect.get_annotations(part.Item.times)",
        "typing.get_type_hints(part.Item) and typing.get_type_hints(part)",
        "typing.get_type_hints(part.outer()) and part.outer()(1).__annotations__",
    ],
)
def test_asking_for_annotations_is_no_look_at_code(tmp_path, ask):
    """Annotations are code of their own from Python 3.14 on; pytest asks for those of tests and fixtures."""
    kept = Kept(tmp_path, {
        "part.py": ANNOTATED,
        "test_a.py": f"""\
            import inspect, pytest, typing
            import part

            @pytest.fixture
            def one() -> int:
                return 1

            def test_a(one: int) -> None:
                assert {ask}

            def test_b(one: int) -> None:
                assert one
            """,
    })  # fmt: skip
    kept.run()
    functions = kept.record("test_a.py")["functions"]
    assert [one["file"] for one in functions["divided"]] == ["part.py", "test_a.py"]
    kept.edit("part.py", "return 2", "return 3")
    assert kept.affected() == {}
    kept.edit("part.py", "kind = int", "kind = float")
    assert list(kept.affected()) == (["test_a.py"] if "outer" in ask else [])


@pytest.mark.parametrize("style", ["long", "short", "native", "line"])
def test_a_failure_that_is_shown_is_no_look_at_code(tmp_path, style):
    kept = Kept(tmp_path, {
        "part.py": "def f(n):\n    assert n\n\ndef g():\n    return 2\n",
        "test_a.py": "import part\n\ndef test_a():\n    part.f(0)\n\ndef test_b():\n    assert part.g()\n",
    })  # fmt: skip
    assert outcomes(kept.run(f"--tb={style}"))["test_a.py::test_a"] == "failed"
    functions = kept.record("test_a.py")["functions"]
    assert [one["file"] for one in functions["divided"]] == ["part.py", "test_a.py"]


def test_a_test_that_shows_a_traceback_looks_at_code(tmp_path):
    kept = Kept(tmp_path, {
        "part.py": "def f(n):\n    assert n\n\ndef g():\n    return 2\n",
        "test_a.py": """\
            import traceback, part

            def test_a():
                try:
                    part.f(0)
                except AssertionError:
                    assert "assert n" in traceback.format_exc()
            """,
    })  # fmt: skip
    kept.run()
    functions = kept.record("test_a.py")["functions"]
    assert [one["file"] for one in functions["divided"]] == []


def test_other_tools_of_the_interpreter(tmp_path):
    """With both free identifiers taken nothing is divided, and the run is as ever."""
    kept = Kept(tmp_path, {
        "conftest.py": "",
        "taking.py": "import sys\nfor tool in (3, 4, 5):\n    sys.monitoring.use_tool_id(tool, 'x')\n",
        "part.py": "def f():\n    return 1\n\ndef g():\n    return 2\n",
        "test_a.py": "import part\n\ndef test_a():\n    assert part.f() == 1\n",
        "pytest.ini": "[pytest]\naddopts = -p taking\npythonpath = .\n",
    })  # fmt: skip
    result = kept.run()
    assert result.status == 0, result.raw
    assert kept.record("test_a.py")["functions"]["undivided"] == "other tools use sys.monitoring"


@pytest.mark.parametrize("calls", [1, 100])
def test_a_test_that_takes_the_tool_over(tmp_path, calls):
    """It counts as a whole, and the run goes on; what is called often has to be switched on again."""
    kept = Kept(tmp_path, {
        "part.py": "def f():\n    return 1\n\ndef g():\n    return 2\n",
        "test_a.py": f"""\
            import sys, part

            def test_a():
                for _ in range({calls}):
                    part.f()
                for tool in (3, 4, 5):
                    if sys.monitoring.get_tool(tool):
                        sys.monitoring.free_tool_id(tool)

            def test_b():
                assert part.f() == 1
            """,
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    reasons = ("a test took over sys.monitoring", "calls of functions were lost")
    assert kept.record("test_a.py")["functions"]["undivided"] in reasons


def test_tools_that_tests_take_are_free(tmp_path):
    """All but one that hardly anybody takes."""
    kept = Kept(tmp_path, {
        "test_a.py": """\
            import sys

            def test_a():
                for tool in range(5):
                    sys.monitoring.use_tool_id(tool, "mine")
                    sys.monitoring.free_tool_id(tool)
            """,
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}


#: What the test does; `lib` has a function that the interpreter calls by itself, and one that this one calls.
CALLED_BY_THE_INTERPRETER = {
    "trace function": """\
        sys.settrace(lambda frame, event, arg: lib.called())
        (lambda: 1)()
        sys.settrace(None)
        """,
    "profile function": """\
        sys.setprofile(lambda frame, event, arg: lib.called())
        (lambda: 1)()
        sys.setprofile(None)
        """,
    "debugger": "lib.Debugger().run('x = 1')\n",
    "audit hook": """\
        sys.addaudithook(lambda event, args: event == "my.event" and lib.called())
        sys.audit("my.event")
        """,
    "callback": """\
        watch, events = sys.monitoring, sys.monitoring.events
        def target(): pass
        watch.use_tool_id(1, "mine")
        watch.register_callback(1, events.PY_START, lambda code, at: lib.called())
        watch.set_local_events(1, target.__code__, events.PY_START)
        target()
        watch.set_local_events(1, target.__code__, 0)
        watch.free_tool_id(1)
        """,
    "trace function of threads": """\
        threading.settrace(lambda frame, event, arg: lib.called())
        thread = threading.Thread(target=lambda: 1)
        thread.start()
        thread.join()
        threading.settrace(None)
        """,
}
LIB = """\
    import bdb

    SEEN = []

    def helper():
        return 1

    def called():
        SEEN.append(helper())

    def other():
        return 2

    class Debugger(bdb.Bdb):
        def user_line(self, frame):
            called()
    """


@pytest.mark.parametrize("how", CALLED_BY_THE_INTERPRETER)
def test_what_the_interpreter_calls_by_itself(tmp_path, how):
    """It tells no calls while such a function runs, so the test file counts as one that ran everything."""
    body = textwrap.indent(textwrap.dedent(CALLED_BY_THE_INTERPRETER[how]), "    ")
    kept = Kept(tmp_path, {
        "lib.py": LIB,
        "test_a.py": f"import sys, threading, lib\n\ndef test_a():\n{body}    assert {{*lib.SEEN}} == {{1}}\n",
        "test_b.py": "import lib\n\ndef test_b():\n    assert lib.other() == 2\n",
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    assert kept.affected() == {}
    kept.edit("lib.py", "return 1", "return 3")
    assert outcomes(kept.run("--affected")) == {"test_a.py::test_a": "failed"}


def test_an_installed_package_that_traces_leaves_functions(tmp_path):
    """As coverage does it, also in threads."""
    installed = Path(sysconfig.get_path("purelib"), f"hotreload_traces_{os.getpid()}.py")
    kept = Kept(tmp_path, {
        "lib.py": LIB,
        "test_a.py": f"""\
            import threading
            import lib, {installed.stem} as tracing

            def test_a():
                tracing.start()
                thread = threading.Thread(target=lib.helper)
                thread.start()
                thread.join()
                tracing.stop()
            """,
    })  # fmt: skip
    installed.write_text(TRACING, encoding="utf-8")
    try:
        assert set(outcomes(kept.run()).values()) == {"passed"}
    finally:
        installed.unlink()
    assert kept.record("test_a.py")["functions"]["undivided"] == ""


TRACING = """\
import sys, threading

def trace(frame, event, arg):
    return None

def start():
    threading.settrace(trace)
    sys.settrace(trace)

def stop():
    threading.settrace(None)
    sys.settrace(None)
"""
