"""Changes are detected by content; events are hints, and some are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .watching import fence, kinds, one, until, wait


def test_edits_additions_and_deletions(watcher: _native.Watcher, tmp_path: Path) -> None:
    before = time.monotonic_ns()
    (tmp_path / "old.py").write_text("new")
    (tmp_path / "sub" / "more.py").write_text("")
    (tmp_path / "sub" / "inner.py").unlink()
    wanted = {"changed": ["old.py"], "created": ["sub/more.py"], "deleted": ["sub/inner.py"]}
    for changes in until(watcher, tmp_path, wanted):
        assert changes.burst == ""
        assert before <= changes.first_ns < changes.ready_ns < time.monotonic_ns()
    assert watcher.take() == []
    fence(watcher, tmp_path)


def test_a_save_without_a_change_is_told_as_such(watcher: _native.Watcher, tmp_path: Path) -> None:
    fence(watcher, tmp_path)
    (tmp_path / "old.py").write_text("old")
    assert one(watcher, tmp_path) == {"saved": ["old.py"]}
    os.utime(tmp_path / "old.py", (1, 1))
    assert one(watcher, tmp_path) == {"saved": ["old.py"]}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("name", ["new.py", "new/deep/file.py"])
def test_a_path_that_is_watched_once_more(
    watcher: _native.Watcher, tmp_path: Path, deep: bool, name: str
) -> None:
    """As by a caller to whom the root is one of the folders that tests listed: what came meanwhile is told."""
    fence(watcher, tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("")
    watcher.watch([str(tmp_path)], deep=deep)
    assert one(watcher, tmp_path) == {"created": [name]}


def test_what_is_no_change(watcher: _native.Watcher, tmp_path: Path) -> None:
    fence(watcher, tmp_path)
    (tmp_path / "old.py").read_text()
    (tmp_path / "sub" / "inner.py").chmod(0o600)
    (tmp_path / "__pycache__" / "old.pyc").write_text("x")
    (tmp_path / ".git" / "config").write_text("x")
    for name in ("old.pyc", "old.py~", ".old.py.swp", ".#old.py", "4913"):
        (tmp_path / name).write_text("x")
    fence(watcher, tmp_path)


def test_content_is_the_truth_not_size_and_time(watcher: _native.Watcher, tmp_path: Path) -> None:
    fence(watcher, tmp_path)
    times = (tmp_path / "old.py").stat()
    (tmp_path / "old.py").write_text("odl")
    os.utime(tmp_path / "old.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert one(watcher, tmp_path) == {"changed": ["old.py"]}


def save_by_rename(path: Path, text: str) -> None:
    path.with_name("old.py.tmp").write_text(text)
    path.with_name("old.py.tmp").replace(path)


def save_by_replacement(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def save_like_vim(path: Path, text: str) -> None:
    path.with_name("4913").touch()
    path.with_name("4913").unlink()
    path.rename(path.with_name("old.py~"))
    path.write_text(text)
    path.with_name("old.py~").unlink()


def save_like_an_ide(path: Path, text: str) -> None:
    path.with_name("old.py___tmp___").write_text(text)
    path.rename(path.with_name("old.py___old___"))
    path.with_name("old.py___tmp___").rename(path)
    path.with_name("old.py___old___").unlink()


def save_in_place(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    "save", [save_in_place, save_by_rename, save_by_replacement, save_like_vim, save_like_an_ide]
)
def test_an_editors_save_is_one_change(
    watcher: _native.Watcher, tmp_path: Path, save: Callable[[Path, str], None]
) -> None:
    save(tmp_path / "old.py", "new")
    assert one(watcher, tmp_path) == {"changed": ["old.py"]}
    save(tmp_path / "old.py", "new")
    assert one(watcher, tmp_path) == {"saved": ["old.py"]}


@pytest.mark.parametrize("trial", range(5))
@pytest.mark.slow
def test_a_file_in_a_new_tree_is_seen(watcher: _native.Watcher, tmp_path: Path, trial: int) -> None:
    (tmp_path / "n" / "m" / "k").mkdir(parents=True)
    (tmp_path / "n" / "m" / "k" / "deep.py").write_text("x")
    until(watcher, tmp_path, {"created": ["n/m/k/deep.py"]})
    (tmp_path / "n" / "m" / "k" / "deep.py").write_text("y")
    until(watcher, tmp_path, {"changed": ["n/m/k/deep.py"]})
    (tmp_path / "n").rename(tmp_path / "o")
    until(watcher, tmp_path, {"created": ["o/m/k/deep.py"], "deleted": ["n/m/k/deep.py"]})
    (tmp_path / "o" / "m" / "k" / "deep.py").write_text("z")
    until(watcher, tmp_path, {"changed": ["o/m/k/deep.py"]})


def test_many_files_are_one_burst(start: Callable[..., _native.Watcher], tmp_path: Path) -> None:
    watcher = start(tmp_path)
    names = [f"{number:03}.py" for number in range(60)]
    # Enough of them at once to be many; the others longer after the first than the longest burst of an edit, and
    # each sooner than the quiet of many.
    for name in names[:30]:
        (tmp_path / name).write_text("x")
    for name in names[30:]:
        (tmp_path / name).write_text("x")
        time.sleep(0.003)
    (changes,) = wait(watcher)
    assert kinds(changes, tmp_path) == {"created": names}
    assert changes.burst == "many"
    assert changes.ready_ns - changes.first_ns > 250_000_000


def test_a_folder_that_comes_with_many_files_is_one_burst(
    start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "new").mkdir()
    for number in range(30):
        (tmp_path / "new" / f"{number:02}.py").write_text("x")
    watcher = start(tmp_path / "root")
    (tmp_path / "new").rename(tmp_path / "root" / "new")
    (changes,) = wait(watcher)
    assert len(changes.created) == 30
    assert changes.burst == "many"
