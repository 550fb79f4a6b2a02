"""``--reuse=on``: the tests that an edit makes run again, together with options that select, stop and order."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.util import find_spec

import pytest

from .keeping import Kept, outcomes, said
from .reusing import counts, ran, shown, why

#: Four files that depend on different things; the last two are of two tests each.
FILES = {
    "lib.py": "RATE = 1\n",
    "data.txt": "1",
    "test_code.py": "import lib\ndef test_it(): assert lib.RATE < 9\n",
    "test_data.py": "def test_it(): assert open('data.txt').read() != '9'\n",
    "test_env.py": "import os\ndef test_it(): assert os.environ.get('DEMO') != '9'\ndef test_more(): pass\n",
    "test_none.py": "import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_x(x): pass\n",
}
ALL = {
    "test_code.py::test_it": "reused",
    "test_data.py::test_it": "reused",
    "test_env.py::test_it": "reused",
    "test_env.py::test_more": "reused",
    "test_none.py::test_x[1]": "reused",
    "test_none.py::test_x[2]": "reused",
}
OTHERS = "the selected tests, or their order, differ from its record"


@pytest.fixture
def kept(tmp_path):
    """Every file has a record."""
    kept = Kept(tmp_path, FILES)
    assert kept.run(slots=2).status == 0
    return kept


def reuse(kept, *arguments, **how):
    return kept.run("--reuse=on", *arguments, **how)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """The same; no run changes what its records say."""
    kept = Kept(tmp_path_factory.mktemp("still"), FILES)
    kept.run(slots=2)
    return kept


def test_nothing_changed(still, slots):
    """All is reused, no child is started, and nothing is learned from that."""
    store = still.root / ".pytest_cache/d/hotreload"
    durations = still.root / ".pytest_cache/v/hotreload/durations"
    before = {path: path.read_bytes() for path in store.rglob("*.json")}
    measured = durations.read_bytes()
    result = reuse(still, slots=slots)
    assert (result.status, result.errors) == (0, [])
    assert shown(result) == ALL
    assert list(shown(result)) == list(ALL)
    assert counts(result) == "6 reused"
    assert result.notices[1:] == [result.notices[1], "hotreload: records: 4/4 hit"]
    assert "test_env.py rr" in " ".join(result.lines)
    assert {path: path.read_bytes() for path in store.rglob("*.json")} == before
    assert durations.read_bytes() == measured
    assert still.affected() == {}


@pytest.mark.parametrize(
    ("change", "again", "reason"),
    [
        ({"lib.py": "RATE = 2\n"}, "test_code.py", "lib.py ← test_code.py"),
        ({"data.txt": "2"}, "test_data.py", "data.txt"),
        ({"data.txt": "9"}, "test_data.py", "data.txt"),
        ({"test_none.py": FILES["test_none.py"].replace("2]", "2, 3]")}, "test_none.py", "test_none.py"),
        ({"DEMO": "1"}, "test_env.py", "the environment variable DEMO changed"),
    ],
    ids=["code", "data", "failing", "parameters", "environment"],
)
def test_an_edit_runs_what_it_affects(kept, change, again, reason):
    (name,) = change
    if name == "DEMO":
        kept.environ.update(change)
    else:
        kept.write(change)
    result = reuse(kept, "-v")
    assert ran(result) == {again}
    assert why(result) == {again: reason}
    failing = change == {"data.txt": "9"}
    assert result.status == failing
    assert shown(result) == {
        **{nodeid: how for nodeid, how in ALL.items() if not nodeid.startswith(again)},
        **{nodeid: "failed" if failing else "passed" for nodeid in shown(result) if nodeid.startswith(again)},
    }
    result = reuse(kept)  # a failure is never reused, and what ran is known now
    assert ran(result) == ({again} if failing else set())


def test_another_epoch_runs_all(still):
    result = reuse(still, "-W", "error::UserWarning", "--co")
    assert result.status == 0
    before = {path: path.read_bytes() for path in (still.root / ".pytest_cache").rglob("*") if path.is_file()}
    result = reuse(still, "--runxfail")
    assert ran(result) == {"test_code.py", "test_data.py", "test_env.py", "test_none.py"}
    assert (
        said(result)[0]
        == "records: 0/4 hit (4 miss: 4 from another environment) · environment changed: option --runxfail added"
    )
    for path, content in before.items():
        path.write_bytes(content)


def test_what_is_young_runs(tmp_path):
    """2 s in earnest: what is written now may be written again within the same tick of a clock."""
    kept = Kept(tmp_path, {"test_a.py": "def test_a(): pass\n"}, young=False)
    soon = time.time() + 60  # however long a busy machine takes to start
    os.utime(kept.root / "test_a.py", (soon, soon))
    kept.run()
    result = reuse(kept, "-v")
    assert why(result) == {"test_a.py": "test_a.py changed while it ran or just before"}
    assert ran(result) == {"test_a.py"}


def test_what_is_corrupt_runs(kept):
    for path in (kept.root / ".pytest_cache/d/hotreload/records-5/tree").rglob("test_d*.json"):
        path.write_bytes(path.read_bytes()[:-9])
    (kept.root / ".pytest_cache/d/hotreload/ran-1.json").write_text("{")
    result = reuse(kept, "-v")
    assert why(result) == {"test_data.py": "no record yet"}
    assert "5 reused" in said(result)  # by now nobody knows when they ran
    assert shown(result) == {**ALL, "test_data.py::test_it": "passed"}


def test_without_a_store_everything_runs(tmp_path):
    """A file stands where its folder would be."""
    kept = Kept(tmp_path, {"test_a.py": "def test_a(): pass\n", ".pytest_cache/d/hotreload": "a file\n"})
    result = reuse(kept)
    assert (result.status, shown(result)) == (0, {"test_a.py::test_a": "passed"})
    assert "records: 0/1 hit (1 miss: 1 new)" in said(result)


def test_a_failure_without_records_counts(kept):
    """Plain pytest's own memory of it is enough."""
    kept.write({"data.txt": "9"})
    assert kept.run("--no-cache").status == 1
    kept.write({"data.txt": "1"})
    result = reuse(kept, "-v")
    assert why(result) == {"test_data.py": "one of its tests failed in a run without records"}
    assert ran(reuse(kept)) == set()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--force"], "--force: everything runs, nothing is reused"),
        (["--no-cache"], "there are no records (no cache): everything runs, nothing is reused"),
        (["-p", "no:cacheprovider"], "there are no records (no cache): everything runs, nothing is reused"),
        (
            ["--hotreload-isolate=worker"],
            "--hotreload-isolate=worker keeps no records: everything runs, nothing is reused",
        ),
    ],
    ids=" ".join,
)
def test_what_turns_it_off(still, options, line):
    result = reuse(still, *options)
    assert said(result)[0] == line
    assert shown(result) == dict.fromkeys(ALL, "passed")


