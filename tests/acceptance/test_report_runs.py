"""``--hotreload-report`` and ``--hotreload-trace``: both contain every test of a run, and change nothing else."""

from __future__ import annotations

import signal
import time

import pytest

from .processes import Process, until
from .reporting import BOTH, told
from .sample import FILES, OUTCOMES

WORST = ("passed", "skipped", "xfailed", "xpassed", "rerun", "error", "failed")


def worst(reports: list[tuple[str, str]]) -> str:
    """A test's outcome, of those of its phases as the recorder names them."""
    named = ["error" if outcome == "failed" and when != "call" else outcome for when, outcome in reports]
    return max(named, key=WORST.index)


def test_every_test_is_in_both_and_output_is_plain_pytests(project, slots):
    project.write(FILES)
    _, ours = project.same("-rA", slots=slots, extra=BOTH)
    expected = {nodeid: worst(reports) for nodeid, reports in OUTCOMES.items()}
    found = told(ours)
    assert found.tests == expected
    assert found.traced == expected
    assert found.phases == [
        "start",
        "conftests",
        "collection",
        "preparation",
        "run",
        "last reports",
        "end",
    ]
    assert found.data["slots"] == (["master"] if slots == 1 else ["gw0", "gw1"])
    assert sorted(child["file"] for child in found.children) == [
        "sub/test_deeper.py",
        "sub/test_wide.py",
        "test_marks.py",
        "test_plain.py",
    ]
    assert {(child["how"], child["ending"]) for child in found.children} == {("fork", "")}
    assert all(0 < child["cpu"] <= child["seconds"] + 0.5 for child in found.children)
    assert len(found.data["collection"]) >= 5


TIMES = {
    "test_times.py": """
        import time
        import pytest

        @pytest.fixture(scope="session")
        def server():
            time.sleep(0.2)
            yield
            time.sleep(0.05)

        def test_first(server): time.sleep(0.1)
        def test_second(server): pass
    """,
    "test_other.py": "def test_other(): pass\n",
}


def test_times_are_those_of_the_tests(project):
    project.write(TIMES)
    found = told(project.run(*BOTH, slots=2))
    (first,) = found.ran("test_times.py::test_first")
    (second,) = found.ran("test_times.py::test_second")
    unit = found.data["unit"]
    assert first["setup"] * unit >= 0.2
    assert first["call"] * unit >= 0.1
    assert second["teardown"] * unit >= 0.05
    assert second["begin"] >= first["begin"] + first["setup"] + first["call"] + first["teardown"]
    child = found.child(first["child"])
    assert (child["file"], second["child"]) == ("test_times.py", first["child"])
    assert child["seconds"] >= 0.35
    (fixture,) = [event for event in found.events if event.get("cat") == "fixture"]
    assert fixture["name"] == "server"
    assert fixture["dur"] >= 200_000
    assert "<td>server</td>" in found.source


