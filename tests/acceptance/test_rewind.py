"""Files that run one after the other in a rewound process find the same world as in a fork of their own."""

from __future__ import annotations

import os
import re
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from .compare import Project, Result
from .keeping import outcomes
from .processes import until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rewinding needs Linux")

LINE = re.compile(r"hotreload: rewound after (\d+) files? in [\d.]+ s(?: · not rewound: (.*))?")


def cases(text: str) -> dict[str, tuple[str, str]]:
    """Paragraphs of a name, of what the first file does, and of what the next one does."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        name, _, bodies = paragraph.partition(":\n")
        first, _, following = bodies.partition("  next:\n")
        found[name] = textwrap.dedent(first).strip(), textwrap.dedent(following).strip()
    return found


#: What a file leaves behind, and how the next one would notice.
RESTORED = cases("""
a global:
    helpers.STATE.append(1)
    helpers.new = 1
  next:
    assert helpers.STATE == [] and not hasattr(helpers, 'new')

a class:
    helpers.Thing.attribute = 2
    del helpers.Thing.method
  next:
    assert helpers.Thing().method() == helpers.Thing.attribute == 1

a builtin:
    import builtins
    builtins.oct = None
  next:
    assert oct(8) == '0o10'

a module:
    import colorsys, sys
    sys.modules['json'] = None
  next:
    import sys
    assert 'colorsys' not in sys.modules
    import json

the environment:
    os.environ['LEFT'] = '1'
    os.environ.pop('PATH')
  next:
    assert 'LEFT' not in os.environ and os.environ['PATH']

the current folder:
    os.chdir('/')
  next:
    assert os.getcwd() == HERE

umask:
    os.umask(0o777)
  next:
    assert os.umask(0o22) != 0o777

open files:
    helpers.kept = [open('/dev/null') for _ in range(20)]
  next:
    assert len(os.listdir('/proc/self/fd')) <= DESCRIPTORS

a closed descriptor:
    os.close(PIPE[0])
    os.dup2(1, PIPE[1])
  next:
    os.write(PIPE[1], b'x')
    assert os.read(PIPE[0], 1) == b'x'

signal handlers:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(0, {signal.SIGUSR2})
  next:
    assert signal.getsignal(signal.SIGUSR1) == 0 and not signal.pthread_sigmask(0, ())

a timer:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
  next:
    time.sleep(0.15)

a pending signal:
    signal.pthread_sigmask(0, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
  next:
    time.sleep(0.05)

limits:
    import resource
    resource.setrlimit(7, (99, resource.getrlimit(7)[1]))
  next:
    import resource
    assert resource.getrlimit(7)[0] != 99

a daemon thread:
    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
  next:
    assert threading.active_count() == 1

a busy thread:
    threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
  next:
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.15

native state:
    import decimal, locale, ctypes
    decimal.getcontext().prec = 3
    ctypes.CDLL(None).srand(7)
    sys.setrecursionlimit(77777)
  next:
    import decimal
    assert decimal.getcontext().prec == 28 and sys.getrecursionlimit() != 77777

much memory:
    helpers.kept = [bytearray(1 << 20) for _ in range(100)]
  next:
    assert not hasattr(helpers, 'kept')

tracing:
    sys.settrace(lambda *_: None)
    sys.setprofile(lambda *_: None)
  next:
    assert sys.gettrace() is None and sys.getprofile() is None

a mapping:
    import mmap
    helpers.kept = mmap.mmap(-1, 1 << 24)
    helpers.kept.write(b'x' * 99)
  next:
    assert not hasattr(helpers, 'kept')

logging:
    import logging
    logging.disable(50)
    logging.getLogger().handlers.append(None)
  next:
    import logging
    assert not logging.root.disabled and None not in logging.root.handlers and logging.root.manager.disable == 0

an event loop:
    import asyncio
    loop = helpers.kept = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_in_executor(None, time.sleep, 0)
  next:
    assert not hasattr(helpers, 'kept')

a database:
    import sqlite3
    c = helpers.kept = sqlite3.connect('left.db')
    c.execute('create table if not exists t (x)')
    c.execute('begin exclusive')
  next:
    import sqlite3
    c = sqlite3.connect('left.db', timeout=0.1)
    c.execute('begin exclusive')

a zombie:
    pid = os.fork()
    if not pid: os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
  next:
    try: os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: pass
    else: assert 0

a finished process:
    import subprocess
    subprocess.run(['true'], check=True)
  next:
    pass

an exit handler:
    import atexit
    atexit.register(lambda: open('exited', 'a').write('x'))
  next:
    assert open('exited').read() == 'x'

a locked file:
    import fcntl
    f = helpers.kept = open('lock', 'w')
    fcntl.lockf(f, fcntl.LOCK_EX)
  next:
    import fcntl
    f = open('lock', 'w')
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)