def test_with_coverage_everything_runs(kept):
    if not find_spec("pytest_cov"):
        pytest.skip("needs pytest-cov")
    kept.project.plugins = ["hotreload_young", "pytest_cov.plugin"]
    reuse(kept, "--cov=lib", "--cov-report=")
    result = reuse(kept, "--cov=lib", "--cov-report=")
    assert said(result)[0].startswith("coverage is measured")
    assert set(shown(result).values()) == {"passed"}


def test_a_coupled_file_runs(kept):
    """Whether the files that it leans on are selected, too, is no input of it."""
    coupled = '{"test_code.py": ["lib"]}'
    (kept.root / ".pytest_cache/d/hotreload/coupled-1.json").write_text(coupled)
    result = reuse(kept, "-v")
    assert why(result) == {"test_code.py": "it depends on other test files, as doctor found"}


def test_a_watch_ignores_it(still):
    result = still.run("--reuse=on", "--watch", "--watch-force")
    assert (
        "hotreload: --reuse is ignored in a watch, which runs the tests that an edit affects"
        in result.notices
    )


def test_what_is_forced_is_recorded(kept):
    kept.write({"data.txt": "2"})
    assert ran(reuse(kept, "--force")) == {nodeid.partition("::")[0] for nodeid in ALL}
    assert ran(reuse(kept)) == set()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("test_env.py test_code.py", "test_env.py test_code.py"),
        ("-k test_it", "test_code.py test_data.py"),
        ("-k test_env", "test_env.py"),
        ("-k 2]", ""),
        ("test_env.py::test_it test_env.py::test_more", "test_env.py"),
        ("--deselect test_env.py::test_it", "test_code.py test_data.py test_none.py"),
        ("--lf", "test_code.py test_data.py test_env.py test_none.py"),
        ("--stepwise", "test_code.py test_data.py test_env.py test_none.py"),
        ("-n 2 -p xdist", "test_code.py test_data.py test_env.py test_none.py"),
    ],
)
def test_part_of_a_file_runs(still, options, expected):
    """Its tests share a process: one may lean on another, which is not selected."""
    if "xdist" in options and not find_spec("xdist"):
        pytest.skip("needs xdist")
    result = reuse(still, *options.split(), "-v") if "xdist" not in options else xdist(still, options)
    assert result.status == 0
    found = shown(result)
    assert {nodeid.partition("::")[0] for nodeid, how in found.items() if how == "reused"} == set(
        expected.split()
    )
    assert set(why(result).values()) <= {OTHERS}
    assert ran(result).isdisjoint(expected.split())


