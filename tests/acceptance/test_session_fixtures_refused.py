"""What a session fixture may leave, so that forks inherit its value; and how others say how they are inherited."""

from __future__ import annotations

import time

import pytest

from .shared_suites import FOUR, NOTE, refusals, shared_lines

HELD = {
    "a thread": (
        "event = threading.Event()\n    threading.Thread(target=event.wait, daemon=True).start()\n    yield event",
        "it started the thread",
    ),
    "a socket": ("yield socket.socketpair()", "it holds 2 open sockets"),
    "a file": ("yield open(__file__)", "it holds an open file (conftest.py)"),
    "a pipe": ("yield os.pipe()", "it holds an open pipe"),
    "a database": ("yield sqlite3.connect('data.db')", "it holds an open file (data.db)"),
    "a process": ("yield subprocess.Popen(['sleep', '60'])", "it started the process "),
    "shared memory": ("yield mmap.mmap(-1, 4096)", "it holds shared memory"),
    "a timer": ("yield signal.setitimer(signal.ITIMER_VIRTUAL, 1000)", "it set a timer"),
    "a queue": ("yield multiprocessing.get_context('fork').Queue()", "it holds"),
    "a lock of processes": ("yield multiprocessing.get_context('fork').Lock()", "it holds shared memory"),
    "an event loop": ("yield asyncio.new_event_loop()", "it holds"),
    "a lock on a file": (
        "file = open('lock', 'w')\n    fcntl.flock(file, fcntl.LOCK_SH)\n    yield file",
        "it holds an open file (lock)",
    ),
    "a selector": ("yield selectors.DefaultSelector()", "it holds an open eventpoll"),
}

#: With two slots, a thread and a file; the look is the same for all.
HELD_IN_SLOTS = [(kind, 1) for kind in HELD] + [("a thread", 2), ("a file", 2)]


@pytest.mark.parametrize(("kind", "slots"), HELD_IN_SLOTS)
def test_what_forks_must_not_inherit(suite, slots, kind):
    body, why = HELD[kind]
    imports = (
        "asyncio, fcntl, mmap, multiprocessing, selectors, signal, socket, sqlite3, subprocess, threading"
    )
    made = suite(
        f"import {imports}\n\n@pytest.fixture(scope='session')\ndef base():\n"
        f"    note('up')\n    time.sleep(0.15)\n    {body}\n    close()\n\ndef close(): note('down')\n",
        {f"test_{name}.py": "def test_it(base): pass\n" for name in FOUR},
    )
    made.project.run(slots=slots)
    made.words()
    again = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert again.lines[-1] == "== 4 passed in TIME =="
    assert words.count("up") == words.count("down") == 4, "not tried again"
    assert not shared_lines(again)
    (line,) = refusals(again)
    assert f"because {why}" in line
    assert "; hint: " in line


#: Others are in tests/unit/test_fixture_teardown.py.
CHECKING = {
    "assert": "yield found\n    assert not found",
    "write": "yield found\n    with open('found.txt', 'w') as file:\n        file.write(repr(found))",
    "finalizer": "request.addfinalizer(lambda: check(found))\n    return found",
    "method": "ledger = Ledger(found)\n    yield found\n    ledger.close()",
    "block": "with Ledger(found):\n        yield found",
    "stack": "with contextlib.ExitStack() as stack:\n        stack.enter_context(Ledger(found))\n        yield found",
    "function": "yield found\n    close(found)",
    "local": "def close():\n        assert not found\n    request.addfinalizer(close)\n    return found",
}
#: Those of which plain pytest fails.
FAILING = ("assert", "method", "block", "stack", "function", "local")


@pytest.mark.parametrize("kind", CHECKING)
def test_a_teardown_that_uses_what_tests_change(suite, kind):
    """Such a fixture is each child's own: in a process above them, its teardown would see nothing of the tests."""
    made = suite(
        f"""
import contextlib

def check(found):
    note("check" + str(len(found)))

def close(found):
    assert not found

class Ledger:
    def __init__(self, found):
        self.found = found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        assert not self.found

@pytest.fixture(scope="session")
def base(request):
    note("up")
    time.sleep(0.15)
    found = []
    {CHECKING[kind]}
""",
        {f"test_{name}.py": "def test_it(base): base.append(1)\n" for name in FOUR},
    )
    made.project.run(slots=1)
    made.words()
    again = made.project.run(slots=1)
    assert [word for word, _ in made.words()].count("up") == 4
    assert not shared_lines(again)
    assert "because its teardown may use what tests change" in refusals(again)[0]
    if kind in FAILING:
        assert again.lines[-1] == "== 4 passed, 4 errors in TIME =="


REGISTERS = {
    "a list": ("ALL.append(found)", "ALL"),
    "a dict": ("BY_NAME['one'] = found", "BY_NAME.values()"),
    "the configuration": ("request.config.found = found", "[config.found]"),
}


@pytest.mark.parametrize("kind", REGISTERS)
def test_a_value_that_session_end_hooks_read(suite, slots, kind):
    register, read = REGISTERS[kind]
    made = suite(
        f"""
ALL, BY_NAME = [], {{}}

@pytest.fixture(scope="session")
def base(request):
    note("up")
    time.sleep(0.15)
    found = []
    {register}
    return found

def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line("counted " + str(sum(len(each) for each in {read})))
""",
        {f"test_{name}.py": "def test_it(base): base.append(1)\n" for name in FOUR},
    )
    made.project.run(slots=slots)
    made.words()
    again = made.project.run(slots=slots)
    assert [word for word, _ in made.words()].count("up") == 4
    assert not shared_lines(again)
    assert "because the session-end hooks of conftest.py read it" in refusals(again)[0]


