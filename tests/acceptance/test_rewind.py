"""Files that run one after the other in a rewound process find the same world as in a fork of their own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from .keeping import outcomes
from .processes import until
from .rewound import HEAD, HELPERS, LINE, file_with, pids, project, rewound

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rewinding needs Linux")


SOME = {f"test_{letter}.py": "helpers.STATE.append(1); assert helpers.STATE == [1]" for letter in "abcdef"}


@pytest.mark.parametrize(
    ("options", "processes"),
    [((), 1), (("--hotreload-rewind=off",), 6), (("--hotreload-isolate=test",), 1)],
)
def test_the_option(tmp_path: Path, options: tuple[str, ...], processes: int) -> None:
    """Off: a process for each file."""
    made = project(tmp_path, SOME)
    result = made.run("-v", *options, slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    assert len(set(pids(result))) == processes
    assert [line for line in result.notices if LINE.fullmatch(line)] == [] or rewound(result) == (5, "")


def test_the_ini_option(tmp_path: Path) -> None:
    made = project(tmp_path, SOME)
    made.write({"pytest.ini": "[pytest]\nhotreload_rewind = off\n"})
    assert len(set(pids(made.run(slots=1)))) == 6
    made.write({"pytest.ini": "[pytest]\nhotreload_rewind = always\n"})
    result = made.run(slots=1)
    assert (result.status, result.lines + result.errors) == (
        4,
        [
            "ERROR: hotreload: hotreload_rewind is 'always'; hint: one of auto, off, verify; auto is the default",
            "",
        ],
    )


def test_the_marker(tmp_path: Path) -> None:
    """A file with the marker runs in a process of its own."""
    made = project(tmp_path, SOME)
    made.write(
        {"test_c.py": "import pytest\npytestmark = pytest.mark.hotreload(rewind=False)\n" + file_with("pass")}
    )
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    a, b, c, d, e, f = pids(result)
    assert a == b != c != d == e == f
    assert c != a


def test_the_last_file_needs_no_snapshot(tmp_path: Path) -> None:
    """With as many slots as files nothing is rewound."""
    result = project(tmp_path, {"test_a.py": "pass", "test_b.py": "pass"}).run("-v", slots=2)
    assert [line for line in result.notices if LINE.fullmatch(line)] == []
    assert set(outcomes(result).values()) == {"passed"}


def test_two_slots(tmp_path: Path) -> None:
    bodies = {
        f"test_{n:02}.py": "helpers.STATE.append(1); assert helpers.STATE == [1]; time.sleep(0.05)"
        for n in range(20)
    }
    result = project(tmp_path, bodies).run("-v", slots=2)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    assert len(set(pids(result))) <= 4  # the first two, and those that follow the comparison
    assert rewound(result)[0] >= 16


@pytest.mark.slow
def test_many_files_end_a_process(tmp_path: Path) -> None:
    """After 200 files a fork takes over: what no check sees can't gather any longer."""
    made = project(tmp_path, {})
    made.write(
        {
            "test_all.py": HEAD
            + "import pytest\n@pytest.mark.parametrize('n', range(450))\ndef test_it(n): note()\n"
        }
    )
    result = made.run("--hotreload-isolate=test", slots=1)
    assert set(outcomes(result).values()) == {"passed"}
    each = pids(result)
    assert [each.count(pid) for pid in dict.fromkeys(each)] == [200, 200, 50]


def test_the_snapshot_process_is_not_seen(tmp_path: Path) -> None:
    """Not by any kind of waiting, and not among the children of the test's process."""
    body = """
for wait in (os.wait, lambda: os.waitpid(-1, os.WNOHANG), lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)):
    try:
        wait()
    except ChildProcessError:
        continue
    assert 0
assert open(f"/proc/self/task/{os.getpid()}/children").read() == ""
"""
    made = project(tmp_path, {f"test_{letter}.py": body for letter in "abc"})
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    assert rewound(result) == (2, "")


def snapshots(group_of: int) -> list[int]:
    """The snapshot processes below a process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            name, fields = (
                (entry / "comm").read_text().strip(),
                (entry / "stat").read_text().rpartition(")")[2].split(),
            )
        except (OSError, NotADirectoryError):
            continue
        if name == "hotreload-snap" and fields[0] != "Z" and int(fields[3]) == group_of:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("victim", ["the snapshot process", "the child", "the fork point", "the controller"])
def test_a_kill(tmp_path: Path, victim: str) -> None:
    """Killed between two files or in one: nothing stays behind, and each test has its outcome."""
    made = project(tmp_path, {"test_a.py": "pass", "test_c.py": "pass", "test_d.py": "pass"})
    made.write({"test_b.py": HEAD + """
def test_it():
    note()
    open("there", "w").close()
    until = time.monotonic() + 30
    while not os.path.exists("go") and time.monotonic() < until:
        time.sleep(0.01)
