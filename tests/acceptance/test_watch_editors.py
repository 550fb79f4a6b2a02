"""The ways in which editors save files, and the places where projects lie."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .watching import Watching, write

_FILES = {
    "used.py": "VALUE = 1\n",
    "test_a.py": "import used\n\ndef test_a(): assert used.VALUE\n",
    "test_b.py": "def test_b(): pass\n",
}


def _in_place(path: Path, text: str) -> None:
    path.write_text(text)


def _renamed(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.tmp-1")
    beside.write_text(text)
    beside.replace(path)


def _deleted_and_created(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def _with_backup(path: Path, text: str) -> None:
    """As vim: a test file, a swap file, the old content moved to ``name~``, which goes at the end."""
    path.with_name("4913").touch()
    path.with_name("4913").unlink()
    swap = path.with_name(f".{path.name}.swp")
    swap.write_bytes(b"b0VIM")
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()
    swap.unlink()


def _twice(path: Path, text: str) -> None:
    """As some do: empty first."""
    with path.open("w") as file:
        file.flush()
        file.write(text)


@pytest.mark.parametrize(
    "save",
    [_in_place, _renamed, _deleted_and_created, _with_backup, _twice],
    ids=lambda save: save.__name__.strip("_"),
)
def test_ways_to_save(tmp_path: Path, save: Callable[[Path, str], None]) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        for value, outcome in ((0, "failed"), (2, "passed"), (3, "passed")):
            save(watching.path("used.py"), f"VALUE = {value}\n")
            shown = watching.shown()
            assert shown.rerun == "RERUN used.py → 1 of 2 test files"
            assert shown.ran == {"test_a.py::test_a": outcome}
        assert watching.end() == 0
        assert watching.rest == []


@pytest.mark.slow
def test_a_save_without_a_change_runs_nothing(tmp_path: Path) -> None:
    with Watching(tmp_path, _FILES) as watching:
        watching.shown()
        assert watching.after({"used.py": "VALUE = 2\n"}).status == "PASS 1 passed"
        for save in (_in_place, _renamed):
            save(watching.path("used.py"), "VALUE = 2\n")
            assert watching.shown().lines == ["used.py: no content change · watching, h for help"]
        os.utime(watching.path("test_b.py"))
        assert watching.shown().lines == ["test_b.py: no content change · watching, h for help"]
        assert watching.end() == 0
        assert watching.rest == []


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_git_checkout(tmp_path: Path) -> None:
    root = tmp_path / "project"
    files = {f"m{n:02}.py": "VALUE = 1\n" for n in range(30)}
    files |= {
        f"test_{n:02}.py": f"import m{n:02}\n\ndef test_it(): assert m{n:02}.VALUE == 1\n" for n in range(30)
    }
    write(root, {"pytest.ini": "[pytest]\n", ".gitignore": "__pycache__\n.pytest_cache\n", **files})
    _git(root, "init", "-q", "-b", "one")
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "one")
    _git(root, "checkout", "-qb", "two")
    write(
        root,
        {f"m{n:02}.py": f"VALUE = {1 + n % 2}\n" for n in range(30)}
        | {"test_extra.py": "def test_x(): pass\n"},
    )
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "two")
    _git(root, "checkout", "-q", "one")
    with Watching(tmp_path) as watching:
        assert watching.shown().status == "PASS 30 passed"
        _git(root, "checkout", "-q", "two")
        shown = watching.shown()
        assert shown.rerun == "git checkout: 16 files changed, 16 test files affected"
        assert shown.status == "FAIL 15 failed, 1 passed"
        _git(root, "checkout", "-q", "one")
        shown = watching.shown()
        assert shown.rerun == "git checkout: 16 files changed, 15 test files affected"
        assert shown.status == "PASS 15 passed"
        assert watching.end() == 0


def test_a_tree_behind_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real"
    write(real, _FILES | {"pytest.ini": "[pytest]\n"})
    (tmp_path / "project").symlink_to(real)
    with Watching(tmp_path) as watching:
        assert watching.shown().status == "PASS 2 passed"
        for folder, value, outcome in ((real, 0, "failed"), (tmp_path / "project", 2, "passed")):
            (folder / "used.py").write_text(f"VALUE = {value}\n")
            assert watching.shown().ran == {"test_a.py::test_a": outcome}
        assert watching.end() == 0


def test_linked_sources(tmp_path: Path) -> None:
    """The package lies elsewhere, and is linked into the project."""
    write(tmp_path / "elsewhere", {"__init__.py": "", "used.py": "VALUE = 1\n"})
    root = tmp_path / "project"
    write(root, {"pytest.ini": "[pytest]\n", "test_b.py": "def test_b(): pass\n"})
    write(root, {"test_a.py": "from lib import used\n\ndef test_a(): assert used.VALUE\n"})
    (root / "lib").symlink_to(tmp_path / "elsewhere")
    with Watching(tmp_path) as watching:
        assert watching.shown().status == "PASS 2 passed"
        for value, outcome in ((0, "failed"), (2, "passed")):
            write(tmp_path / "elsewhere", {"used.py": f"VALUE = {value}\n"})
            assert watching.shown().ran == {"test_a.py::test_a": outcome}
        assert watching.end() == 0


def test_a_project_in_a_larger_repository(tmp_path: Path) -> None:
    top = tmp_path / "repository"
    top.mkdir()
    _git(top, "init", "-q", "-b", "one")
    write(top, {"parts/one/" + name: text for name, text in _FILES.items()})
    write(
        top,
        {
            "parts/one/pytest.ini": "[pytest]\n",
            "other/used.py": "",
            ".gitignore": "__pycache__\n.pytest_cache\n",
        },
    )
    _git(top, "add", ".")
    _git(top, "commit", "-qm", "one")
    with Watching(top, name="parts/one") as watching:
        assert watching.shown().status == "PASS 2 passed"
        write(top, {"other/used.py": "VALUE = 3\n"})
        assert watching.after({"used.py": "VALUE = 0\n"}).ran == {"test_a.py::test_a": "failed"}
        _git(top, "checkout", "-q", ".")
        shown = watching.shown()
        assert shown.ran == {"test_a.py::test_a": "passed"}
        assert watching.end() == 0


@pytest.mark.parametrize("name", ["with spaces in it", "žlutý-kůň"])
def test_names_of_folders_and_files(tmp_path: Path, name: str) -> None:
    files = {**_FILES, f"{name}/test_{name}.py": "def test_0(): pass\n"}
    with Watching(tmp_path, files, name=f"{name} project") as watching:
        assert watching.shown().status == "PASS 3 passed"
        for number in (1, 2):
            shown = watching.after({f"{name}/test_{name}.py": f"def test_{number}(): pass\n"})
            assert shown.rerun == f"RERUN {name}/test_{name}.py → 1 of 3 test files"
            assert shown.status == "PASS 1 passed"
        assert watching.after({"used.py": "VALUE = 0\n"}).ran == {"test_a.py::test_a": "failed"}
        assert watching.end() == 1


def test_a_watch_that_is_started_below_the_root(tmp_path: Path) -> None:
    files = {**_FILES, "sub/test_c.py": "import used\n\ndef test_c(): assert used.VALUE\n", "conftest.py": ""}
    write(tmp_path / "project", files | {"pytest.ini": "[pytest]\n"})
    with Watching(tmp_path, folder="sub") as watching:
        assert watching.shown().status == "PASS 1 passed"
        shown = watching.after({"used.py": "VALUE = 0\n"})
        assert list(shown.ran.values()) == ["failed"]
        shown = watching.after({"test_b.py": "def test_more(): pass\n"})
        assert shown.ran == {}
        assert watching.end() == 1
