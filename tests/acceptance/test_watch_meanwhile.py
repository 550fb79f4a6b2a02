"""Edits while tests run, edits in quick succession, and tests that end badly."""

from __future__ import annotations

import re
import time
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from .watching import HUNG, Shown, Watching

_WAITS = """\
    import os, time
    from pathlib import Path
    import pace

    def test_slow():
        here = Path(__file__).parent
        (here / "started.tmp").write_text("")
        while pace.WAIT and not (here / "go.tmp").exists():
            time.sleep(0.01)
    """
_SLOW = {
    "pace.py": "WAIT = False\n",
    "test_a_slow.py": _WAITS,
    "test_b.py": "def test_b(): pass\n",
    "test_c.py": "def test_c(): pass\n",
}


def await_file(path: Path) -> None:
    """Until the file is there, which then is removed."""
    deadline = time.monotonic() + HUNG
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)
    path.unlink()


def _settled(watching: Watching, *, until: str) -> list[Shown]:
    """What is shown up to and including the status that ends so."""
    shown = [watching.shown()]
    while shown[-1].status != until:
        shown.append(watching.shown())
    return shown


def test_an_edit_of_the_only_file_that_runs(tmp_path: Path) -> None:
    """It waits for ever, alone in its rerun: stopped, and run again with the new content."""
    with Watching(tmp_path, _SLOW) as watching:
        assert watching.shown().status == "PASS 3 passed"
        watching.path("started.tmp").unlink()
        watching.write({"pace.py": "WAIT = True\n"})
        await_file(watching.path("started.tmp"))
        watching.write({"pace.py": "WAIT = None\n"})
        shown = _settled(watching, until="PASS 1 passed")
        assert shown[0].notices == ["1 test file changed during the run and runs again"]
        assert shown[-1].ran == {"test_a_slow.py::test_slow": "passed"}
        assert watching.end() == 0


def test_a_test_that_never_ends_is_stopped_by_its_edit(tmp_path: Path) -> None:
    loop = "def test_loop():\n    while True: pass\n"
    with Watching(
        tmp_path, {"test_loop.py": "def test_loop(): pass\n", "test_b.py": "def test_b(): pass\n"}
    ) as watching:
        watching.shown()
        watching.write({"test_loop.py": "from pathlib import Path\nPath('started.tmp').touch()\n" + loop})
        await_file(watching.path("started.tmp"))
        watching.write({"test_loop.py": "def test_loop(): assert 1\n"})
        assert _settled(watching, until="PASS 1 passed")[-1].ran == {"test_loop.py::test_loop": "passed"}
        assert watching.end() == 0


@pytest.mark.slow
def test_an_edit_stops_what_it_concerns_and_the_others_finish(tmp_path: Path) -> None:
    with Watching(
        tmp_path,
        {
            **_SLOW,
            "core.py": "",
            "test_b.py": "import core\n\ndef test_b(): pass\n",
            "test_a_slow.py": _WAITS.replace("import pace", "import core, pace"),
        },
    ) as watching:
        assert watching.shown().status == "PASS 3 passed"
        watching.write({"pace.py": "WAIT = True\n"})
        watching.path("started.tmp").unlink()
        watching.write({"core.py": "A = 1\n"})
        await_file(watching.path("started.tmp"))
        watching.write({"pace.py": "WAIT = False\n"})
        shown = _settled(watching, until="PASS 1 passed")
        outcomes: dict[str, str] = {}
        for each in shown:
            outcomes.update(each.ran)
        assert outcomes["test_a_slow.py::test_slow"] == "passed"
        assert outcomes["test_b.py::test_b"] == "passed"
        notices = [notice for each in shown for notice in each.notices]
        assert notices == ["1 test file changed during the run and runs again"]
        assert watching.end() == 0


def test_an_edit_of_something_else_is_answered_next(tmp_path: Path) -> None:
    with Watching(tmp_path, _SLOW) as watching:
        watching.shown()
        watching.path("started.tmp").unlink()
        watching.write({"pace.py": "WAIT = True\n"})
        await_file(watching.path("started.tmp"))
        watching.write({"test_c.py": "def test_other(): pass\n"})
        watching.write({"go.tmp": ""})
        shown = watching.shown()
        assert shown.ran == {"test_a_slow.py::test_slow": "passed"}
        shown = _settled(watching, until="PASS 1 passed")[-1]
        assert shown.ran == {"test_c.py::test_other": "passed"}
        assert watching.end() == 0


def test_two_edits_in_quick_succession(tmp_path: Path) -> None:
    with Watching(
        tmp_path, {"test_a.py": "def test_0(): pass\n", "test_b.py": "def test_0(): pass\n"}
    ) as watching:
        watching.shown()
        for number in range(1, 6):
            watching.write({"test_a.py": f"def test_a{number}(): pass\n"})
            watching.write({"test_b.py": f"def test_b{number}(): pass\n"})
            seen: set[str] = set()
            while not seen >= {f"test_a.py::test_a{number}", f"test_b.py::test_b{number}"}:
                seen |= watching.shown().ran.keys()
        assert watching.end() == 0


