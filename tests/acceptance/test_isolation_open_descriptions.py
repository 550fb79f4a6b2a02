"""What was opened during collection: each file begins with the offsets, pipes and event loops of that moment."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .compare import Project
from .isolating import Workshop
from .rewound import rewound

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

#: The files of each project: more than slots, so that children are rewound.
_COUNT = 5
#: For each of these, files begin with what was opened at import, and leave something behind. Paragraphs of a name, of
#: the module that opens, and of each test.
CASES = """
a file:
    DATA = open(__file__, "rb", buffering=0)
    assert DATA.read(3) == b"imp"
  test:
    assert DATA.tell() == 3 and DATA.read(3) == b"ort"
    DATA.seek(0, 2)

the copies of a descriptor:
    FIRST = os.open(__file__, os.O_RDONLY)
    COPY = os.dup(FIRST)
    os.set_inheritable(COPY, True)
    OTHER = os.open(__file__, os.O_RDONLY)
    assert os.read(FIRST, 3) == b"imp"
  test:
    assert os.get_inheritable(COPY) and not os.get_inheritable(FIRST)
    assert os.read(COPY, 3) == b"ort" and os.read(FIRST, 1) == b" "
    assert os.read(OTHER, 1) == b"i"

a pipe:
    READ, WRITE = os.pipe()
    COPY = os.dup(WRITE)
    os.set_blocking(READ, False)
  test:
    assert not os.get_blocking(READ) and os.get_blocking(WRITE)
    with pytest.raises(BlockingIOError):
        os.read(READ, 9)
    os.write(COPY, b"left")
    assert os.read(READ, 2) == b"le"

pairs of sockets:
    KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
    PAIRS = [socket.socketpair(socket.AF_UNIX, kind) for kind in KINDS]
    for one, _ in PAIRS:
        one.setblocking(False)
  test:
    for kind, (one, other) in zip(KINDS, PAIRS, strict=True):
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == kind
        with pytest.raises(BlockingIOError):
            one.recv(9)
        one.send(b"there")
        assert other.recv(9) == b"there"
        other.send(b"left")

an eventfd:
    COUNTER = os.eventfd(18, os.EFD_NONBLOCK)
  test:
    assert os.eventfd_read(COUNTER) == 18
    os.eventfd_write(COUNTER, 7)

a semaphore:
    SEMAPHORE = os.eventfd(2, os.EFD_NONBLOCK | os.EFD_SEMAPHORE)
  test:
    assert [os.eventfd_read(SEMAPHORE), os.eventfd_read(SEMAPHORE)] == [1, 1]
    with pytest.raises(BlockingIOError):
        os.eventfd_read(SEMAPHORE)

an epoll set:
    READ, WRITE = os.pipe()
    SET, OUTER = select.epoll(), select.epoll()
    SET.register(READ, select.EPOLLIN | select.EPOLLET)
    OUTER.register(SET, select.EPOLLIN)
  test:
    assert SET.poll(0) == OUTER.poll(0) == []
    os.write(WRITE, b"left")
    assert OUTER.poll(0) == [(SET.fileno(), select.EPOLLIN)]
    assert SET.poll(0) == [(READ, select.EPOLLIN)]
    SET.unregister(READ)
