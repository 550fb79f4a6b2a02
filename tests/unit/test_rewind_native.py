"""What the rewind engine restores, refuses and leaves behind, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .rewinding import restored, run, start, wait_for_end

pytestmark = pytest.mark.skipif(
    _native.rewind_self_test() is not None, reason=f"no rewind here: {_native.rewind_self_test()}"
)


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
