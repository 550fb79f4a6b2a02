"""What the rewind engine restores, refuses and leaves behind, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native

pytestmark = pytest.mark.skipif(
    _native.rewind_self_test() is not None, reason=f"no rewind here: {_native.rewind_self_test()}"
)

#: The program of a test: `act` runs between the snapshot and the first rewind, `look` after each return of the
#: snapshot. What must outlive the rewind is written to descriptor 1.
HARNESS = """
import contextlib, ctypes, json, os, resource, signal, socket, subprocess, sys, threading, time
from pytest_hotreload import _native

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p

def tell(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def act(): pass
def look(): return None
def before(): pass
options = {{}}
{body}

before()
rewinder = _native.Rewinder(**options)
try:
    rewinds = rewinder.snapshot()
except _native.RewindRefused as refusal:
    tell(snapshot=str(refusal))
    sys.exit()
assert rewinder.statistics()["rewinds"] == rewinds
tell(look=look(), engine=rewinder.engine, pid=rewinder.snapshot_pid, **rewinder.statistics())
if rewinds == 0:
    act()
    try:
        rewinder.rewind(verify=True)
    except _native.RewindRefused as refusal:
        tell(refused=str(refusal), pid=rewinder.snapshot_pid)
os._exit(0)
"""


def start(body: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    program = HARNESS.format(body=textwrap.dedent(body))
    return subprocess.Popen(
        [*command, sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Not the checkout, which has no extension module.
        cwd="/",
    )


def run(body: str, command: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    with start(body, command) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()]


def restored(body: str, command: tuple[str, ...] = ()) -> dict[str, Any]:
    first, second = run(body, command)
    assert second["rewinds"] == 1
    assert second["mismatched_pages"] == 0
    assert second["look"] == first["look"]
    return second


def refused(body: str, command: tuple[str, ...] = ()) -> str:
    reason = run(body, command)[-1]["refused"]
    assert isinstance(reason, str)
    return reason


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_memory_comes_back() -> None:
    found = restored("""
        data = [1, 2, 3]
        def act(): data.append(4); globals()["more"] = [object() for _ in range(100_000)]
        def look(): return [data, "more" in globals()]
    """)
    assert found["verified_pages"] > 1000
    assert found["engine"] in ("userfaultfd", "pagemap")


def test_threads_are_ended() -> None:
    found = restored("""
        def spin():
            while True: pass
        def act():
            for target, arguments in [(time.sleep, (1000,)), (spin, ())]:
                threading.Thread(target=target, args=arguments, daemon=True).start()
        def look(): return [threading.active_count(), os.listdir("/proc/self/task") == [str(os.getpid())]]
    """)
    assert found["threads_ended"] >= 2


def test_descriptors_come_back() -> None:
    found = restored("""
        kept = open(sys.executable, "rb")
        ends = os.pipe()
        def act():
            os.close(0)
            os.dup2(ends[1], 2)
            os.dup2(os.open("/dev/null", os.O_RDONLY), kept.fileno())
            os.set_inheritable(ends[0], True)
            globals()["new"] = socket.socketpair()
        def look():
            flags = [os.get_inheritable(fd) for fd in ends]
            return [[os.fstat(fd).st_ino for fd in (0, 1, 2, kept.fileno())], flags, len(os.listdir("/proc/self/fd"))]
    """)
    assert found["descriptors_fetched"] == 3


def test_kernel_state_comes_back() -> None:
    restored("""
        def act():
            os.chdir("/"); os.umask(0o777)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (900, hard))
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            os.kill(os.getpid(), signal.SIGUSR2)
            signal.setitimer(signal.ITIMER_REAL, 1000)
            os.setpgid(0, 0)
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            libc.prctl(15, b"other")
            libc.prctl(36, 1)
            open("/proc/self/coredump_filter", "w").write("0x1")
        def look():
            umask = os.umask(0)
            os.umask(umask)
            options = [ctypes.c_int(), ctypes.c_int()]
            libc.prctl(37, ctypes.byref(options[0]))
            return [os.getcwd(), umask, resource.getrlimit(resource.RLIMIT_NOFILE), options[0].value,
                str(signal.getsignal(signal.SIGUSR1)), str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
                str(signal.sigpending()), signal.getitimer(signal.ITIMER_REAL), os.getpgid(0),
                sorted(os.sched_getaffinity(0)), open("/proc/self/comm").read(),
                open("/proc/self/coredump_filter").read()]
    """)


def test_a_record_lock_is_released(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.touch()
    restored(f"""
        import fcntl
        file = open({str(locked)!r}, "r+")
        def act(): fcntl.lockf(file, fcntl.LOCK_EX)
        def look():
            code = "import fcntl; fcntl.lockf(open({str(locked)!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
            return subprocess.run([sys.executable, "-c", code]).returncode
    """)


@pytest.mark.skipif(os.geteuid() != 0, reason="the limit of locked memory may be too low")
def test_locked_memory_is_unlocked() -> None:
    restored("""
        def act(): libc.mlockall(1)
        def look(): return [line for line in open("/proc/self/status") if line.startswith("VmLck")]
    """)


def test_wiped_memory_is_as_in_a_fork() -> None:
    """`MADV_WIPEONFORK` and `MAP_DROPPABLE`: a fork reads zeros, and so does a rewound process."""
    second = run("""
        wiped = libc.mmap(None, 4096, 3, 0x22, -1, 0)
        droppable = libc.mmap(None, 4096, 3, 0x28, -1, 0)
        libc.madvise(ctypes.c_void_p(wiped), 4096, 18)
        areas = [area for area in (wiped, droppable) if area not in (None, 2**64 - 1)]
        for area in areas: ctypes.memset(area, 7, 4096)
        def act():
            for area in areas: ctypes.memset(area, 9, 4096)
        def look(): return [ctypes.string_at(area, 1)[0] for area in areas]
    """)[1]
    assert set(second["look"]) == {0}
    assert second["mismatched_pages"] == 0


def test_guard_pages_come_back() -> None:
    """Linux 6.13; glibc 2.42 has them in the stacks of threads."""
    restored("""
        guarded = libc.mmap(None, 1 << 16, 3, 0x22, -1, 0)
        ctypes.memset(guarded, 7, 1 << 16)
        libc.madvise(ctypes.c_void_p(guarded), 4096, 102)
        def act():
            libc.madvise(ctypes.c_void_p(guarded), 8192, 103)
            ctypes.memset(guarded, 9, 1 << 15)
            libc.madvise(ctypes.c_void_p(guarded + 8192), 8192, 102)
        def look(): return ctypes.string_at(guarded + 4096, 61440).hex()
    """)


def test_protected_pages_come_back() -> None:
    """Pages without a permission to read can't be fetched in the usual way."""
    restored("""
        area = libc.mmap(None, 1 << 14, 3, 0x22, -1, 0)
        ctypes.memset(area, 7, 1 << 14)
        libc.mprotect(ctypes.c_void_p(area), 1 << 14, 0)
        def act():
            libc.mprotect(ctypes.c_void_p(area), 1 << 14, 3)
            ctypes.memset(area, 9, 1 << 14)
        def look():
            libc.mprotect(ctypes.c_void_p(area), 1 << 14, 1)
            data = ctypes.string_at(area, 1 << 14).hex()
            libc.mprotect(ctypes.c_void_p(area), 1 << 14, 0)
            return data
    """)


