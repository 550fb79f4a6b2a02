"""``pytest-hotreload merge``: the output of real shards, complete and damaged in every way."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_hotreload import _native, cli
from pytest_hotreload.ci.results_file import declared, mismatch
from pytest_hotreload.records import last_run

from .compare import Project

FILES = {
    "pytest.ini": "[pytest]\n",
    "lib.py": """\
        def a(): return 1
        def b(): return 2
        """,
    "test_a.py": """\
        import lib
        def test_one(): assert lib.a() == 1
        def test_two(): assert lib.a() == 2
        """,
    "test_b.py": """\
        import lib, pytest
        def test_three(): assert lib.b() == 2
        def test_skipped(): pytest.skip("no")
        def test_deselected(): pass
        """,
    "test_c.py": """\
        import pytest
        @pytest.mark.xfail
        def test_four(): assert 0
        """,
    "timings.json": '{"schema": "hotreload-timings/1", "files": {"test_a.py": 30, "test_b.py": 20, "test_c.py": 10}}',
}
#: One more than there are files: the last has nothing to do.
SHARDS = 4
EVERYTHING = ("-k", "not deselected", "--cov=.", "--cov-report=")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What the shards left, each in a folder of its own, and beside them what one run of all did."""
    for plugin in ("pytest_cov", "pytest_reportlog"):
        pytest.importorskip(plugin)
    top = tmp_path_factory.mktemp("shards")
    project = Project(top, plugins=["pytest_cov", "pytest_reportlog", "hotreload_young"])
    project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    project.write(FILES)
    root = project.root("forks")
    for number in [*range(1, SHARDS + 1), 0]:
        out = top / "left" / str(number)
        project.environ["COVERAGE_FILE"] = str(out / ".coverage")
        shard = [f"--shard={number}/{SHARDS}", "--timings=timings.json"] if number else []
        files = [f"--hotreload-json={out}/r.json", f"--junitxml={out}/j.xml", f"--report-log={out}/log"]
        result = project.run(*EVERYTHING, *shard, *files, slots=2)
        assert result.status == (1 if number < 2 else 0), result.raw
        shutil.move(root / ".pytest_cache", out / "cache")
    (top / "left" / "0").rename(top / "whole")
    return top


@pytest.fixture
def folders(left, tmp_path, monkeypatch):
    """A copy, to be damaged; merged from the project's root."""
    monkeypatch.chdir(left / "forks" / "project")
    shutil.copytree(left / "left", tmp_path / "left")
    return tmp_path / "left"


