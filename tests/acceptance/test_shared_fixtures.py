"""Session fixtures that are named in the ini or marked: set up once, inherited, torn down once."""

from __future__ import annotations

import pytest

INI = "[pytest]\nhotreload_shared_fixtures = base\n"
NOTE = """
import os, pytest

def note(word):
    with open("log.txt", "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
"""
USERS = {
    f"test_{name}.py": "import os\ndef test_it(base): assert base == {'n': 1}; base['n'] = 2\n"
    for name in "abc"
}


def log(result) -> list[list[str]]:
    path = result.root / "log.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def words_of(result) -> list[str]:
    return [word for word, _ in log(result)]


def refused(result) -> list[str]:
    return [line for line in result.notices if "can't be shared" in line]


def test_set_up_once_inherited_and_torn_down_last(project, slots):
    project.write({
        "pytest.ini": INI,
        "conftest.py": NOTE + """
@pytest.fixture(scope="session")
def base():
    note("up")
    print("not shown")
    yield {"n": os.getpid() and 1}
    note("down")

@pytest.fixture(scope="session")
def derived(base):
    return dict(base, mine=1)

@pytest.fixture(autouse=True)
def _noted(request, base, derived):
    assert derived["n"] == base["n"]
    yield
    note("test")
""",
        **{f"test_{name}.py": "def test_it(base): pass\ndef test_fails(base): assert 0\n" for name in "abc"},
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    words = log(ours)
    assert [word for word, _ in words] == ["up", *["test"] * 6, "down"]
    assert words[0][1] == words[-1][1], "torn down by the process that set it up"
    children = {pid for _, pid in words[1:-1]}
    assert words[0][1] not in children
    assert len(children) in range(slots, 4), "rewound or forked"
    assert words[0][1] not in children
    assert ours.status == 1
    assert not refused(ours)


def test_what_a_child_changes_stays_in_the_child(project, slots):
    project.write({
        "pytest.ini": INI,
        "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef base(): return {'n': 1}\n",
        **USERS,
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.lines[-1] == "== 3 passed in TIME =="


def test_the_decorator(project, slots):
    """It does the same as the ini; without ``--hotreload`` nothing."""
    project.write({
        "conftest.py": NOTE + """
from pytest_hotreload import shared

@pytest.fixture(scope="session")
@shared
def base():
    note("up")
    yield 7
    note("down")
""",
        **{f"test_{name}.py": "def test_it(base): assert base == 7\n" for name in "ab"},
    })  # fmt: skip
    plain, ours = project.same(slots=slots)
    assert words_of(plain) == words_of(ours) == ["up", "down"]


def test_a_marked_fixture_that_is_not_used_is_not_set_up(project):
    project.write({
        "conftest.py": NOTE + """
from pytest_hotreload import shared

@pytest.fixture(scope="session")
@shared
def unused(): note("up")
""",
        "test_a.py": "def test_it(): pass\n",
    })  # fmt: skip
    ours = project.run(slots=1)
    assert not log(ours)
    assert len(ours.notices) == 3, "header, records and closing line"


def test_a_teardown_that_fails(project, slots):
    project.write({
        "pytest.ini": INI,
        "conftest.py": """
            import pytest

            @pytest.fixture(scope="session")
            def base():
                yield
                raise OSError("down and out")
        """,
        "test_a.py": "def test_a(base): pass\n",
        "test_b.py": "def test_b(base): pass\n",
    })  # fmt: skip
    plain, ours = project.both(slots=slots)
    assert ours.lines[-1] == plain.lines[-1] == "== 2 passed, 1 error in TIME =="
    assert ours.status == plain.status == 1
    assert plain.outcomes["test_b.py::test_b"][-1] == ours.outcomes["test_b.py::test_b"][-1]
    assert ours.outcomes["test_a.py::test_a"] == plain.outcomes["test_a.py::test_a"]
    assert "OSError: down and out" in ours.output


def test_a_setup_that_fails(project, slots):
    project.write({
        "pytest.ini": INI,
        "conftest.py": """
            import pytest

            @pytest.fixture(scope="session")
            def under(): return 1

            @pytest.fixture(scope="session")
            def base(under): raise OSError("will not come up")
        """,
        "test_a.py": "def test_one(base): pass\ndef test_two(base, under): pass\ndef test_free(under): pass\n",
        "test_b.py": "def test_b(base): pass\n",
    })  # fmt: skip
    plain, ours = project.both(slots=slots)
    why = "its setup failed: OSError: will not come up"
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines[-1] == plain.lines[-1] == "== 1 passed, 3 errors in TIME =="
    assert refused(ours) == [
        f"hotreload: the fixture base can't be shared ({why}); each child sets it up separately"
    ]


def test_a_database_in_memory(project, slots):
    project.write({
        "pytest.ini": INI,
        "conftest.py": NOTE + """
import sqlite3

@pytest.fixture(scope="session")
def base():
    note("up")
    connection = sqlite3.connect(":memory:")
    connection.execute("create table drinks (name)")
    connection.execute("insert into drinks values ('tea')")
    yield connection
    connection.close()
""",
        **{
            f"test_{name}.py": """
                def test_reads(base):
                    assert base.execute("select name from drinks").fetchall() == [("tea",)]
                    base.execute("delete from drinks")
            """
            for name in "abc"
        },
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.lines[-1] == "== 3 passed in TIME =="
    assert len(log(ours)) == 1


PARAMETRISED = {
    "itself": "@pytest.fixture(scope='session', params=[1, 2])\ndef base(request): return request.param\n",
    "what it depends on": "@pytest.fixture(scope='session', params=[1, 2])\ndef under(request): return request.param\n"
    "@pytest.fixture(scope='session')\ndef base(under): return under\n",
}
ASKS = "def test_it(base): assert base\n"
INDIRECT = "import pytest\n@pytest.mark.parametrize('base', [1, 2], indirect=True)\n" + ASKS


@pytest.mark.parametrize("kind", [*PARAMETRISED, "indirectly"])
def test_a_parametrised_one_is_refused(project, kind):
    indirect = kind == "indirectly"
    fixture = "@pytest.fixture(scope='session')\ndef base(request): return request.param\n"
    project.write({
        "pytest.ini": INI,
        "conftest.py": "import pytest\n" + (fixture if indirect else PARAMETRISED[kind]),
        "test_a.py": INDIRECT if indirect else ASKS,
        "test_b.py": INDIRECT if indirect else ASKS,
    })  # fmt: skip
    plain, ours = project.both(slots=2)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 0
    assert refused(ours) == [
        "hotreload: the fixture base can't be shared (it is parametrised); each child sets it up separately"
    ]


THREAD = """import threading
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name='helper')
    thread.start()
    yield thread
    event.set()
    thread.join()"""
SOCKET = """import socket
    pair = socket.socketpair()
    yield pair
    [end.close() for end in pair]"""
LEFT = {
    "thread": (THREAD, "it started the thread helper", "assert base.is_alive()"),
    "socket": (SOCKET, "it holds 2 open sockets", "base[0].send(b'x'); assert base[1].recv(1) == b'x'"),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_a_fork_does_not_carry_is_refused(project, slots, kind):
    body, why, check = LEFT[kind]
    project.write({
        "pytest.ini": INI,
        "conftest.py": NOTE
        + f"@pytest.fixture(scope='session')\ndef base():\n    note('up')\n    {body}\n    note('down')\n",
        **{f"test_{name}.py": f"def test_it(base): {check}\n" for name in "ab"},
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.lines[-1] == "== 2 passed in TIME =="
    assert refused(ours) == [
        f"hotreload: the fixture base can't be shared ({why}); each child sets it up separately"
    ]
    words = log(ours)
    assert [word for word, _ in words[:2]] == ["up", "down"], "torn down before any child began"
    assert sorted(word for word, _ in words) == ["down"] * 3 + ["up"] * 3


def test_an_unknown_name(project):
    project.write({
        "pytest.ini": "[pytest]\nhotreload_shared_fixtures = nobody own unused\n",
        "conftest.py": """
            import pytest
            @pytest.fixture
            def own(): pass
            @pytest.fixture(scope="session")
            def unused(): pass
        """,
        "test_a.py": "def test_it(own): pass\n",
    })  # fmt: skip
    ours = project.run(slots=1)
    assert [line for line in ours.notices if "names" in line] == [
        f"hotreload: hotreload_shared_fixtures names {name!r}, which no selected test uses at session or package scope"
        for name in ("nobody", "own")
    ]
    assert ours.status == 0


def test_package_scope(project, slots):
    project.write({
        "pytest.ini": INI,
        "pkg/__init__.py": "",
        "pkg/conftest.py": NOTE + """
@pytest.fixture(scope="package")
def base():
    note("up")
    yield 3
    note("down")
""",
        **{f"pkg/test_{name}.py": "def test_it(base): assert base == 3\n" for name in "ab"},
        "test_c.py": "def test_c(): pass\n",
    })  # fmt: skip
    _, ours = project.same(slots=slots)
    assert [word for word, _ in log(ours)] == ["up", "down"]


def test_costly_session_fixtures_are_named(project):
    project.write({
        "pytest.ini": "[pytest]\nhotreload_shared_fixtures = off\n",
        "conftest.py": """
            import pytest, time
            @pytest.fixture(scope="session")
            def slow(): time.sleep(0.5)
            @pytest.fixture(scope="session")
            def quick(): pass
        """,
        **{f"test_{name}.py": "def test_it(slow, quick): pass\n" for name in "abc"},
    })  # fmt: skip
    ours = project.run(slots=1)
    (line,) = [each for each in ours.notices if "session fixtures" in each]
    assert line.startswith(
        "hotreload: session fixtures are set up in each child: slow 1.5 s in 3 children; hint: "
    )
    assert "hotreload_shared_fixtures or --hotreload-isolate=worker would save about 1.0 s" in line
    project.write({"pytest.ini": "[pytest]\nhotreload_shared_fixtures = slow\n"})
    ours = project.run(slots=1)
    assert not [each for each in ours.notices if "session fixtures" in each]