"""


def cases() -> dict[str, tuple[str, str]]:
    found = {}
    for paragraph in CASES.strip().split("\n\n"):
        name, _, bodies = paragraph.partition(":\n")
        opens, _, test = bodies.partition("  test:\n")
        found[name] = textwrap.dedent(opens), test
    return found


def write(project: Project, opens: str, test: str, module: str = "opened.py") -> None:
    modules = "import fcntl, os, select, socket, subprocess, sys, zipfile\n"
    project.write({"pytest.ini": "[pytest]\n", module: modules + opens})
    name = module.partition(".")[0]
    head = f"{modules}import time\nimport pytest\nfrom {name} import *\n\ndef test_it():\n"
    body = textwrap.indent(textwrap.dedent(test), "    ")
    project.write({f"test_{letter}.py": head + body for letter in "abcdefgh"[:_COUNT]})


@pytest.fixture(params=["verify", "off"])
def rewind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("case", cases())
def test_each_file_begins_with_what_was_opened(project: Any, slots: int, rewind: str, case: str) -> None:
    write(project, *cases()[case])
    result = project.run("-v", f"--hotreload-rewind={rewind}", slots=slots)
    assert result.status == 0, result.raw
    if rewind == "verify":
        files, why = rewound(result)
        assert (files >= _COUNT - slots, why) == (True, "")


@pytest.fixture
def same(project: Any, slots: int, rewind: str) -> Callable[..., Any]:
    """Runs a project that passes in plain pytest, too."""

    def run(opens: str, test: str, *args: str, module: str = "opened.py", **how: Any) -> Any:
        write(project, textwrap.dedent(opens), test, module)
        _, ours = project.same(*args, slots=slots, extra=[f"--hotreload-rewind={rewind}"], **how)
        assert ours.status == 0, ours.raw
        assert not [line for line in ours.notices if "again" in line]
        return ours

    return run


def test_a_reader_that_reads_ahead(same: Any) -> None:
    """The buffer of the first file was filled at collection; its end is where the next read of the system begins."""
    same(
        """
        with open("data.txt", "w") as file:
            file.write("".join(f"{number:05}\\n" for number in range(20000)))
        DATA = open("data.txt", "rb")
        assert DATA.read(6) == b"00000\\n"
        def line(number):
            DATA.seek(6 * number)
            return int(DATA.read(6))
        """,
        """
        assert line(0) == 0
        DATA.seek(0)
        for number in range(20000):
            assert int(DATA.read(6)) == number
        assert line(15000) == 15000
        """,
    )


def test_an_archive(same: Any) -> None:
    same(
        """
        with zipfile.ZipFile("data.zip", "w") as file:
            for number in range(20):
                file.writestr(f"{number}.txt", f"{number}\\n" * 5000)
        ARCHIVE = zipfile.ZipFile("data.zip")
        """,
        """
        for number in [*range(20)] * 5:
            assert ARCHIVE.read(f"{number}.txt") == f"{number}\\n".encode() * 5000
        """,
    )


def test_an_event_loop(same: Any) -> None:
    """A wake-up that another child reads is lost: the loop waits for ever."""
    same(
        """
        import asyncio
        LOOP = asyncio.new_event_loop()
        async def woken(times):
            for _ in range(times):
                await LOOP.run_in_executor(None, abs, -1)
        """,
        "LOOP.run_until_complete(asyncio.wait_for(woken(3000), 20))\n",
    )


_ECHO = """\
import os, socket, sys
numbers = [int(number) for number in sys.argv[1:]]
read, write, end, counter = numbers
end = socket.socket(fileno=end)
while True:
    asked = os.read(read, 4)
    if not asked:
        break
    os.write(write, asked)
    end.send(asked)
    os.eventfd_write(counter, 1)
