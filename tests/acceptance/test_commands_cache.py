"""``pytest-hotreload cache``: shows the contents and the state of the record store, and removes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_hotreload import _native

from .commands import Said, projects, records, run, say
from .compare import Project

SUITE = {
    "pytest.ini": "[pytest]\n",
    # Nothing of a project runs for these commands.
    "conftest.py": "import os\nif os.environ.get('STRICT'): os._exit(9)\n",
    "tests/test_a.py": "def test_a(): pass\n",
    "tests/test_b.py": "def test_b(): assert 0\n",
    "tests/test_c.py": "def test_c(): pass\n",
}
FOLDER = "<root>/.pytest_cache/d/hotreload"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    files = dict.fromkeys(("info", "clean", "corrupt", "none", "link", "elsewhere"), SUITE)
    files["elsewhere"] = {**SUITE, "pytest.ini": "[pytest]\ncache_dir = $PLACE/kept\n"}
    return projects(tmp_path_factory.mktemp("cache"), files)


def cache(project: Project, *arguments: str, **environ: str) -> Said:
    return say(project, "pytest-hotreload", "cache", *arguments, **{"STRICT": "1", **environ})


def everything(project: Project) -> list[str]:
    root = project.root("forks")
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("tree/**/*.json"))


def paths(project: Project) -> set[str]:
    """What the records depend on, by themselves."""
    store = _native.RecordStore(str(records(project).parent), str(project.root("forks")))
    known = [json.loads(store.get(file) or "") for file in store.files()]
    kinds = ("closure", "reads", "listings", "layout")
    return {name for record in known for kind in kinds for name, _ in record[kind]}


@pytest.mark.slow
def test_info_and_verify(made):
    project = made["info"]
    touches = "from pathlib import Path\n\ndef test_c(): Path(__file__).touch()  # unsettled, however slow the run\n"
    (project.root("forks") / "tests/test_c.py").write_text(touches)
    run(project, status=1)
    before = everything(project)
    tests = {"tests", "tests/test_a.py", "tests/test_b.py", "tests/test_c.py"}
    # What is on the search path besides differs from machine to machine.
    assert {path for path in paths(project) if not path.startswith("/")} == {".", "conftest.py", *tests}
    info = [
        f"folder: {FOLDER}",
        "records: 3",
        "failed: 1",
        "unsettled: 1",
        f"paths: {len(paths(project))}",
        f"bytes: {size(records(project))}",
    ]
    assert cache(project, "info") == (0, info, [])
    assert cache(project, "verify") == (0, [f"3 records in {FOLDER}, all can be read"], [])
    root = str(project.root("forks"))
    assert say(project, "pytest-hotreload", "cache", "info", "--rootdir", root, cwd="tests").lines == info
    assert everything(project) == before


def test_clean(made):
    project = made["clean"]
    run(project, status=1)
    other = records(project).parent / "other"
    other.write_text("")
    assert cache(project, "clean") == (0, [f"removed records-5 (3 records) from {FOLDER}"], [])
    assert not records(project).exists()
    assert other.exists()
    assert cache(project, "clean") == (0, [f"nothing to remove in {FOLDER}"], [])
    assert cache(project, "info").lines[1:] == [
        "records: 0",
        "failed: 0",
        "unsettled: 0",
        "paths: 0",
        "bytes: 0",
    ]


def test_records_that_can_not_be_read(made):
    project = made["corrupt"]
    run(project, status=1)
    tree = records(project) / "tree/tests.d"
    with (tree / "test_a.py.json").open("ab") as file:
        file.write(b"x")
    (tree / "test_b.py.json").write_bytes(b"")
    bad = [
        f"{FOLDER}/records-5/tree/tests.d/test_a.py.json: corrupt: cut off",
        f"{FOLDER}/records-5/tree/tests.d/test_b.py.json: corrupt: empty",
    ]
    assert cache(project, "verify") == (1, bad, [])
    said = cache(project, "info")
    assert said.lines[1:4] == ["records: 1", "failed: 0", "unsettled: 0"]
    assert (said.status, said.errors) == (0, [])


@pytest.mark.parametrize("what", ["info", "clean", "verify"])
def test_where_there_is_no_cache_nothing_is_made(made, what):
    before = everything(made["none"])
    assert cache(made["none"], what) == (0, [f"no records: {FOLDER} does not exist"], [])
    off = cache(made["none"], what, PYTEST_ADDOPTS="-p no:cacheprovider")
    assert off == (0, ["no records: pytest's cache is turned off"], [])
    assert everything(made["none"]) == before


def test_a_link_is_left_alone(made):
    project = made["link"]
    run(project, status=1)
    kept = project.root("forks") / "kept"
    records(project).rename(kept)
    records(project).symlink_to(kept)
    note = f"{FOLDER}/records-5/: it is a symbolic link"
    assert cache(project, "verify") == (1, [note], [])
    assert cache(project, "info").lines[1:] == [
        *("records: 0", "failed: 0", "unsettled: 0", "paths: 0", "bytes: 0"),
        f"records ignored: {note}",
    ]
    assert cache(project, "clean") == (
        0,
        [f"nothing to remove in {FOLDER}", f"records ignored: {note}"],
        [],
    )
    assert len(list(kept.glob("tree/**/*.json"))) == 3


def test_a_cache_elsewhere(made):
    project = made["elsewhere"]
    place = {"PLACE": str(project.root("forks") / "there")}
    assert say(project, "pytest", "--hotreload", **place).status == 1
    assert cache(project, "info", **place).lines[:2] == [
        "folder: <root>/there/kept/d/hotreload",
        "records: 3",
    ]
    assert cache(project, "info", "-o", "cache_dir=nowhere", **place) == (
        0,
        ["no records: <root>/nowhere/d/hotreload does not exist"],
        [],
    )


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ([], 2, "pytest-hotreload cache: error: the following arguments are required: what"),
        (["info", "-x"], 2, "pytest-hotreload cache: error: unrecognized arguments: -x"),
        (
            ["info", "--rootdir", "nowhere"],
            4,
            "ERROR: Directory '<root>/nowhere' not found. Check your '--rootdir' option.",
        ),
    ],
)
def test_usage(made, arguments, status, error):
    said = cache(made["none"], *arguments)
    assert [line for line in said.errors if line][-1] == error
    assert (said.status, said.lines) == (status, [])
