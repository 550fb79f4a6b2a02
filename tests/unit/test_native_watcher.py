"""Changes are told by content; events are hints, and some are lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_hotreload import _native


@pytest.fixture(params=[False, True], ids=["native", "polling"])
def watcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_native.Watcher]:
    (tmp_path / "old.py").write_text("old")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.py").write_text("inner")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    watcher = _native.Watcher([str(tmp_path)], poll=request.param)
    assert watcher.polling is request.param
    yield watcher
    watcher.close()


def changes(watcher: _native.Watcher, folder: Path, wanted: set[str], seconds: float = 5) -> set[str]:
    """What changed, until it is all that was wanted or the time is up."""
    found: set[str] = set()
    deadline = time.monotonic() + seconds
    while not wanted <= found and time.monotonic() < deadline:
        batch = watcher.poll_changes(200)
        assert batch == sorted(set(batch))
        found |= {os.path.relpath(path, folder) for path in batch}
    return found


def test_edits_additions_and_deletions(watcher: _native.Watcher, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("new")
    (tmp_path / "sub" / "more.py").write_text("")
    (tmp_path / "sub" / "inner.py").unlink()
    wanted = {"old.py", "sub/more.py", "sub/inner.py"}
    assert changes(watcher, tmp_path, wanted) == wanted
    assert watcher.poll_changes(300) == []


def test_what_is_no_change(watcher: _native.Watcher, tmp_path: Path) -> None:
    (tmp_path / "old.py").read_text()
    os.utime(tmp_path / "old.py")
    (tmp_path / "old.py").write_text("old")
    (tmp_path / "__pycache__" / "old.pyc").write_text("x")
    (tmp_path / ".git" / "index").write_text("x")
    (tmp_path / "old.pyc").write_text("x")
    assert watcher.poll_changes(500) == []


def test_an_atomic_replacement_is_one_change(watcher: _native.Watcher, tmp_path: Path) -> None:
    (tmp_path.parent / "draft").write_text("new")
    (tmp_path.parent / "draft").replace(tmp_path / "old.py")
    assert changes(watcher, tmp_path, {"old.py"}) == {"old.py"}


@pytest.mark.parametrize("trial", range(5))
def test_a_file_in_a_new_tree_is_seen(watcher: _native.Watcher, tmp_path: Path, trial: int) -> None:
    (tmp_path / "n" / "m" / "k").mkdir(parents=True)
    (tmp_path / "n" / "m" / "k" / "deep.py").write_text("x")
    assert changes(watcher, tmp_path, {"n/m/k/deep.py"}) == {"n/m/k/deep.py"}
    (tmp_path / "n" / "m" / "k" / "deep.py").write_text("y")
    assert changes(watcher, tmp_path, {"n/m/k/deep.py"}) == {"n/m/k/deep.py"}
    (tmp_path / "n").rename(tmp_path / "o")
    wanted = {"n/m/k/deep.py", "o/m/k/deep.py"}
    assert changes(watcher, tmp_path, wanted) == wanted


def test_a_burst_is_one_answer(tmp_path: Path) -> None:
    watcher = _native.Watcher([str(tmp_path)], quiet_ms=50, longest_ms=2_000)
    for number in range(50):
        (tmp_path / f"{number:02}.py").write_text("x")
        time.sleep(0.002)
    assert watcher.poll_changes(1_000) == [str(tmp_path / f"{number:02}.py") for number in range(50)]
    watcher.close()


def test_a_single_file_is_watched_without_its_neighbours(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("old")
    watcher = _native.Watcher([str(tmp_path / "a.py")])
    (tmp_path / "b.py").write_text("new")
    assert watcher.poll_changes(200) == []
    (tmp_path / "a.py.tmp").write_text("new")
    (tmp_path / "a.py.tmp").replace(tmp_path / "a.py")
    assert changes(watcher, tmp_path, {"a.py"}) == {"a.py"}
    watcher.close()


def test_waiting_releases_the_lock_and_ends_with_the_event(tmp_path: Path) -> None:
    watcher = _native.Watcher([str(tmp_path)])
    timer = threading.Timer(0.2, (tmp_path / "new.py").write_text, ["x"])
    started = time.monotonic()
    timer.start()
    assert watcher.poll_changes(10_000) == [str(tmp_path / "new.py")]
    assert 0.2 <= time.monotonic() - started < 2
    watcher.close()


def test_closing_ends_the_threads(tmp_path: Path) -> None:
    before = threads()
    watcher = _native.Watcher([str(tmp_path)])
    watcher.close()
    watcher.close()
    with pytest.raises(ValueError, match="closed"):
        watcher.poll_changes(0)
    deadline = time.monotonic() + 2
    while threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() <= before


def threads() -> int:
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_missing_path_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."):
        _native.Watcher([str(tmp_path / "missing")])
