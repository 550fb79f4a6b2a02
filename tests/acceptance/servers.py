"""Real servers for tests, each in a folder of its own, reached by a Unix socket: PostgreSQL and Redis.

Tests that need one are skipped, with a line that says what to install, where its programs are missing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Where distributions put PostgreSQL's programs, none of which but ``psql`` is on the path of Debian.
_POSTGRES_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
#: PostgreSQL refuses to run as root; one of these users runs it then.
_USERS = ("postgres", "nobody")
_SECONDS = 60.0


def postgres_program(name: str) -> str:
    """The path of one of PostgreSQL's programs; skips the test if it is not installed."""
    found = [str(path) for glob in _POSTGRES_FOLDERS for path in Path("/").glob(f"{glob[1:]}/{name}")]
    program = shutil.which(name) or max(found, default="")
    if not program:
        pytest.skip(f"PostgreSQL's {name} is not installed; hint: apt-get install postgresql")
    return program


def redis_program() -> str:
    """The path of Redis's server; skips the test if it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; hint: apt-get install redis-server")
    return program


class Postgres:
    """A running server. ``folder`` holds its socket, and is the host in a connection's address."""

    user = "tester"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def query(self, text: str) -> list[str]:
        """The lines of an answer, of one column."""
        command = [
            postgres_program("psql"),
            "-h",
            str(self.folder),
            "-U",
            self.user,
            "-At",
            "-c",
            text,
            "postgres",
        ]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()

    def databases(self) -> list[str]:
        """The databases that are no part of a new server."""
        names = self.query("select datname from pg_database order by 1")
        return [name for name in names if name not in ("postgres", "template0", "template1")]

    def drop(self) -> None:
        """Remove what a test left on purpose."""
        for name in self.databases():
            self.query(f'drop database "{name}"')

    def connections(self) -> int:
        """The number of clients besides this query."""
        (count,) = self.query(
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid != pg_backend_pid()"
        )
        return int(count)


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a server, and end it."""
    initdb, program = postgres_program("initdb"), postgres_program("postgres")
    with short_folder("pg") as folder:
        user = _unprivileged(folder)
        data = folder / "data"
        command = [initdb, "-D", str(data), "-U", Postgres.user, "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)
        settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running([program, "-D", str(data), *options], folder / ".s.PGSQL.5432", folder, user):
            server = Postgres(folder)
            _wait(lambda: bool(server.query("select 1")))
            yield server


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Start a server, and end it. Yields the path of its socket."""
    program = redis_program()
    with short_folder("redis") as folder:
        socket = folder / "redis.sock"
        command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        with _running(command, socket, folder, None):
            yield str(socket)


@contextlib.contextmanager
def short_folder(name: str) -> Iterator[Path]:
    """A folder with a short path, since that of a socket is limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> str | None:
    """Give the folder to a user that may run PostgreSQL; None if the user of the tests may."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((each for each in _USERS if each in known), None)
    if user is None:
        pytest.skip(f"PostgreSQL refuses root, and there is no user {' or '.join(_USERS)}")
    shutil.chown(folder, user)
    return user


@contextlib.contextmanager
def _running(command: list[str], socket: Path, folder: Path, user: str | None) -> Iterator[None]:
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
    try:
        _wait(lambda: socket.exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "log.txt").read_text()
        yield
    finally:
        process.terminate()  # for PostgreSQL: a smart shutdown, which waits for clients
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait(until) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if until():
                return
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