random numbers:
    random.seed(5)
  next:
    random.random()

the garbage collector:
    import gc
    gc.disable()
    gc.set_threshold(1)
  next:
    import gc
    assert gc.isenabled() and gc.get_threshold()[0] != 1
""")

#: What can't be put back -> the reason that is given with -v.
REFUSED = {
    "a living process": ("import subprocess; helpers.kept = subprocess.Popen(['sleep', '60'])", "process"),
    "no new privileges": ("import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)", "no_new_privs"),
}  # fmt: skip

HEAD = "import os, random, signal, sys, threading, time\nimport helpers\nfrom helpers import *\n\n"
HELPERS = """
    import os
    STATE = []
    HERE = os.getcwd()
    PIPE = os.pipe()
    DESCRIPTORS = len(os.listdir("/proc/self/fd")) + 40

    class Thing:
        attribute = 1
        def method(self): return 1

    def note():
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
"""


def test_file(body: str) -> str:
    indented = "\n".join("    " + line for line in body.splitlines())
    return f"{HEAD}def test_it():\n    note()\n{indented}\n"


test_file.__test__ = False  # type: ignore[attr-defined]


def project(tmp_path: Path, bodies: dict[str, str]) -> Project:
    made = Project(tmp_path)
    made.write({"pytest.ini": "[pytest]\n", "helpers.py": HELPERS})
    made.write({name: test_file(body) for name, body in bodies.items()})
    return made


def pids(result: Result) -> list[int]:
    return [int(line) for line in (result.root / "pids").read_text().split()]


def rewound(result: Result) -> tuple[int, str]:
    """How many files, and why others were not; from the line that -v shows."""
    (found,) = [match for line in result.notices if (match := LINE.fullmatch(line))]
    return int(found[1]), found[2] or ""


def test_each_kind_of_state(tmp_path: Path) -> None:
    """All kinds in one process, each followed by a file that would notice it, with all memory compared."""
    bodies = {}
    for number, (mess, check) in enumerate(RESTORED.values()):
        bodies[f"test_{number:02}_a.py"] = mess
        bodies[f"test_{number:02}_b.py"] = check
    made = project(tmp_path, bodies)
    result = made.run("-v", "--hotreload-rewind=verify", "--hotreload-slots=1", slots=1)
    assert {nodeid: each for nodeid, each in outcomes(result).items() if each != "passed"} == {}, result.raw
    assert result.status == 0
    assert len(result.outcomes) == 2 * len(RESTORED)
    assert rewound(result) == (2 * len(RESTORED) - 1, "")
    assert len(set(pids(result))) <= 3  # the fork point learns modules that two files imported


@pytest.mark.parametrize("kind", REFUSED)
def test_state_that_stays(tmp_path: Path, kind: str) -> None:
    """The next file gets a fork; the outcomes and lines are those of a run that forks for each file."""
    mess, why = REFUSED[kind]
    made = project(tmp_path, {"test_a.py": mess, "test_b.py": "pass", "test_c.py": "pass"})
    result = made.run("-v", slots=1)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    first, second, third = pids(result)
    assert first != second == third
    files, reason = rewound(result)
    assert files == 1
    assert why in reason
    (made.root("forks") / "pids").unlink()
    forked = made.run("-v", "--hotreload-rewind=off", slots=1)
    assert shown(result) == shown(forked)


def shown(result: Result) -> list[str]:
    """What a run says, but of rewinding and records, without numbers."""
    lines = (line for line in result.notices if not LINE.fullmatch(line) and "records: " not in line)
    return [re.sub(r"\d+", "N", line) for line in lines]


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
        {"test_c.py": "import pytest\npytestmark = pytest.mark.hotreload(rewind=False)\n" + test_file("pass")}
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
    made.write({"test_a.py": test_file("""
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
