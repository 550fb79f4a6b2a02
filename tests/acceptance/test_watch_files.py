"""Files that are created, removed and moved: test files, modules, packages, data."""

from __future__ import annotations

import shutil
from pathlib import Path

from .watching import Watching

_TWO = {"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"}


def test_a_new_test_file_runs(tmp_path: Path) -> None:
    with Watching(tmp_path, _TWO) as watching:
        watching.shown()
        shown = watching.after({"test_c.py": "def test_c(): assert 0\n"})
        assert shown.rerun == "RERUN test_c.py → 1 of 3 test files"
        assert shown.ran == {"test_c.py::test_c": "failed"}
        shown = watching.after({"sub/deep/test_d.py": "def test_d(): pass\n"})
        assert shown.ran == {"sub/deep/test_d.py::test_d": "passed"}
        assert shown.status == "FAIL 1 passed · still failing: test_c.py::test_c"
        assert watching.end() == 1


def test_a_deleted_test_file_takes_its_results_along(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_TWO, "test_red.py": "def test_red(): assert 0\n"}) as watching:
        assert watching.shown().status == "FAIL 1 failed, 2 passed"
        shown = watching.after({"test_red.py": None})
        assert shown.lines == ["test_red.py: no test file is affected · watching, h for help"]
        shown = watching.after({"test_a.py": "def test_again(): pass\n"})
        assert shown.rerun == "RERUN test_a.py → 1 of 2 test files"
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_renamed_test_file(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_TWO, "test_red.py": "def test_red(): assert 0\n"}) as watching:
        watching.shown()
        watching.path("test_red.py").rename(watching.path("test_still.py"))
        shown = watching.shown()
        assert shown.ran == {"test_still.py::test_red": "failed"}
        shown = watching.after({"test_a.py": "def test_again(): pass\n"})
        assert shown.status == "FAIL 1 passed · still failing: test_still.py::test_red"
        watching.path("test_still.py").rename(watching.path("other.py"))
        shown = watching.shown()
        assert shown.ran == {}
        assert watching.end() == 0


def test_a_module_that_an_import_was_looking_for(tmp_path: Path) -> None:
    files = {**_TWO, "test_needs.py": "import needed\n\ndef test_needs(): assert needed.VALUE == 1\n"}
    with Watching(tmp_path, files) as watching:
        shown = watching.shown()
        assert "ModuleNotFoundError: No module named 'needed'" in shown.errors
        assert shown.status.startswith("FAIL 1 error")
        shown = watching.after({"needed.py": "VALUE = 1\n"})
        assert shown.ran["test_needs.py::test_needs"] == "passed"
        assert watching.end() == 0


