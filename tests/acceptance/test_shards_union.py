"""The shards of a suite together run plain pytest's tests: each once, with its outcome, for every kind of suite."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from . import sample
from .compare import Outcomes, Project, Result
from .keeping import outcomes, said


def shards(project: Project, of: int, *args: str, slots: int = 1, **how: Any) -> list[Result]:
    """One run for each, without anything known."""
    return [
        project.run(*args, f"--shard={number}/{of}", "-pno:cacheprovider", slots=slots, **how)
        for number in range(1, of + 1)
    ]


def with_records(project: Project, of: int, *args: str, slots: int = 1) -> list[Result]:
    """One run for each, with the same cache before each, as machines have it that restore one."""
    found = []
    cache, kept = project.root("forks") / ".pytest_cache", project.top / "kept"
    shutil.copytree(cache, kept)
    for number in range(1, of + 1):
        found.append(project.run(*args, f"--shard={number}/{of}", slots=slots))
        shutil.rmtree(cache)
        shutil.copytree(kept, cache)
    shutil.rmtree(kept)
    return found


def union(results: Iterable[Result]) -> Outcomes:
    """Of all shards. No node id is in two of them."""
    found: Outcomes = {}
    for result in results:
        twice = found.keys() & result.outcomes.keys()
        assert twice == set(), result.raw
        found.update(result.outcomes)
    return found


def fingerprints(results: Iterable[Result]) -> set[str]:
    plans = [line.partition("plan ")[2].partition(",")[0] for each in results for line in said(each)[:1]]
    assert all(len(plan) == 12 for plan in plans), plans
    return set(plans)


def same(plain: Result, results: Sequence[Result]) -> None:
    """The union is the plain run, each shard is in its order, and all agree on the plan."""
    assert union(results) == plain.outcomes
    for result in results:
        assert result.order == [nodeid for nodeid in plain.order if nodeid in result.outcomes]
    assert len(fingerprints(results)) == 1


def recorded(project: Project, *args: str) -> None:
    """Run all of it, so that durations are known."""
    result = project.run("--hotreload", *args, slots=2)
    assert result.status in (0, 1), result.raw


def test_every_outcome_of_a_whole_suite(project):
    project.write(sample.FILES)
    plain = project.run(slots=None)
    recorded(project)
    results = with_records(project, 3, slots=2)
    same(plain, results)
    assert union(results) == sample.OUTCOMES
    assert [result.status for result in results].count(1) >= 1
    assert all(", by durations" in said(result)[0] for result in results)


ODD: Mapping[str, str] = {
    "pytest.ini": "[pytest]\naddopts = --doctest-modules --doctest-glob=*.md\n",
    "conftest.py": """\
        import pytest

        class Row(pytest.Item):
            def runtest(self):
                assert self.name != "bad"

        class Table(pytest.File):
            def collect(self):
                for line in self.path.read_text().split():
                    yield Row.from_parent(self, name=line)

        class Loose(pytest.Directory):
            def collect(self):
                yield Row.from_parent(self, name="loose", path=self.path / "rows.loose")
                yield Row.from_parent(self, name="other", path=self.path / "more.loose")

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".table":
                return Table.from_parent(parent, path=file_path)

        def pytest_collect_directory(path, parent):
            if path.name == "loose":
                return Loose.from_parent(parent, path=path)
        """,
    "one.table": "good bad",
    "two.table": "good",
    "sub/three.table": "good bad",
    "loose/rows.loose": "",
    "loose/more.loose": "",
    "guide.md": ">>> 1 + 1\n2\n",
    "sub/other.md": ">>> 1 + 1\n3\n",
    "package/__init__.py": '">>> 2 + 2\\n5\\n"\n',
    "package/code.py": 'def code():\n    """\n    >>> 3\n    3\n    """\n',
    "package/test_code.py": 'def test_code():\n    """\n    >>> 3\n    3\n    """\n',
    "test_é one.py": "def test_accent(): pass\n",
    "deep/er/test_same.py": "def test_deep(): pass\n",
    "deep/er/__init__.py": "",
    "test_same.py": "def test_same(): assert 0\n",
    "test_x/test_y.py": "def test_slash(): pass\n",
    "test_x\\test_y.py": "def test_backslash(): pass\n",
    "empty/test_nothing.py": "",
}


def test_files_that_no_pattern_names(project):
    """Doctests, a plugin's own files, items of a folder, a package's own file; links to a file and to a folder."""
    project.write(ODD)
    for side in ("plain", "forks"):
        root = project.root(side)
        (root / "linked").symlink_to(root / "deep", target_is_directory=True)
        (root / "test_link.py").symlink_to(root / "test_same.py")
    plain = project.run(slots=None)
    assert len(plain.outcomes) == 20
    results = shards(project, 3)
    same(plain, results)
    assert all(
        "assigned to shards in turns, by the hash of their paths" in " ".join(result.notices)
        for result in results
    )


SPREAD: Mapping[str, str] = {
    "pytest.ini": "[pytest]\nmarkers =\n    slow\n",
    **{
        f"tests/test_{name}.py": f"""\
            import pytest

            def test_{name}(): assert {name != "c"}

            @pytest.mark.slow
            @pytest.mark.parametrize("x", ["a::b", "[", "é"])
            def test_slow_{name}(x): pass

            class TestIn:
                def test_in(self): pass
            """
        for name in "abcdef"
    },
    "tests/sub/test_g.py": "def test_g(): pass\n",
}

SELECTIONS = {
    "ids": ["tests/test_a.py::test_a", "tests/test_b.py::TestIn", "tests/test_c.py::test_slow_c[a::b]"],
    "files": ["tests/test_a.py", "./tests/test_b.py", "tests/sub/../test_c.py"],
    "overlapping": ["tests/sub", "tests/test_a.py::test_a", "tests", "--keep-duplicates"],
    "deselected": ["-k", "slow or test_g", "-m", "slow", "--deselect=tests/test_a.py"],
    "ignored": ["--ignore=tests/test_a.py", "--ignore-glob=*_b.py"],
    "from another folder": ["test_a.py", "sub"],
    "as modules": ["--pyargs", "tests.test_a", "tests.sub.test_g::test_g", "tests.test_c"],
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_whatever_is_selected(project, name):
    project.write(SPREAD)
    if name == "as modules":
        project.write({"tests/__init__.py": "", "tests/sub/__init__.py": ""})
    cwd = "tests" if name == "from another folder" else "."
    plain = project.run(*SELECTIONS[name], slots=None, cwd=cwd)
    assert plain.outcomes
    results = shards(project, 2, *SELECTIONS[name], cwd=cwd)
    same(plain, results)
    assert max(result.status for result in results) == plain.status


@pytest.mark.slow
def test_affected_and_last_failed(project):
    """Of the same records and the same memory of failures; one failure has been renamed since."""
    project.write(SPREAD)
    recorded(project)
    project.run(slots=None)  # which remembers what failed, in the other copy
    for options in (["--affected"], ["--lf"]):
        whole = project.run("--hotreload", *options, "--co", "-q", slots=1)
        wanted = {line for line in whole.lines if "::" in line}
        results = with_records(project, 2, *options)
        assert union(results).keys() == wanted
        assert wanted
    change = {"tests/test_c.py": "def test_renamed(): assert 0\n"}
    project.write(change)
    plain = project.run("--lf", slots=None)
    assert len(plain.outcomes) == 27, "what failed is gone, so everything runs"
    assert union(with_records(project, 2, "--lf")) == plain.outcomes


def test_what_another_shard_owns_is_not_imported(project):
    """Nor asked of by anybody but those who say what it is."""
    files = {
        f"test_{n}.py": f"import pathlib; pathlib.Path('ran').joinpath('{n}').touch()\ndef test_{n}(): pass\n"
        for n in range(12)
    }
    project.write({**files, "ran/.keep": "", "pytest.ini": "[pytest]\n"})
    ran = project.root("forks") / "ran"
    found: list[set[str]] = []
    for number in (1, 2, 3):
        result = project.run(f"--shard={number}/3", "-pno:cacheprovider", slots=2)
        imported = {path.name for path in ran.iterdir()} - {".keep"}
        assert {f"test_{name}.py::test_{name}" for name in imported} == result.outcomes.keys()
        found.append(imported)
        for name in imported:
            (ran / name).unlink()
    assert [bool(each) for each in found] == [True, True, True]
    assert set.union(*found) == {str(n) for n in range(12)}


def test_a_slot_that_collects_for_itself_collects_its_shard(project):
    """Its conftest reads the worker id early, so each slot is a process with a collection of its own."""
    files = {
        f"test_{n}.py": f"import pathlib; pathlib.Path('ran').joinpath('{n}').touch()\ndef test_{n}(): pass\n"
        for n in range(8)
    }
    early = 'import os\nWORKER = os.environ.get("PYTEST_XDIST_WORKER", "none")\n'
    project.write({**files, "conftest.py": early, "ran/.keep": "", "pytest.ini": "[pytest]\n"})
    ran = project.root("forks") / "ran"
    result = project.run("--shard=1/2", slots=2)
    assert any("so each slot collects in its own process" in line for line in result.notices)
    imported = {path.name for path in ran.iterdir()} - {".keep"}
    assert 0 < len(imported) < 8
    assert outcomes(result) == {f"test_{n}.py::test_{n}": "passed" for n in imported}


def test_a_file_that_one_machine_does_not_list_runs_once(project):
    """A plan of another tree: what it names and is gone is ignored, what it does not name has an owner."""
    project.write(
        {**{f"test_{n}.py": f"def test_{n}(): pass\n" for n in range(6)}, "pytest.ini": "[pytest]\n"}
    )
    project.run("--shard=1/2", "--shard-plan=plan.json", slots=1)
    project.write({f"test_new_{n}.py": f"def test_new_{n}(): pass\n" for n in range(6)})
    project.each(lambda root: (root / "test_0.py").unlink())
    plain = project.run(slots=None)
    results = shards(project, 2, "--shard-from=plan.json")
    assert len(plain.outcomes) == 11
    same(plain, results)


def test_every_way_to_start_and_to_isolate(project):
    project.write({f"test_{n}.py": f"def test_{n}(): assert {n}\n" for n in range(3)})
    plain = project.run(slots=None)
    for options in (["--hotreload-isolate=strict"], ["--hotreload-start=spawn"]):
        assert union(shards(project, 2, *options, slots=2)) == plain.outcomes


def test_records_of_other_shards_stay(project):
    """A shard that does not find a file must not take it for gone."""
    project.write(
        {**{f"test_{n}.py": f"def test_{n}(): pass\n" for n in range(6)}, "pytest.ini": "[pytest]\n"}
    )
    recorded(project)
    tree = project.root("forks") / ".pytest_cache/d/hotreload/records-5/tree"
    before = sorted(path.name for path in tree.rglob("*.json"))
    assert len(before) == 6
    project.run("--shard=1/3", slots=1)
    assert sorted(path.name for path in tree.rglob("*.json")) == before
