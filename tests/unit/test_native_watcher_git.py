"""The watcher waits while git works."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .watching import kinds, wait


@pytest.fixture(params=["folder", "parent", "worktree"])
def git(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A repository's folder for git, and a watched root in it."""
    root = tmp_path / "repository" / ("src" if request.param == "parent" else "")
    root.mkdir(parents=True)
    folder = tmp_path / ("elsewhere" if request.param == "worktree" else "repository/.git")
    folder.mkdir()
    if request.param == "worktree":
        (root / ".git").write_text("gitdir: ../elsewhere\n")
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "a.py").write_text("old")
    return folder, root


@pytest.mark.slow
def test_while_git_holds_its_lock_nothing_is_told(
    git: tuple[Path, Path], start: Callable[..., _native.Watcher], poll: bool
) -> None:
    folder, root = git
    watcher = start(root, poll=poll)
    (folder / "index.lock").write_text("")
    (root / "a.py").write_text("new")
    assert not select.select([watcher.fileno()], [], [], 0.6)[0]
    (root / "b.py").write_text("new")
    (folder / "index.lock").replace(folder / "index")
    (changes,) = wait(watcher)
    assert kinds(changes, root) == {"changed": ["a.py"], "created": ["b.py"]}
    assert changes.burst == "git"


def test_moving_head_is_git_at_work(git: tuple[Path, Path], start: Callable[..., _native.Watcher]) -> None:
    folder, root = git
    watcher = start(root)
    (folder / "HEAD.lock").write_text("ref: refs/heads/other\n")
    (folder / "HEAD.lock").replace(folder / "HEAD")
    (root / "a.py").write_text("new")
    (changes,) = wait(watcher)
    assert (kinds(changes, root), changes.burst) == ({"changed": ["a.py"]}, "git")


def test_a_lock_that_a_dead_git_left_holds_nothing_up(
    git: tuple[Path, Path], start: Callable[..., _native.Watcher]
) -> None:
    folder, root = git
    (folder / "index.lock").write_text("")
    os.utime(folder / "index.lock", (1, 1))
    watcher = start(root)
    (root / "a.py").write_text("new")
    (changes,) = wait(watcher)
    assert changes.burst == ""
    assert changes.ready_ns - changes.first_ns < 250_000_000


def test_a_real_checkout_is_one_burst(start: Callable[..., _native.Watcher], tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    for branch in ("one", "two"):
        git("checkout", "-q", "-b", branch)
        for number in range(300):
            (tmp_path / f"{number:03}.py").write_text(branch)
        git("add", ".")
        git("commit", "-qm", branch)
    watcher = start(tmp_path)
    git("checkout", "-q", "one")
    (changes,) = wait(watcher)
    assert kinds(changes, tmp_path) == {"changed": [f"{number:03}.py" for number in range(300)]}
    assert changes.burst == "git"