@pytest.mark.slow
def test_200_edits_as_fast_as_possible_of_the_same_size(tmp_path: Path) -> None:
    """Bytecode tells an edit by the second and the size: what runs is what is on the disk all the same."""
    files = {
        "counted.py": "NUMBER = 100\n",
        "test_it.py": "import counted\n\ndef test_it():\n    assert counted.NUMBER == 0\n",
        "test_b.py": "def test_b(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert "assert 100 == 0" in watching.shown().errors
        seen = 100
        for number in range(101, 301):
            watching.write({"counted.py": f"NUMBER = {number}\n"})
            if number % 10:
                continue
            while seen < number:  # what came between was answered first
                shown = watching.shown().errors
                for value in map(int, re.findall(r"^assert (\d+) == 0$", "\n".join(shown), re.MULTILINE)):
                    assert seen <= value <= number  # an older one after a newer one is stale
                    seen = value
        for number in range(20):
            outcome = "passed" if number % 2 else "failed"
            watching.write(
                {"test_it.py": f"import counted\n\ndef test_it():\n    assert {number % 2}  # {number:03}\n"}
            )
            while watching.shown().ran != {"test_it.py::test_it": outcome}:
                pass
        assert watching.end() == 0


def test_bytecode_of_an_edited_file_is_written_once(tmp_path: Path) -> None:
    files = {
        "used.py": "A = 1\n",
        "test_a.py": "import used\n\ndef test_a(): assert used.A\n",
        "test_b.py": "def test_b(): pass\n",
    }

    def states() -> list[tuple[int, int]]:
        root = watching.root
        folder = root / "__pycache__"
        compiled = [
            Path(cache_from_source(str(root / "used.py"))),
            *sorted(folder.glob("test_a*-pytest-*.pyc")),
        ]
        assert len(compiled) == 2
        return [(found.stat().st_ino, found.stat().st_mtime_ns) for found in compiled]

    with Watching(tmp_path, files) as watching:
        watching.shown()
        for number in (2, 3):
            assert watching.after({"used.py": f"A = {number}\n"}).status == "PASS 1 passed"
            text = f"import used\n\ndef test_a(): assert used.A  # {number}\n"
            assert watching.after({"test_a.py": text}).status == "PASS 1 passed"
            before = states()
            assert watching.after({"test_b.py": f"def test_{number}(): pass\n"}).status == "PASS 1 passed"
            assert states() == before


def test_a_test_that_kills_its_process_runs_again_in_a_child(tmp_path: Path) -> None:
    with Watching(
        tmp_path, {"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"}
    ) as watching:
        watching.shown()
        outcomes = (("first", "passed"), ("dies", "failed"), ("last", "passed"))
        for how in ("os._exit(3)", "os.kill(os.getpid(), signal.SIGSEGV)"):
            text = f"import os, signal\n\ndef test_first(): pass\n\ndef test_dies(): {how}\n\ndef test_last(): pass\n"
            shown = watching.after({"test_a.py": text})
            assert shown.ran["test_a.py::test_dies"] == "failed"
            assert shown.status.startswith("FAIL 1 failed, 2 passed")
            assert shown.notices[0].endswith("the file runs again in a child, and that result is used")
            assert shown.ran == {f"test_a.py::test_{name}": outcome for name, outcome in outcomes}
        shown = watching.after({"test_a.py": "def test_a(): pass\n"})
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_process_that_a_test_leaves_behind_is_ended(tmp_path: Path) -> None:
    leaves = """\
        import subprocess, sys
        from pathlib import Path

        def test_leaves():
            left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(__file__).with_name("left.tmp").write_text(str(left.pid))
        """
    with Watching(
        tmp_path, {"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"}
    ) as watching:
        watching.shown()
        shown = watching.after({"test_a.py": leaves})
        assert shown.ran == {"test_a.py::test_leaves": "passed"}
        pid = int(watching.path("left.tmp").read_text())
        deadline = time.monotonic() + HUNG
        while _lives(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert watching.after({"test_a.py": "def test_a(): pass\n"}).status == "PASS 1 passed"
        assert watching.end() == 0


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_test_file_that_goes_during_a_run_is_told(tmp_path: Path) -> None:
    with Watching(tmp_path, _SLOW) as watching:
        assert watching.shown().status == "PASS 3 passed"
        watching.path("started.tmp").unlink()
        watching.write({"pace.py": "WAIT = True\n"})
        await_file(watching.path("started.tmp"))
        watching.write({"test_c.py": None})
        watching.write({"go.tmp": ""})
        shown = _settled(watching, until="go.tmp, test_c.py: no test file is affected")
        assert shown[0].status == "PASS 1 passed"
        assert watching.end() == 0
