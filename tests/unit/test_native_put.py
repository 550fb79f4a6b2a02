"""Writes the records of a run at once, and knows them without reading them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .records import EPOCH, STORE, TEST, Project, draft, started, verdict


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "root"
    root.mkdir()
    return Project(root)


def test_many_at_once_are_as_one_by_one(project: Project) -> None:
    # So many that threads look and write; two folders deep, some changed, some with inputs of their own.
    files = [f"tests/{'deep/' * (at % 3)}test_{at}.py" for at in range(600)]
    for at, file in enumerate(files):
        project.write(file, f"# {at % 7}")
    drafts = {
        file: json.dumps(draft(reads=[[f"none/{at}", None]], listings=["src"] * (at % 2), environment=["*"]))
        for at, file in enumerate(files)
    }
    begun, environment = started(), {"HOME": "/"}
    threads = {entry.name for entry in Path("/proc/self/task").iterdir()}
    assert project.records.put_all(drafts, started_ns=begun, environment=environment) == 600
    assert {entry.name for entry in Path("/proc/self/task").iterdir()} == threads
    at_once = {name: project.place(f"../{name}").read_bytes() for name in project.stored()}
    assert len(at_once) == 600
    changed = {**drafts, **{file: json.dumps(draft(flags=["x"])) for file in files[:5]}}
    assert project.records.put_all(changed, started_ns=begun, environment=environment) == 5
    assert project.records.put_all(changed, started_ns=begun, environment=environment) == 0
    project.records.clear()
    for file in reversed(files):
        assert project.records.put_all({file: drafts[file]}, started_ns=begun, environment=environment) == 1
    assert {name: project.place(f"../{name}").read_bytes() for name in project.stored()} == at_once


def test_no_drafts(project: Project) -> None:
    assert project.records.put_all({}, started_ns=0, environment={}) == 0
    assert project.records.files() == []


def test_of_two_names_of_a_file_the_last_counts(project: Project) -> None:
    names = [TEST, str(project.root / TEST), "tests/../tests/test_a.py"]
    drafts = {name: json.dumps(draft(flags=[str(at)])) for at, name in enumerate(names)}
    assert project.records.put_all(drafts, started_ns=started(), environment={}) == 1
    assert project.get()["flags"] == ["2"]


def test_what_can_not_be_written_does_not_hold_up_the_others(project: Project, tmp_path: Path) -> None:
    files = [TEST, "tests/sub/test_b.py", "tests/sub/test_c.py", "tests/test_d.py"]
    for file in files:
        project.write(file)
    project.put(TEST)
    project.place("tests.d/sub.d").symlink_to(tmp_path)
    drafts = {file: json.dumps(draft(flags=["new"])) for file in files}
    with pytest.raises(FileExistsError) as caught:
        project.records.put_all(drafts, started_ns=started(), environment={})
    assert caught.value.filename == str(project.place("tests.d/sub.d/test_b.py.json"))
    for records in (project.records, project.again()):
        assert records.files() == [TEST, "tests/test_d.py"]
        assert records.check(files, epochs=[EPOCH], environment={}) == [
            verdict("fresh"),
            ("tests/sub/test_b.py", "unknown", ""),
            ("tests/sub/test_c.py", "unknown", ""),
            ("tests/test_d.py", "fresh", ""),
        ]
    assert project.get()["flags"] == ["new"]


def test_conflicts(project: Project) -> None:
    assert project.records.conflicts() == []
    project.put("tests/test_none.py")
    project.put("tests/test_port.py", ports=["127.0.0.1:80", "0.0.0.0:8080"])
    project.put("tests/test_\udcff.py", writes=[str(project.root / "out/b"), "out/\udcff", "out/a"])
    project.put(ports=["[::]:1"], writes=["/elsewhere"])
    expected = [
        (TEST, ["[::]:1"], ["/elsewhere"]),
        ("tests/test_port.py", ["0.0.0.0:8080", "127.0.0.1:80"], []),
        ("tests/test_\udcff.py", [], ["out/a", "out/b", "out/\udcff"]),
    ]
    # By what was put, by the records, by the index, and that without a disk.
    assert project.records.conflicts() == expected
    assert project.again().conflicts() == expected
    project.records.save()
    records = project.again()
    assert records.load() == 4
    shutil.rmtree(project.root / STORE)
    assert records.conflicts() == expected
    project.records.remove([TEST])
    assert records.load() == 0
    assert records.conflicts() == []