def test_pages_that_were_moved_are_dirty() -> None:
    """A protected page at the place of another one is still protected on some kernels."""
    restored("""
        options = {"engine": "userfaultfd"}
        left = libc.mmap(None, 1 << 16, 3, 0x22, -1, 0)
        right = libc.mmap(None, 1 << 16, 3, 0x22, -1, 0)
        ctypes.memset(left, 1, 1 << 16)
        ctypes.memset(right, 2, 1 << 16)
        def act(): libc.mremap(ctypes.c_void_p(left), 1 << 16, 1 << 16, 3, ctypes.c_void_p(right))
        def look(): return [ctypes.string_at(left, 1 << 16).hex(), ctypes.string_at(right, 1 << 16).hex()]
    """)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (
            "child = subprocess.Popen(['sleep', '5'], stdout=-3, stderr=-3)",
            "a process that the test started still runs (pid ",
        ),
        ("os.setsid()", "the test made the process the leader of a session (setsid)"),
        ("os.closerange(3, 4096)", "the test closed or replaced a descriptor of the engine ("),
        ("libc.prctl(38, 1, 0, 0, 0)", "the test set no_new_privs"),
        ("libc.prctl(4, 0, 0, 0, 0)", "the test changed a property of the process (prctl 3)"),
        ("os.kill(rewinder.snapshot_pid, 9); time.sleep(0.05)", "the snapshot process has ended (pid "),
    ],
    ids=["child", "setsid", "closed", "no-new-privs", "dumpable", "snapshot-process"],
)
def test_refusals(act: str, reason: str) -> None:
    # A leader of a group can't become one of a session.
    body = f"""
        def before():
            if os.getpid() == os.getpgid(0): os.setpgid(0, os.getppid())
        def act():
            {act}
    """
    found = refused(body)
    assert found.startswith(reason)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (
            "resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))",
            "the test lowered a hard resource limit (number 7)",
        ),
        ("os.nice(5)", "scheduling (priority, policy or affinity) can't be changed back"),
    ],
    ids=["limit", "nice"],
)
def test_refusals_without_privileges(act: str, reason: str) -> None:
    assert refused(f"""
        def before(): os.setuid(65534); libc.prctl(4, 1, 0, 0, 0)
        def act(): {act}
    """) == reason  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_is_refused() -> None:
    assert (
        refused("def act(): os.setuid(65534)") == "the test changed the process's ids, groups or capabilities"
    )


