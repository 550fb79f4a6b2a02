"""Files that are open before the first fork, and that a test replaces: the next fork would have the old one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

DATABASE = """\
    import os, sqlite3

    NAME = os.path.join(os.path.dirname(__file__), "state.db")

    def connect():
        global connection
        connection = sqlite3.connect(NAME, isolation_level=None)
        connection.execute("create table if not exists rows (number)")

    def create_anew():
        connection.close()
        os.remove(NAME)
        connect()

    def add():
        connection.execute("insert into rows values (1)")
        return connection.execute("select count(*) from rows").fetchone()[0]

    if os.path.exists(NAME):
        os.remove(NAME)
    connect()
    """
FILES = {
    "conftest.py": DATABASE,
    "test_a.py": "import conftest\n\ndef test_anew():\n    conftest.create_anew()\n    assert conftest.add() == 1\n",
    "test_b.py": "import conftest\n\ndef test_adds():\n    assert conftest.add() >= 1\n",
    "test_c.py": "import conftest\n\ndef test_anew():\n    conftest.create_anew()\n    assert conftest.add() == 1\n",
    "test_d.py": "import conftest\n\ndef test_adds():\n    assert conftest.add() >= 1\n",
}
NODES = ("test_a.py::test_anew", "test_b.py::test_adds", "test_c.py::test_anew", "test_d.py::test_adds")


@pytest.mark.parametrize("rewind", ["auto", "off"])
def test_later_files_collect_by_themselves(project: Any, rewind: str) -> None:
    project.write(FILES)
    result = project.run("-v", f"--hotreload-rewind={rewind}", slots=1)
    assert result.status == 0
    assert {nodeid: phases[1] for nodeid, phases in result.outcomes.items()} == dict.fromkeys(
        NODES, ("call", "passed")
    )
    (told,) = [line for line in result.notices if "replaced" in line]
    assert told == (
        "hotreload: test_a.py replaced state.db, which was open before its process was forked: later files collect by "
        "themselves"
    )


@pytest.mark.skipif(find_spec("xdist") is None, reason="--tx is pytest-xdist's")
def test_later_files_of_a_host(project: Any) -> None:
    project.plugins = ["xdist"]
    project.write(FILES)
    result = project.run("-v", "--tx=popen", slots=1)
    assert {nodeid: phases[1] for nodeid, phases in result.outcomes.items()} == dict.fromkeys(
        NODES, ("call", "passed")
    )
    assert result.status == 0


def test_a_file_that_stays_open_is_the_same_for_all(project: Any) -> None:
    """As in plain pytest, which goes on writing to the old file."""
    moves = "def test_a():\n    os.rename('log.txt', 'log.1')\n    open('log.txt', 'w').close()\n"
    files = {
        "conftest.py": "log = open('log.txt', 'w')\n",
        "test_a.py": "import os\n\n" + moves,
        "test_b.py": "import conftest\n\ndef test_b():\n    conftest.log.write('b')\n",
    }
    project.write(files)
    result = project.run("-v", slots=1)
    assert result.status == 0
    assert [line for line in result.notices if "replaced" in line] == []
