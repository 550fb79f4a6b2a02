"""Conftests, ini files and plugins of the project: affected tests run again, with new hooks in each rerun."""

from __future__ import annotations

from pathlib import Path

import pytest

from .watching import Watching

_TEST = "def test_it(given): assert given == {0!r}\n"
_CONFTEST = """\
    import pytest

    @pytest.fixture
    def given(): return {0!r}
    """
_TREE = {
    "conftest.py": _CONFTEST.format("root"),
    "a/conftest.py": _CONFTEST.format("a"),
    "a/test_a.py": _TEST.format("a"),
    "b/test_b.py": _TEST.format("root"),
}


def test_a_conftest_concerns_its_subtree(tmp_path: Path) -> None:
    with Watching(tmp_path, _TREE) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({"a/conftest.py": _CONFTEST.format("other")})
        assert shown.rerun == "RERUN a/conftest.py → 1 of 2 test files"
        assert shown.ran == {"a/test_a.py::test_it": "failed"}
        shown = watching.after({"conftest.py": _CONFTEST.format("top")})
        assert shown.rerun == "RERUN conftest.py → 2 of 2 test files"
        assert shown.ran == {"a/test_a.py::test_it": "failed", "b/test_b.py::test_it": "failed"}
        assert "AssertionError: assert 'top' == 'root'" in shown.errors
        shown = watching.after({"conftest.py": _TREE["conftest.py"]})
        assert shown.status == "FAIL 1 failed, 1 passed"
        shown = watching.after({"a/conftest.py": _TREE["a/conftest.py"]})
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


@pytest.mark.slow
def test_a_conftest_appears_and_goes(tmp_path: Path) -> None:
    with Watching(tmp_path, _TREE) as watching:
        watching.shown()
        shown = watching.after({"b/conftest.py": _CONFTEST.format("b")})
        assert shown.rerun == "RERUN b/conftest.py → 1 of 2 test files"
        assert shown.ran == {"b/test_b.py::test_it": "failed"}
        assert "AssertionError: assert 'b' == 'root'" in shown.errors
        shown = watching.after({"b/conftest.py": None})
        assert shown.rerun == "RERUN b/conftest.py → 1 of 2 test files"
        assert shown.ran == {"b/test_b.py::test_it": "passed"}
        shown = watching.after({"a/conftest.py": None})
        assert shown.rerun == "RERUN a/conftest.py → 1 of 2 test files"
        assert shown.ran == {"a/test_a.py::test_it": "failed"}
        assert "AssertionError: assert 'root' == 'a'" in shown.errors
        shown = watching.after({"conftest.py": None})
        assert shown.ran == {"a/test_a.py::test_it": "error", "b/test_b.py::test_it": "error"}
        assert "fixture 'given' not found" in shown.errors
        shown = watching.after({"conftest.py": _CONFTEST.format("root")})
        assert shown.ran == {"a/test_a.py::test_it": "failed", "b/test_b.py::test_it": "passed"}
        shown = watching.after({"a/conftest.py": _CONFTEST.format("a")})
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_module_that_a_conftest_imports(tmp_path: Path) -> None:
    files = {
        "value.py": "VALUE = 1\n",
        "conftest.py": "import pytest, value\n\n@pytest.fixture\ndef given(): return value.VALUE\n",
        "test_one.py": _TEST.format(1),
    }
    with Watching(tmp_path, files) as watching:
        watching.shown()
        for value in (2, 3):
            shown = watching.after({"value.py": f"VALUE = {value}\n"})
            assert shown.rerun == "RERUN value.py → 1 of 1 test file"
            assert f"assert {value} == 1" in shown.errors
        assert watching.after({"value.py": "VALUE = 1\n"}).status == "PASS 1 passed"


@pytest.mark.parametrize(
    ("ini", "head"),
    [("pytest.ini", "[pytest]\n"), ("pyproject.toml", "[tool.pytest.ini_options]\n")],
    ids=["pytest.ini", "pyproject"],
)
def test_an_ini_that_names_other_files(tmp_path: Path, ini: str, head: str) -> None:
    files: dict[str, str | bytes] = {
        ini: head,
        "test_one.py": "def test_one(): pass\n",
        "check_two.py": "def test_two(): pass\n",
    }
    top = tmp_path / "project"
    top.mkdir()
    for name, text in files.items():
        (top / name).write_text(str(text))
    with Watching(tmp_path) as watching:
        assert watching.shown().ran == {"test_one.py::test_one": "passed"}
        both = (
            'python_files = ["test_*.py", "check_*.py"]\n'
            if "toml" in ini
            else "python_files = test_* check_*\n"
        )
        shown = watching.after({ini: head + both})
        assert shown.rerun == f"RERUN {ini} → all test files"
        assert shown.ran == {"check_two.py::test_two": "passed", "test_one.py::test_one": "passed"}
        shown = watching.after({"check_two.py": "def test_two(): assert 0\n"})
        assert shown.ran == {"check_two.py::test_two": "failed"}
        shown = watching.after({ini: head})
        assert shown.ran == {"test_one.py::test_one": "passed"}
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_addopts_of_an_ini(tmp_path: Path) -> None:
    tests = "def test_one(): pass\n\ndef test_two(): assert 0\n"
    with Watching(tmp_path, {"test_it.py": tests}) as watching:
        assert watching.shown().status == "FAIL 1 failed, 1 passed"
        shown = watching.after({"pytest.ini": "[pytest]\naddopts = -k one\n"})
        assert shown.ran == {"test_it.py::test_one": "passed"}
        assert shown.status == "PASS 1 passed"
        shown = watching.after({"test_it.py": tests.replace("test_one", "test_one_more")})
        assert shown.ran == {"test_it.py::test_one_more": "passed"}
        shown = watching.after({"pytest.ini": "[pytest]\n"})
        assert shown.ran == {"test_it.py::test_one_more": "passed", "test_it.py::test_two": "failed"}
        assert watching.end() == 1


