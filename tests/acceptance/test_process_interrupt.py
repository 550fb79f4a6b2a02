"""Ctrl-C: the first one stops, tears down and summarises as plain pytest does; the second one ends at once."""

from __future__ import annotations

import re
import signal
import time

import pytest

from .compare import Result
from .processes import Process, Terminal, until

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
INTERRUPTED = "!" * 30 + " KeyboardInterrupt " + "!" * 31

SLEEPING = {
    "conftest.py": """
        import pytest, time

        @pytest.fixture(scope="session", autouse=True)
        def server():
            yield
            with open("server.txt", "a") as file: print("down", file=file)

        @pytest.fixture
        def door():
            yield
            with open("door.txt", "a") as file: print("shut", file=file)
    """,
    "test_a.py": """
        import time

        def test_first(): pass

        def test_sleeps(door):
            print("asleep")
            open("asleep", "w").close()
            time.sleep(120)

        def test_never(): pass
    """,
    "test_b.py": "def test_never(): pass\n",
}


def stop_both(project, *args: str, slots: int, group: bool) -> tuple[Result, ...]:
    """Plain's result and ours; both get SIGINT while the test sleeps."""
    results = []
    for side in (None, slots):
        with Process(project, *args, slots=side) as process:
            until((process.root / "asleep").exists, "the test that sleeps")
            time.sleep(0.3)
            process.send(signal.SIGINT, group=group)
            results.append(process.result())
            until(lambda: not process.alive(), "nothing alive", 3)
    return tuple(results)


@pytest.mark.parametrize("group", [False, True], ids=["to the controller", "to the group"])
def test_one_interrupt_is_plain_pytests(project, slots, group):
    project.write(SLEEPING)
    plain, ours = stop_both(project, "-v", slots=slots, group=group)
    assert plain.status == 2
    assert ours.status == 2
    assert ours.lines == plain.lines
    assert any(re.fullmatch(r".*test_a\.py:9: KeyboardInterrupt", line) for line in ours.lines)
    assert ours.outcomes == plain.outcomes == {
        "test_a.py::test_first": PASSED,
        "test_a.py::test_sleeps": [("setup", "passed")],
    }  # fmt: skip
    assert ours.read("door.txt") == plain.read("door.txt") == "shut\n"
    assert plain.read("server.txt") == "down\n"
    assert set(ours.read("server.txt").split()) == {"down"}


@pytest.mark.parametrize(
    "place",
    ["run.children.Children.start", "records.records.RunRecords.judge", "process.channel.Channel.drain"],
)
@pytest.mark.slow
def test_an_interrupt_while_the_controller_is_busy(project, slots, place):
    """On a busy machine a test may be under way before the controller looks at anything; it is torn down all the
    same."""
    module, owner, name = place.rsplit(".", 2)
    project.write(SLEEPING)
    project.write({
        "busy.py": f"""
            import time
            from pytest_hotreload.{module} import {owner}
            original = {owner}.{name}
            def busy(*args, **options):
                result = original(*args, **options)
                time.sleep(1)
                return result
            {owner}.{name} = busy
        """
    })  # fmt: skip
    plain, ours = stop_both(project, "-v", "-p", "busy", slots=slots, group=True)
    assert ours.lines == plain.lines
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 2
    assert ours.read("door.txt") == plain.read("door.txt") == "shut\n"


def test_a_test_that_catches_the_interrupt(project):
    """The exception was the test's to catch, so plain pytest goes on. Ours has been told to stop: what runs ends
    as it would have, and nothing more starts."""
    project.write({
        "test_a.py": """
            import time

            def test_catches():
                open("asleep", "w").close()
                try:
                    time.sleep(120)
                except KeyboardInterrupt:
                    pass

            def test_after(): pass
        """
    })  # fmt: skip
    plain, ours = stop_both(project, slots=1, group=True)
    assert plain.outcomes == {"test_a.py::test_catches": PASSED, "test_a.py::test_after": PASSED}
    assert ours.outcomes == plain.outcomes
    assert plain.status == 0
    assert ours.lines[-1] == plain.lines[-1] == "== 2 passed in TIME =="
    assert INTERRUPTED in ours.lines
    assert ours.status == 2


def test_a_second_interrupt_ends_at_once(project, slots):
    project.write({
        "conftest.py": """
            import pytest, time

            @pytest.fixture(scope="session", autouse=True)
            def slow():
                yield
                open("tearing", "w").close()
                time.sleep(120)
        """,
        "test_a.py": """
            import time

            def test_sleeps():
                open("asleep", "w").close()
                time.sleep(120)
        """,
        "test_b.py": "import time\ndef test_other(): time.sleep(120)\n",
    })  # fmt: skip
    with Process(project, slots=slots) as process:
        until((process.root / "asleep").exists, "the test that sleeps")
        time.sleep(0.3)
        process.send(signal.SIGINT, group=True)
        until((process.root / "tearing").exists, "the fixture that is torn down")
        began = time.monotonic()
        process.send(signal.SIGINT, group=True)
        assert process.end() == 2
        assert time.monotonic() - began < 10
        until(lambda: not process.alive(), "nothing alive", 3)
        assert "no tests ran in" in process.text
        assert "KeyboardInterrupt" in process.text


