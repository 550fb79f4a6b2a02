"""Dependencies through pytest: conftests, hooks, plugins and doctests, in every isolation mode."""

from __future__ import annotations

import shutil

import pytest

from .keeping import Kept, outcomes

PASSES = "def test_it(): pass\n"
HERE = "from pathlib import Path\nHERE = Path(__file__).parent\n"

FILES = {
    "pytest.ini": """\
        [pytest]
        pythonpath = src
        addopts = --doctest-glob=*.rst
        hotreload_shared_fixtures = shared
        """,
    "conftest.py": "pytest_plugins = ['suite_plugin']\n",
    "src/suite_plugin.py": "import helper_of_plugin\n",
    "src/helper_of_plugin.py": "",
    "bare/test_bare.py": PASSES,
    "hooks/conftest.py": HERE
    + "import os\n"
    + "LEVEL = os.environ.get('DEMO_LEVEL')\n"
    + "def pytest_collection_modifyitems(): (HERE / 'order.txt').read_text()\n",
    "hooks/order.txt": "1",
    "hooks/test_hooks.py": PASSES,
    "shared/conftest.py": HERE
    + "import pytest\n"
    + "@pytest.fixture(scope='session')\n"
    + "def shared(): return (HERE / 'shared.txt').read_text()\n",
    "shared/shared.txt": "1",
    "shared/test_shared.py": "def test_it(shared): pass\n",
    "docs/guide.rst": ">>> 1 + 1\n2\n",
    "links/one.txt": "1",
    "links/two.txt": "2",
    "links/test_link.py": HERE + "def test_it(): (HERE / 'link.txt').read_text()\n",
    "unit/test_unit.py": HERE
    + "import unittest\n"
    + "class TestIt(unittest.TestCase):\n"
    + "    @classmethod\n"
    + "    def setUpClass(cls): (HERE / 'class.txt').read_text()\n"
    + "    def test_it(self): pass\n",
    "unit/class.txt": "1",
}  # fmt: skip
TESTS = [
    "bare/test_bare.py",
    "docs/guide.rst",
    "hooks/test_hooks.py",
    "links/test_link.py",
    "shared/test_shared.py",
    "unit/test_unit.py",
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    kept = Kept(tmp_path_factory.mktemp("pytest"), FILES)
    (kept.root / "links/link.txt").symlink_to("one.txt")
    result = kept.run("-v", slots=2)
    assert set(outcomes(result).values()) == {"passed"}, result.raw
    assert kept.files() == TESTS
    assert kept.affected() == {}
    return kept


@pytest.fixture
def restored(kept):
    """The project, which is put back afterwards."""
    before = kept.root.with_name("before")
    shutil.copytree(kept.root, before, symlinks=True, ignore=shutil.ignore_patterns(".pytest_cache"))
    yield kept
    for entry in [each for each in kept.root.iterdir() if each.name != ".pytest_cache"]:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(before, kept.root, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(before)


#: What is written (None: removed), and the files that it selects.
CHANGES = {
    "new conftest beside a test": ({"bare/conftest.py": ""}, ["bare/test_bare.py"]),
    "new package": ({"bare/__init__.py": ""}, ["bare/test_bare.py"]),
    "conftest removed": ({"hooks/conftest.py": None}, ["hooks/test_hooks.py"]),
    "conftest": ({"shared/conftest.py": FILES["shared/conftest.py"] + "x = 1\n"}, ["shared/test_shared.py"]),
    "plugin of a conftest": ({"src/suite_plugin.py": "import helper_of_plugin\nx = 1\n"}, TESTS),
    "module of a plugin": ({"src/helper_of_plugin.py": "x = 1"}, TESTS),
    "read by a hook of collection": ({"hooks/order.txt": "2"}, TESTS),
    "read by a fixture that is set up once": ({"shared/shared.txt": "2"}, TESTS),
    "doctest file": ({"docs/guide.rst": ">>> 1 + 2\n3\n"}, ["docs/guide.rst"]),
    "target of a link": ({"links/one.txt": "3"}, ["links/test_link.py"]),
    "not the target of a link": ({"links/two.txt": "3"}, []),
    "read by setUpClass": ({"unit/class.txt": "2"}, ["unit/test_unit.py"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_selects(restored, name):
    files, expected = CHANGES[name]
    restored.write(files)
    assert list(restored.affected()) == expected


def test_a_link_that_leads_elsewhere(restored):
    (restored.root / "links/link.txt").unlink()
    (restored.root / "links/link.txt").symlink_to("two.txt")
    assert restored.affected() == {"links/test_link.py": "links/link.txt"}


def test_a_variable_that_a_conftest_reads(kept):
    kept.environ["DEMO_LEVEL"] = "1"
    try:
        assert kept.affected() == {"hooks/test_hooks.py": "the environment variable DEMO_LEVEL changed"}
    finally:
        del kept.environ["DEMO_LEVEL"]


#: The last: slots that are processes of their own.
MODES = ["--hotreload-isolate=test", "--hotreload-isolate=strict", "--hotreload-start=spawn", "-v"]


@pytest.mark.parametrize("mode", MODES)
def test_each_isolation_sees_the_same(tmp_path, mode):
    kept = Kept(tmp_path, {
        "import.txt": "1",
        "parameters.txt": "a b",
        "test.txt": "1",
        "late.py": "",
        "conftest.py": "import os\nos.environ.get('PYTEST_XDIST_WORKER')\n" if mode == "-v" else "",
        "test_a.py": HERE
        + "import os, pytest\nMODE = os.environ.get('DEMO_MODE')\n(HERE / 'import.txt').read_text()\n"
        + "@pytest.mark.parametrize('x', (HERE / 'parameters.txt').read_text().split())\n"
        + "def test_it(x): pass\n"
        + "def test_other():\n    (HERE / 'test.txt').read_text()\n    __import__('la' + 'te')\n",
        "test_b.py": PASSES,
    })  # fmt: skip
    result = kept.run(mode, slots=2)
    assert len(result.outcomes) == 4
    assert set(outcomes(result).values()) == {"passed"}
    assert kept.files() == ["test_a.py", "test_b.py"]
    assert kept.affected() == {}
    for name in ("import.txt", "parameters.txt", "test.txt", "late.py"):
        path = kept.root / name
        text = path.read_text()
        path.write_text(text + ("X = 1\n" if name.endswith(".py") else " "))
        assert kept.affected() == {"test_a.py": name}
        path.write_text(text)
    kept.environ["DEMO_MODE"] = "1"
    assert kept.affected() == {"test_a.py": "the environment variable DEMO_MODE changed"}


def test_files_that_share_a_process_have_no_records(tmp_path):
    """What each of them did can't be told apart."""
    kept = Kept(tmp_path, {"test_a.py": PASSES, "test_b.py": PASSES})
    kept.run("--hotreload-isolate=worker", slots=2)
    assert kept.files() == []
