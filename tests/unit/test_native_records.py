"""Records: the conditions under which one is fresh, and every kind of change that must end this."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .records import BUCKET, ENVIRONMENT, TEST, Project, draft, touch, verdict


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_record_has_the_one_form(project: Project) -> None:
    project.write("data/a.txt", "a")
    project.put(
        reads=[[str(project.root / "data/a.txt"), touch(project.root / "data/a.txt")], ["data/none", None]],
        closure=["src/../src/pkg/core.py", "./src/pkg/__init__.py", "src/pkg/core.py"],
        tests=[["z", "passed", 0.123456], ["a", "passed", 12345.6]],
        environment=["NONE"],
        dynamic={"b": "src/pkg/core.py", "a": None},
        flags=["y", "x", "y"],
    )
    record = project.get()
    assert " ".join(record) == (
        "file epoch outcome settled tests costs closure dynamic coupled_with roots reads listings layout environment"
        " declared started project distributions modules flags ports writes serial functions"
    )
    assert record["file"] == TEST
    assert record["settled"] is True
    assert record["tests"] == [["z", "passed", 0.123], ["a", "passed", 12300]]
    assert [path for path, _ in record["closure"]] == ["src/pkg/__init__.py", "src/pkg/core.py", TEST]
    assert record["reads"] == [["data/a.txt", "17762fddd969a453925d65717ac3eea2"], ["data/none", None]]
    assert [path for path, _ in record["layout"]] == ["src", "src/pkg", "tests"]
    assert record["environment"] == [["NONE", None]]
    assert list(record["dynamic"].items()) == [("a", None), ("b", "src/pkg/core.py")]
    assert record["flags"] == ["x", "y"]
    header, payload, rest = project.place().read_text().split("\n")
    assert json.loads(header)["hotreload"] == "record"
    assert payload == json.dumps(record, separators=(",", ":"))
    assert rest == ""
    assert project.check() == verdict("fresh")


def test_results_are_read_from_the_disk(project: Project) -> None:
    tests = [["z\udcff", "passed", 1.0], ["a", "skipped", 2.0]]
    project.put(tests=tests, flags=["network"], writes=["out.txt"])
    result = (["network"], ["out.txt"], [("z\udcff", "passed"), ("a", "skipped")])
    assert project.records.results([TEST, "tests/none.py"]) == [result, None]
    project.place().write_bytes(project.place().read_bytes()[:-9])
    assert project.records.results([TEST]) == [None]
    project.records.clear()
    assert project.records.results([TEST]) == [None]


def test_what_is_no_draft(project: Project) -> None:
    short = draft()
    del short["reads"]
    for text in (
        "",
        "[]",
        "{",
        json.dumps(short),
        json.dumps({**draft(), "more": 1}),
        json.dumps(draft(tests=[[1]])),
    ):
        drafts = {"tests/test_0.py": json.dumps(draft()), TEST: text, "tests/test_b.py": json.dumps(draft())}
        with pytest.raises(ValueError, match=r"^invalid draft of a record: tests/test_a\.py: "):
            project.records.put_all(drafts, started_ns=0, environment={})
    assert project.records.files() == []
    assert not (project.root / BUCKET).exists()


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def write_anew(path: Path) -> None:
    text = path.read_text()
    path.unlink()
    path.write_text(text)


CONTENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "edit": (lambda path: path.write_text("other text"), "content"),
    "same size, same instant": (lambda path: path.write_text(path.read_text().upper()), "content"),
    "delete": (lambda path: path.unlink(), "gone"),
    "rename": (lambda path: path.rename(path.with_name("renamed.txt")), "gone"),
    "becomes a folder": (become_folder, "content"),
    "touch": (lambda path: path.touch(), "fresh"),
    "equal content anew": (write_anew, "fresh"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("role", ["reads", "closure"])
def test_a_file_changes(project: Project, name: str, role: str) -> None:
    path = project.write("other/file.txt", "text")
    listed: Any = [["other/file.txt", touch(path)]] if role == "reads" else ["other/file.txt"]
    project.put(**{role: listed})
    assert project.check() == verdict("fresh")
    act, kind = CONTENTS[name]
    act(path)
    assert project.check() == verdict(kind, "" if kind == "fresh" else "other/file.txt")


def test_the_test_file_is_part_of_its_closure(project: Project) -> None:
    project.put(closure=[])
    project.write(TEST, "new")
    assert project.check() == verdict("content", TEST)


def test_an_older_mtime_proves_nothing(project: Project) -> None:
    core = project.root / "src/pkg/core.py"
    # Old enough that its status is believed, but for the ctime.
    os.utime(core, ns=(10**18, 10**18))
    project.put()
    time.sleep(2.1)
    assert project.check() == verdict("fresh")
    project.records.save()
    core.write_text(core.read_text().upper())
    os.utime(core, ns=(10**18, 10**18))
    assert project.check() == verdict("content", "src/pkg/core.py")


def test_a_failed_look_up_that_now_succeeds(project: Project) -> None:
    project.put(reads=[["data/none.txt", None]])
    assert project.check() == verdict("fresh")
    project.write("data/none.txt")
    assert project.check() == verdict("appeared", "data/none.txt")
    assert project.records.affected(["data/none.txt"]) == [verdict("appeared", "data/none.txt")]


def test_names_in_a_folder(project: Project) -> None:
    project.write("data/a.txt", "a")
    project.put(listings=["data", "nowhere"])
    for litter in ("data/__pycache__/x.pyc", "data/y.pyc", "data/.pytest_cache/z"):
        project.write(litter)
    project.write("data/a.txt", "edited")
    assert project.check() == verdict("fresh")
    added = project.write("data/b.txt")
    assert project.check() == verdict("listing", "data")
    added.unlink()
    assert project.check() == verdict("fresh")
    (project.root / "nowhere").mkdir()
    assert project.check() == verdict("listing", "nowhere")


def test_the_store_does_not_list_itself(project: Project) -> None:
    (project.root / ".pytest_cache/d").mkdir(parents=True)
    project.put(listings=[".pytest_cache/d", "."])
    assert project.check() == verdict("fresh")


def test_a_declared_pattern(project: Project) -> None:
    for name in ("data/a.json", "data/deep/er/b.json", "data/c.txt"):
        project.write(name, name)
    (project.root / "data/deep/loop").symlink_to(project.root / "data")
    project.put(declared=["data/**/*.json"])
    project.write("data/c.txt", "edited")
    assert project.check() == verdict("fresh")
    added = project.write("data/deep/new.json")
    assert project.check() == verdict("declared", "data/**/*.json")
    added.unlink()
    assert project.check() == verdict("fresh")
    project.write("data/deep/er/b.json", "edited")
    assert project.check() == verdict("declared", "data/**/*.json")


def test_values_of_variables(project: Project) -> None:
    project.put(environment=["HOME", "UNSET"])
    assert project.check(environment={**ENVIRONMENT, "OTHER": "1"}) == verdict("fresh")
    assert project.check(environment={"HOME": "/else"}) == verdict("environment", "HOME")
    assert project.check(environment={}) == verdict("environment", "HOME")
    assert project.check(environment={**ENVIRONMENT, "UNSET": ""}) == verdict("environment", "UNSET")
    assert "/home/me" not in project.place().read_text()


def test_all_variables_but_the_volatile(project: Project) -> None:
    project.put(environment=["*", "LANG"])
    volatile = {"_": "x", "SHLVL": "3", "PWD": "/", "PYTEST_XDIST_WORKER": "gw1", "PYTEST_HOTRELOAD_X": "1"}
    assert project.check(environment={**ENVIRONMENT, **volatile}) == verdict("fresh")
    assert project.check(environment={**ENVIRONMENT, "NEW": "1"}) == verdict("environment", "*")
    assert project.check(environment={**ENVIRONMENT, "LANG": "D"}) == verdict("environment", "LANG")


def become_package(project: Project) -> None:
    (project.root / "src/spare.py").unlink()
    project.write("src/spare/__init__.py")


LAYOUTS: dict[str, tuple[Callable[[Project], object], str]] = {
    "a shadowing module": (lambda project: project.write("tests/pkg.py"), "tests"),
    "a new module in a package": (lambda project: project.write("src/pkg/new.py"), "src/pkg"),
    "an extension module": (lambda project: project.write("src/pkg/fast.abi3.so"), "src/pkg"),
    "bytecode without source": (lambda project: project.write("src/pkg/only.pyc"), "src/pkg"),
    "a namespace folder": (lambda project: (project.root / "src/space").mkdir(), "src"),
    "a folder becomes a package": (lambda project: project.write("src/plain/__init__.py"), "src"),
    "a module is removed": (lambda project: (project.root / "src/spare.py").unlink(), "src"),
    "a module becomes a package": (become_package, "src"),
    "an edit": (lambda project: project.write("src/spare.py", "edited"), ""),
    "what can't be imported": (
        lambda project: [
            project.write(f"src/{name}") for name in ("a.txt", ".x/y", "a-b.py", "__pycache__/c.pyc")
        ],
        "",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_can_be_imported(project: Project, name: str) -> None:
    project.write("src/spare.py")
    (project.root / "src/plain").mkdir()
    project.put()
    assert project.check() == verdict("fresh")
    act, folder = LAYOUTS[name]
    act(project)
    assert project.check() == (verdict("layout", folder) if folder else verdict("fresh"))


def test_a_module_in_a_namespace_that_was_asked_for_in_vain(project: Project) -> None:
    (project.root / "src/space").mkdir()
    project.put(dynamic={"space.sub.module": None, "pkg": None, ".relative.x": None, "": None})
    assert [folder for folder, _ in project.get()["layout"]] == [
        "src",
        "src/pkg",
        "src/space",
        "src/space/sub",
        "tests",
        "tests/space",
        "tests/space/sub",
    ]
    assert project.check() == verdict("fresh")
    project.write("src/space/other.py")
    assert project.check() == verdict("layout", "src/space")


def test_the_order_of_verdicts(project: Project) -> None:
    project.write("data/a.json")
    project.put(
        reads=[["data/a.json", touch(project.root / "data/a.json")]],
        listings=["data"],
        declared=["data/*.json"],
        environment=["HOME"],
    )
    (project.root / "data/a.json").unlink()
    project.write("src/new.py")
    other = {"HOME": "x"}
    assert project.check(environment=other) == verdict("gone", "data/a.json")
    project.write("data/a.json")
    project.write("data/b.json")
    assert project.check(environment=other) == verdict("listing", "data")
    (project.root / "data/b.json").rename(project.root / "b.json")
    project.write("data/a.json")
    assert project.check(environment=other) == verdict("environment", "HOME")
    assert project.check() == verdict("layout", "src")


def test_only_the_kind_of_what_is_no_file(project: Project) -> None:
    os.mkfifo(project.root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(project.root / "socket"))
    names = ["pipe", "socket", "src", "/dev/zero"]
    project.put(reads=[[name, [1, 2, 3, 4]] for name in names], declared=["p*"])
    assert project.check() == verdict("fresh")
    fingerprints = [fingerprint for _, fingerprint in project.get()["reads"]]
    assert len(set(fingerprints)) == 4
    (project.root / "pipe").unlink()
    project.write("pipe")
    assert project.check() == verdict("content", "pipe")


def test_links_count_by_what_they_lead_to(project: Project) -> None:
    for name in ("one", "two", "three"):
        project.write(f"data/{name}", "same" if name != "three" else "else")
    link = project.root / "link"
    link.symlink_to("data/one")
    (project.root / "loop").symlink_to("loop")
    project.put(reads=[["link", touch(link)], ["loop", None]])
    for target, expected in (("data/two", "fresh"), ("data/three", "content"), ("nowhere", "gone")):
        link.unlink()
        link.symlink_to(target)
        assert project.check() == verdict(expected, "" if expected == "fresh" else "link")


def test_a_linked_test_file_is_named_original_names_given(project: Project) -> None:
    (project.root / "tests/test_link.py").symlink_to("test_a.py")
    (project.root / "linked").symlink_to("tests")
    for name in ("tests/test_link.py", "linked/test_a.py"):
        project.put(name)
        assert project.check(name) == (name, "fresh", "")
    assert project.records.files() == ["linked/test_a.py", "tests/test_link.py"]


def test_affected_by_paths_alone(project: Project) -> None:
    project.write("tests/test_b.py")
    project.put(listings=["data"], declared=["assets/*.bin"])
    project.put("tests/test_b.py", closure=["src/pkg/core.py"])
    records = project.records
    both = [verdict("content", "src/pkg/core.py"), ("tests/test_b.py", "content", "src/pkg/core.py")]
    assert records.affected(["src/pkg/core.py"]) == both
    assert records.affected([str(project.root / "src/pkg/core.py"), "none"]) == both
    assert records.affected([TEST]) == [verdict("content", TEST)]
    assert records.affected(["assets/x.bin"]) == [verdict("declared", "assets/*.bin")]
    assert records.affected([]) == []
    assert records.affected(["data/x"], names=["data/x"]) == [verdict("listing", "data")], "as it was, or not"
    assert records.affected([], names=["data/x/y", "data"]) == []
    assert records.affected(["tests/other.txt", "srcs", "src/pkg/core.pyx"]) == []
    project.write("data/new")
    assert records.affected(["data/new"]) == [verdict("listing", "data")]
    (project.root / "src/pkg/core.py").unlink()
    gone = [verdict("gone", "src/pkg/core.py"), ("tests/test_b.py", "gone", "src/pkg/core.py")]
    assert records.affected(["src/pkg/core.py"]) == gone
    project.write("src/sub/__init__.py")
    layout = [verdict("layout", "src"), ("tests/test_b.py", "layout", "src")]
    assert records.affected(["src/sub/__init__.py"]) == layout