"""


def test_what_a_process_of_the_conftest_holds_stays_shared_with_it(project: Any, rewind: str) -> None:
    opens = f"""
        ECHO = {_ECHO!r}
        ASK, ANSWER, COUNTER = os.pipe(), os.pipe(), os.eventfd(0)
        OURS, THEIRS = socket.socketpair()
        passed = [ASK[0], ANSWER[1], THEIRS.fileno(), COUNTER]
        PROCESS = subprocess.Popen([sys.executable, "-c", ECHO, *map(str, passed)], pass_fds=passed)
        def pytest_unconfigure():
            PROCESS.kill()
            PROCESS.wait()
        """
    test = """
        os.write(ASK[1], b"ping")
        assert os.read(ANSWER[0], 4) == OURS.recv(4) == b"ping"
        assert os.eventfd_read(COUNTER) == 1
        """
    write(project, textwrap.dedent(opens), test, "conftest.py")
    _, ours = project.same(slots=1, extra=[f"--hotreload-rewind={rewind}"])
    assert ours.status == 0, ours.raw


def test_a_lock_stays_with_its_description(project: Any, rewind: str) -> None:
    opens = """
        open("lock", "w").close()
        LOCK = open("lock")
        fcntl.flock(LOCK, fcntl.LOCK_EX)
        """
    test = """
        with open("lock") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(LOCK, fcntl.LOCK_UN)
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        """
    write(project, textwrap.dedent(opens), test)
    _, ours = project.same(slots=1, extra=[f"--hotreload-rewind={rewind}"])
    assert ours.status == 0, ours.raw


def test_a_log_has_the_lines_of_all_files(same: Any) -> None:
    result = same(
        'LOG = open("log.txt", "w", buffering=1)\nLOG.write("begun\\n")\n',
        """
        for number in range(50):
            LOG.write(f"{__name__} {number}\\n")
        """,
    )
    lines = result.read("log.txt").splitlines()
    names = [f"test_{letter}" for letter in "abcdefgh"[:_COUNT]]
    assert sorted(lines) == sorted(["begun", *(f"{name} {number}" for name in names for number in range(50))])


_STANDARD_INPUT = {
    "-s": "assert os.read(0, 2) == os.read(COPY, 2)\n",
    "--capture=fd": """
        manager = pytestconfig.pluginmanager.get_plugin("capturemanager")
        manager.suspend_global_capture(in_=True)
        got = os.read(0, 2)
        manager.resume_global_capture()
        assert got == f"{__name__[-1]}\\n".encode()
        """,
}


@pytest.mark.parametrize("capture", _STANDARD_INPUT)
def test_standard_input_goes_on(project: Any, rewind: str, capture: str, tmp_path: Any) -> None:
    given = tmp_path / "given"
    given.write_text("a\na\nb\nb\nc\nc\nd\nd\ne\ne\n" if capture == "-s" else "a\nb\nc\nd\ne\n")
    write(project, "COPY = os.dup(0)\n", _STANDARD_INPUT[capture])
    project.each(_takes_config)
    results = []
    for slots in (None, 1):
        stdin = os.open(given, os.O_RDONLY)
        how = [] if slots is None else [f"--hotreload-rewind={rewind}"]
        results.append(project.run(capture, *how, slots=slots, stdin=stdin))
        os.close(stdin)
    assert [result.status for result in results] == [0, 0], results[-1].raw
    assert results[0].outcomes == results[1].outcomes


def _takes_config(root: Path) -> None:
    for path in root.glob("test_*.py"):
        path.write_text(path.read_text().replace("def test_it()", "def test_it(pytestconfig)"))


def test_isolated_calls(tmp_path: Any) -> None:
    workshop = Workshop(tmp_path)
    workshop.write(
        {
            "site-packages/opened.py": "DATA = open(__file__, 'rb', buffering=0)\nassert DATA.read(4) == b'DATA'\n",
            "src/shop/__init__.py": "import opened\n\ndef rest():\n    return opened.DATA.read(2).decode()\n",
        }
    )
    report = workshop.run("""
        with isolate_imports("shop") as environment:
            import shop
            report(found=[environment.exec(shop.rest).result() for _ in range(4)])
    """).report
    assert report == {"found": [" ="] * 4}


def test_children_that_collect_for_themselves(project: Any, rewind: str) -> None:
    """Each slot has a process of its own; its children begin with what it has opened."""
    opens, test = cases()["a file"]
    write(project, opens, test)
    project.write({"conftest.py": "import os\nos.environ.get('PYTEST_XDIST_WORKER')\n"})
    result = project.run(f"--hotreload-rewind={rewind}", slots=2)
    assert result.status == 0, result.raw
    assert [line for line in result.notices if "each slot" in line], result.raw


def test_children_of_a_fixture_process(project: Any, rewind: str) -> None:
    opens, test = cases()["pairs of sockets"]
    write(project, opens, test)
    project.write(
        {
            "conftest.py": """
            import pytest, time

            @pytest.fixture(scope="session", autouse=True)
            def costly():
                time.sleep(0.2)
                return 1
            """
        }
    )
    for _ in range(2):  # the cost of a fixture is learned
        result = project.run("-v", f"--hotreload-rewind={rewind}", slots=2)
        assert result.status == 0, result.raw
    assert [line for line in result.notices if "costly" in line or "shared" in line], result.raw


def test_a_pipe_that_a_thread_of_the_conftest_reads_stays_shared_with_it(project: Any, rewind: str) -> None:
    """The thread lives in the controller; a child's own pipe would have no reader."""
    project.write({
        "conftest.py": """
            import os, socket, threading

            READ, WRITE = os.pipe()
            HERE, THERE = socket.socketpair()

            def answer():
                while name := os.read(READ, 100):
                    THERE.sendall(name.upper())

            threading.Thread(target=answer, daemon=True).start()
        """,
        **{
            f"test_{name}.py": f"""
                import os
                from conftest import HERE, WRITE

                def test_it():
                    os.write(WRITE, b"{name}")
                    assert HERE.recv(100) == b"{name.upper()}"
            """
            for name in "abc"
        },
    })  # fmt: skip
    result = project.run(f"--hotreload-rewind={rewind}", slots=1)
    assert result.lines[-1] == "== 3 passed in TIME =="