def test_an_ini_that_does_not_parse(tmp_path: Path) -> None:
    with Watching(tmp_path, {"test_it.py": "def test_it(): pass\n"}) as watching:
        watching.shown()
        shown = watching.after({"pytest.ini": "[pytest\n"})
        assert shown.status == (
            "BLOCKED pytest did not start. Fix the error above; hotreload retries on the next change"
        )
        assert "ERROR: <root>/pytest.ini:1: unexpected value continuation" in shown.lines
        shown = watching.after({"pytest.ini": "[pytest]\n"})
        assert shown.status == "pytest.ini: no test file is affected"
        shown = watching.after({"pytest.ini": "[pytest]\nxfail_strict = maybe\n"})
        assert shown.rerun == "RERUN pytest.ini → all test files"
        assert shown.ran == {"test_it.py::test_it": "passed"}
        shown = watching.after({"test_it.py": "def test_more(): pass\n"})
        assert shown.ran == {"test_it.py::test_more": "passed"}
        assert watching.end() == 0


def test_pytest_plugins_of_the_project(tmp_path: Path) -> None:
    files = {
        "conftest.py": 'pytest_plugins = ["helping"]\n',
        "helping.py": _CONFTEST.format(1),
        "test_one.py": _TEST.format(1),
        "test_two.py": "def test_two(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({"helping.py": _CONFTEST.format(2)})
        assert shown.rerun == "RERUN helping.py → 2 of 2 test files"
        assert shown.ran == {"test_one.py::test_it": "failed", "test_two.py::test_two": "passed"}
        assert "assert 2 == 1" in shown.errors
        shown = watching.after({"test_one.py": _TEST.format(2)})
        assert shown.ran == {"test_one.py::test_it": "passed"}
        assert watching.end() == 0


_HOOKS = """\
    import os
    from pathlib import Path

    def note(what):
        with Path(__file__).with_name("hooks.log").open("a") as log:
            log.write(f"{os.getpid()} {what}\\n")

    def pytest_configure(config): note("configure")
    def pytest_sessionstart(session): note("start")
    def pytest_sessionfinish(session): note("finish")
    def pytest_unconfigure(config): note("unconfigure")
    """
_SESSION = ["configure", "start", "finish", "unconfigure"]


def _sessions(log: Path) -> list[list[str]]:
    """What each process noted, by the order of their first notes."""
    found: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        pid, _, what = line.partition(" ")
        found.setdefault(pid, []).append(what)
    return list(found.values())


def test_each_rerun_configures_and_unconfigures_once(tmp_path: Path) -> None:
    files = {
        "sub/conftest.py": _HOOKS,
        "sub/test_one.py": "import used\n\ndef test_one(): assert used.VALUE == 1\n",
        "used.py": "VALUE = 1\n",
        "test_two.py": "def test_two(): pass\n",
        "pytest.ini": "[pytest]\npythonpath = .\n",
    }
    with Watching(tmp_path, files, arguments=["sub", "test_two.py"]) as watching:
        log = watching.path("sub/hooks.log")
        assert watching.shown().status == "PASS 2 passed"
        assert watching.after({"test_two.py": "def test_more(): pass\n"}).status == "PASS 1 passed"
        assert watching.after({"used.py": "VALUE = 1.0\n"}).status == "PASS 1 passed"
        assert _sessions(log) == [_SESSION] * 3
        # Held back, and repeated in company.
        assert (
            watching.after({"used.py": "VALUE = 2\n"}).status
            == "FAIL 1 failed · confirmed with all files imported"
        )
        assert _sessions(log) == [_SESSION] * 5
        shown = watching.after({"sub/conftest.py": _HOOKS.replace("import os", "import os; EDITED = 1")})
        assert shown.rerun == "RERUN sub/conftest.py → 1 of 2 test files"
        assert watching.end() == 1
        assert _sessions(log) == [_SESSION] * 6


def test_hooks_of_an_edited_conftest_are_the_new_ones(tmp_path: Path) -> None:
    hook = "def pytest_collection_modifyitems(items): items[:] = items[:{0}]\n"
    tests = "def test_1(): pass\ndef test_2(): pass\ndef test_3(): pass\n"
    with Watching(tmp_path, {"conftest.py": hook.format(1), "test_it.py": tests}) as watching:
        assert list(watching.shown().ran) == ["test_it.py::test_1"]
        for count in (3, 2):
            shown = watching.after({"conftest.py": hook.format(count)})
            assert list(shown.ran) == [f"test_it.py::test_{n}" for n in range(1, count + 1)]
            assert shown.status == f"PASS {count} passed"
        assert watching.end() == 0
