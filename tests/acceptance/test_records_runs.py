"""When a run writes, keeps and removes records, and the messages about errors."""

from __future__ import annotations

import pytest

from .keeping import Kept, outcomes, reasons, said

PASSES = "def test_it(): pass\ndef test_other(): pass\n"
FAILED = "one of its tests failed"


@pytest.fixture
def kept(tmp_path):
    """Two files with records."""
    kept = Kept(tmp_path, {"test_a.py": PASSES, "test_b.py": PASSES})
    assert said(kept.run()) == ["unchanged since their last run: 0 of 2 test files (2 new)"]
    return kept


def test_a_run_without_affected_runs_all(kept):
    result = kept.run()
    assert set(outcomes(result).values()) == {"passed"}
    assert len(result.outcomes) == 4
    assert said(result) == ["unchanged since their last run: 2 of 2 test files"]


@pytest.mark.parametrize(
    "argument", ["-k it", "--co", "test_a.py", "--ignore=test_c.py", "--lf", ".", "--affected -k it"]
)
def test_a_record_outlives_a_narrow_run(kept, argument):
    kept.write({"test_b.py": None})
    kept.run(*argument.split())
    assert kept.files() == ["test_a.py", "test_b.py"]


@pytest.mark.parametrize("argument", ["-v", "--affected"])
def test_a_full_run_prunes(kept, argument):
    kept.write({"test_b.py": None})
    kept.run(argument)
    assert kept.files() == ["test_a.py"]


def test_equal_names_in_two_folders(tmp_path):
    kept = Kept(tmp_path, {
        "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
        "one/test_same.py": "import os\nA = os.environ.get('DEMO_ONE')\n" + PASSES,
        "two/test_same.py": "import os\nA = os.environ.get('DEMO_TWO')\n" + PASSES,
    })  # fmt: skip
    kept.run(slots=2)
    assert kept.affected() == {}
    kept.environ["DEMO_TWO"] = "1"
    assert kept.affected() == {"two/test_same.py": "the environment variable DEMO_TWO changed"}
    kept.write({"one/test_same.py": PASSES})
    del kept.environ["DEMO_TWO"]
    assert kept.affected() == {"one/test_same.py": "one/test_same.py"}


def test_outcomes(tmp_path):
    """A file is left out only if all its tests did what one wants."""
    head = "import pytest\ndef test_first(): pass\n"
    kept = Kept(tmp_path, {
        "test_fails.py": head + "def test_it(): assert 0\n",
        "test_errors.py": head + "@pytest.fixture\ndef f(): assert 0\ndef test_it(f): pass\n",
        "test_errors_late.py": head + "@pytest.fixture\ndef f():\n    yield\n    assert 0\ndef test_it(f): pass\n",
        "test_xpasses.py": head + "@pytest.mark.xfail\ndef test_it(): pass\n",
        "test_xfails.py": head + "@pytest.mark.xfail\ndef test_it(): assert 0\n",
        "test_skips.py": head + "def test_it(): pytest.skip('why')\n",
        "test_all_skip.py": "import pytest\npytestmark = pytest.mark.skip\n" + PASSES,
        "test_passes.py": head,
    })  # fmt: skip
    kept.run(slots=2)
    again = dict.fromkeys(
        ["test_errors.py", "test_errors_late.py", "test_fails.py", "test_xpasses.py"], FAILED
    )
    result = kept.run("--affected")
    assert reasons(result) == again
    assert outcomes(result) == {
        "test_errors.py::test_first": "passed",
        "test_errors.py::test_it": "failed",
        "test_errors_late.py::test_first": "passed",
        "test_errors_late.py::test_it": "failed",
        "test_fails.py::test_first": "passed",
        "test_fails.py::test_it": "failed",
        "test_xpasses.py::test_first": "passed",
        "test_xpasses.py::test_it": "xpassed",
    }
    assert kept.affected() == again


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_a_crash_removes_the_record(kept, end):
    kept.write({"test_b.py": f"import os\ndef test_it(): {end}\ndef test_other(): pass\n"})
    result = kept.run("--affected")
    assert outcomes(result) == {"test_b.py::test_it": "failed", "test_b.py::test_other": "passed"}
    assert kept.files() == ["test_a.py"]
    kept.write({"test_b.py": PASSES})
    assert kept.affected() == {"test_b.py": "no record yet"}


NARROW = ["-k it", "test_b.py::test_it", "--deselect=test_b.py::test_other", "--lf"]


def untimed(record):
    """A record without what it took: on a busy machine, the seconds of a test count for its mean."""
    return {**record, "tests": [test[:2] for test in record["tests"]], "costs": None}


@pytest.mark.parametrize("argument", NARROW)
def test_part_of_a_file_says_nothing_of_the_rest(kept, argument):
    before = kept.record("test_b.py")
    kept.write({"test_b.py": PASSES + "CHANGED = 1\n"})
    result = kept.run(*argument.split())
    assert outcomes(result)["test_b.py::test_it"] == "passed"
    assert untimed(kept.record("test_b.py")) == untimed(before)
    assert kept.affected() == {"test_b.py": "test_b.py"}


@pytest.mark.parametrize("argument", NARROW)
def test_a_failure_in_part_of_a_file_counts(kept, argument):
    """What failed once for a reason that no record knows must not be left out."""
    kept.write({"test_b.py": PASSES.replace("pass", "assert 0", 1)})
    result = kept.run(*argument.split())
    assert outcomes(result)["test_b.py::test_it"] == "failed"
    assert dict(outcome[:2] for outcome in kept.record("test_b.py")["tests"]) == {
        "test_b.py::test_it": "failed",
        "test_b.py::test_other": "passed",
    }
    kept.write({"test_b.py": PASSES})
    assert kept.affected() == {"test_b.py": "one of its tests failed"}
    # A pass of the part proves nothing of the file.
    kept.run("test_b.py::test_it")
    assert kept.affected() == {"test_b.py": "one of its tests failed"}
    kept.run("--affected")
    assert kept.affected() == {}