@pytest.mark.parametrize(
    ("args", "how", "children"),
    [
        (["--hotreload-isolate=test"], {"fork"}, 3),
        (["--hotreload-isolate=worker"], {"fork"}, 2),
        (["--hotreload-isolate=strict"], {"apart"}, 2),
        (["--hotreload-start=spawn"], {"spawn"}, 2),
        (["--no-cache"], {"fork"}, 2),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_way_to_run_is_told(project, args, how, children):
    project.write(TIMES)
    found = told(project.run(*BOTH, *args, slots=2))
    assert (
        found.tests
        == found.traced
        == {
            "test_times.py::test_first": "passed",
            "test_times.py::test_second": "passed",
            "test_other.py::test_other": "passed",
        }
    )
    assert {child["how"] for child in found.children} == how
    assert len(found.children) == children
    assert {child["ending"] for child in found.children} == {""}


def test_deaths_time_outs_and_second_tries(project):
    project.write(
        {
            "test_dies.py": """
                import os, signal, time
                from pathlib import Path

                def test_before(): pass
                def test_dies(): os._exit(3)
                def test_after(): pass
                def test_hangs(): time.sleep(60)
                def test_last(): pass
                def test_once():
                    mark = Path(__file__).with_name("mark")
                    if not mark.exists():
                        mark.write_text("")
                        os.kill(os.getpid(), signal.SIGSEGV)
            """
        }
    )
    found = told(project.run(*BOTH, "--hotreload-timeout=1", slots=2))
    expected = dict.fromkeys(
        [f"test_dies.py::test_{name}" for name in ("before", "after", "last", "once")], "passed"
    )
    expected |= {"test_dies.py::test_dies": "failed", "test_dies.py::test_hangs": "failed"}
    assert found.tests == found.traced == expected
    assert [(child["how"], child["ending"]) for child in found.children] == [
        ("fork", "ended with exit status 3"),
        ("fork", "was killed: the test took longer than --hotreload-timeout=1 s"),
        ("fork", "was killed by SIGSEGV (signal 11)"),
        ("apart", ""),
    ]
    assert [ran["child"] for ran in found.ran("test_dies.py::test_once")] == [3]
    assert (
        "3 children did not end normally: test_dies.py ended with exit status 3, and 2 more." in found.source
    )


def test_reruns_are_all_told(project):
    pytest.importorskip("pytest_rerunfailures")
    project.plugins = ["pytest_rerunfailures"]
    project.write(
        {
            "test_flaky.py": """
                tries = []
                def test_flaky():
                    tries.append(1)
                    assert len(tries) == 3
                def test_steady(): pass
            """
        }
    )
    found = told(project.run(*BOTH, "--reruns=2", slots=1))
    assert found.tests == {"test_flaky.py::test_flaky": "rerun", "test_flaky.py::test_steady": "passed"}
    assert len(found.ran("test_flaky.py::test_flaky")) == 3


def test_a_run_that_is_cut_short_is_told_as_far_as_it_came(project):
    project.write(
        {
            "test_a.py": "def test_passes(): pass\ndef test_fails(): assert 0\ndef test_never(): pass\n",
            "test_b.py": "def test_later(): pass\n",
        }
    )
    _, ours = project.same("-x", slots=1, extra=BOTH)
    found = told(ours)
    assert found.tests == {
        "test_a.py::test_passes": "passed",
        "test_a.py::test_fails": "failed",
        "test_a.py::test_never": "no result",
        "test_b.py::test_later": "no result",
    }
    assert found.traced == {"test_a.py::test_passes": "passed", "test_a.py::test_fails": "failed"}


def test_a_keyboard_interrupt_in_a_test_still_leaves_a_report(project):
    project.write({"test_a.py": "def test_a(): pass\ndef test_stops(): raise KeyboardInterrupt\n"})
    _, ours = project.same(slots=1, extra=BOTH)
    assert ours.status == 2
    assert told(ours).tests == {"test_a.py::test_a": "passed", "test_a.py::test_stops": "no result"}


def test_ctrl_c_still_leaves_a_report(project):
    project.write(
        {
            "test_a.py": """
                import time
                def test_first(): pass
                def test_sleeps():
                    open("asleep", "w").close()
                    time.sleep(120)
                def test_never(): pass
            """,
            "test_b.py": "def test_other(): pass\n",
        }
    )
    with Process(project, *BOTH, slots=2) as process:
        until((process.root / "asleep").exists, "the test that sleeps")
        time.sleep(0.3)
        process.send(signal.SIGINT)
        ours = process.result()
    assert ours.status == 2
    found = told(ours)
    assert found.tests["test_a.py::test_first"] == "passed"
    assert found.tests["test_a.py::test_sleeps"] == found.tests["test_a.py::test_never"] == "no result"
    assert {event["args"]["name"] for event in found.events if event["name"] == "thread_name"} >= {
        "gw0",
        "gw1",
    }


def test_a_file_that_can_not_be_collected(project):
    project.write({"test_a.py": "def test_a(): pass\n", "test_bad.py": "import nowhere_at_all\n"})
    _, ours = project.same(slots=1, extra=BOTH)
    found = told(ours)
    assert found.tests == {"test_a.py::test_a": "no result"}
    assert found.phases[-1] == "preparation"
    assert "1 file not collected, 1 without a result" in found.source


def test_a_tests_clock_can_not_spoil_the_picture(project):
    project.write(
        {
            "test_clock.py": """
                import _pytest.timing, pytest

                @pytest.fixture
                def frozen():
                    plain = _pytest.timing.time
                    _pytest.timing.time = lambda: 1.0
                    yield
                    _pytest.timing.time = plain

                def test_before(): pass
                def test_frozen(frozen): pass
                def test_after(): pass
            """
        }
    )
    found = told(project.run(*BOTH, slots=1))
    before, frozen, after = (
        found.ran(f"test_clock.py::test_{name}")[0] for name in ("before", "frozen", "after")
    )
    assert before["begin"] < frozen["begin"] < after["begin"]


def test_hostile_names_are_data(project):
    project.write(
        {
            "test_names.py": """
                import pytest

                @pytest.mark.parametrize("name", ["</script><script>", "<img onerror=x>", "\\"'&", "<!--"])
                def test_name(name): pass
            """
        }
    )
    found = told(project.run(*BOTH, slots=1))
    assert "test_names.py::test_name[</script><script>]" in found.tests
    assert found.source.count("</script>") == 2
    assert "<img" not in found.source


def test_plain_pytest_in_the_controller_is_told(project):
    pytest.importorskip("pytest_benchmark")
    project.plugins = ["pytest_benchmark.plugin"]
    project.write({"test_fast.py": "def test_fast(benchmark): benchmark(int)\ndef test_other(): pass\n"})
    found = told(project.run(*BOTH, slots=2))
    assert found.tests == {"test_fast.py::test_fast": "passed", "test_fast.py::test_other": "passed"}
    assert found.data["slots"] == ["plain pytest"]
    assert [child["how"] for child in found.children] == ["plain"]
