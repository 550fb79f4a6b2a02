"""A file is replaced completely or not at all."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from pytest_hotreload.process import atomic_write


def test_who_reads_the_old_one_reads_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    atomic_write.write(file, b"old")
    with file.open("rb") as reader:
        atomic_write.write(file, b"new and longer")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new and longer"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_mode_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o604)
    atomic_write.write(file, b"new", file.stat())
    assert stat.S_IMODE(file.stat().st_mode) == 0o604
    other = tmp_path / "other"
    other.write_bytes(b"")
    atomic_write.write(file, b"newer")
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_failure_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="full"):
        atomic_write.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_name_of_any_length(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)
    atomic_write.write(file, b"new")
    assert file.read_bytes() == b"new"
