"""What the rewind engine refuses, and what it does without system calls that a filter forbids."""

from __future__ import annotations

import os
import textwrap

import pytest

from pytest_hotreload import _native

from .rewinding import refused, restored, run

pytestmark = pytest.mark.skipif(
    _native.rewind_self_test() is not None, reason=f"no rewind here: {_native.rewind_self_test()}"
)


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
