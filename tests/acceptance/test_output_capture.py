"""The output of tests: in the section of its test, and uncaptured in pytest's order."""

from __future__ import annotations

import pytest

#: Two files that print in every phase and by every way, slowly enough to run at the same time.
PRINTING = """\
    import logging, os, subprocess, sys, time
    import pytest

    @pytest.fixture
    def fixture():
        print("{n} setup out")
        print("{n} setup err", file=sys.stderr)
        logging.warning("{n} setup log")
        yield
        print("{n} teardown out")
        print("{n} teardown err", file=sys.stderr)
        logging.warning("{n} teardown log")

    @pytest.mark.parametrize("round", range(4))
    def test_prints(fixture, round):
        for part in range(20):
            print("{n}", round, part)
            os.write(1, b"{n} raw out\\n")
            os.write(2, b"{n} raw err\\n")
            if part == 10:
                subprocess.run(["echo", "{n} from a process"], check=True)
            time.sleep(0.001)
        logging.error("{n} call log")
        assert round == 9
    """


@pytest.mark.parametrize("capture", ["fd", "sys", "tee-sys"])
def test_sections_stay_with_their_test(project, capture):
    project.write({f"test_{n}.py": PRINTING.replace("{n}", n) for n in "abc"})
    _, ours = project.same(f"--capture={capture}", "-rA", slots=2)
    assert [each[1][1] for each in ours.outcomes.values()] == ["failed"] * 12
    sections = {
        event[1]: dict(event[4][2])
        for event in ours.events
        if event[0] == "report" and event[2] == "teardown"
    }
    for nodeid, shown in sections.items():
        n, number = nodeid[len("test_")], nodeid[-2]
        assert shown["Captured stdout setup"] == f"{n} setup out\n"
        assert shown["Captured stderr teardown"] == f"{n} teardown err\n"
        raw = [f"{n} raw out"] if capture == "fd" else []
        process = [f"{n} from a process"] if capture == "fd" else []
        expected = []
        for part in range(20):
            expected += raw + (process if part == 10 else [])
        printed = shown["Captured stdout call"].splitlines()
        assert [line for line in printed if "raw" in line or "process" in line] == expected
        assert [line for line in printed if line.startswith(f"{n} {number} ")] == [
            f"{n} {number} {part}" for part in range(20)
        ]


def test_one_slot_captures_alike(project):
    project.write({f"test_{n}.py": PRINTING.replace("{n}", n) for n in "ab"})
    _, ours = project.same("-rA", slots=1)
    assert len(ours.outcomes) == 8


@pytest.mark.parametrize("style", ["", "-v"])
def test_without_capture(project, slots, style):
    project.write({f"test_{n}.py": PRINTING.replace("{n}", n) for n in "ab"})
    _, ours = project.same("-s", *style.split(), slots=slots)
    own = [line for line in ours.lines if line.startswith(("a 3 ", "b 0 "))]
    assert own == [f"a 3 {part}" for part in range(20)] + [f"b 0 {part}" for part in range(20)]


def test_a_shared_pipe_keeps_the_order_of_both_streams(project, slots):
    import subprocess

    project.write({f"test_{n}.py": PRINTING.replace("{n}", n) for n in "ab"})
    project.same("-s", slots=slots, stderr=subprocess.STDOUT)


def test_capture_fixtures(project, slots):
    project.write(
        {
            f"test_{n}.py": f"""\
            import os, sys
            import pytest

            def test_capsys(capsys):
                print("{n} seen")
                print("{n} error", file=sys.stderr)
                assert capsys.readouterr() == ("{n} seen\\n", "{n} error\\n")
                print("{n} left over")

            def test_disabled(capsys):
                print("{n} captured")
                with capsys.disabled():
                    print("{n} past the capture")
                    os.write(1, b"{n} raw past the capture\\n")
                print("{n} captured again")
                assert 0

            def test_capfd(capfd):
                os.write(1, b"{n} raw")
                os.system("echo {n} shell")
                assert capfd.readouterr().out == "{n} raw{n} shell\\n"

            def test_capfd_disabled(capfd):
                with capfd.disabled():
                    print("{n} past capfd")

            def test_binary(capsysbinary, request):
                sys.stdout.buffer.write(b"\\xff\\x00")
                assert capsysbinary.readouterr().out == b"\\xff\\x00"

            @pytest.fixture(scope="module", autouse=True)
            def through_the_manager(request):
                manager = request.config.pluginmanager.getplugin("capturemanager")
                with manager.global_and_fixture_disabled():
                    print("{n} module begins")
                yield
                with manager.global_and_fixture_disabled():
                    print("{n} module ends")
            """
            for n in "ab"
        }
    )
    _, ours = project.same(slots=slots)
    passed = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    names = ["test_capsys", "test_disabled", "test_capfd", "test_capfd_disabled", "test_binary"]
    assert ours.outcomes == {
        f"test_{n}.py::{name}": [passed[0], ("call", "failed"), passed[2]]
        if name == "test_disabled"
        else passed
        for n in "ab"
        for name in names
    }
    assert [line for line in ours.lines if "past" in line or "module" in line] != []


def test_streams_held_since_collection(project):
    project.write(
        {
            f"test_{n}.py": f"""\
            import logging, sys
            held = sys.stdout
            handler = logging.StreamHandler(sys.stderr)

            def test_held():
                held.write("{n} through what was held\\n")
                handler.emit(logging.LogRecord("x", 30, "", 1, "{n} handled", (), None))
                print("{n} printed")
                assert 0
            """
            for n in "ab"
        }
    )
    _, ours = project.same("-W", "error")
    assert "a through what was held" in ours.lines
    assert "b handled" in ours.lines


def test_standard_input(project, slots):
    project.write(
        {
            "test_input.py": """\
            import os, sys

            def test_reads():
                input()

            def test_descriptor():
                assert os.read(0, 10) == b""
            """
        }
    )
    _, ours = project.same(slots=slots)
    assert [each[1] for each in ours.outcomes.values()] == [("call", "failed"), ("call", "passed")]


def test_standard_input_without_capture(project, slots):
    project.write({"test_input.py": "import sys\ndef test_reads():\n    assert sys.stdin.read() == ''\n"})
    _, ours = project.same("-s", slots=slots)
    assert ours.status == 0


def test_output_that_is_no_text(project, slots):
    project.write(
        {
            "test_bytes.py": """\
            import os, sys

            def test_bytes():
                os.write(1, b"\\xff\\xfe not utf-8\\n")
                print("\\ud800 \\u00e9 \\U0001f600".encode("utf-8", "replace").decode())
                print("tail without newline", end="")
                assert 0
            """
        }
    )
    project.same("-rA", slots=slots)
    project.same("-s", slots=slots)


def test_faulthandler_prints_where_plain_pytest_does(project, slots):
    project.write(
        {
            "test_dump.py": """\
            import faulthandler, sys, time

            def test_dump():
                faulthandler.dump_traceback(file=sys.__stderr__)
                assert faulthandler.is_enabled()

            def test_times_out():
                time.sleep(0.6)
            """
        }
    )
    plain, ours = project.both("-o", "faulthandler_timeout=0.3", slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert [line for line in plain.errors if "test_dump.py" in line] == [
        line for line in ours.errors if "test_dump.py" in line
    ]


@pytest.mark.slow
def test_large_output(project):
    project.write(
        {f"test_{n}.py": f"def test_large():\n    print('{n}' * 3_000_000)\n    assert 0\n" for n in "ab"}
    )
    plain, ours = project.both(slots=2)
    assert len(ours.raw) > 6_000_000
    assert ours.events == plain.events
    assert ours.status == plain.status == 1
