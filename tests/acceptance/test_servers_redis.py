"""Projects with a real Redis: clients and pools that children inherit, and servers that fixtures start."""

from __future__ import annotations

import subprocess

import pytest

from .servers import redis_program, short_folder
from .shared_suites import FOUR, refusals, shared_lines

VALUES = {
    "client": "redis.Redis(unix_socket_path=os.environ['REDIS'])",
    "pool": "redis.ConnectionPool(connection_class=redis.UnixDomainSocketConnection, path=os.environ['REDIS'])",
    "part": "{'client': redis.Redis(unix_socket_path=os.environ['REDIS']), 'n': 1}",
}
CLIENTS = {"client": "base", "pool": "redis.Redis(connection_pool=base)", "part": "base['client']"}


@pytest.mark.parametrize("kind", VALUES)
def test_clients_connect_again(suite, redis_socket, slots, kind):
    """The setup's connections are closed before the fork; no two processes use the same one."""
    pytest.importorskip("redis", reason="redis is not installed")
    made = suite(
        f"""
        import redis

        @pytest.fixture(scope="session")
        def base():
            note("up")
            base = {VALUES[kind]}
            client = {CLIENTS[kind]}
            client.flushdb()
            client.set("tea", 3)
            time.sleep(0.1)
            yield base
            client.close()
        """,
        {
            f"test_{name}.py": f"""
                import os, redis

                def test_reads(base):
                    client = {CLIENTS[kind]}
                    for _ in range(200):
                        assert client.get("tea") == b"3"

                def test_writes(base):
                    client = {CLIENTS[kind]}
                    for number in range(200):
                        client.set("own-{name}", number)
                        assert int(client.get("own-{name}")) == number

                def test_fails(base): assert {CLIENTS[kind]}.get("cake")
            """
            for name in FOUR
        },
    )
    made.project.environ["REDIS"] = redis_socket
    plain, ours = made.learned(slots=slots)
    assert [word for word, _ in made.words()] == ["up"]
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == plain.lines[-1] == "== 4 failed, 8 passed in TIME =="
    assert shared_lines(ours)


def servers_below(folder) -> list[str]:
    """The Redis servers that run in a folder."""
    found = subprocess.run(["pgrep", "-af", "redis-server"], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if str(folder) in line]


def test_pytest_redis(suite, slots):
    """A child cannot ask the process of another one whether it runs, so each child starts a server."""
    for module in ("pytest_redis", "redis"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    made = suite(
        f"""
        from pytest_redis import factories

        server = factories.redis_proc(executable={redis_program()!r}, port=None)
        db = factories.redisdb("server")
        """,
        {
            f"test_{name}.py": """
                def test_sets(db):
                    db.set("tea", 3)
                    assert db.get("tea") == b"3"

                def test_is_empty(db, server):
                    assert db.get("tea") is None
                    assert server.running()
            """
            for name in FOUR
        },
    )
    made.project.plugins = ["pytest_redis.plugin"]
    with short_folder("redis") as folder:  # the path of its socket is long
        plain, ours = made.learned(f"--basetemp={folder}/tmp", slots=slots)
        assert not servers_below(folder)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.lines[-1] == "== 8 passed in TIME =="
    assert not shared_lines(ours)


SERVER = """
import subprocess, tempfile, shutil

@pytest.fixture(scope="session")
def base():
    note("up")
    folder = tempfile.mkdtemp(dir="/tmp", prefix="redis-")
    socket = folder + "/redis.sock"
    command = [{program!r}, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not os.path.exists(socket):
        time.sleep(0.02)
    time.sleep(0.4)
    yield socket
    process.terminate()
    process.wait()
    remove(folder)

def remove(folder):
    shutil.rmtree(folder)
    note("down")
"""


def test_a_server_that_a_fixture_starts(suite, slots):
    """A process that a project's fixture starts is each child's own, and ends with it."""
    pytest.importorskip("redis", reason="redis is not installed")
    made = suite(
        SERVER.format(program=redis_program()),
        {
            f"test_{name}.py": """
                import redis
                def test_it(base):
                    with redis.Redis(unix_socket_path=base) as client:
                        assert client.incr("n") == 1
            """
            for name in FOUR
        },
    )
    made.project.run(slots=slots)
    made.words()
    ours = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert words.count("up") == words.count("down") == 4
    assert not shared_lines(ours)
    assert (
        "it started the process redis-server" in refusals(ours)[0]
        or "note" in refusals(ours)[0]
        or refusals(ours)
    )