def test_a_run_that_stops_early(kept):
    kept.write(
        {
            "test_a.py": "def test_it(): assert 0\ndef test_other(): pass\n",
            "test_b.py": "def test_new(): pass\n",
        }
    )
    before = kept.record("test_b.py")
    result = kept.run("--affected", "-x")
    assert outcomes(result) == {"test_a.py::test_it": "failed"}
    # The child that stops is killed, unless it has said by then what it observed.
    found = kept.record("test_a.py")
    assert found is None or found["outcome"] == "failed"
    assert kept.record("test_b.py") == before
    assert kept.affected() == {
        "test_a.py": "one of its tests failed" if found else "no record yet",
        "test_b.py": "test_b.py",
    }


def test_a_file_that_cannot_be_collected(kept):
    """It is an error as ever. What its record says holds again once the file is as it was."""
    before = kept.record("test_b.py")
    kept.write({"test_a.py": PASSES + "CHANGED = 1\n", "test_b.py": "import nowhere_to_be_found\n"})
    stopped = kept.run("--affected")
    assert stopped.status == 2
    assert stopped.outcomes == {}
    result = kept.run("--affected", "--continue-on-collection-errors")
    assert reasons(result) == {"test_a.py": "test_a.py"}
    assert outcomes(result) == {"test_a.py::test_it": "passed", "test_a.py::test_other": "passed"}
    assert result.status == 1
    assert kept.record("test_b.py") == before
    kept.write({"test_b.py": PASSES})
    assert kept.affected() == {}


def test_a_declaration_that_makes_no_sense(tmp_path):
    kept = Kept(tmp_path, {"pytest.ini": "[pytest]\nhotreload_depends = schema/*.sql\n", "test_a.py": PASSES})
    result = kept.run()
    assert result.status == 4
    (line,) = [each for each in result.errors if each]
    assert line == (
        "ERROR: hotreload: hotreload_depends has the line 'schema/*.sql', which is not 'WHAT -> TEST FILES'; "
        "hint: for example schema/*.sql -> tests/db/**"
    )


def test_one_glob_in_a_marker(tmp_path):
    kept = Kept(tmp_path, {
        "test_a.py": "import pytest\npytestmark = pytest.mark.hotreload(depends='a/*.sql')\n" + PASSES,
        "a/x.sql": "1",
        "z/x.sql": "1",
    })  # fmt: skip
    kept.run()
    assert [glob for glob, _ in kept.record("test_a.py")["declared"]] == ["a/*.sql"]
    kept.write({"z/x.sql": "2"})
    assert kept.affected() == {}
    kept.write({"a/x.sql": "2"})
    assert kept.affected() == {"test_a.py": "a file that matches a/*.sql changed"}


@pytest.mark.parametrize(
    "how", ["--no-cache", "--hotreload-no-cache", "PYTEST_HOTRELOAD_NO_CACHE=1", "-p no:cacheprovider"]
)
def test_without_records(tmp_path, how):
    kept = Kept(tmp_path, {"test_a.py": PASSES})
    name, _, value = how.partition("=")
    kept.environ.update({name: value} if value else {})
    arguments = [] if value else how.split()
    result = kept.run("--affected", *arguments)
    assert said(result) == ["there are no records (no cache): everything runs"]
    assert outcomes(result) == {"test_a.py::test_it": "passed", "test_a.py::test_other": "passed"}
    assert kept.run(*arguments).status == 0
    assert not (kept.root / ".pytest_cache/d/hotreload/records-5").exists()


def test_records_are_neither_read_nor_written_without_cache(kept):
    before = {file: kept.record(file) for file in kept.files()}
    kept.write({"test_a.py": "def test_it(): assert 0\n"})
    kept.run("--no-cache")
    assert {file: kept.record(file) for file in kept.files()} == before


@pytest.mark.parametrize(
    "place", [".pytest_cache", ".pytest_cache/d/hotreload", ".pytest_cache/d/hotreload/records-5"]
)
def test_a_store_that_cannot_be_written(tmp_path, place):
    """One line, and nothing else is other than in plain pytest."""
    kept = Kept(tmp_path, {"test_a.py": PASSES, "test_b.py": "def test_it(): assert 0\n", place: "a file\n"})
    plain, ours = kept.project.both(slots=1)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)
    assert ours.status == 1
    assert len([line for line in said(ours) if "can't be written" in line]) == 1, ours.notices
    assert (kept.root / place).read_text() == "a file\n"


def test_a_corrupt_record(kept):
    """Is cold, and told of in one line; the other one holds."""
    stored = sorted((kept.root / ".pytest_cache/d/hotreload/records-5").rglob("*"))
    (record,) = [path for path in stored if path.is_file() and b'"test_b.py"' in path.read_bytes()[:200]]
    record.write_bytes(record.read_bytes()[:-40])
    result = kept.run("--affected")
    assert reasons(result) == {"test_b.py": "no record yet"}
    notes = [line for line in said(result) if "corrupt" in line]
    folder = "<root>/.pytest_cache/d/hotreload/records-5/tree"
    assert notes == [f"records: record ignored: {folder}/test_b.py.json: corrupt: cut off"]
    assert kept.affected() == {}
    assert said(kept.run()) == ["unchanged since their last run: 2 of 2 test files"]
