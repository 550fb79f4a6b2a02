"""The record store on disk: its place, damage, several writers, timings and removal."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native

from .records import BUCKET, EPOCH, STORE, TEST, Project, draft, started, touch, verdict


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "root"
    root.mkdir()
    return Project(root)


def sealed(payload: str, **header: Any) -> str:
    """A record file; the checksum by a record that was written, since Python has no BLAKE3."""
    return json.dumps({"hotreload": "record", "schema": 5, "blake3": "0" * 64, **header}) + f"\n{payload}\n"


PLACES = {
    "tests/test_a.py": "tree/tests.d/test_a.py.json",
    "tests/test_a.py/inner.py": "tree/tests.d/test_a.py.d/inner.py.json",
    "tests/test_a/inner.py": "tree/tests.d/test_a.d/inner.py.json",
    "tests/Test_a.py": "tree/tests.d/%54est_a.py.json",
    "tests/test_a.py.json": "tree/tests.d/test_a.py.json.json",
    "tests.d/x.py": "tree/tests.d.d/x.py.json",
    "con.py": "tree/%63on.py.json",
    "aux/lpt9.test.py": "tree/%61ux.d/%6cpt9.test.py.json",
    ".hidden/a b.py": "tree/%2ehidden.d/a%20b.py.json",
    "index": "tree/index.json",
    "tmp-1-0": "tree/tmp-1-0.json",
    "tmp-x/a": "tree/tmp-x.d/a.json",
    "dot.": "tree/dot%2e.json",
    "\udcff.py": "tree/%ff.py.json",
    "é.py": "tree/%c3%a9.py.json",
    "100%.py": "tree/100%25.py.json",
}


def test_places_never_meet(project: Project) -> None:
    for file in PLACES:
        assert project.put(file)
    assert project.stored() == sorted(PLACES.values())
    other = project.again()
    assert other.load() == len(PLACES)
    assert other.files() == sorted(PLACES, key=os.fsencode)
    assert other.verify() == []
    for file in PLACES:
        assert json.loads(other.get(file) or "")["file"] == file


def test_long_names(project: Project) -> None:
    names = [f"tests/{'é' * 60}{at}.py" for at in range(2)] + ["deep/" * 300 + "x.py"]
    for name in names:
        assert project.put(name)
    assert project.again().files() == sorted(names, key=os.fsencode)
    places = project.stored()
    assert [place.split("/")[0] for place in places] == ["outside", "tree", "tree"]
    assert max(len(part) for place in places for part in place.split("/")) < 255


def test_test_files_outside_of_the_root(project: Project) -> None:
    outside = project.root.parent / "outside.py"
    outside.write_text("x")
    for name in (str(outside), "../outside.py"):
        project.put(name, closure=[])
        assert project.check(name) == (name, "fresh", "")
    assert project.records.files() == [str(outside)]
    assert len(project.stored()) == 1
    outside.write_text("y")
    assert project.check(str(outside)) == (str(outside), "content", str(outside))


def test_equal_inputs_give_equal_bytes_anywhere(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "another/folder"):
        (tmp_path / name).mkdir(parents=True)
        project = Project(tmp_path / name)
        path = project.write("data/a.txt", "a")
        order = ["src/pkg/core.py", str(project.root / "src/pkg/__init__.py")]
        project.put(
            reads=[[str(path), touch(path)]],
            closure=order if name == "one" else order[::-1],
            listings=[str(project.root / "data")],
            declared=["data/*"],
            environment=["*"],
        )
        digests.append(hashlib.sha256(project.place().read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_modes_and_markers(project: Project) -> None:
    project.put()
    project.records.save()
    bucket = project.root / BUCKET
    assert (bucket / ".gitignore").read_text() == "*\n"
    assert (bucket / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    modes: dict[bool, set[int]] = {True: set(), False: set()}
    for path in (bucket, *bucket.rglob("*")):
        modes[path.is_dir()].add(stat.S_IMODE(path.stat().st_mode))
    assert modes == {True: {0o700}, False: {0o600}}


def test_seconds_that_barely_moved(project: Project) -> None:
    def seconds() -> list[float]:
        return [found[2] for found in project.get()["tests"]]

    def put(*times: float, **changes: Any) -> bool:
        return project.put(tests=[[f"n{at}", "passed", time] for at, time in enumerate(times)], **changes)

    assert put(1.0, 0.010) is True
    before = project.place().stat().st_ino
    assert put(1.2, 0.014) is False
    assert seconds() == [1.0, 0.01]
    assert project.place().stat().st_ino == before
    assert put(2.0, 0.010) is True
    assert seconds() == [1.5, 0.01]
    assert put(1.0, 0.016, 4.0) is True
    assert seconds() == [1.25, 0.013, 4]
    assert put(1.25, 0.013, 4.0, costs={"collection": 0.01, "fixtures": 0.4, "imports": 0.3}) is True
    assert project.get()["costs"] == {"collection": 0.01, "fixtures": 0.3, "imports": 0.3}
    assert put(1.25, 0.013, 4.0, flags=["x"]) is True
    assert put(1.2, 0.013, 4.0, flags=["x"]) is False


DAMAGE: dict[str, tuple[str, str]] = {
    "empty": ("", "corrupt: empty"),
    "no lines": ("x", "corrupt: no header"),
    "no header": ("x\ny\n", "corrupt: no header"),
    "another's": ('{"a": 1}\n{}\n', "foreign: not a record"),
    "an epoch": (sealed("{}", hotreload="epoch"), "foreign: not a record"),
    "older": (sealed("{}", schema=1), "older: schema 1, expected 5"),
    "newer": (sealed("{}", schema=6), "newer: schema 6, expected 5"),
    "checksum": (sealed("{}"), "corrupt: the checksum differs"),
    "cut off": (sealed("{}")[:-1], "corrupt: cut off"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_note(project: Project, name: str) -> None:
    project.put()
    project.put("tests/test_b.py")
    text, why = DAMAGE[name]
    project.place().write_text(text)
    other = project.again()
    assert other.load() == 1
    assert other.notes() == [f"record ignored: {project.place()}: {why}"]
    assert other.check([TEST], epochs=[EPOCH], environment={}) == [verdict("unknown")]
    assert other.get(TEST) is None
    assert other.verify() == [(str(project.place()), why)]
    assert project.put() is True
    assert other.load() == 2
    assert (other.notes(), other.verify()) == ([], [])


def test_notes_are_one_line_for_each_kind(project: Project) -> None:
    for at in range(3):
        project.put(f"tests/test_{at}.py")
        project.place(f"tests.d/test_{at}.py.json").write_text("")
    project.put(TEST)
    project.place().rename(project.place("tests.d/test_moved.py.json"))
    project.place("tests.d/folder.json").mkdir()
    records = project.again()
    assert records.load() == 0
    place = project.place("tests.d")
    assert records.notes() == [
        f"record ignored: {place}/test_0.py.json: corrupt: empty (and 2 more)",
        f"record ignored: {place}/folder.json: foreign: not a record",
        f"record ignored: {place}/test_moved.py.json: misplaced: the record of {TEST}",
    ]


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_a_record_that_was_cut_off(project: Project, length: int) -> None:
    project.put()
    whole = project.place().read_bytes()
    project.place().write_bytes(whole[:length])
    assert project.again().check([TEST], epochs=[EPOCH], environment={}) == [verdict("unknown")]


def test_a_bad_index_is_only_slow(project: Project) -> None:
    project.put()
    project.records.save()
    index = project.root / BUCKET / "index"
    whole = index.read_bytes()
    for content in (b"", b"x", whole[:-1], whole + b"x", whole[:60] + b"\xff" + whole[61:]):
        index.write_bytes(content)
        records = project.again()
        assert records.load() == 1
        assert records.notes() == []
        assert records.check([TEST], epochs=[EPOCH], environment={}) == [verdict("fresh")]
    index.unlink()
    index.mkdir()
    assert project.again().load() == 1
    with pytest.raises(IsADirectoryError):
        project.records.save()


def test_a_planted_bucket_is_not_used(project: Project, tmp_path: Path) -> None:
    project.put()
    bucket = project.root / BUCKET
    bucket.rename(tmp_path / "elsewhere")
    bucket.symlink_to(tmp_path / "elsewhere")
    records = project.again()
    assert records.load() == 0
    assert records.notes() == [f"records ignored: {bucket}/: it is a symbolic link"]
    assert records.check([TEST], epochs=[EPOCH], environment={}) == [verdict("unknown")]
    with pytest.raises(OSError, match=r"^it is a symbolic link$"):
        records.put_all({TEST: json.dumps(draft())}, started_ns=0, environment={})
    records.clear()
    assert (tmp_path / "elsewhere/tree/tests.d/test_a.py.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_another_users_bucket_is_not_used(project: Project) -> None:
    project.put()
    os.chown(project.root / BUCKET, 12345, 12345)
    records = project.again()
    assert records.load() == 0
    assert records.notes() == [f"records ignored: {project.root / BUCKET}/: it belongs to another user"]


def test_links_inside_are_not_followed(project: Project, tmp_path: Path) -> None:
    project.put()
    (tmp_path / "else").mkdir()
    (project.root / BUCKET / "tree/more.d").symlink_to(tmp_path / "else")
    with pytest.raises(FileExistsError):
        project.put("more/test_x.py")
    assert list((tmp_path / "else").iterdir()) == []
    records = project.again()
    assert records.load() == 1
    assert records.notes() == [f"record ignored: {project.root / BUCKET}/tree/more.d: foreign: not a record"]


def test_prune(project: Project) -> None:
    for name in ("tests/test_b.py", "tests/sub/test_c.py"):
        project.write(name)
        project.put(name)
    project.put()
    old, young = project.place("tmp-1-1"), project.place("tests.d/tmp-1-2")
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (1, 1))
    (project.root / "tests/test_b.py").unlink()
    (project.root / "tests/sub/test_c.py").unlink()
    (project.root / "tests/sub").rmdir()
    assert project.records.prune() == ["tests/sub/test_c.py", "tests/test_b.py"]
    assert project.stored() == ["tree/tests.d/test_a.py.json", "tree/tests.d/tmp-1-2"]
    assert not project.place("tests.d/sub.d").exists()
    assert project.again().files() == [TEST]
    assert project.records.prune() == []


def test_without_its_root_nothing_is_pruned(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "store"
    records = _native.RecordStore(str(store), str(project.root))
    records.put_all({TEST: json.dumps(draft())}, started_ns=started(), environment={})
    project.root.rename(tmp_path / "moved")
    assert records.prune() == []
    assert records.files() == [TEST]


def test_records_of_an_older_version_are_named_once(project: Project) -> None:
    (project.root / STORE / "records-4").mkdir(parents=True)
    (project.root / STORE / "records-3").mkdir()
    project.records.load()
    assert project.records.notes() == [
        f"records ignored: {project.root / STORE / 'records-4'}: of an older version"
    ]
    project.put()
    again = project.again()
    again.load()
    assert again.notes() == []


def test_clear_removes_buckets_and_nothing_else(project: Project) -> None:
    project.put()
    store = project.root / STORE
    for name in ("records-0", "records-6", "records-x", "other"):
        (store / name).mkdir()
    (store / "records-0/file").write_text("")
    project.records.clear()
    assert sorted(path.name for path in store.iterdir()) == ["other", "records-6", "records-x"]
    assert project.records.files() == []
    assert project.put() is True


def test_epochs(project: Project) -> None:
    inputs = {"python": "3.12", "argument": "-k x", "odd\udcff": "é"}
    epoch = project.records.epoch(inputs)
    assert epoch == project.again().epoch(dict(reversed(inputs.items())))
    assert len(epoch) == 32
    assert project.records.epoch_changes(epoch, inputs) == []
    now = {"python": "3.13", "odd\udcff": "é", "plugin": "1"}
    expected = [("argument", "-k x", None), ("plugin", None, "1"), ("python", "3.12", "3.13")]
    assert project.again().epoch_changes(epoch, now) == expected
    for unknown in ("0" * 32, "", "../index", "x"):
        assert project.records.epoch_changes(unknown, now) is None
    path = project.root / BUCKET / f"epochs/{epoch}.json"
    os.utime(path, (1, 1))
    project.put(epoch=epoch)
    project.records.prune()
    assert path.exists()
    project.records.remove([TEST])
    project.records.prune()
    assert not path.exists()


def test_statistics(project: Project) -> None:
    project.put(reads=[["none", None]], environment=["HOME"])
    size = project.place().stat().st_size
    # Four files, and the three folders of the layout.
    assert project.records.statistics() == {"records": 1, "bytes": size, "paths": 7}


WRITER = """
import json, sys, time
from pytest_hotreload import _native
root, store, seed, rounds, text = sys.argv[1:]
records = _native.RecordStore(store, root)
print("ready", flush=True)
for at in range(int(rounds)):
    draft = json.loads(text)
    draft["flags"] = [f"{seed}-{at}"]
    for number in range(4):
        drafts = {f"tests/test_{number}.py": json.dumps(draft)}
        records.put_all(drafts, started_ns=2**62, environment={})
    records.save()