def test_children_that_ignore_the_interrupt(project):
    """The first waits for them, as plain pytest would; the second does not."""
    project.write({
        "test_a.py": """
            import signal, time

            def test_deaf():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                open("asleep", "w").close()
                time.sleep(120)
        """,
    })  # fmt: skip
    with Process(project, slots=2) as process:
        until((process.root / "asleep").exists, "the test that sleeps")
        process.send(signal.SIGINT)
        time.sleep(1)
        assert process.popen.poll() is None
        process.send(signal.SIGINT)
        assert process.end(10) == 2
        until(lambda: not process.alive(), "nothing alive", 3)


@pytest.mark.parametrize("slow", ["a", "b", "c"])
def test_each_child_tears_down_in_its_own_time(project, slow):
    """The one whose turn it is to be shown is not the only one: others are not ended when it has told its end."""
    project.write({
        "conftest.py": f"""
            import os, pytest, time

            @pytest.fixture
            def guarded(request):
                open(f"asleep-{{request.node.name}}", "w").close()
                yield
                if request.node.name == "test_{slow}": time.sleep(1)
                with open("torn.txt", "a") as file: print(request.node.name, file=file)
        """,
        **{f"test_{name}.py": f"import time\ndef test_{name}(guarded): time.sleep(120)\n" for name in "abc"},
    })  # fmt: skip
    with Process(project, slots=3) as process:
        until(lambda: len(list(process.root.glob("asleep-*"))) == 3, "the tests that sleep")
        time.sleep(0.3)
        process.send(signal.SIGINT, group=True)
        result = process.result()
    assert result.status == 2
    assert sorted(result.read("torn.txt").split()) == ["test_a", "test_b", "test_c"]
    assert INTERRUPTED in result.lines
    assert "<root>/test_a.py:2: KeyboardInterrupt" in result.lines


def test_ctrl_c_after_a_plugin_interrupted_the_run(project):
    """The children were asked to stop by then, and do not: the user's first Ctrl-C is the second that is told."""
    project.write({
        "conftest.py": """
            def pytest_runtest_logreport(report):
                if report.when == "call" and report.nodeid == "test_a.py::test_first": raise KeyboardInterrupt
        """,
        "test_a.py": """
            import os, time

            def test_first():
                while not os.path.exists("asleep"): time.sleep(0.01)
        """,
        "test_b.py": """
            import signal, time

            def test_deaf():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                open("asleep", "w").close()
                time.sleep(120)
        """,
    })  # fmt: skip
    with Process(project, slots=2) as process:
        until((process.root / "asleep").exists, "the test that sleeps")
        time.sleep(1)
        assert process.popen.poll() is None
        process.send(signal.SIGINT)
        assert process.end(10) == 2
        until(lambda: not process.alive(), "nothing alive", 3)


@pytest.mark.parametrize("slots", [None, 1, 2])
def test_ctrl_c_on_a_terminal(project, slots):
    project.write(SLEEPING)
    with Terminal(project, "-v", slots=slots) as terminal:
        until((terminal.root / "asleep").exists, "the test that sleeps")
        time.sleep(0.3)
        terminal.send("\x03")
        assert terminal.end() == 2
        assert "test_a.py:9: KeyboardInterrupt" in terminal.text
        assert "(to show a full traceback on KeyboardInterrupt use --full-trace)" in terminal.text
        assert re.search(r"=+ 1 passed in ", terminal.text)
        assert "Traceback" not in terminal.text
    assert (terminal.root / "door.txt").read_text() == "shut\n"


def test_full_trace_shows_where_it_struck(project):
    project.write(SLEEPING)
    plain, ours = stop_both(project, "--full-trace", slots=1, group=True)
    for result in (plain, ours):
        assert ">       time.sleep(120)" in result.lines
        assert "E       KeyboardInterrupt" in result.lines
    assert ours.status == plain.status == 2


def test_an_interrupt_while_collecting_is_plain_pytests(project):
    project.write({
        "test_a.py": """
            import time
            open("asleep", "w").close()
            time.sleep(120)
        """
    })  # fmt: skip
    plain, ours = stop_both(project, slots=2, group=True)
    assert ours.lines == plain.lines
    assert ours.status == plain.status == 2


def test_a_test_that_raises_keyboard_interrupt(project, slots):
    project.write({
        "test_a.py": """
            def test_first(): pass
            def test_raises(): raise KeyboardInterrupt("why")
            def test_never(): pass
        """
    })  # fmt: skip
    _, ours = project.same("-v", slots=slots)
    assert "<root>/test_a.py:3: KeyboardInterrupt: why" in ours.lines
    assert ours.status == 2
