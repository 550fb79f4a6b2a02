"""What plugins and settings did when a watch began is taken back with them, in each way to start pytest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .watching import Watching

PLUGIN = "import os, sys\nfrom pathlib import Path\n{0}\n"
TEST = """\
    import os

    def test_mode():
        assert os.environ.get("MODE") == "test"

    def test_shop():
        import shop
    """
#: Another interpreter than that of the tests, which are forks: nothing is known of the start of a fork.
STARTS = {"module": ["-m", "pytest"], "script": [str(Path(sys.executable).with_name("pytest"))]}


def watching(top, files, *arguments):
    path = {"PYTHONPATH": str(top / "project")}
    return Watching(top, files, arguments=arguments, environ=path, is_new=True)


@pytest.mark.parametrize(
    ("setting", "statement", "start"),
    [
        ("addopts = -p own", "os.environ['MODE'] = 'test'", "module"),
        ("addopts = -p own", "os.environ.setdefault('MODE', 'test')", "script"),
        ("addopts = -p own", "sys.path.insert(0, str(Path('src').resolve()))", "script"),
        ("pythonpath = src", "", "module"),
    ],
    ids=["variable", "default", "path", "pythonpath"],
)
def test_what_it_changed_is_taken_back(tmp_path, monkeypatch, setting, statement, start):
    monkeypatch.setattr("tests.acceptance.watching.START", STARTS[start])
    name = "test_mode" if "MODE" in statement else "test_shop"
    files = {
        "own.py": PLUGIN.format(statement),
        "src/shop.py": "",
        "test_a.py": TEST,
        "pytest.ini": f"[pytest]\n{setting}\n",
    }
    nodeid = f"test_a.py::{name}"
    with watching(tmp_path, files, nodeid) as watch:
        assert watch.shown().ran == {nodeid: "passed"}
        if statement:
            assert watch.after({"own.py": PLUGIN.format("")}).ran == {nodeid: "failed"}
            assert watch.after({"own.py": files["own.py"]}).ran == {nodeid: "passed"}
        assert watch.after({"pytest.ini": "[pytest]\n"}).ran == {nodeid: "failed"}
        assert watch.after({"pytest.ini": files["pytest.ini"]}).ran == {nodeid: "passed"}
        assert watch.end() == 0


@pytest.mark.parametrize("start", STARTS)
def test_the_variables_and_the_path_of_the_start_stay(tmp_path, monkeypatch, start):
    monkeypatch.setattr("tests.acceptance.watching.START", STARTS[start])
    test = "import os, sys\n\ndef test_it():\n    assert os.environ['MODE'] == 'given'\n    import shop\n"
    files = {"src/shop.py": "", "test_a.py": test}
    environ = {"MODE": "given", "PYTHONPATH": str(tmp_path / "project/src")}
    with Watching(tmp_path, files, environ=environ, is_new=True) as watch:
        assert watch.shown().ran == {"test_a.py::test_it": "passed"}
        assert watch.after({"test_a.py": test + "\nX = 1\n"}).ran == {"test_a.py::test_it": "passed"}
        assert watch.end() == 0


def test_what_a_script_set_before_it_called_pytest_stays(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    lines = [
        "import os, sys, pytest",
        "os.environ['MODE'] = 'test'",
        f"sys.path.insert(0, {str(tmp_path / 'lib')!r})",
    ]
    script.write_text("\n".join([*lines, "sys.exit(pytest.main())"]))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/shop.py").touch()
    monkeypatch.setattr("tests.acceptance.watching.START", [str(script)])
    with watching(tmp_path, {"test_a.py": TEST}) as watch:
        both = {"test_a.py::test_mode": "passed", "test_a.py::test_shop": "passed"}
        assert watch.shown().ran == both
        assert watch.after({"test_a.py": TEST + "\n    X = 1\n"}).ran == both
        assert watch.end() == 0


def test_its_own_output_in_the_project_is_no_edit(tmp_path):
    """As by ``| tee watch.log``."""
    with Watching(tmp_path, {"test_a.py": "def test_a(): pass\n"}) as watch:

        def copy(shown):
            with (watch.root / "watch.log").open("a") as log:
                log.write(shown.text + "\n")

        copy(watch.shown())
        for number in range(3):
            shown = watch.after({"test_a.py": f"def test_a(): assert {number} >= 0\n"})
            assert shown.rerun == "RERUN test_a.py → 1 of 1 test file"
            copy(shown)
        assert watch.end() == 0
        assert watch.rest == []
