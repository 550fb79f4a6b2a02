"""Costly session fixtures are set up once, in a process above the children, without being named."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

#: Notes of a setup or a teardown: a word, the process, and whether it runs tests.
NOTE = """
import os, pytest, time

def note(word):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
"""
SLOW = """
@pytest.fixture(scope="session")
def base():
    note("up")
    time.sleep(0.15)
    yield {"n": 1}
    close()

def close():
    note("down")
"""
FOUR = "abcd"


class Suite:
    """A project whose fixtures write notes outside of it, run with and without hotreload."""

    def __init__(self, project, tmp_path, files) -> None:
        self.project, self.notes = project, tmp_path / "notes.txt"
        project.environ["NOTES"] = str(self.notes)
        project.write(files)

    def words(self) -> list[tuple[str, str]]:
        """The notes since the last call."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [(word, pid) for word, pid in (line.split() for line in lines)]

    def learned(self, *args, slots):
        """A run of ours that knows what fixtures cost, with its notes and those of plain pytest."""
        self.project.run(*args, slots=slots)
        plain = self.project.run(*args, slots=None)
        self.words()
        ours = self.project.run(*args, slots=slots)
        return plain, ours


@pytest.fixture
def suite(project, tmp_path):
    def write(conftest, files=None, **more):
        users = {f"test_{name}.py": "def test_it(base): assert base\n" for name in FOUR}
        conftest = textwrap.dedent(conftest)
        return Suite(
            project, tmp_path, {"conftest.py": NOTE + conftest, **(users if files is None else files), **more}
        )

    return write


def shared_lines(result) -> list[str]:
    return [line for line in result.notices if line.startswith("hotreload: shared: ")]


def refusals(result) -> list[str]:
    return [line for line in result.notices if "is set up by each child" in line]


def test_set_up_once_and_torn_down_last(suite, slots):
    files = {
        f"test_{name}.py": """
            def test_first(base, track): base["n"] += 1
            def test_second(base, track): assert base["n"] == 2
        """
        for name in FOUR
    }
    made = suite(SLOW + "@pytest.fixture\ndef track():\n    yield\n    note('test')\n", files)
    plain = made.project.run(slots=None)
    made.words()
    first = made.project.run(slots=slots)
    assert first.outcomes == plain.outcomes | {
        f"test_{name}.py::test_second": first.outcomes["test_a.py::test_second"] for name in FOUR
    }, "each file sees the value as it was set up"
    assert [word for word, _ in made.words()].count("up") in range(2, slots + 2), "measured, then shared"
    second = made.project.run(slots=slots)
    words = made.words()
    assert second.outcomes == first.outcomes
    assert [word for word, _ in words] == ["up", *["test"] * 8, "down"]
    assert words[0][1] == words[-1][1] not in {pid for _, pid in words[1:-1]}
    (line,) = shared_lines(second)
    assert line.startswith("hotreload: shared: base · set up once instead of 4 times: ")
    assert not refusals(second)


def test_the_output_is_plain_pytests(suite, slots):
    """Of the setup, with the first test that uses the fixture; of the teardown, with the last test."""
    made = suite(
        """
        import logging, sys, warnings

        @pytest.fixture(scope="session")
        def base():
            print("printed up")
            print("erred up", file=sys.stderr)
            logging.getLogger("x").warning("logged up")
            warnings.warn("warned up")
            time.sleep(0.15)
            yield 1
            print("printed down")
            close()

        def close():
            logging.getLogger("x").warning("logged down")

        @pytest.fixture
        def own(base): print("own")
        """,
        {
            f"test_{name}.py": "def test_fails(base, own): assert not base\ndef test_passes(base): pass\n"
            for name in FOUR
        },
    )
    plain, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines
    assert ours.warnings == plain.warnings


@pytest.mark.parametrize("option", ["-s", "--setup-show", "--log-cli-level=INFO", "--capture=sys"])
def test_the_output_with(suite, option):
    made = suite(
        """
        import logging

        @pytest.fixture(scope="session")
        def base():
            print("printed up")
            logging.getLogger("x").warning("logged up")
            time.sleep(0.15)
            return 1
        """,
        {f"test_{name}.py": "def test_fails(base): assert not base\n" for name in FOUR},
    )
    plain, ours = made.learned(option, slots=2)
    assert shared_lines(ours)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines


def test_durations_name_it_once(suite, slots):
    made = suite(SLOW)
    _, ours = made.learned("--durations=1", "--durations-min=0.1", slots=slots)
    (line,) = [line for line in ours.raw.splitlines() if "s setup" in line]
    assert line.endswith("test_a.py::test_it")
    assert float(line.partition("s setup")[0]) >= 0.15


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
}


