"""Syntax errors and failing imports are reported once, and leave nothing behind once they are fixed."""

from __future__ import annotations

from pathlib import Path

from .watching import Watching

_FILES = {
    "used.py": "VALUE = 1\n",
    "test_a.py": "import used\n\ndef test_a(): assert used.VALUE\n",
    "test_b.py": "def test_b(): pass\n",
}
_NO_START = "BLOCKED pytest did not start. Fix the error above; hotreload retries on the next change"


def test_a_module_that_does_not_parse(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        watching.after({"notes.txt": "answered when it is known who imports what\n"})
        shown = watching.after({"used.py": "VALUE = (\n"})
        assert shown.lines == [
            '  File "<root>/used.py", line 1',
            "    VALUE = (",
            "            ^",
            "SyntaxError: '(' was never closed",
            "BLOCKED used.py: 1 test file waits until it parses · watching, h for help",
        ]
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert shown.ran == {"test_b.py::test_more": "passed"}
        shown = watching.after({"used.py": "VALUE = 2\n"})
        assert shown.rerun == "RERUN used.py → 1 of 2 test files"
        assert shown.ran == {"test_a.py::test_a": "passed"}
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_blocked_watch_ends_with_1(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        watching.after({"used.py": "VALUE = (\n"})
        assert watching.end() == 1


def test_a_test_file_that_does_not_parse(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        shown = watching.after({"test_a.py": "def test_a(:\n"})
        assert shown.status == "BLOCKED test_a.py: 1 test file waits until it parses"
        shown = watching.after({"used.py": "VALUE = 3\n"})
        assert shown.lines == ["BLOCKED test_a.py: 1 test file waits until it parses · watching, h for help"]
        shown = watching.after({"test_a.py": "import used\n\ndef test_a(): assert used.VALUE == 3\n"})
        assert shown.ran == {"test_a.py::test_a": "passed"}
        assert watching.end() == 0


def test_a_new_test_file_that_does_not_parse(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        shown = watching.after({"test_new.py": "def test_new(:\n"})
        assert shown.status == "BLOCKED test_new.py: waiting until it parses"
        shown = watching.after({"test_new.py": "def test_new(): pass\n"})
        assert shown.ran == {"test_new.py::test_new": "passed"}
        assert watching.end() == 0


def test_a_conftest_that_does_not_parse(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_FILES, "conftest.py": ""}) as watching:
        watching.shown()
        shown = watching.after({"conftest.py": "def x(:\n"})
        assert shown.status == "BLOCKED conftest.py: 2 test files wait until it parses"
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert "ImportError while loading conftest '<root>/conftest.py'." in shown.lines
        assert shown.status == _NO_START
        shown = watching.after({"conftest.py": "def x(): pass\n"})
        assert shown.ran == {"test_a.py::test_a": "passed", "test_b.py::test_more": "passed"}
        assert watching.end() == 0


def test_an_import_of_a_conftest_that_fails(tmp_path: Path) -> None:
    """Mended by another file that its traceback names."""
    with Watching(tmp_path, {**_FILES, "conftest.py": "import helping\n", "helping.py": ""}) as watching:
        watching.shown()
        shown = watching.after({"helping.py": "import nonesuch\n"})
        assert shown.errors == ["ModuleNotFoundError: No module named 'nonesuch'"]
        assert shown.status == _NO_START
        shown = watching.after({"nonesuch.py": "raise ValueError('not yet')\n"})
        assert shown.errors == ["ValueError: not yet"]
        shown = watching.after({"nonesuch.py": "VALUE = 1\n"})
        assert shown.ran == {"test_a.py::test_a": "passed", "test_b.py::test_b": "passed"}
        shown = watching.after({"helping.py": "1 / 0\n"})
        assert shown.errors == ["ZeroDivisionError: division by zero"]
        shown = watching.after({"helping.py": ""})
        assert shown.status == "PASS 2 passed"
        assert watching.end() == 0


def test_an_import_error_of_a_test_file(tmp_path: Path) -> None:
    """Others run all the same, and it runs when what it needs is there."""
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        shown = watching.after({"used.py": "import nonesuch\n\nVALUE = 1\n"})
        assert shown.errors == ["ModuleNotFoundError: No module named 'nonesuch'"]
        assert shown.status == "FAIL 1 error · confirmed with all files imported"
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert shown.ran == {"test_b.py::test_more": "passed"}
        assert shown.status.startswith("FAIL 1 passed")
        assert shown.status.endswith("still failing: test_a.py")
        shown = watching.after({"nonesuch.py": ""})
        assert shown.ran["test_a.py::test_a"] == "passed"
        assert shown.status.startswith("PASS")
        shown = watching.after({"used.py": "VALUE = 5\n"})
        assert shown.ran["test_a.py::test_a"] == "passed"
        assert watching.end() == 0


def test_a_module_that_fails_while_it_is_imported(tmp_path: Path) -> None:
    """It changed the world half-way: what was imported ahead of the failure must not be taken for the module."""
    half = "import sys\n\nVALUE = 1\nsys.half = True\n{0}\n"
    test = "import used, sys\n\ndef test_a(): assert used.VALUE == 1\n"
    with Watching(tmp_path, {**_FILES, "test_a.py": test}) as watching:
        watching.shown()
        for _ in range(2):
            shown = watching.after({"used.py": half.format("raise RuntimeError('half')")})
            assert shown.errors == ["RuntimeError: half"]
            shown = watching.after({"used.py": half.format("")})
            assert shown.ran == {"test_a.py::test_a": "passed"}
            assert shown.status == "PASS 1 passed"
        assert watching.end() == 0
