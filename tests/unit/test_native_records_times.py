"""Records and the times of their inputs: what changed during a run, and what is confirmed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .records import EPOCH, STORE, TEST, Project, started, touch, verdict


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_layout_is_confirmed_until_it_changes_again(project: Project) -> None:
    project.put()
    first = project.write("src/one.py")
    second = project.write("tests/two.py")
    assert project.check() == verdict("layout", "src")
    project.records.look_at_layouts([TEST, "tests/test_unknown.py"])
    project.records.confirm([TEST, "tests/test_unknown.py"])
    project.records.save()
    assert project.check() == verdict("fresh")
    first.unlink()
    # Neither as recorded nor as confirmed: a mixture of the two.
    assert project.check() == verdict("layout", "tests")
    second.unlink()
    assert project.check() == verdict("fresh")
    project.write("src/one.py")
    project.write("tests/two.py")
    assert project.check() == verdict("fresh")
    project.write("src/three.py")
    assert project.check() == verdict("layout", "src")
    # Only the index knows of it.
    (project.root / STORE / "records-5/index").unlink()
    (project.root / "src/three.py").unlink()
    assert project.again().check([TEST], epochs=[EPOCH], environment={}) == [verdict("layout", "src")]


def test_what_comes_before_a_look(project: Project) -> None:
    assert project.check() == verdict("unknown")
    project.put(outcome="failed")
    assert project.check() == verdict("failed")
    core = project.root / "src/pkg/core.py"
    future = started() | 1
    os.utime(core, ns=(future, future))
    project.put(outcome="failed", started_ns=future)
    assert project.check() == verdict("unsettled", "src/pkg/core.py")
    project.put(epoch="f" * 32)
    core.unlink()
    assert project.check() == verdict("epoch", "f" * 32)


def unsettled(project: Project) -> str | None:
    record = project.get()
    assert record["settled"] is ("unsettled" not in record)
    path: str | None = record.get("unsettled")
    return path


def test_inputs_that_changed_while_the_test_file_ran(project: Project) -> None:
    young = started() | 1
    os.utime(project.write("data/a.txt", "text"), ns=(young, young))
    first = touch(project.root / "data/a.txt")
    later = young + 10**9
    project.put(reads=[["data/a.txt", first]], closure=[], started_ns=later)
    assert unsettled(project) is None
    for state in ([*first[:2], 5, first[3]], [first[0] - 1, *first[1:]], [*first[:3], 0], None):
        project.put(reads=[["data/a.txt", state]], closure=[], started_ns=later)
        assert unsettled(project) == "data/a.txt"
    project.put(reads=[["data/none", first]], closure=[], started_ns=later)
    assert unsettled(project) == "data/none"
    # Equal in status, but written so late that it may have been written twice.
    project.put(reads=[["data/a.txt", first]], closure=[], started_ns=young + 10**7)
    assert unsettled(project) == "data/a.txt"
    project.put(closure=["src/pkg/core.py", "src/gone.py"], started_ns=later)
    assert unsettled(project) == "src/gone.py"


def test_a_whole_second_may_be_two(project: Project) -> None:
    core = project.root / "src/pkg/core.py"
    second = (time.time_ns() // 10**9 + 100) * 10**9
    os.utime(core, ns=(second, second))
    project.put(started_ns=second + 19 * 10**8)
    assert unsettled(project) == "src/pkg/core.py"
    project.put(started_ns=second + 21 * 10**8)
    assert unsettled(project) is None
    os.utime(core, ns=(second + 1, second + 1))
    project.put(started_ns=second + 3 * 10**7)
    assert unsettled(project) is None


def test_folders_that_changed_while_the_test_file_ran(project: Project) -> None:
    late = (project.root / TEST).stat().st_ctime_ns + 10**9
    for name in ("src/pkg/core.py", "src/pkg/__init__.py", TEST):
        assert (project.root / name).stat().st_ctime_ns < late - 2 * 10**7
    before = late
    while time.time_ns() < late + 3 * 10**7:
        time.sleep(0.01)
    project.write("src/pkg/__pycache__/core.pyc")
    project.put(started_ns=before)
    assert unsettled(project) is None
    project.write("data/a.json")
    project.put(started_ns=before, listings=["data"])
    assert unsettled(project) == "data"
    project.put(started_ns=before, declared=["data/*"])
    assert unsettled(project) == "data/*"
    # Seen before the start, and now the same: whatever touched it has left no trace.
    now = time.time_ns()
    project.write("data/__pycache__/x.pyc")
    project.put(started_ns=now, listings=["data"])
    assert unsettled(project) is None
    added = project.write("src/pkg/new.py")
    project.put(started_ns=before)
    assert unsettled(project) == "src/pkg"
    added.unlink()


def test_what_came_while_a_record_was_made(project: Project) -> None:
    """The record shows the folder with it, and yet the run may have been before."""
    project.write("src/late.py")
    project.put()
    records, late = project.records, ["src/late.py"]
    assert records.affected(late) == []
    layout = [verdict("layout", "src")]
    assert records.affected(late, added=late) == layout
    records.look_at_layouts([TEST])
    records.confirm([TEST])
    assert records.affected(late, added=late) == layout, "confirmed before it came, perhaps"
    assert records.affected(late) == []
    for elsewhere in ("other/late.py", "src/late.txt", "src/a/b/late.py"):
        assert records.affected([elsewhere], added=[elsewhere]) == []


def test_what_came_after_the_look_is_not_confirmed(project: Project) -> None:
    project.put()
    first = project.write("src/one.py")
    project.records.look_at_layouts([TEST])
    second = project.write("src/two.py")
    project.records.confirm([TEST])
    project.records.save()
    assert project.check() == verdict("layout", "src")
    second.unlink()
    assert project.check() == verdict("fresh")
    project.records.confirm([TEST])  # nothing was looked at since
    first.unlink()
    assert project.check() == verdict("fresh")


def test_one_object_sees_what_another_wrote(project: Project) -> None:
    other = project.again()
    assert other.load() == 0
    project.put()
    assert other.load() == 1
    assert other.check([TEST], epochs=[EPOCH], environment={}) == [verdict("fresh")]
    project.records.remove([TEST, "tests/none.py"])
    assert other.load() == 0
    assert other.check([TEST], epochs=[EPOCH], environment={}) == [verdict("unknown")]


def test_nothing_is_on_the_disk_before_a_record_is(tmp_path: Path) -> None:
    records = _native.RecordStore("store", str(tmp_path))
    records.load()
    records.save()
    records.clear()
    assert (records.prune(), records.verify(), records.files(), records.notes()) == ([], [], [], [])
    assert records.statistics() == {"records": 0, "bytes": 0, "paths": 0}
    assert records.check(["a"], epochs=[EPOCH], environment={}) == [("a", "unknown", "")]
    assert list(tmp_path.iterdir()) == []
    assert started() > 0
