"""The test files that a change selects, with the reason: one project, one change at a time, each undone.

The project runs once; then ``--affected --co`` is asked, which records nothing.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from .keeping import Kept, outcomes, reasons, said

PASSES = "def test_it(): pass\n"
READ = "from pathlib import Path\nDATA = Path(__file__).parents[1] / 'data'\n"

FILES = {
    "pytest.ini": """\
        [pytest]
        pythonpath = src other
        hotreload_depends = schema/**/*.sql -> tests/test_decl*.py
        """,
    "conftest.py": "",
    "tests/conftest.py": """\
        import pytest
        from pathlib import Path

        @pytest.fixture(scope="session")
        def rates():
            return (Path(__file__).parents[1] / "data/rates.txt").read_text()
        """,
    "tests/sub/conftest.py": "",
    "tests/sub/test_sub.py": PASSES,
    # -- imports
    "src/pay/__init__.py": "",
    "src/pay/api.py": "from .card import FEE\n",
    "src/pay/card.py": "FEE = 1\n",
    "tests/test_chain.py": "import pay.api\n" + PASSES,
    "tests/test_direct.py": "from pay import card\n" + PASSES,
    "tests/test_optional.py": "try:\n    import x_fast\nexcept ImportError:\n    x_fast = None\n" + PASSES,
    "src/shadowed.py": "",
    "tests/test_shadowed.py": "import shadowed\n" + PASSES,
    "src/shape.py": "",
    "tests/test_shape.py": "import shape\n" + PASSES,
    "src/form/__init__.py": "",
    "tests/test_form.py": "import form\n" + PASSES,
    "src/space/one.py": "",
    "other/space/two.py": "",
    "tests/test_space.py": "import space.two\n" + PASSES,
    "tests/test_space_more.py": """\
        try: import space.one
        except ImportError: pass
        try: import space.more
        except ImportError: pass
        def test_it(): pass
        """,
    "src/late.py": "",
    "tests/test_late.py": "def test_it():\n    import late\n",
    # -- imports by name, of what test_dynamic_0.py has loaded before the others are collected
    "src/plug_one.py": "",
    "../vendor/loading.py": "import importlib\ndef load(name): return importlib.import_module(name)\n",
    "tests/test_dynamic_0.py": "import plug_one\n" + PASSES,
    "tests/test_dynamic_1.py": "import importlib\nimportlib.import_module('plug' + '_one')\n" + PASSES,
    "tests/test_dynamic_2.py": "__import__('plug' + '_one')\n" + PASSES,
    "tests/test_dynamic_3.py": "import importlib\ndef test_it(): importlib.import_module('plug' + '_one')\n",
    "tests/test_dynamic_4.py": "def test_it(): __import__('plug' + '_one')\n",
    "tests/test_dynamic_5.py": "import loading\nloading.load('plug' + '_one')\n" + PASSES,
    "tests/test_dynamic_6.py": "import loading\ndef test_it(): loading.load('plug' + '_one')\n",
    # -- data
    "data/at_import.txt": "1",
    "tests/test_at_import.py": READ + "TEXT = (DATA / 'at_import.txt').read_text()\n" + PASSES,
    "data/generated.txt": "a b",
    "tests/test_generate.py": READ
    + "def pytest_generate_tests(metafunc):\n"
    + "    metafunc.parametrize('x', (DATA / 'generated.txt').read_text().split())\n"
    + "def test_it(x): pass\n",
    "data/parameters.txt": "a b",
    "tests/test_parametrize.py": "import pytest\n"
    + READ
    + "@pytest.mark.parametrize('x', (DATA / 'parameters.txt').read_text().split())\ndef test_it(x): pass\n",
    "data/in_fixture.txt": "1",
    "tests/test_fixture.py": "import pytest\n"
    + READ
    + "@pytest.fixture\ndef text():\n    with open(DATA / 'in_fixture.txt') as f: return f.read()\n"
    + "def test_it(text): pass\n",
    "data/in_test.txt": "1",
    "tests/test_in_test.py": READ + "def test_it(): assert (DATA / 'in_test.txt').read_text() == '1'\n",
    "data/rates.txt": "1",
    "tests/test_rates_1.py": "def test_it(rates): assert rates == '1'\n",
    "tests/test_rates_2.py": "def test_it(rates): pass\n",
    "src/reading.py": READ + "def read(name): return (DATA / name).read_text()\n",
    "src/table.py": "import reading\nTABLE = reading.read('table.txt')\n",
    "data/table.txt": "1",
    "data/own.txt": "1",
    "tests/test_read_0.py": "import reading\n" + PASSES,
    "tests/test_read_1.py": "import reading\nOWN = reading.read('own.txt')\n" + PASSES,
    "tests/test_read_2.py": "import table\n" + PASSES,
    "tests/test_read_3.py": "import table\n" + PASSES,
    "data/modes/open.txt": "1",
    "data/modes/path.txt": "1",
    "data/modes/at.txt": "1",
    "tests/test_modes.py": "import os, sqlite3\n"
    + READ
    + "MODES = DATA / 'modes'\n"
    + "def test_open(): open(MODES / 'open.txt').close()\n"
    + "def test_path(): (MODES / 'path.txt').read_bytes()\n"
    + "def test_at():\n"
    + "    folder = os.open(MODES, os.O_RDONLY)\n"
    + "    os.close(os.open('at.txt', os.O_RDONLY, dir_fd=folder))\n    os.close(folder)\n"
    + "def test_database():\n    sqlite3.connect(MODES / 'base.db').execute('select x from t').fetchall()\n",
    "data/list/a.csv": "",
    "data/glob/a.csv": "",
    "tests/test_listing.py": "import os\n" + READ + "def test_it(): os.listdir(DATA / 'list')\n",
    "tests/test_glob.py": READ + "def test_it(): list((DATA / 'glob').glob('*.csv'))\n",
    "tests/test_missing.py": READ
    + "def test_it():\n    try: (DATA / 'missing.txt').read_text()\n    except FileNotFoundError: pass\n",
    "schema/a/b.sql": "1",
    "data/marked/a.bin": "1",
    "tests/test_declared.py": PASSES,
    "tests/test_marked.py": "import pytest\n@pytest.mark.hotreload(depends=['data/marked/*.bin'])\n" + PASSES,
    # -- environment
    "tests/test_env_import.py": "import os\nMODE = os.environ.get('DEMO_MODE')\n" + PASSES,
    "tests/test_env_test.py": "import os\ndef test_it(): os.getenv('DEMO_LEVEL')\n",
    # -- flags
    "tests/test_process.py": "import subprocess\ndef test_it(): subprocess.run(['true'], check=True)\n",
    "tests/test_network.py": """\
        import socket
        def test_it():
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(server.getsockname()).close()
        """,
}  # fmt: skip
TESTS = sorted(name for name in FILES if Path(name).name.startswith("test_"))
DYNAMIC = [f"tests/test_dynamic_{number}.py" for number in range(7)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    kept = Kept(tmp_path_factory.mktemp("dependencies"), FILES, outside=["../vendor"])
    with sqlite3.connect(kept.root / "data/modes/base.db") as base:
        base.executescript("create table t (x); insert into t values (1)")
    base.close()
    kept.environ["DEMO_MODE"] = "a"
    first = kept.run("--affected", "-v", slots=2)
    assert reasons(first) == dict.fromkeys(TESTS, "no record yet")
    assert set(outcomes(first).values()) == {"passed"}
    assert kept.files() == TESTS
    return kept


@pytest.fixture
def restored(kept):
    """The project, which is put back afterwards: all files anew, as by a checkout."""
    before = kept.root.with_name("before")
    shutil.copytree(kept.root, before, ignore=shutil.ignore_patterns(".pytest_cache"))
    yield kept
    for entry in [each for each in kept.root.iterdir() if each.name != ".pytest_cache"]:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(before, kept.root, dirs_exist_ok=True)
    shutil.rmtree(before)


ELSEWHERE = "its imports resolve to other files"


def imports(changed, *files):
    """These, by an import of their own."""
    return {file: f"{changed} ← {file}" for file in files}


#: What is written (None: removed), and exactly what that selects.
CHANGES = {
    "test file": ({"tests/test_direct.py": PASSES}, {"tests/test_direct.py": "tests/test_direct.py"}),
    "new test file": ({"tests/test_new.py": PASSES}, {"tests/test_new.py": "no record yet"}),
    "module": (
        {"src/pay/card.py": "FEE = 2\n"},
        {
            "tests/test_chain.py": "src/pay/card.py ← src/pay/api.py ← tests/test_chain.py",
            "tests/test_direct.py": "src/pay/card.py ← tests/test_direct.py",
        },
    ),
    "module in the middle": (
        {"src/pay/api.py": ""}, imports("src/pay/api.py", "tests/test_chain.py")
    ),
    "package": (
        {"src/pay/__init__.py": "x = 1"},
        imports("src/pay/__init__.py", "tests/test_chain.py", "tests/test_direct.py"),
    ),
    "module that a test imports": ({"src/late.py": "x = 1"}, imports("src/late.py", "tests/test_late.py")),
    "conftest of all": ({"conftest.py": "x = 1"}, dict.fromkeys(TESTS, "conftest.py")),
    "conftest of a folder": (
        {"tests/sub/conftest.py": "x = 1"}, {"tests/sub/test_sub.py": "tests/sub/conftest.py"}
    ),
    "new conftest": (
        {"tests/sub/deep/conftest.py": "", "tests/sub/deep/test_deep.py": PASSES},
        {"tests/sub/deep/test_deep.py": "no record yet"},
    ),
    "ini": (
        {"pytest.ini": FILES["pytest.ini"].replace("[pytest]\n", "[pytest]\n        junit_suite_name = other\n")},
        dict.fromkeys(TESTS, "its record is from another environment"),
    ),
    "optional import": ({"src/x_fast.py": ""}, {"tests/test_optional.py": ELSEWHERE}),
    "shadowing module": ({"tests/shadowed.py": ""}, {"tests/test_shadowed.py": ELSEWHERE}),
    "module of no one": ({"tests/unused.py": "", "src/unused.py": "", "src/space/unused.py": ""}, {}),
    "module to package": (
        {"src/shape.py": None, "src/shape/__init__.py": ""}, {"tests/test_shape.py": "src/shape.py no longer exists"}
    ),
    "package beside module": ({"src/shape/__init__.py": ""}, {"tests/test_shape.py": ELSEWHERE}),
    "package to module": (
        {"src/form/__init__.py": None, "src/form.py": ""},
        {"tests/test_form.py": "src/form/__init__.py no longer exists"},
    ),
    "missing module of a namespace": ({"other/space/more.py": ""}, {"tests/test_space_more.py": ELSEWHERE}),
    "earlier part of a namespace": ({"src/space/two.py": ""}, {"tests/test_space.py": ELSEWHERE}),
    "later part of a namespace": ({"other/space/one.py": ""}, {}),
    "new part of a namespace": ({"tests/space/one.py": ""}, {"tests/test_space_more.py": ELSEWHERE}),
    "namespace to package": (
        {"other/space/__init__.py": ""},
        {"tests/test_space.py": ELSEWHERE, "tests/test_space_more.py": ELSEWHERE},
    ),
    "module imported by name": (
        {"src/plug_one.py": "x = 1"},
        imports("src/plug_one.py", DYNAMIC[0]) | dict.fromkeys(DYNAMIC[1:], "src/plug_one.py"),
    ),
    "module imported by name, shadowed": ({"tests/plug_one.py": ""}, dict.fromkeys(DYNAMIC, ELSEWHERE)),
    "data at import": ({"data/at_import.txt": "2"}, {"tests/test_at_import.py": "data/at_import.txt"}),
    "data in generate_tests": ({"data/generated.txt": "a"}, {"tests/test_generate.py": "data/generated.txt"}),
    "data in parametrize": ({"data/parameters.txt": "a"}, {"tests/test_parametrize.py": "data/parameters.txt"}),
    "data in a fixture": ({"data/in_fixture.txt": "2"}, {"tests/test_fixture.py": "data/in_fixture.txt"}),
    "data in a test": ({"data/in_test.txt": "2"}, {"tests/test_in_test.py": "data/in_test.txt"}),
    "data in a session fixture": (
        {"data/rates.txt": "2"},
        dict.fromkeys(["tests/test_rates_1.py", "tests/test_rates_2.py"], "data/rates.txt"),
    ),
    "data read for a module": (
        {"data/table.txt": "2"},
        dict.fromkeys([f"tests/test_read_{number}.py" for number in range(4)], "data/table.txt"),
    ),
    "data read by a module's function": (
        {"data/own.txt": "2"}, dict.fromkeys([f"tests/test_read_{number}.py" for number in range(4)], "data/own.txt")
    ),
    "data removed": ({"data/in_test.txt": None}, {"tests/test_in_test.py": "data/in_test.txt no longer exists"}),
    "open": ({"data/modes/open.txt": "2"}, {"tests/test_modes.py": "data/modes/open.txt"}),
    "Path.read_bytes": ({"data/modes/path.txt": "2"}, {"tests/test_modes.py": "data/modes/path.txt"}),
    "os.open in a folder": ({"data/modes/at.txt": "2"}, {"tests/test_modes.py": "data/modes/at.txt"}),
    "new name, listed": (
        {"data/list/b.csv": ""}, {"tests/test_listing.py": "the entries of the folder data/list changed"}
    ),
    "name gone, listed": (
        {"data/list/a.csv": None, "data/list/c.csv": ""},
        {"tests/test_listing.py": "the entries of the folder data/list changed"},
    ),
    "content of a listed file": ({"data/list/a.csv": "x"}, {}),
    "new name, globbed": (
        {"data/glob/b.csv": ""}, {"tests/test_glob.py": "the entries of the folder data/glob changed"}
    ),
    "file that did not exist": (
        {"data/missing.txt": ""}, {"tests/test_missing.py": "data/missing.txt is new"}
    ),
    "declared by the ini": (
        {"schema/a/b.sql": "2"}, {"tests/test_declared.py": "a file that matches schema/**/*.sql changed"}
    ),
    "declared by the ini, new": (
        {"schema/c.sql": "2"}, {"tests/test_declared.py": "a file that matches schema/**/*.sql changed"}
    ),
    "declared by a marker": (
        {"data/marked/b.bin": ""}, {"tests/test_marked.py": "a file that matches data/marked/*.bin changed"}
    ),
    "what nobody reads": ({"data/unread.txt": "1", "README.md": "x", "schema/a/b.txt": ""}, {}),
    "the same content": ({name: text for name, text in FILES.items() if "../" not in name}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_selects(restored, name):
    files, expected = CHANGES[name]
    restored.write(files)
    assert restored.affected() == expected


def test_outside_of_the_root(kept):
    """A folder of PYTHONPATH is as good as one of the project."""
    vendor = kept.root.parent / "vendor"
    fast, loading = vendor / "x_fast.py", vendor / "loading.py"
    text = loading.read_text()
    fast.touch()
    try:
        assert kept.affected() == {"tests/test_optional.py": ELSEWHERE}
    finally:
        fast.unlink()
    loading.write_text(text + "CHANGED = 1\n")
    try:
        assert kept.affected() == imports("../vendor/loading.py", *DYNAMIC[5:])
    finally:
        loading.write_text(text)


def test_a_row_of_a_database(restored):
    with sqlite3.connect(restored.root / "data/modes/base.db") as base:
        base.execute("insert into t values (2)")
    base.close()
    assert restored.affected() == {"tests/test_modes.py": "data/modes/base.db"}


def test_content_with_its_old_time_and_size(restored):
    for name, text in (("src/late.py", "x = 1"), ("data/in_test.txt", "7")):
        path = restored.root / name
        before = path.stat()
        path.write_text(text)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert (restored.root / "data/in_test.txt").stat().st_size == 1
    assert restored.affected() == {
        "tests/test_late.py": "src/late.py ← tests/test_late.py",
        "tests/test_in_test.py": "data/in_test.txt",
    }


def test_times_alone_select_nothing(restored):
    for path in restored.root.rglob("*"):
        os.utime(path)
    result = restored.run("--affected")
    assert reasons(result) == {}
    assert "hotreload: 0 of 38 test files affected" in result.notices
    assert result.status == 0
    assert result.outcomes == {}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DEMO_MODE": "b"}, {"tests/test_env_import.py": "the environment variable DEMO_MODE changed"}),
        ({"DEMO_MODE": None}, {"tests/test_env_import.py": "the environment variable DEMO_MODE changed"}),
        ({"DEMO_MODE": ""}, {"tests/test_env_import.py": "the environment variable DEMO_MODE changed"}),
        ({"DEMO_LEVEL": "1"}, {"tests/test_env_test.py": "the environment variable DEMO_LEVEL changed"}),
        ({"DEMO_LEVEL": ""}, {"tests/test_env_test.py": "the environment variable DEMO_LEVEL changed"}),
        ({"DEMO_OTHER": "1"}, {}),
    ],
    ids=str,
)
def test_environment(kept, environ, expected):
    before = dict(kept.environ)
    kept.environ.update({name: value for name, value in environ.items() if value is not None})
    for name in [name for name, value in environ.items() if value is None]:
        del kept.environ[name]
    try:
        assert kept.affected() == expected
    finally:
        kept.environ.clear()
        kept.environ.update(before)


def test_flags(kept):
    """Of what no record can answer for."""
    flags = {file: kept.record(file)["flags"] for file in TESTS}
    assert {file: each for file, each in flags.items() if each} == {
        "tests/test_process.py": ["subprocess"],
        "tests/test_network.py": ["network"],
    }


def test_what_is_selected_runs(restored):
    """And nothing else; what was not affected is shown as deselected. Last: it writes records."""
    restored.write({"data/rates.txt": "2"})
    result = restored.run("--affected", slots=2)
    assert outcomes(result) == {
        "tests/test_rates_1.py::test_it": "failed",
        "tests/test_rates_2.py::test_it": "passed",
    }
    assert result.status == 1
    assert said(result) == [
        "2 of 38 test files affected",
        "unchanged since their last run: 36 of 38 test files (2 changed)",
    ]
    assert len(TESTS) == 38
    restored.write({"data/rates.txt": "1"})
    assert restored.affected() == {
        "tests/test_rates_1.py": "one of its tests failed",
        "tests/test_rates_2.py": "data/rates.txt",
    }
    assert set(outcomes(restored.run("--affected")).values()) == {"passed"}
    assert restored.affected() == {}


@pytest.mark.parametrize("make", ["os.makedirs('data', exist_ok=True)", "Path('data').mkdir(exist_ok=True)"])
def test_a_folder_that_stood_before_it_was_made(tmp_path, make):
    """Nothing was made, so what is listed or read there is no output of the test's own."""
    kept = Kept(tmp_path, {
        "data/one.txt": "1",
        "test_a.py": f"import os\nfrom pathlib import Path\ndef test_a():\n    {make}\n"
        "    assert os.listdir('data') == ['one.txt']\n",
        "test_b.py": f"import os\nfrom pathlib import Path\ndef test_b():\n    {make}\n"
        "    assert Path('data/one.txt').read_text() == '1'\n",
    })  # fmt: skip
    assert kept.run().status == 0
    assert kept.affected() == {}
    kept.write({"data/two.txt": ""})
    assert kept.affected().keys() == {"test_a.py"}
    kept.write({"data/two.txt": None, "data/one.txt": "2"})
    assert kept.affected().keys() == {"test_b.py"}


def test_a_database_whose_change_is_in_its_log(tmp_path):
    """In SQLite's mode WAL a server of the project writes there; the database's own file stays as it is."""
    kept = Kept(tmp_path, {
        "test_a.py": """
            import sqlite3
            def test_a():
                with sqlite3.connect("base.db") as base:
                    assert base.execute("select count(*) from t").fetchall() == [(1,)]
        """,
        "test_b.py": PASSES,
    })  # fmt: skip
    with sqlite3.connect(kept.root / "base.db", isolation_level=None) as server:
        server.execute("pragma journal_mode = wal")
        server.execute("create table t (x)")
        server.execute("insert into t values (1)")
        kept.run("--affected")
        # The superuser's SQLite gives the log to the owner of the database again whenever it opens it.
        is_touched = os.geteuid() == 0
        assert kept.affected().keys() == ({"test_a.py"} if is_touched else set())
        server.execute("insert into t values (2)")
        assert kept.affected().keys() == {"test_a.py"}
    server.close()