def test_a_snapshot_with_threads_is_refused() -> None:
    (found,) = run("""
        def before(): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """)
    assert found == {"snapshot": "the process has 2 threads, and a snapshot needs one"}


def test_a_fork_cannot_rewind() -> None:
    reason = refused("""
        def act():
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                os._exit(0)
    """)
    assert reason.startswith("this process is a fork of the process that took the snapshot")


def test_a_fork_can_make_its_own() -> None:
    found = restored("""
        first = _native.Rewinder()
        first.snapshot()
        data = [1]
        def before():
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                os._exit(0)
        def act(): data.append(2)
        def look(): return data
    """)
    assert found["verified_pages"] > 1000


def test_one_snapshot_a_process() -> None:
    found = run("""
        def act():
            for call in (rewinder.snapshot, _native.Rewinder):
                try: call()
                except _native.RewindRefused as refusal: tell(again=str(refusal))
    """)
    again = [one["again"] for one in found if "again" in one]
    assert again == ["this process has taken a snapshot already"] * 2


def test_no_rewind_without_a_snapshot() -> None:
    rewinder = _native.Rewinder()
    with pytest.raises(_native.RewindRefused, match="no snapshot was taken"):
        rewinder.rewind()
    with pytest.raises(ValueError, match="no engine"):
        _native.Rewinder("other")


def test_waits_do_not_see_the_snapshot_process() -> None:
    found = restored("""
        def look():
            errors = []
            for call in (os.wait, lambda: os.waitpid(-1, os.WNOHANG), lambda: os.waitid(os.P_ALL, 0, os.WEXITED)):
                try: call()
                except ChildProcessError: errors.append(True)
            return errors
    """)
    assert found["look"] == [True, True, True]


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_the_snapshot_process_ends_with_its_runner(end: str) -> None:
    with start("def act(): sys.stdin.read() if sys.argv[-1] != 'x' else None; time.sleep(60)") as process:
        assert process.stdout is not None
        snapshot_pid = json.loads(process.stdout.readline())["pid"]
        assert Path(f"/proc/{snapshot_pid}/comm").read_text() == "hotreload-snap\n"
        process.send_signal(signal.SIGKILL if end == "kill" else signal.SIGTERM)
        process.wait(10)
        wait_for_end(snapshot_pid)


def test_a_full_page_store_is_refused() -> None:
    found = run("""
        options = {"store_limit": 1 << 20}
        data = bytearray(8 << 20)
        def act(): data[::4096] = b"x" * len(data[::4096])
    """)
    assert found[-1]["refused"].startswith("the page store is full (limit 1048576 bytes)")


#: A filter that lets some system calls fail with EPERM, by number: seccomp(2), without a library.
SECCOMP = """
import struct
def forbid(*numbers):
    load, equal, allow, fail = (0x20, 0, 0, 0), 0x15, (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)
    program = [load, *((equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)), allow, fail]
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) == 0
"""
X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")


def in_body(code: str) -> str:
    return f"{textwrap.dedent(SECCOMP)}\n{textwrap.dedent(code)}"


@X86
def test_without_userfaultfd_the_other_engine_works() -> None:
    found = restored(
        in_body("""
        data = [1]
        def before(): forbid(323)
        def act(): data.append(2)
        def look(): return data
    """)
    )
    assert found["engine"] == "pagemap"


@X86
def test_without_kcmp_and_pidfd_getfd() -> None:
    """As in a container with the usual filter: replaced descriptors are found, and can't be fetched."""
    restored(
        in_body("""
        data = [1]
        def before(): forbid(312, 323, 438)
        def act(): data.append(2)
        def look(): return data
    """)
    )
    assert (
        refused(
            in_body("""
        def before(): forbid(312, 323, 438)
        def act(): os.close(0)
    """)
        )
        == "the test closed or replaced descriptor 0, which can't be fetched back"
    )


@X86
def test_a_new_filter_is_refused() -> None:
    assert (
        refused(
            in_body("""
        def before(): forbid(323)
        def act(): forbid(312)
    """)
        )
        == "the test installed a seccomp filter"
    )
