"""Records that one store takes over from another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .records import ENVIRONMENT, STORE, TEST, Project, draft, started

OTHER = "tests/test_b.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "root").mkdir()
    return Project(tmp_path / "root")


@pytest.fixture
def other(tmp_path: Path) -> Project:
    """The same project on another machine."""
    (tmp_path / "other").mkdir()
    found = Project(tmp_path / "other")
    epoch = found.records.epoch({"python": "3.12", "x": "\udcff"})
    for name in (TEST, OTHER):
        found.write(name, f"# {name}\n")
        found.put(name, epoch=epoch)
    return found


def bytes_of(project: Project) -> dict[str, bytes]:
    return {name: project.place(f"../{name}").read_bytes() for name in project.stored()}


def adopt(project: Project, other: Project, *files: str) -> int:
    return project.records.adopt(str(other.root / STORE), files)


def test_byte_for_byte_with_what_the_epoch_stands_for(project: Project, other: Project) -> None:
    assert adopt(project, other, TEST, OTHER, "tests/none.py") == 2
    assert bytes_of(project) == bytes_of(other)
    for records in (project.records, project.again()):
        assert records.files() == [TEST, OTHER]
        epoch = project.get()["epoch"]
        assert records.epoch_changes(epoch, {"python": "3.13"}) == [
            ("python", "3.12", "3.13"),
            ("x", "\udcff", None),
        ]
    assert adopt(project, other, TEST, OTHER) == 0
    (check,) = project.records.check([TEST], epochs=[epoch], environment=ENVIRONMENT)
    assert check == (TEST, "fresh", "")


def test_the_other_ones_take_the_place_of_mine(project: Project, other: Project) -> None:
    project.put(TEST, flags=["mine"])
    assert adopt(project, other, TEST) == 1
    assert project.get()["flags"] == []


def test_what_can_not_be_used_is_left(project: Project, other: Project) -> None:
    project.put(OTHER, flags=["mine"])
    damaged = other.place("tests.d/test_b.py.json")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    misplaced = other.place("tests.d/test_c.py.json")
    misplaced.write_bytes(other.place().read_bytes())
    assert adopt(project, other, TEST, OTHER, "tests/test_c.py") == 1
    assert project.records.files() == [TEST, OTHER]
    assert project.get(OTHER)["flags"] == ["mine"]


def test_no_store_there(project: Project, tmp_path: Path) -> None:
    assert project.records.adopt(str(tmp_path / "none"), [TEST]) == 0
    assert not (project.root / STORE).exists()


def test_it_is_written_to_the_index(project: Project, other: Project) -> None:
    project.put(TEST, flags=["mine"])
    project.records.save()
    adopt(project, other, TEST, OTHER)
    project.records.save()
    assert project.again().load() == 2
    drafts = {OTHER: json.dumps(draft(flags=["later"]))}
    assert project.records.put_all(drafts, started_ns=started(), environment=ENVIRONMENT) == 1
    assert project.get(OTHER)["flags"] == ["later"]


def test_unwritable(project: Project, other: Project, tmp_path: Path) -> None:
    project.put("test_x.py")
    project.place("tests.d").symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        adopt(project, other, TEST)
