"""Watched paths that change: roots, links, ignored folders, paths that are created later."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .watching import fence, symlink, until, wait


def test_a_removed_and_recreated_root_is_watched_on(watcher: _native.Watcher, tmp_path: Path) -> None:
    (tmp_path / "old.py").unlink()
    (tmp_path / "sub" / "inner.py").unlink()
    for folder in ("sub", "__pycache__"):
        (tmp_path / folder).rmdir()
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git").rmdir()
    tmp_path.rmdir()
    until(watcher, tmp_path, {"deleted": ["old.py", "sub/inner.py"]})
    (tmp_path / "sub").mkdir(parents=True)
    (tmp_path / "sub" / "inner.py").write_text("new")
    until(watcher, tmp_path, {"created": ["sub/inner.py"]})
    (tmp_path / "sub" / "inner.py").write_text("newer")
    until(watcher, tmp_path, {"changed": ["sub/inner.py"]})


def test_a_root_that_is_moved_away_and_replaced(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    for name in ("root", "next"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(name)
    watcher = start(tmp_path / "root", poll=poll)
    (tmp_path / "root").rename(tmp_path / "away")
    (tmp_path / "next").rename(tmp_path / "root")
    until(watcher, tmp_path, {"changed": ["root/a.py"]})
    (tmp_path / "away" / "a.py").write_text("no longer watched")
    (tmp_path / "root" / "a.py").write_text("again")
    until(watcher, tmp_path, {"changed": ["root/a.py"]})


def test_virtual_environments_caches_and_what_the_caller_names_are_left_out(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    for name, marker in (("env", "pyvenv.cfg"), ("target", "CACHEDIR.TAG"), ("named", "other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / marker).write_text("")
    (tmp_path / "plain" / "target").mkdir(parents=True)
    watcher = start(tmp_path, poll=poll, ignore=[str(tmp_path / "named")])
    for name in ("env", "target", "named"):
        (tmp_path / name / "a.py").write_text("")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "pyvenv.cfg").write_text("")
    (tmp_path / "made" / "a.py").write_text("")
    (tmp_path / "plain" / "target" / "a.py").write_text("")
    until(watcher, tmp_path, {"created": ["plain/target/a.py"]})
    (tmp_path / "made" / "b.py").write_text("")
    fence(watcher, tmp_path)


def test_a_folder_that_becomes_a_virtual_environment_is_left_out(
    start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "a.py").write_text("")
    watcher = start(tmp_path)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    fence(watcher, tmp_path)
    (tmp_path / "env" / "a.py").write_text("new")
    (tmp_path / "env" / "b.py").write_text("new")
    fence(watcher, tmp_path)


def test_a_linked_folder_is_named_through_the_link(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "target" / "deep").mkdir(parents=True)
    (tmp_path / "target" / "deep" / "a.py").write_text("old")
    symlink(tmp_path / "root" / "link", "../target")
    symlink(tmp_path / "root" / "loop", ".")
    symlink(tmp_path / "target" / "back", tmp_path / "root")
    symlink(tmp_path / "root" / "above", "/")
    watcher = start(tmp_path / "root", poll=poll)
    (tmp_path / "target" / "deep" / "a.py").write_text("new")
    until(watcher, tmp_path, {"changed": ["root/link/deep/a.py"]})
    (tmp_path / "target" / "more").mkdir()
    (tmp_path / "target" / "more" / "b.py").write_text("new")
    symlink(tmp_path / "root" / "later", "../root")
    until(watcher, tmp_path, {"created": ["root/link/more/b.py"]})
    (tmp_path / "target").rename(tmp_path / "away")
    until(watcher, tmp_path, {"deleted": ["root/link/deep/a.py", "root/link/more/b.py"]})
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "c.py").write_text("new")
    until(watcher, tmp_path, {"created": ["root/link/c.py"]})
    (tmp_path / "root" / "link").unlink()
    until(watcher, tmp_path, {"deleted": ["root/link/c.py"]})


def test_a_folder_with_two_names_changes_under_both(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    symlink(tmp_path / "also", "real")
    watcher = start(tmp_path, poll=poll)
    (tmp_path / "real" / "a.py").write_text("")
    until(watcher, tmp_path, {"created": ["also/a.py", "real/a.py"]})
    (tmp_path / "also").unlink()
    until(watcher, tmp_path, {"deleted": ["also/a.py"]})
    (tmp_path / "real" / "a.py").write_text("new")
    until(watcher, tmp_path, {"changed": ["real/a.py"]})


def test_a_linked_file_changes_with_its_target(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "data").write_text(version)
    symlink(tmp_path / "current", "v1")
    symlink(tmp_path / "root" / "link", "../current/data")
    watcher = start(tmp_path / "root", poll=poll)
    (tmp_path / "v1" / "data").write_text("in place")
    until(watcher, tmp_path, {"changed": ["root/link"]})
    (tmp_path / "v1" / "draft").write_text("replaced")
    (tmp_path / "v1" / "draft").replace(tmp_path / "v1" / "data")
    until(watcher, tmp_path, {"changed": ["root/link"]})
    symlink(tmp_path / "next", "v2")
    (tmp_path / "next").replace(tmp_path / "current")
    until(watcher, tmp_path, {"changed": ["root/link"]})
    (tmp_path / "v2" / "data").unlink()
    until(watcher, tmp_path, {"deleted": ["root/link"]})
    (tmp_path / "v2" / "data").write_text("again")
    until(watcher, tmp_path, {"created": ["root/link"]})


def test_a_single_file_is_watched_without_its_neighbours(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("old")
    watcher = start(tmp_path / "a.py", poll=poll)
    (tmp_path / "b.py").write_text("new")
    (tmp_path / "a.py.tmp").write_text("new")
    (tmp_path / "a.py.tmp").replace(tmp_path / "a.py")
    until(watcher, tmp_path, {"changed": ["a.py"]})
    (tmp_path / "a.py").unlink()
    until(watcher, tmp_path, {"deleted": ["a.py"]})
    (tmp_path / "a.py").write_text("new")
    until(watcher, tmp_path, {"created": ["a.py"]})


def test_paths_that_are_added_later(
    poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old.py").write_text("old")
    watcher = start(tmp_path / "root", poll=poll)
    missing = tmp_path / "data" / "deep" / "x.json"
    watcher.watch([str(tmp_path / "site"), str(missing), str(tmp_path / "4913")])
    (tmp_path / "site" / "old.py").write_text("new")
    until(watcher, tmp_path, {"changed": ["site/old.py"]})
    missing.parent.mkdir(parents=True)
    missing.write_text("{}")
    (tmp_path / "data" / "neighbour").write_text("")
    until(watcher, tmp_path, {"created": ["data/deep/x.json"]})
    missing.unlink()
    missing.parent.rmdir()
    until(watcher, tmp_path, {"deleted": ["data/deep/x.json"]})
    missing.parent.mkdir()
    missing.write_text("{}")
    until(watcher, tmp_path, {"created": ["data/deep/x.json"]})
    (tmp_path / "4913").write_text("asked for by name")
    until(watcher, tmp_path, {"created": ["4913"]})


@pytest.mark.parametrize("name", [b"not \xff utf-8.py", "späce ü.py".encode(), b"new\nline.py"])
def test_names(poll: bool, start: Callable[..., _native.Watcher], tmp_path: Path, name: bytes) -> None:
    path = str(tmp_path / os.fsdecode(name))
    watcher = start(tmp_path, poll=poll)
    Path(path).write_text("x")
    (changes,) = wait(watcher)
    assert changes.created == [path]


def test_unreadable_files_and_things_that_are_no_files(watcher: _native.Watcher, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    symlink(tmp_path / "dangling", "nowhere")
    fence(watcher, tmp_path)
    (tmp_path / "old.py").unlink()
    (tmp_path / "old.py").mkdir()
    (tmp_path / "old.py" / "a").write_text("")
    until(watcher, tmp_path, {"deleted": ["old.py"], "created": ["old.py/a"]})