CLOSING = {
    "close": "yield 1\n    close()",
    "a folder": "with tempfile.TemporaryDirectory() as folder:\n        yield folder",
    "a finalizer": "request.addfinalizer(close)\n    return 1",
}


@pytest.mark.parametrize("kind", CLOSING)
def test_a_teardown_that_closes(suite, kind):
    made = suite(
        "import tempfile\n\ndef close(): note('down')\n\n"
        "@pytest.fixture(scope='session')\ndef base(request):\n"
        f"    note('up')\n    time.sleep(0.15)\n    {CLOSING[kind]}\n"
    )
    plain, ours = made.learned(slots=1)
    assert [word for word, _ in made.words()].count("up") == 1
    assert ours.outcomes == plain.outcomes
    assert shared_lines(ours)


@pytest.mark.slow
def test_of_two_fixtures_of_one_name_one_is_refused(suite, slots):
    """The file that runs first needs the second one, so one process tries both."""
    files = {
        "one/conftest.py": NOTE
        + "import socket\n@pytest.fixture(scope='session')\ndef base():\n"
        + "    note('one')\n    time.sleep(0.2)\n    return socket.socketpair()\n",
        "two/conftest.py": NOTE
        + "@pytest.fixture(scope='session')\ndef base():\n    note('two')\n    time.sleep(0.2)\n    return 2\n",
        **{f"one/test_one{number}.py": "def test_it(base): assert base != 2\n" for number in "123"},
        "two/test_two1.py": "import time\ndef test_it(base):\n    time.sleep(0.5)\n    assert base == 2\n",
        **{f"two/test_two{number}.py": "def test_it(base): assert base == 2\n" for number in "23"},
    }
    made = suite("", {}, **files)
    plain, ours = made.learned(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == "== 6 passed in TIME =="
    assert words.count("two") == 1
    assert words.count("one") in (3, 4), "remembered, or tried once more"
    (line,) = refusals(ours)
    assert "it holds 2 open sockets" in line


@pytest.mark.slow
def test_edits_of_what_the_setup_used(suite, tmp_path):
    """The records of all files that inherited the value name it."""
    helper = "def value(): return 1\ndef other(): return 2\n"
    made = suite(
        """
        import helper

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.15)
            with open("data.txt") as file:
                return helper.value(), file.read()
        """,
        **{"helper.py": helper, "data.txt": "1", "test_free.py": "def test_it(): pass\n"},
    )
    made.project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    made.project.run(slots=1)
    ours = made.project.run(slots=1)
    assert shared_lines(ours)
    root = made.project.root("forks")
    time.sleep(2.1)
    made.project.run(slots=1)
    (root / "data.txt").write_text("2")
    affected = made.project.run("--hotreload-affected", slots=1)
    assert set(affected.outcomes) == {f"test_{name}.py::test_it" for name in FOUR}


def test_live_resources(suite, slots):
    """``after_fork`` says how a child inherits the value; without hotreload it does nothing."""
    made = suite(
        """
        import socket

        class Client:
            def connect(self):
                self.ends, self.pid = socket.socketpair(), os.getpid()

            def close(self):
                for end in self.ends:
                    end.close()
                note("down")

        def connect_again(client):
            note("again")
            client.connect()

        @pytest.fixture(scope="session")
        def base():
            note("up")
            client = Client()
            client.connect()
            yield client
            client.close()
        base_function = getattr(base, "_get_wrapped_function", lambda: base)()
        base_function.hotreload_shared = True
        base_function.hotreload_after_fork = connect_again
        """,
        {
            f"test_{name}.py": """
                import os
                def test_it(base):
                    base.ends[0].send(b"x")
                    assert base.ends[1].recv(1) == b"x"
                    assert base.pid == os.getpid()
            """
            for name in FOUR
        },
    )
    plain = made.project.run(slots=None)
    assert [word for word, _ in made.words()] == ["up", "down"]
    ours = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.outcomes == plain.outcomes
    assert words == ["up", *["again"] * 4, "down"]


def test_the_decorator_with_after_fork(suite):
    made = suite(
        """
        from pytest_hotreload import shared

        @pytest.fixture(scope="session")
        @shared(after_fork=lambda value: value.append(os.getpid()))
        def base():
            note("up")
            return []
        """,
        {
            f"test_{name}.py": "import os\ndef test_it(base): assert base in ([], [os.getpid()])\n"
            for name in FOUR
        },
    )
    plain, ours = made.learned(slots=2)
    assert ours.outcomes == plain.outcomes
    assert [word for word, _ in made.words()] == ["up"]


@pytest.mark.parametrize("url", ["sqlite:///data.db", "sqlite://"])
def test_an_engine_of_sqlalchemy(suite, slots, url):
    """Its idle connection to a file is closed before the fork; one to a database in memory is the database."""
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    made = suite(
        f"""
        import sqlalchemy

        @pytest.fixture(scope="session")
        def base():
            note("up")
            engine = sqlalchemy.create_engine({url!r}, poolclass=sqlalchemy.pool.StaticPool)
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text("create table if not exists drinks (name text)"))
            time.sleep(0.15)
            yield engine
            engine.dispose()
        """,
        {
            f"test_{name}.py": """
                import sqlalchemy
                def test_it(base):
                    with base.begin() as connection:
                        assert connection.execute(sqlalchemy.text("select * from drinks")).all() == []
            """
            for name in FOUR
        },
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert [word for word, _ in made.words()] == ["up"]
    assert shared_lines(ours)