@pytest.fixture
def merge(capsys):
    def command(*words):
        status = cli.main(["merge", *map(str, words)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


def amend(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def outcomes(path):
    return {test["nodeid"]: test["outcome"] for test in json.loads(path.read_text())["tests"]}


def ids(path):
    events = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = [event["$report_type"] for event in events]
    assert (kinds[0], kinds[-1], kinds.count("SessionStart"), kinds.count("SessionFinish")) == (
        *("SessionStart", "SessionFinish"),
        *(1, 1),
    )
    assert events[-1]["exitstatus"] == 1
    return sorted((e["nodeid"], e["when"]) for e in events if e["$report_type"] == "TestReport")


def cases(path):
    root = ET.parse(path).getroot()
    (suites,) = [root] if root.tag == "testsuites" else []
    found = sorted((case.get("classname"), case.get("name"), len(case)) for case in suites.iter("testcase"))
    totals = {
        name: sum(int(suite.attrib[name]) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    return found, totals


def lines(path):
    import coverage

    data = coverage.CoverageData(basename=str(path))
    data.read()
    found = {}
    for file in data.measured_files():
        measured = data.lines(file)
        assert measured is not None
        found[Path(file).name] = sorted(measured)
    data.close()
    return found


@pytest.mark.slow
def test_a_whole_as_one_run_leaves_it(left, folders, merge, tmp_path):
    out, whole = tmp_path / "out", left / "whole"
    wanted = {"--junitxml": "j.xml", "--json": "r.json", "--report-log": "log", "--coverage": ".coverage"}
    words = [word for option, name in wanted.items() for word in (option, out / name)]
    status, said, errors = merge(folders, *words, "--records", out / "cache")
    assert (status, errors) == (1, [])
    assert said[0] == "FAILED test_a.py::test_two - assert 1 == 2"
    shards = [line.partition(", took ")[0] for line in said[1:5]]
    assert shards == [
        "hotreload: shard 1/4: 1 file, 2 tests, predicted 30.0 s",
        "hotreload: shard 2/4: 1 file, 2 tests, predicted 20.0 s",
        "hotreload: shard 3/4: 1 file, 1 test, predicted 10.0 s",
        "hotreload: shard 4/4: 0 files, 0 tests, predicted 0 s",
    ]
    names = ["j.xml", "log", ".coverage", "cache", "r.json"]
    assert said[5:-1] == [f"hotreload: wrote {out / name}" for name in names]
    assert said[-1].startswith(
        "hotreload: 4 shards: 1 failed, 2 passed, 1 skipped, 1 deselected, 1 xfailed in "
    )
    assert outcomes(out / "r.json") == outcomes(whole / "r.json")
    assert mismatch(json.loads((out / "r.json").read_text()), declared(), strict=True) == ""
    assert cases(out / "j.xml") == cases(whole / "j.xml")
    attributes = ET.parse(out / "j.xml").getroot().attrib
    assert {name: int(attributes[name]) for name in ("tests", "failures", "errors", "skipped")} == cases(
        whole / "j.xml"
    )[1]
    assert ids(out / "log") == ids(whole / "log")
    assert lines(out / ".coverage") == lines(whole / ".coverage")
    # Of test_b.py, what -k leaves.
    known = {"test_a.py": "failed", "test_b.py": "passed", "test_c.py": "passed"}
    assert records(out / "cache") == records(whole / "cache") == known
    assert remembered(out / "cache") == remembered(whole / "cache")
    # All is still there, and may be merged again; so may the whole.
    assert merge(folders)[0] == 1
    assert merge(out)[:2][1][-1].startswith("hotreload: 1 shard: 1 failed, 2 passed, 1 skipped, 1 deselected")


def remembered(cache):
    """For ``--lf``, for ``--nf``, and which files have a time of their last run."""
    failed, known = (json.loads((cache / "v/cache" / name).read_text()) for name in ("lastfailed", "nodeids"))
    assert list(failed) == ["test_a.py::test_two"]
    return failed, known, sorted(last_run.load(cache / "d/hotreload"))


def records(cache):
    store = _native.RecordStore(str(cache / "d/hotreload"), ".")
    return {file: json.loads(store.get(file) or "")["outcome"] for file in store.files()}


def test_what_lies_there_and_is_not_asked_for_is_named(folders, merge):
    _, said, _ = merge(folders)
    assert said[5:-1] == [
        f"hotreload: {folders}/1/j.xml (and 3 more) not merged; hint: --junitxml",
        f"hotreload: {folders}/1/log (and 3 more) not merged; hint: --report-log",
        *(line for line in said[5:-1] if line.endswith("not merged; hint: --coverage")),
        f"hotreload: {folders}/1/cache/d/hotreload (and 2 more) not merged; hint: --records",
    ]


def test_folders_that_share_one(folders, merge, tmp_path):
    """As some services download artifacts."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number in range(1, SHARDS + 1):
        for name in ("r.json", "j.xml", "log"):
            shutil.copy(folders / str(number) / name, flat / f"{number}-{name}")
    out = tmp_path / "out"
    status, said, _ = merge(flat, "--junitxml", out / "j.xml", "--report-log", out / "log")
    assert (status, said[-1].partition(" in ")[0]) == (
        1,
        "hotreload: 4 shards: 1 failed, 2 passed, 1 skipped, 1 deselected, 1 xfailed",
    )
    assert ET.parse(out / "j.xml").getroot().get("tests") == "5"
    (flat / "2-j.xml").unlink()
    status, _, errors = merge(flat, "--junitxml", out / "other.xml")
    found = ", ".join(str(flat / f"{number}-j.xml") for number in (1, 3, 4))
    assert (status, errors) == (2, [f"hotreload: 3 JUnit files for 4 results files: {found}"])


def lose_shard(folders):
    shutil.rmtree(folders / "2")


def have_shard_twice(folders):
    shutil.copytree(folders / "2", folders / "again")


def of_another_plan(folders):
    amend(folders / "3/r.json", lambda document: document["plan"].update(fingerprint="0123456789ab"))


def cut_off(folders):
    path = folders / "3/r.json"
    path.write_bytes(path.read_bytes()[:300])


def of_the_future(folders):
    amend(folders / "3/r.json", lambda document: document.update(schema="hotreload-results/9"))


def of_another_shape(folders):
    amend(folders / "3/r.json", lambda document: document["tests"][0].update(seconds="long"))


def id_twice(folders):
    test = json.loads((folders / "1/r.json").read_text())["tests"][0]
    change = {"file": "elsewhere.py"}  # by a plugin that gives a test another's id
    amend(folders / "2/r.json", lambda d: (d["tests"].append({**test, **change}), d.update(collected=4)))


def lose_a_test(folders):
    amend(folders / "2/r.json", lambda document: document["tests"].pop())


def elsewhere(folders):
    amend(folders / "2/r.json", lambda document: document.update(platform="darwin-arm64"))


def no_junit(folders):
    (folders / "4/j.xml").unlink()


def cut_junit(folders):
    path = folders / "4/j.xml"
    path.write_bytes(path.read_bytes()[:100])


def two_junits(folders):
    shutil.copy(folders / "4/j.xml", folders / "4/k.xml")


FAULTS = [
    (lose_shard, ["shard 2/4 is missing"]),
    (have_shard_twice, ["shard 2/4 was found 2 times: <left>/2/r.json, <left>/again/r.json"]),
    (of_another_plan, ["the shards belong to different plans: "]),
    (cut_off, ["<left>/3/r.json: it is damaged ("]),
    (
        of_the_future,
        ["<left>/3/r.json: its schema is 'hotreload-results/9', but only 'hotreload-results/1' can be read"],
    ),
    (of_another_shape, ["<left>/3/r.json: tests[0].seconds is not of type number"]),
    (id_twice, ["test_a.py::test_one has a result in several shards: shard 1/4, shard 2/4"]),
    (lose_a_test, ["shard 2/4: 1 results and 1 deselected tests do not add up to the 3 collected tests"]),
    (elsewhere, ["the shards ran on different platforms: "]),
    (no_junit, ["there is no JUnit file from shard 4/4"]),
    (cut_junit, ["<left>/4/j.xml: not a JUnit XML file that can be merged ("]),
    (two_junits, ["5 JUnit files for 4 results files: "]),
]


@pytest.mark.parametrize(("damage", "problems"), FAULTS, ids=[damage.__name__ for damage, _ in FAULTS])
def test_damaged_it_is_refused_by_name(folders, merge, tmp_path, damage, problems):
    damage(folders)
    out = tmp_path / "out"
    status, said, errors = merge(folders, "--junitxml", out / "j.xml", "--json", out / "r.json")
    assert (status, said) == (2, [])
    assert [
        line[: len(start)] for line, start in zip(errors, expected(problems, folders), strict=True)
    ] == expected(problems, folders)
    assert not out.exists()


def expected(problems, folders):
    return [f"hotreload: {each.replace('<left>', str(folders))}" for each in problems]


def test_an_interrupted_shard_is_said_and_merged(folders, merge, tmp_path):
    stopped = {"stopped": "KeyboardInterrupt", "exitstatus": 2}
    amend(folders / "2/r.json", lambda document: (document["tests"].pop(), document.update(stopped)))
    status, said, errors = merge(folders, "--json", tmp_path / "r.json")
    assert (status, errors) == (2, [])
    assert "hotreload: shard 2/4 did not finish (KeyboardInterrupt): 1 of 2 tests have a result" in said
    merged = json.loads((tmp_path / "r.json").read_text())
    assert (merged["exitstatus"], merged["stopped"], len(merged["tests"])) == (
        2,
        "shard 2/4: KeyboardInterrupt",
        4,
    )


def test_nothing_to_merge(merge, tmp_path):
    status, _, errors = merge(tmp_path)
    assert (status, errors) == (
        2,
        [f"hotreload: no results file in {tmp_path}; hint: run each shard with --hotreload-json=FILE"],
    )
    status, _, errors = merge(tmp_path / "none")
    assert (status, errors) == (2, [f"hotreload: {tmp_path}/none is not a folder"])


def test_runs_without_a_plan_are_no_whole(left, folders, merge):
    shutil.copytree(left / "whole", folders / "whole")
    assert merge(folders)[2] == [
        (
            f"hotreload: {folders}/whole/r.json: no plan, although there are 5 results files; "
            "hint: run each shard with --shard"
        )
    ]


def test_without_coverage(folders, merge, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "coverage", None)
    status, _, errors = merge(folders, "--coverage", tmp_path / "c")
    assert (status, errors) == (
        2,
        [
            "hotreload: coverage is not installed here, so its data can't be merged; hint: pip install coverage",
        ],
    )
