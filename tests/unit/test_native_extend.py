"""Records that are extended by what a part of a file's tests saw: nothing is lost, and nothing becomes fresh."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from .records import ENVIRONMENT, EPOCH, TEST, Project, draft, started, touch, verdict

PAIRS = ("closure", "reads", "listings", "layout", "environment", "declared", "project")
TEXTS = ("coupled_with", "roots", "started", "flags", "ports", "writes", "serial")
SOURCE = "src/pkg/core.py"
#: (first line, qualified name) of the functions of the source.
FUNCTIONS = [(1, "f"), (4, "g"), (7, "h"), (10, "i")]
TEXT = "".join(f"def {name}():\n    return {line}\n\n" for line, name in FUNCTIONS)
TESTS = [f"{TEST}::test_{number}" for number in range(3)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write(SOURCE, TEXT)
    project.write("data/a.txt", "a")
    project.write("data/b.txt", "b")
    return project


def extend(project: Project, **changes: Any) -> int:
    drafts = {TEST: json.dumps(draft(**changes))}
    return project.records.extend_all(drafts, epochs=[EPOCH], started_ns=started(), environment=ENVIRONMENT)


def ran(tests: list[set[int] | None], outside: set[int] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
    """The functions of a draft: what each test ran, as indexes of :data:`FUNCTIONS`."""
    every = set(outside).union(*(test for test in tests if test is not None))
    return {
        "files": [[SOURCE, FUNCTIONS]],
        "ran": sorted(every),
        "outside": sorted(outside),
        "tests": [None if test is None else sorted(test) for test in tests],
        "undivided": "",
    }


def told(nodeids: list[str], outcome: str = "passed") -> list[list[object]]:
    return [[nodeid, outcome, 0.1] for nodeid in nodeids]


def functions_of(project: Project, nodeid: str | None = None) -> set[str] | None:
    found = project.records.functions_of(TEST, nodeid)
    return None if found is None else set(dict(found).get(SOURCE, ()))


def names(numbers: set[int]) -> set[str]:
    return {FUNCTIONS[number][1] for number in numbers}


def test_a_file_without_a_record_gets_none(project: Project) -> None:
    assert extend(project) == 0
    assert project.records.files() == []


@pytest.mark.parametrize("clean", [True, False])
def test_a_record_of_another_epoch(project: Project, clean: bool) -> None:
    project.put(epoch="f" * 32)
    before = project.get()
    extend(project, outcome="passed" if clean else "failed")
    if clean:
        assert project.get() == before
    else:
        assert project.records.files() == []


def test_the_same_changes_no_byte(project: Project) -> None:
    project.put(functions=ran([{0}]))
    before = project.place().read_bytes()
    assert extend(project, functions=ran([{0}])) == 0
    assert project.place().read_bytes() == before


def test_a_known_input_keeps_its_fingerprint(project: Project) -> None:
    project.put(reads=[["data/a.txt", touch(project.root / "data/a.txt")]])
    before = dict(project.get()["reads"])
    project.write("data/a.txt", "changed")
    extend(
        project,
        reads=[[f"data/{name}.txt", touch(project.root / f"data/{name}.txt")] for name in "ab"],
    )
    after = dict(project.get()["reads"])
    assert after["data/a.txt"] == before["data/a.txt"]
    assert after["data/b.txt"] is not None
    assert project.check() == verdict("content", "data/a.txt")
    project.write("data/a.txt", "a")
    assert project.check() == verdict("fresh")
    project.write("data/b.txt", "changed")
    assert project.check() == verdict("content", "data/b.txt")


def test_the_worse_outcome_counts(project: Project) -> None:
    project.put(tests=told(TESTS))
    extend(project, tests=told(TESTS[1:2], "failed"), outcome="failed")
    assert [outcome for _, outcome, _ in project.get()["tests"]] == ["passed", "failed", "passed"]
    assert project.check() == verdict("failed")
    extend(project, tests=told([*TESTS, f"{TEST}::test_new"]))
    assert [row[:2] for row in project.get()["tests"]] == [
        [TESTS[0], "passed"],
        [TESTS[1], "failed"],
        [TESTS[2], "passed"],
    ]
    assert project.check() == verdict("failed")


def test_functions_are_the_union(project: Project) -> None:
    randoms = random.Random(7)
    for _ in range(40):
        project.records.clear()
        then = [{number for number in range(4) if randoms.random() < 0.4} for _ in TESTS]
        now = [{number for number in range(4) if randoms.random() < 0.4} for _ in TESTS[1:]]
        outside = {number for number in range(4) if randoms.random() < 0.2}
        project.put(tests=told(TESTS), functions=ran(list(then)))
        extend(project, tests=told(TESTS[1:]), functions=ran(list(now), outside))
        assert functions_of(project, TESTS[0]) == names(then[0])
        for test, one, other in zip(TESTS[1:], then[1:], now, strict=True):
            assert functions_of(project, test) == names(one | other)
        assert functions_of(project) == names(outside.union(*then, *now))


def test_functions_across_an_edit(project: Project) -> None:
    """Bodies that changed have the same numbers; after any other change nothing is added."""
    project.put(tests=told(TESTS), functions=ran([{0}, {1}, set()]))
    project.write(SOURCE, TEXT.replace("return 4", "return 5"))
    extend(project, tests=told(TESTS[:1]), functions=ran([{2}]))
    assert functions_of(project, TESTS[0]) == {"f", "h"}
    project.write(SOURCE, TEXT + "MORE = 1\n")
    extend(project, tests=told(TESTS[:1]), functions=ran([{3}]))
    assert functions_of(project, TESTS[0]) == {"f", "h"}
    assert functions_of(project) == {"f", "g", "h"}


def test_what_is_not_known_stays_so(project: Project) -> None:
    project.put(tests=told(TESTS), functions=ran([{0}, None, {1}]))
    extend(project, tests=told(TESTS[1:]), functions=ran([{1}, None]))
    assert functions_of(project, TESTS[0]) == {"f"}
    assert functions_of(project, TESTS[1]) is None
    assert functions_of(project, TESTS[2]) is None
    extend(project, tests=told(TESTS[:1]), functions={**ran([None]), "files": []})
    assert project.get()["functions"]["divided"] == []
    unknown = {"files": [], "ran": [], "outside": [], "tests": [], "undivided": "it starts processes"}
    extend(project, tests=told(TESTS[:1]), functions=unknown)
    assert project.get()["functions"]["undivided"] == "it starts processes"
    extend(project, tests=told(TESTS[:1]), functions=ran([{0}]))
    assert project.get()["functions"]["undivided"] == "it starts processes"


#: Inputs of random records; the last does not exist.
FILES = ["src/pkg/__init__.py", SOURCE, "data/a.txt", "data/b.txt", "data/none.txt"]


def some(randoms: random.Random, names: list[str]) -> list[str]:
    return [name for name in names if randoms.random() < 0.5]


def facts(randoms: random.Random, project: Project, nodeids: list[str]) -> dict[str, Any]:
    """What a random run of these tests says."""
    closure = some(randoms, FILES[:2])
    paths = {name: project.root / name for name in some(randoms, FILES) if name not in closure}
    functions = {"functions": ran([{randoms.randrange(4)} for _ in nodeids])} if SOURCE in closure else {}
    return {
        "closure": closure,
        "reads": [[name, touch(path) if path.exists() else None] for name, path in paths.items()],
        "listings": some(randoms, ["data", "src"]),
        "environment": some(randoms, ["LANG", "HOME", "NONE"]),
        "started": some(randoms, ["make"]),
        "ports": some(randoms, ["1", "2"]),
        "tests": told(nodeids),
        "outcome": randoms.choice(["passed", "passed", "failed"]),
        **functions,
    }


def test_nothing_is_lost_and_nothing_becomes_fresh(project: Project) -> None:
    """Random records and parts: whatever is on the disk, the extended record is fresh only where the old one was."""
    randoms = random.Random(1)
    states = ["a", "b", TEXT, TEXT.replace("return 7", "return 8")]
    fresh = 0
    for _ in range(150):
        project.records.clear()
        project.write(SOURCE, TEXT)
        project.put(**facts(randoms, project, TESTS))
        old = project.get()
        for name in some(randoms, ["data/a.txt", SOURCE]):
            project.write(name, randoms.choice(states))
        part = facts(randoms, project, some(randoms, TESTS))
        was = project.again().check([TEST], epochs=[EPOCH], environment=ENVIRONMENT)[0][1]
        extend(project, **part)
        new = project.get()
        assert [(key, pair) for key in PAIRS for pair in old[key] if pair not in new[key]] == []
        assert [key for key in TEXTS if not set(old[key]) <= set(new[key])] == []
        is_now = project.again().check([TEST], epochs=[EPOCH], environment=ENVIRONMENT)[0][1]
        assert was == "fresh" or is_now != "fresh"
        fresh += is_now == "fresh"
    assert fresh > 5