"""})  # fmt: skip
    run = made.start("-v", slots=1, side="forks")
    root = made.root("forks")
    until((root / "there").exists, "the second file runs")
    session = os.getsid(run.pid)
    child = int((root / "pids").read_text().split()[-1])
    (snapshot,) = snapshots(session)
    point = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    pid = {
        "the snapshot process": snapshot,
        "the child": child,
        "the fork point": point,
        "the controller": run.pid,
    }[victim]
    os.kill(pid, signal.SIGKILL)
    (root / "go").touch()
    result = made.finish(run, "forks")
    until(lambda: not snapshots(session), "the snapshot process is gone")
    until(lambda: not Path(f"/proc/{child}").exists(), "the child is gone")
    if victim == "the controller":
        assert result.status == -signal.SIGKILL
        return
    found = outcomes(result)
    assert set(found) == {f"test_{letter}.py::test_it" for letter in "abcd"}
    if victim == "the snapshot process":
        assert set(found.values()) == {"passed"}, result.raw
        assert rewound(result)[1]


def test_a_difference(tmp_path: Path) -> None:
    """A page that differs after the first rewind: one line, forks from then on, and right outcomes."""
    made = project(tmp_path, SOME)
    made.write({"helpers.py": HELPERS.replace("STATE = []", "STATE = []; BIG = bytearray(b'x' * (1 << 20))")})
    made.write({"test_a.py": file_with("""
import ctypes
address = ctypes.addressof(ctypes.c_char.from_buffer(helpers.BIG)) + (1 << 19)
numbers = [pid for pid in os.listdir("/proc") if pid.isdigit() and comm(pid) == "hotreload-snap"]
(snapshot,) = [pid for pid in numbers if group(pid) == os.getpgid(0)]
with open(f"/proc/{snapshot}/mem", "r+b", buffering=0) as memory:
    memory.seek(address)
    memory.write(b"y")
""")})  # fmt: skip
    made.write({"helpers.py": (made.root("forks") / "helpers.py").read_text() + """
def comm(pid):
    try: return open(f"/proc/{pid}/comm").read().strip()
    except OSError: return ""
def group(pid): return os.getpgid(int(pid))
"""})  # fmt: skip
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    (line,) = [line for line in result.notices if "differed" in line]
    assert line == (
        "hotreload: 1 page of memory differed after a child was rewound, so each file runs in a new fork; hint: please "
        "report this with your platform; --hotreload-rewind=off skips the attempt"
    )
    assert len(set(pids(result))) == 6


@pytest.mark.parametrize(
    "how", ["os._exit(3)", "os.kill(os.getpid(), 11)", "sys.exit(2)", "raise KeyboardInterrupt"]
)
@pytest.mark.parametrize("rewind", ["auto", "off"])
def test_an_end_in_the_middle(tmp_path: Path, how: str, rewind: str) -> None:
    """A death or an interrupt in a rewound process has the outcome that it has in a fork."""
    made = project(
        tmp_path, {"test_a.py": "pass", "test_b.py": how, "test_c.py": "pass", "test_d.py": "pass"}
    )
    result = made.run(f"--hotreload-rewind={rewind}", slots=1)
    bodies = {"raise KeyboardInterrupt": {"test_a.py::test_it": "passed", "test_b.py::test_it": "passed"}}
    rest = dict.fromkeys((f"test_{letter}.py::test_it" for letter in "acd"), "passed")
    assert outcomes(result) == bodies.get(how, {**rest, "test_b.py::test_it": "failed"})
    assert result.status == (2 if "Interrupt" in how else 1)


def test_nothing_is_left_to_reap(tmp_path: Path) -> None:
    """The processes of a run are reaped by the run itself, not by whoever adopts them."""
    made = project(tmp_path, {f"test_{number:02}.py": "pass" for number in range(12)})
    program = """
        import os, pytest, sys
        from pytest_hotreload._native import children_of, set_child_subreaper
        set_child_subreaper(True)
        pid = os.fork()
        if not pid:
            os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
        os.waitpid(pid, 0)
        print("left:", children_of(os.getpid()))
    """
    made.write({"program.py": program})
    command = made.command
    made.command = lambda args, slots: [command(args, slots)[0], "program.py", *command(args, slots)[3:]]  # type: ignore[method-assign]
    result = made.run("-v", slots=2)
    assert result.raw.splitlines()[-1] == "left: []"
    assert rewound(result)[0] >= 8


def test_too_little_address_space(tmp_path: Path) -> None:
    """Where the engine's memory can't be reserved, each file gets a fork, and nobody asks again."""
    made = project(tmp_path, SOME)
    limit = "import resource as r\nr.setrlimit(r.RLIMIT_AS, (640 << 20, r.getrlimit(r.RLIMIT_AS)[1]))\n"
    made.write({"conftest.py": limit})
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    assert len(set(pids(result))) == 6
    assert rewound(result) == (0, "memory for the engine can't be reserved (errno 12) (1)")


def test_a_verification_copies_no_memory_that_processes_share(project):
    """A block of the conftest stays shared by the child, its snapshot process and its parents."""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("no /proc/self/smaps_rollup")
    project.write({
        "conftest.py": "BLOCK = bytearray(b'x') * (64 << 20)\n",
        **{
            f"test_{name}.py": """
                import re

                def test_it():
                    with open("/proc/self/smaps_rollup") as file:
                        parts = re.findall(r"^Private_(?:Clean|Dirty): +(\\d+) kB", file.read(), re.MULTILINE)
                    private = sum(map(int, parts)) >> 10
                    assert private < 64, f"{private} MiB are this process's alone"
            """
            for name in "abcd"
        },
    })  # fmt: skip
    ours = project.run("-v", "--hotreload-rewind=verify", slots=1)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert any("rewound after 3 files" in line for line in ours.notices)