@pytest.mark.parametrize("kind", CHECKING)
def test_a_teardown_that_uses_what_tests_change(suite, kind):
    """Such a fixture is each child's own: in a process above them, its teardown would see nothing of the tests."""
    made = suite(
        f"""
def check(found):
    note("check" + str(len(found)))

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
    if kind == "assert":
        assert again.lines[-1] == "== 4 passed, 4 errors in TIME =="


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


PER_SLOT = {
    "worker_id": "def base(worker_id):\n    value = worker_id",
    "what it uses": "def base(under):\n    value = under",
    "tmp_path_factory": "def base(tmp_path_factory):\n    value = str(tmp_path_factory.mktemp('x'))",
    "a variable": "def base():\n    value = os.environ.get('PYTEST_XDIST_WORKER', 'master')",
    "workerinput": "def base(request):\n"
    "    value = getattr(request.config, 'workerinput', {}).get('workerid', 'master')",
}


@pytest.mark.parametrize("kind", PER_SLOT)
def test_a_value_for_each_slot(suite, kind):
    """What depends on the worker is set up in a process for each slot, also if only the setup shows that."""
    made = suite(
        f"""
@pytest.fixture(scope="session")
def under(worker_id): return worker_id

@pytest.fixture(scope="session")
{PER_SLOT[kind]}
    note("up")
    time.sleep(0.15)
    return value
""",
        {
            f"test_{name}.py": """
                import os, time
                def test_it(base):
                    time.sleep(0.1)
                    worker = os.environ.get("PYTEST_XDIST_WORKER", "master")
                    assert worker in base or base.startswith("/") and worker in base
            """
            for name in FOUR
        },
    )
    _, ours = made.learned(slots=2)
    words = made.words()
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert [word for word, _ in words] == ["up", "up"]
    assert len({pid for _, pid in words}) == 2
    (line,) = shared_lines(ours)
    assert "set up 2 times instead of 4 times" in line


def test_requested_while_a_test_runs(suite, slots):
    """``getfixturevalue``: the rest of the file runs from the process that holds the fixture; the next run knows."""
    files = {
        f"test_{name}.py": """
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def around(tracks):
                yield
                tracks("around down")

            def test_before(): pass
            def test_it(request): assert request.getfixturevalue("base")["n"] == 1
            def test_after(): assert 0
        """
        for name in FOUR
    }
    made = suite(
        SLOW + "@pytest.fixture\ndef nothing(): pass\n@pytest.fixture(scope='session')\ndef tracks():\n"
        "    return lambda word: note(word.replace(' ', '-'))\n",
        files,
    )
    plain = made.project.run(slots=None)
    made.words()
    first = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert first.outcomes == plain.outcomes
    assert words.count("up") in range(2, slots + 2)
    second = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert second.outcomes == plain.outcomes
    assert second.lines == plain.lines
    assert words.count("up") == 1
    assert words.count("around-down") == 4, "no file ran in two parts"


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


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_torn_down_after_a_stop(suite, slots, option):
    made = suite(SLOW, {f"test_{name}.py": "def test_it(base): assert 0\n" for name in FOUR})
    made.project.run(slots=slots)
    plain, ours = made.learned(option, slots=slots)
    words = [word for word, _ in made.words()]
    assert words == ["up", "down"]
    assert (ours.status, ours.lines[-1]) == (plain.status, plain.lines[-1])


def test_a_teardown_that_fails(suite, slots):
    made = suite(
        """
        def close(): raise OSError("down and out")

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.15)
            yield 1
            close()
        """
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.lines[-1] == "== 4 passed, 1 error in TIME =="


def test_a_setup_that_fails(suite, slots):
    made = suite(
        "@pytest.fixture(scope='session')\ndef base():\n    time.sleep(0.15)\n    raise OSError('no')\n"
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines


DYING = """
@pytest.fixture(scope="session")
def base():
    note("up")
    time.sleep(0.15)
    if os.environ.get("FATAL") and open(os.environ["NOTES"]).read().count("up") == 1:
        {how}
    return 1