def xdist(kept, options):
    """Its plugin is part of the epoch: one run that records."""
    kept.project.plugins = ["hotreload_young", "xdist"]
    before = {path: path.read_bytes() for path in (kept.root / ".pytest_cache").rglob("*") if path.is_file()}
    try:
        arguments = options.replace("-p xdist", "").split()
        kept.project.finish(start(kept, *arguments), "forks")
        return kept.project.finish(start(kept, "--reuse=on", "-v", *arguments), "forks")
    finally:
        kept.project.plugins = ["hotreload_young"]
        for path, content in before.items():
            path.write_bytes(content)


def start(kept, *arguments):
    return kept.project.start("--hotreload", *arguments, slots=None, side="forks")


def test_collect_only(still):
    result = reuse(still, "--co", "-q")
    assert [line for line in result.lines if "::" in line] == list(ALL)
    assert (result.status, shown(result)) == (0, {})


@pytest.mark.parametrize("stop", ["-x", "--maxfail=1"])
def test_a_stop_in_the_middle(kept, stop):
    """What stands behind the failure is not reported, reused or not."""
    kept.write({"data.txt": "9"})
    result = reuse(kept, stop)
    assert shown(result) == {"test_code.py::test_it": "reused", "test_data.py::test_it": "failed"}
    assert counts(result) == "1 failed, 1 reused"
    assert result.status == 1
    result = reuse(kept, "--lf")
    assert shown(result) == {"test_data.py::test_it": "failed"}


def test_another_order(tmp_path):
    """Of files it does not matter; of tests it does, whoever changes it, and however late."""
    kept = Kept(tmp_path, {
        "conftest.py": (
            "import os, pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_collection_modifyitems(items):\n"
            "    if os.path.exists('files'): items.sort(key=lambda item: item.path.name, reverse=True)\n"
            "    if os.path.exists('mixed'): items.sort(key=lambda item: item.name)\n"
            "    if os.path.exists('tests'): items.reverse()\n"
        ),
        "test_a.py": "def test_1(): pass\ndef test_3(): pass\n",
        "test_b.py": "def test_2(): pass\ndef test_4(): pass\n",
    })  # fmt: skip
    kept.run()
    names = ["test_a.py::test_1", "test_a.py::test_3", "test_b.py::test_2", "test_b.py::test_4"]
    for order, places, how in (
        ("files", (2, 3, 0, 1), "reused"),
        ("mixed", (0, 2, 1, 3), "reused"),
        ("tests", (3, 2, 1, 0), "passed"),
    ):
        kept.write({order: ""})  # which no record knows of, like a plugin's random seed
        result = reuse(kept)
        assert list(shown(result).items()) == [(names[place], how) for place in places]
        kept.write({order: None})


