"""`OpenDescriptions`: what is replaced in a fork, and what stays as it is."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload._native import OpenDescriptions

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="descriptors are renewed on Linux"
)


def in_fork(work: Callable[[], object]) -> None:
    """Assert that the work raises nothing in a fork."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def opened() -> Iterator[Callable[..., list[int]]]:
    """Opens: ``opened(function, *args)`` returns the new descriptors, which are closed in the end."""
    found: list[int] = []

    def call(function: Callable[..., Any], *args: object) -> list[int]:
        made = function(*args)
        new = [
            one if isinstance(one, int) else os.dup(one.fileno())
            for one in (made if type(made) is tuple else (made,))
        ]
        found.extend(new)
        return new

    yield call
    for number in found:
        os.close(number)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def replaced(kept: list[int] | None = None) -> int:
    """How many descriptors a fork replaces that were opened since the last test: those of this process are others'."""
    noted = OpenDescriptions(kept or [], [])
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, str(noted.renew()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    told = int(os.read(reading, 9))
    os.close(reading)
    os.close(writing)
    return told


#: What is opened, and how many numbers of it are replaced.
KINDS: dict[str, tuple[Callable[[], object], int]] = {
    "read": (lambda: os.open(__file__, os.O_RDONLY | os.O_NOFOLLOW), 1),
    "folder": (lambda: os.open("/", os.O_RDONLY), 0),
    "path": (lambda: os.open(__file__, os.O_PATH), 0),
    "device": (lambda: os.open(os.devnull, os.O_RDONLY), 0),
    "memory": (lambda: os.memfd_create("a"), 0),
    "pipe": (os.pipe, 2),
    "sockets": (socket.socketpair, 2),
    "listening": (lambda: socket.create_server(("127.0.0.1", 0)), 0),
    "eventfd": (lambda: os.eventfd(1), 1),
    "epoll": (select.epoll, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_replaced(opened, kind):
    make, number = KINDS[kind]
    before = replaced()
    opened(make)
    assert replaced() - before == number


def test_what_is_kept_and_what_shares_its_description(opened):
    before = replaced()
    (first,) = opened(os.open, __file__, os.O_RDONLY)
    opened(os.dup, first)
    assert replaced() - before == 2
    assert replaced([first]) - before == 0


@pytest.mark.parametrize("fill", [lambda ends: os.write(ends[1], b"x"), lambda ends: os.dup2(0, ends[1])])
def test_a_pipe_with_data_or_without_its_end(opened, fill):
    before = replaced()
    ends = opened(os.pipe)
    fill(ends)
    assert replaced() - before == 0


def test_sockets_with_data_or_shut_down(opened):
    before = replaced()
    pair = socket.socketpair()
    pair[0].send(b"x")
    assert replaced() - before == 0
    pair[1].recv(1)
    assert replaced() - before == 2
    pair[0].shutdown(socket.SHUT_WR)
    assert replaced() - before == 0
    for end in pair:
        end.close()


def test_a_lock(opened):
    before = replaced()
    (file,) = opened(os.open, __file__, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH)
    assert replaced() - before == 0


@pytest.mark.parametrize("kind", ["pipe", "sockets", "eventfd"])
def test_what_another_process_holds(opened, kind):
    make, number = KINDS[kind]
    before = replaced()
    ends = opened(make)
    for passed, expected in (((ends[0],), 0), ((), number)):
        with subprocess.Popen(["sleep", "60"], pass_fds=passed) as process:
            assert replaced() - before == expected
            process.kill()


def test_children_that_are_ours(opened):
    before = replaced()
    ends = opened(os.pipe)
    with subprocess.Popen(["sleep", "60"], pass_fds=ends) as process:
        noted = OpenDescriptions([], [process.pid])
        in_fork(lambda: _assert(noted.renew() - before == 2))
        process.kill()


def _assert(what: object) -> None:
    assert what


def test_ends_that_are_closed_in_the_fork(opened):
    """As of a channel: the forking process has one end, and closes it in its forks."""
    before = replaced()
    reading, _ = opened(os.pipe)
    noted = OpenDescriptions([], [])

    def work() -> None:
        os.close(reading)
        _assert(noted.renew() == before)

    in_fork(work)


def test_a_file_that_was_removed(opened, tmp_path: Path):
    before = replaced()
    path = tmp_path / "file"
    path.write_text("abc")
    (number,) = opened(os.open, path, os.O_RDONLY)
    os.read(number, 2)
    path.unlink()
    noted = OpenDescriptions([], [])

    def work() -> None:
        os.lseek(number, 0, os.SEEK_SET)
        _assert(noted.renew() - before == 1)
        _assert(os.read(number, 2) == b"c")

    in_fork(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up the rights of root")
def test_a_file_that_may_not_be_opened_again(opened, tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("abc")
    path.chmod(0o600)
    (number,) = opened(os.open, path, os.O_RDONLY)
    noted = OpenDescriptions([], [])

    def work() -> None:
        os.setresuid(65534, 65534, 65534)
        os.lseek(number, 2, os.SEEK_SET)
        noted.renew()
        _assert(os.read(number, 2) == b"c")

    in_fork(work)


def test_renewing_again_after_the_first(opened):
    """As in a rewound process: what was replaced is replaced once more."""
    reading, writing = opened(os.pipe)
    os.set_blocking(reading, False)
    noted = OpenDescriptions([], [])

    def work() -> None:
        for _ in range(3):
            noted.renew()
            with pytest.raises(BlockingIOError):
                os.read(reading, 1)
            os.write(writing, b"x")

    in_fork(work)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