def test_a_module_that_shadows_another(tmp_path: Path) -> None:
    """``late`` is found in ``lib`` first, until the root has one."""
    files = {
        "lib/late.py": "VALUE = 'lib'\n",
        "pytest.ini": "[pytest]\npythonpath = . lib\n",
        "test_late.py": "import late\n\ndef test_late(): assert late.VALUE == 'lib'\n",
        "test_b.py": "def test_b(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 2 passed"
        shown = watching.after({"late.py": "VALUE = 'root'\n"})
        assert shown.ran == {"test_late.py::test_late": "failed"}
        assert "AssertionError: assert 'root' == 'lib'" in shown.errors
        shown = watching.after({"late.py": None})
        assert shown.ran == {"test_late.py::test_late": "passed"}
        assert watching.end() == 0


def test_a_module_becomes_a_package_and_back(tmp_path: Path) -> None:
    files = {
        "thing.py": "KIND = 'module'\n",
        "test_thing.py": "import thing\n\ndef test_thing(): assert thing.KIND == 'module'\n",
        "test_b.py": "def test_b(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        watching.shown()
        shown = watching.after({"thing/__init__.py": "KIND = 'package'\n"})
        assert shown.ran["test_thing.py::test_thing"] == "failed"
        assert "AssertionError: assert 'package' == 'module'" in shown.errors
        shown = watching.after({"thing.py": None})
        shown = watching.after({"thing/__init__.py": "KIND = 'other'\n"})
        assert "AssertionError: assert 'other' == 'module'" in shown.errors
        watching.write({"thing.py": "KIND = 'module'\n"})
        shown = watching.shown()
        shutil.rmtree(watching.path("thing"))
        shown = watching.shown()
        assert shown.ran["test_thing.py::test_thing"] == "passed"
        assert watching.end() == 0


def test_a_deleted_module_makes_its_dependents_fail(tmp_path: Path) -> None:
    files = {
        "used.py": "VALUE = 1\n",
        "middle.py": "import used\n",
        "test_direct.py": "import used\n\ndef test_direct(): pass\n",
        "test_through.py": "import middle\n\ndef test_through(): pass\n",
        "test_b.py": "def test_b(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 3 passed"
        shown = watching.after({"used.py": None})
        assert shown.rerun == "RERUN used.py → 2 of 3 test files"
        assert shown.errors.count("ModuleNotFoundError: No module named 'used'") == 2
        assert shown.status == "FAIL 2 error · confirmed with all files imported"
        shown = watching.after({"used.py": "VALUE = 1\n"})
        assert shown.ran == {
            "test_direct.py::test_direct": "passed",
            "test_through.py::test_through": "passed",
        }
        assert shown.status == "PASS 2 passed"
        assert watching.end() == 0


_READS = """\
    from pathlib import Path

    def test_reads():
        assert Path(__file__).with_name("data.txt").read_text() == "one"
    """


def test_a_data_file(tmp_path: Path) -> None:
    with Watching(tmp_path, {**_TWO, "data.txt": "one", "test_reads.py": _READS}) as watching:
        assert watching.shown().status == "PASS 3 passed"
        shown = watching.after({"data.txt": "two"})
        assert shown.rerun == "RERUN data.txt → 1 of 3 test files"
        assert "AssertionError: assert 'two' == 'one'" in shown.errors
        shown = watching.after({"data.txt": None})
        assert shown.rerun == "RERUN data.txt → 1 of 3 test files"
        assert "FileNotFoundError" in shown.text
        shown = watching.after({"data.txt": "one"})
        assert shown.rerun == "RERUN data.txt → 1 of 3 test files"
        assert shown.status == "PASS 1 passed"
        assert watching.end() == 0


def test_a_listed_folder(tmp_path: Path) -> None:
    lists = """\
        import os
        from pathlib import Path

        def test_lists():
            assert sorted(os.listdir(Path(__file__).with_name("cases"))) == ["a.txt", "b.txt"]
        """
    with Watching(
        tmp_path, {**_TWO, "cases/a.txt": "", "cases/b.txt": "", "test_lists.py": lists}
    ) as watching:
        assert watching.shown().status == "PASS 3 passed"
        shown = watching.after({"cases/c.txt": "new\n"})
        assert shown.ran == {"test_lists.py::test_lists": "failed"}
        shown = watching.after({"cases/c.txt": None})
        assert shown.ran == {"test_lists.py::test_lists": "passed"}
        shown = watching.after({"cases/a.txt": None})
        assert shown.ran == {"test_lists.py::test_lists": "failed"}
        assert watching.end() == 1


def test_data_outside_of_the_root(tmp_path: Path) -> None:
    # A folder that is none of the system's temporary ones.
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "data.txt").write_text("one")
    reads = f"""\
        from pathlib import Path

        def test_reads():
            assert Path({str(outside / "data.txt")!r}).read_text() == "one"
        """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Watching(tmp_path, {**_TWO, "test_reads.py": reads}, environ={"TMPDIR": str(temporary)}) as watching:
        assert watching.shown().status == "PASS 3 passed"
        (outside / "data.txt").write_text("two")
        shown = watching.shown()
        assert shown.ran == {"test_reads.py::test_reads": "failed"}
        (outside / "data.txt").write_text("one")
        assert watching.shown().ran == {"test_reads.py::test_reads": "passed"}


def test_what_is_declared(tmp_path: Path) -> None:
    files = {
        "pytest.ini": "[pytest]\nhotreload_depends =\n    schema/*.sql -> db/**\n",
        "schema/one.sql": "select 1\n",
        "db/test_db.py": "def test_db(): pass\n",
        "test_b.py": "def test_b(): pass\n",
    }
    with Watching(tmp_path, files) as watching:
        assert watching.shown().status == "PASS 2 passed"
        for content in ("select 2\n", "select 3\n", None):
            shown = watching.after({"schema/one.sql": content})
            assert shown.rerun == "RERUN schema/one.sql → 1 of 2 test files"
            assert shown.ran == {"db/test_db.py::test_db": "passed"}
        shown = watching.after({"schema/two.sql": "select 2\n"})
        assert shown.ran == {"db/test_db.py::test_db": "passed"}
        assert watching.end() == 0


def test_what_a_process_of_a_test_writes_is_an_edit_until_it_repeats(tmp_path: Path) -> None:
    """Nobody sees who writes, and all files of the project may be inputs of a process."""
    writes = """\
        import subprocess, sys
        from pathlib import Path

        def test_writes():
            log = Path(__file__).with_name("runs.log")
            code = "import sys, time; open(sys.argv[1], 'a').write(f'{time.time_ns()}\\\\n')"
            subprocess.run([sys.executable, "-c", code, str(log)], check=True)
        """
    with Watching(tmp_path, {"test_writes.py": writes, "test_b.py": "def test_b(): pass\n"}) as watching:
        watching.until(
            "hotreload: runs.log changes during each rerun: its changes while tests run are ignored"
        )
        watching.write({"test_b.py": "def test_edited(): pass\n"})
        while "test_b.py::test_edited" not in watching.shown().ran:
            pass
        assert watching.end() == 0
        assert not [line for line in watching.rest if "RERUN runs.log" in line]


def test_what_tests_write_is_no_edit(tmp_path: Path) -> None:
    """A log that grows, and a file that is read back: else each rerun would call the next one."""
    writes = """\
        import time
        from pathlib import Path

        def test_writes():
            log = Path(__file__).with_name("runs.log")
            with log.open("a") as file:
                file.write(f"{time.time_ns()}\\n")
            assert log.read_text()
        """
    with Watching(tmp_path, {**_TWO, "test_writes.py": writes}, ["--junitxml=report.xml"]) as watching:
        assert watching.shown().status == "PASS 3 passed"
        for number in (1, 2):
            watching.write({"test_a.py": f"def test_{number}(): pass\n"})
            assert watching.shown().ran == {f"test_a.py::test_{number}": "passed"}
            watching.write({"test_writes.py": writes + f"\n        NUMBER = {number}\n"})
            shown = watching.shown()
            assert shown.ran == {"test_writes.py::test_writes": "passed"}
        assert watching.end() == 0
        assert watching.rest == []
        assert len(watching.path("runs.log").read_text().splitlines()) == 3