"""


def writer(project: Project, seed: int, rounds: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        WRITER,
        str(project.root),
        STORE,
        str(seed),
        str(rounds),
        json.dumps(draft()),
    ]
    folder = Path(_native.__file__).parents[1]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


FILES = [f"tests/test_{number}.py" for number in range(4)]


def test_two_writers_at_once(project: Project) -> None:
    for name in FILES:
        project.write(name)
    writers = [writer(project, seed, 60) for seed in (1, 2)]
    reader = project.again()
    while any(process.poll() is None for process in writers):
        reader.load()
        assert reader.notes() == []
        assert reader.verify() == []
    assert [process.wait() for process in writers] == [0, 0]
    for process in writers:
        assert process.stdout is not None
        process.stdout.close()
    assert reader.load() == 4
    last = [json.loads(reader.get(name) or "")["flags"] for name in FILES]
    assert {flags[0] for flags in last} <= {"1-59", "2-59"}
    assert project.stored() == [f"tree/tests.d/test_{number}.py.json" for number in range(4)]
    assert [kind for _, kind, _ in reader.check(FILES, epochs=[EPOCH], environment={})] == ["fresh"] * 4


def test_killed_while_it_writes(project: Project) -> None:
    for name in FILES:
        project.write(name)
    for attempt in range(8):
        process = writer(project, attempt, 10**6)
        time.sleep(0.01 + 0.005 * attempt)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
        records = project.again()
        records.load()
        assert (records.notes(), records.verify()) == ([], [])
        known = records.check(records.files(), epochs=[EPOCH], environment={})
        assert {kind for _, kind, _ in known} <= {"fresh"}
    assert project.again().files() == FILES
