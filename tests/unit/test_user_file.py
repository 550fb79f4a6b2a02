"""The kinds of files that a user names, and how they are written."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_hotreload.process import user_file

CONTENT = b"content\n" * 20_000  # more than a pipe takes


def test_a_regular_file_is_replaced(tmp_path: Path) -> None:
    """Not written to: whoever reads the old one reads all of it."""
    file = tmp_path / "new" / "result"
    user_file.write(file, b"old")
    file.chmod(0o640)
    with file.open("rb") as reader:
        user_file.write(file, CONTENT)
        assert reader.read() == b"old"
    assert file.read_bytes() == CONTENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [each.name for each in file.parent.iterdir()] == ["result"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    if exists:
        target.write_bytes(b"old")
    (tmp_path / "chain").symlink_to("far/target")
    link.symlink_to("chain")
    user_file.write(link, CONTENT)
    assert (str(link.readlink()), target.read_bytes()) == ("chain", CONTENT)
    user_file.append(link, b"more")
    assert target.read_bytes() == CONTENT + b"more"
    user_file.remove(link)
    assert link.is_symlink()
    assert not target.exists()


@pytest.mark.parametrize("write", [user_file.write, user_file.append])
def test_a_pipe(tmp_path: Path, write: object) -> None:
    """Written through to who reads it; without anybody it is an error, at once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert callable(write)
    with pytest.raises(OSError, match="nobody reads this pipe") as caught:
        write(pipe, CONTENT)
    assert caught.value.errno == errno.ENXIO
    found: list[bytes] = []
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)

    def read() -> None:
        while data := os.read(descriptor, 10_000):
            found.append(data)

    reader = threading.Thread(target=read)
    started = threading.Event()

    def begin() -> None:
        reader.start()
        started.set()

    threading.Timer(0.05, begin).start()
    write(pipe, CONTENT)
    assert started.wait(10)
    reader.join()
    os.close(descriptor)
    assert b"".join(found) == CONTENT
    user_file.remove(pipe)
    assert pipe.is_fifo()


def test_a_reader_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(user_file, "STALLED_SECONDS", 0.1)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="its reader read nothing") as caught:
        user_file.write(pipe, CONTENT)
    assert caught.value.filename == str(pipe)
    os.close(descriptor)


def test_devices(tmp_path: Path) -> None:
    """Also by a link, and as root: they stay what they are."""
    before = Path("/dev/null").stat().st_ino
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        user_file.write(path, CONTENT)
        user_file.append(path, CONTENT)
        user_file.remove(path)
    now = Path("/dev/null").stat()
    assert (now.st_ino, stat.S_ISCHR(now.st_mode), link.is_symlink()) == (before, True, True)
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space left"):
            user_file.write(Path("/dev/full"), CONTENT)


def test_a_socket(tmp_path: Path) -> None:
    place = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        user_file.write(place, b"content")
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b"content"


WRITES = """
import pathlib, sys
from pytest_hotreload.process import user_file
print("before", flush=True)
user_file.write(pathlib.Path(sys.argv[1]), b"content\\n")
print("after", flush=True)
"""


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_standard_output(tmp_path: Path, kind: str) -> None:
    """Whatever it is; by its own name too, where it is a regular file."""
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITES]
    for name in ["/dev/stdout", "/dev/fd/1", *([str(out)] if kind == "file" else [])]:
        if kind == "file":
            with out.open("wb") as file:
                subprocess.run([*command, name], stdout=file, check=True, cwd=tmp_path)
            text = out.read_text()
        elif kind == "pipe":
            text = subprocess.run(
                [*command, name], capture_output=True, check=True, text=True, cwd=tmp_path
            ).stdout
        else:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                subprocess.run([*command, name], stdout=theirs.fileno(), check=True, cwd=tmp_path)
                text = ours.recv(1000).decode()
        assert text == "before\ncontent\nafter\n", name


def test_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that root owns, or where the file is a mount of its own: then it is written in its place."""
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "replace", refuse)
    user_file.write(file, b"new")
    assert file.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OSError, match="busy"):
        user_file.write(tmp_path / "other", b"new")
