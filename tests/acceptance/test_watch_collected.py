"""Test files that are collected in another way than before, and the search path of a watch's records."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .watching import Watching

RECORDER = Path(__file__).with_name("recorder")


class Settled(Watching):
    """Records hold 30 ms after an edit, and each edit comes later than that."""

    def __init__(self, top, files):
        path = f"{top / 'project'}:{RECORDER}"
        super().__init__(top, files, arguments=["-p", "hotreload_young"], environ={"PYTHONPATH": path})

    def write(self, files):
        """Write files, after what was written before has settled."""
        time.sleep(0.1)
        super().write(files)


def test_a_folder_of_tests_becomes_a_package(tmp_path):
    """Its modules have another name then, and another folder is on ``sys.path``."""
    files = {
        "tests/base.py": "V = 1\n",
        "tests/test_a.py": "from base import V\n\ndef test_a(): pass\n",
        "tests/test_c.py": "def test_c(): pass\n",
        "tests/deep/test_b.py": "def test_b(): assert __name__ == 'test_b'\n",
    }
    with Settled(tmp_path, files) as watch:
        others = {"tests/deep/test_b.py::test_b": "passed", "tests/test_c.py::test_c": "passed"}
        passed = {**others, "tests/test_a.py::test_a": "passed"}
        assert watch.shown().ran == passed
        watch.after({"tests/test_c.py": "def test_c(): assert True\n"})  # now there are fork points
        shown = watch.after({"tests/__init__.py": ""})
        assert shown.ran == others
        assert "ModuleNotFoundError: No module named 'base'" in shown.errors
        shown = watch.after({"tests/deep/__init__.py": ""})
        assert shown.ran["tests/deep/test_b.py::test_b"] == "failed"
        shown = watch.after({"tests/deep/__init__.py": None, "tests/__init__.py": None})
        while shown.status.startswith("FAIL"):
            shown = watch.shown()
        assert watch.end() == 0


@pytest.mark.parametrize(
    "conftest",
    [
        "collect_ignore = ['test_a.py']\n",
        "collect_ignore_glob = ['test_a*']\n",
        "def pytest_ignore_collect(collection_path):\n    return True if 'test_a' in collection_path.name else None\n",
    ],
    ids=["names", "glob", "hook"],
)
@pytest.mark.parametrize("other", [True, False], ids=["beside another", "alone"])
def test_a_file_that_was_ignored_comes_back(tmp_path, conftest, other):
    files = {
        "library.py": "V = 1\n",
        "tests/test_a.py": "import library\n\ndef test_a(): assert library.V == 1\n",
    }
    more = {"tests/test_b.py": "def test_b(): pass\n"} if other else {}
    with Settled(tmp_path, {**files, **more}) as watch:
        assert watch.shown().ran["tests/test_a.py::test_a"] == "passed"
        watch.after({"tests/conftest.py": conftest})
        assert watch.after({"library.py": "V = 2\n"}).ran == {}
        assert watch.after({"tests/conftest.py": None}).ran["tests/test_a.py::test_a"] == "failed"
        assert watch.end() == 1


def test_the_folders_of_pythonpath_are_searched(tmp_path):
    """A rerun's records are written when pytest has removed these folders from ``sys.path``."""
    files = {
        "pytest.ini": "[pytest]\npythonpath = ../lib ../more\n",
        "../lib/library.py": "V = 1\n",
        "../more/late.py": "V = 1\n",
        "program.py": "import sys\nsys.path.append('../lib')\nimport library\nsys.exit(library.V - 1)\n",
        "test_a.py": """
            import subprocess, sys

            def test_a(): assert subprocess.call([sys.executable, "program.py"]) == 0
        """,
        "test_b.py": "import late\n\ndef test_b(): assert late.V == 1\n",
    }
    with Settled(tmp_path, files) as watch:
        assert watch.shown().ran == {"test_a.py::test_a": "passed", "test_b.py::test_b": "passed"}
        assert watch.after({"../lib/library.py": "V = 2\n"}).ran == {"test_a.py::test_a": "failed"}
        # Found in front of the other one.
        assert watch.after({"../lib/late.py": "V = 2\n"}).ran["test_b.py::test_b"] == "failed"
        assert watch.end() == 1


def test_a_module_that_comes_to_a_folder_outside_before_it_is_watched(tmp_path):
    """Right behind the first answer: such folders are known only when the run's records are made."""
    files = {
        "pytest.ini": "[pytest]\npythonpath = ../lib\n",
        "../lib/pack/__init__.py": "",
        "../lib/pack/slow.py": "V = 1\n",
        "test_a.py": """
            try:
                import pack.fast as pack
            except ImportError:
                import pack.slow as pack

            def test_a(): assert pack.V == 1
        """,
    }
    with Watching(tmp_path, files) as watch:
        assert watch.shown().ran == {"test_a.py::test_a": "passed"}
        assert watch.after({"../lib/pack/fast.py": "V = 2\n"}).ran == {"test_a.py::test_a": "failed"}
        assert watch.end() == 1