def test_another_setting_runs(kept):
    """What shares a process, and the current folder."""
    result = reuse(kept, "--hotreload-isolate=test", "-v")
    assert set(why(result).values()) == {"it ran with other settings (the defaults)"}
    result = reuse(kept, "--hotreload-isolate=test", "-v")
    assert why(result) == {}
    result = reuse(kept, "-v")
    assert set(why(result).values()) == {"it ran with other settings (isolate=test)"}
    (kept.root / "below").mkdir()
    result = reuse(kept, "-v", "--rootdir=..", "-c", "../pytest.ini", "../test_none.py", cwd="below")
    assert set(why(result)) == {"test_none.py"}


def test_set_up_alone_is_no_pass(tmp_path):
    """pytest reports what it set up and never called as passed."""
    kept = Kept(tmp_path, {"test_a.py": "def test_a(): assert 0\n"})
    assert kept.run("--setup-only").status == 0
    result = reuse(kept)
    assert shown(result) == {"test_a.py::test_a": "failed"}


def test_what_was_interrupted_runs(tmp_path):
    """By the test itself, as by Ctrl-C; the pass before that does not count either."""
    kept = Kept(tmp_path, {"test_a.py": "def test_a(): pass\n"})
    kept.run()
    kept.write({"test_a.py": "def test_a(): raise KeyboardInterrupt\n"})
    assert reuse(kept).status == 2
    kept.write({"test_a.py": "def test_a(): pass\n"})
    assert shown(reuse(kept)) == {"test_a.py::test_a": "passed"}


def test_shared_fixtures_of_reused_files_are_not_set_up(tmp_path):
    kept = Kept(tmp_path, {
        "pytest.ini": "[pytest]\nhotreload_shared_fixtures = base\n",
        "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef base(): print('base is up')\n",
        "test_a.py": "def test_a(base): pass\n",
        "test_b.py": "def test_b(): pass\n",
    })  # fmt: skip
    kept.run()
    kept.write({"test_b.py": "def test_b(): assert 1\n"})
    result = reuse(kept)
    assert shown(result) == {"test_a.py::test_a": "reused", "test_b.py::test_b": "passed"}
    assert "base" not in " ".join(said(result))


def test_with_affected(kept):
    """What is not affected is deselected, as ever."""
    kept.write({"lib.py": "RATE = 2\n"})
    result = reuse(kept, "--affected")
    assert shown(result) == {"test_code.py::test_it": "passed"}
    result = reuse(kept, "--affected")
    assert (result.status, shown(result)) == (0, {})


def test_the_revision(kept):
    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=kept.root,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=kept.root, capture_output=True, text=True, check=True
    )
    kept.write({"data.txt": "2"})
    reuse(kept)
    kept.write({"lib.py": "RATE = 3\n"})
    result = reuse(kept)
    assert said(result)[0].endswith(f" ago at {head.stdout[:7]})")
    assert ran(result) == {"test_code.py"}


def test_contradictions(still):
    result = still.run("--reuse=on", "--no-hotreload")
    assert result.status == 4
    assert result.errors[0] == (
        "ERROR: hotreload: --reuse and --no-hotreload contradict each other; hint: leave one of the two out"
    )
    plain = still.project.finish(start_plain(still, "--reuse=on"), "forks")
    assert shown(plain) == ALL  # it implies --hotreload
    assert set(outcomes(still.run("--reuse=off")).values()) == {"passed"}


def start_plain(kept, *arguments):
    return kept.project.start(*arguments, slots=None, side="forks")