"""


@pytest.mark.parametrize(
    ("how", "options"),
    [("os.kill(os.getpid(), 9)", ()), ("os._exit(0)", ()), ("time.sleep(100)", ("--hotreload-timeout=1",))],
    ids=["killed", "exit", "hangs"],
)
def test_a_process_that_ends_while_it_sets_up(suite, how, options):
    """The first setup of the run, which is that of the process; each child then makes its own."""
    made = suite(DYING.format(how=how))
    made.project.run(slots=2)
    made.words()
    made.project.environ["FATAL"] = "1"
    ours = made.project.run(*options, slots=2)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert ours.status == 0
    assert len(made.words()) == 5
    if options:
        assert any("setting up base exceeded the time limit of 1 s" in line for line in ours.notices)


def test_each_test_isolated(suite, slots):
    files = {
        f"test_{name}.py": "def test_x(base): base['n'] = 2\ndef test_y(base): assert base['n'] == 1\n"
        for name in "ab"
    }
    made = suite(SLOW, files)
    made.project.run("--hotreload-isolate=test", slots=slots)
    made.words()
    ours = made.project.run("--hotreload-isolate=test", slots=slots)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert [word for word, _ in made.words()] == ["up", "down"]


@pytest.mark.parametrize("value", ["off", "other"])
def test_off(suite, value):
    """``off``, or names without ``auto``: no other fixture is shared."""
    other = "\n@pytest.fixture(scope='session')\ndef other(): return 1\n"
    made = suite(SLOW + other, **{"pytest.ini": f"[pytest]\nhotreload_shared_fixtures = {value}\n"})
    made.project.run(slots=1)
    made.words()
    made.project.run(slots=1)
    assert [word for word, _ in made.words()].count("up") == 4


def test_off_beside_names(suite):
    made = suite(SLOW, **{"pytest.ini": "[pytest]\nhotreload_shared_fixtures = off base\n"})
    ours = made.project.run(slots=1)
    assert ours.status == 4
    assert ours.errors[0].startswith(
        "ERROR: hotreload: hotreload_shared_fixtures: off cannot stand beside base; hint: "
    )


def test_fixtures_of_one_name_in_two_folders(suite, slots):
    fixture = (
        "@pytest.fixture(scope='session')\ndef base():\n"
        "    note({name!r})\n    time.sleep(0.15)\n    return {name!r}\n"
    )
    names = ("one", "two")
    users = {
        f"{name}/test_{name}{number}.py": f"def test_it(base): assert base == {name!r}\n"
        for name in names
        for number in "12"
    }
    conftests = {f"{name}/conftest.py": NOTE + fixture.format(name=name) for name in names}
    made = suite("", users, **conftests)
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert sorted(word for word, _ in made.words()) == ["one", "two"]


def test_one_that_uses_another(suite, slots):
    made = suite(
        SLOW
        + """
@pytest.fixture(scope="session")
def above(base):
    note("above")
    time.sleep(0.15)
    yield base["n"] + 1
    close_above()

def close_above(): note("above-down")
""",
        {
            "test_a.py": "def test_it(base): pass\n",
            "test_b.py": "def test_it(above): assert above == 2\n",
            "test_c.py": "def test_it(above, base): assert above == 2\n",
            "test_d.py": "def test_it(base): assert base == {'n': 1}\n",
            "test_e.py": "def test_it(): pass\n",
        },
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert [word for word, _ in made.words()] == ["up", "above", "above-down", "down"]


def test_files_that_do_not_use_it_do_not_see_it(suite, slots):
    """What a setup leaves in a process is not seen by files that run without the fixture."""
    made = suite(
        """
        @pytest.fixture(scope="session")
        def base():
            os.environ["LEFT"] = "1"
            time.sleep(0.15)
            return 1
        """,
        {
            "test_a.py": "import os\ndef test_it(): assert 'LEFT' not in os.environ\n",
            "test_b.py": "import os\ndef test_it(base): assert 'LEFT' in os.environ\n",
            "test_c.py": "import os\ndef test_it(base): assert 'LEFT' in os.environ\n",
            "test_d.py": "import os\ndef test_it(): assert 'LEFT' not in os.environ\n",
        },
    )
    made.project.run(slots=slots)
    ours = made.project.run(slots=slots)
    assert shared_lines(ours)
    assert ours.lines[-1] == "== 4 passed in TIME =="


def test_a_file_with_a_collection_of_its_own(suite, slots):
    """Its child sets the fixture up for itself, so the process that holds it for this slot ends first."""
    made = suite(
        """
        import threading

        @pytest.fixture(scope="session")
        def base(worker_id):
            name = f"database-{worker_id}"
            assert not os.path.exists(name), "two owners at once"
            open(name, "w").close()
            time.sleep(0.15)
            yield name
            os.remove(name)
        """,
        {
            **{
                f"test_{name}.py": "import os\ndef test_it(base): assert os.path.exists(base)\n"
                for name in FOUR
            },
            "test_apart.py": """
                import os, threading
                threading.Thread(target=threading.Event().wait, daemon=True).start()
                def test_it(base): assert os.path.exists(base)
            """,
        },
    )
    made.project.run(slots=slots)
    ours = made.project.run(slots=slots)
    assert shared_lines(ours)
    assert ours.lines[-1] == "== 5 passed in TIME =="


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


def test_ctrl_c_during_a_setup(suite, slots):
    made = suite(
        """
        @pytest.fixture(scope="session")
        def base():
            note("up")
            time.sleep(0.15)
            if os.environ.get("WAITS"):
                time.sleep(60)
            yield 1
            close()

        @pytest.fixture(scope="session")
        def first():
            note("first")
            time.sleep(0.15)
            yield 1
            close()

        def close(): note("down")
        """,
        {f"test_{name}.py": "def test_it(first, base): assert base\n" for name in FOUR},
    )
    made.project.run(slots=slots)
    made.words()
    made.project.environ["WAITS"] = "1"
    run = made.project.start(slots=slots, side="forks")
    deadline = time.monotonic() + 20
    while not (made.notes.exists() and "up" in made.notes.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(2)
    ours = made.project.finish(run, "forks")
    assert ours.status == 2
    assert [word for word, _ in made.words()] == ["first", "up", "down"], "what was set up is torn down"


def test_nothing_stays_if_the_controller_is_killed(suite, slots):
    made = suite(
        SLOW, {f"test_{name}.py": "import time\ndef test_it(base): time.sleep(30)\n" for name in FOUR}
    )
    quick = {f"test_{name}.py": "def test_it(base): pass\n" for name in FOUR}
    slow = {name: (made.project.root("forks") / name).read_text() for name in quick}
    made.project.write(quick)
    made.project.run(slots=slots)
    made.project.write(slow)
    made.words()
    run = made.project.start(slots=slots, side="forks")
    deadline = time.monotonic() + 20
    while not made.notes.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    (holder,) = {int(pid) for _, pid in made.words()}
    assert Path(f"/proc/{holder}").exists()
    run.send_signal(9)
    made.project.finish(run, "forks")
    while Path(f"/proc/{holder}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_was_set_up_above_is_no_cost_of_a_child(suite, slots):
    made = suite(
        SLOW, {f"test_{name}.py": "import time\ndef test_it(base): time.sleep(0.2)\n" for name in FOUR}
    )
    _, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert not [line for line in ours.notices if "set up in each child" in line]


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


def test_a_suite_that_reads_the_worker_id_early(suite, slots):
    """Each slot collects in a process of its own, which its fixture process is a fork of."""
    made = suite("WORKER = os.environ.get('PYTEST_XDIST_WORKER', 'master')\n" + SLOW)
    plain, ours = made.learned(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.outcomes == plain.outcomes
    assert ours.status == 0
    assert words == ["up"] * slots + ["down"] * slots
    assert shared_lines(ours)


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


def test_exit_handlers_of_a_setup(suite, slots):
    """What they print follows the last line, as in plain pytest."""
    made = suite(
        """
        import atexit

        @pytest.fixture(scope="session")
        def base():
            time.sleep(0.15)
            atexit.register(lambda: print("left in the end"))
            return 1
        """
    )
    plain, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert plain.lines[-1] == "left in the end"
    assert ours.lines == plain.lines


def test_a_file_that_ran_in_two_parts_has_a_record_and_coverage(suite, slots):
    """What the child did before it stopped counts: the request is not known in the first run."""
    pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")
    body = "import shop, pytest\ndef test_before(): shop.first()\n"
    body += "def test_it(request):\n    request.getfixturevalue('base')\n    shop.second()\n"
    made = suite(
        "@pytest.fixture(scope='session')\ndef base():\n    time.sleep(0.15)\n    return 1\n",
        {f"test_{name}.py": body.replace("first", f"first_{name}") for name in FOUR},
        **{
            "shop.py": "".join(f"def first_{name}():\n    return 1\n" for name in FOUR)
            + "def second():\n    return 2\n",
            "pytest.ini": "[pytest]\npythonpath = .\n",
        },
    )
    made.project.plugins = ["hotreload_young", "pytest_cov.plugin"]
    made.project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    arguments = ["--cov=shop", "--cov-report=term-missing"]
    ours = made.project.run(*arguments, slots=slots)
    assert "set up once instead of" in shared_lines(ours)[0], "some ran in two parts"
    assert any(line.split() == ["shop.py", "10", "0", "100%"] for line in ours.lines)
    again = made.project.run(*arguments, "--hotreload-affected", slots=slots)
    assert again.outcomes == {}, again.notices


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='x')", "xfail(run=False)"])
def test_of_tests_that_are_skipped(suite, slots, mark):
    """A fixture that no test reaches is not set up, and its output belongs to the first test that reaches it."""
    made = suite(SLOW)
    made.project.run(slots=slots)
    text = f"import pytest\n@pytest.mark.{mark}\ndef test_it(base): assert base\n"
    made.project.write({f"test_{name}.py": text for name in FOUR})
    made.words()
    plain = made.project.run(slots=None)
    ours = made.project.run(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert made.words() == []
