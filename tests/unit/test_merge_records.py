"""Records and durations of several shards in one cache: the shard that ran a file decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_hotreload import _native
from pytest_hotreload.ci import merge_cache
from pytest_hotreload.ci.merge_checks import Result
from pytest_hotreload.records import couplings, last_run, plan_durations

from .records import ENVIRONMENT, Project, draft, started

A, B, C, D = (f"tests/test_{name}.py" for name in "abcd")


class Machine:
    """A shard's folder: its cache, and its results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.project = Project(folder)
        for name in (A, B, C, D):
            self.project.write(name)
        self.store = folder / ".pytest_cache/d/hotreload"
        self.ran: dict[str, str] = {}
        self.errors: list[dict[str, str]] = []

    def knows(self, file: str, flag: str, outcome: str = "passed") -> None:
        """Its cache has a record of the file."""
        drafts = {file: json.dumps(draft(flags=[flag], outcome=outcome))}
        self.project.records.put_all(drafts, started_ns=started(), environment=ENVIRONMENT)

    @property
    def result(self) -> Result:
        tests = [
            {"nodeid": f"{file}::test", "file": file, "outcome": outcome, "seconds": 1.5, "reused": None}
            for file, outcome in self.ran.items()
        ]
        files = [{"file": file, "tests": 1, "seconds": 1.5} for file in self.ran]
        said = {"tests": tests, "files": files, "errors": self.errors, "stopped": None, "exitstatus": 0}
        return Result(self.folder / "results.json", said)

    def remembers(self, key: str, *nodeids: str) -> None:
        """pytest's own memory in its cache."""
        path = self.folder / ".pytest_cache/v/cache" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict.fromkeys(nodeids, True) if key == "lastfailed" else list(nodeids)))


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    (tmp_path / "merging").mkdir()
    monkeypatch.chdir(tmp_path / "merging")
    return [Machine(tmp_path / str(number)) for number in (1, 2)]


def merged(machines: list[Machine]) -> dict[str, Any]:
    """File -> flag of its record."""
    results = [machine.result for machine in machines]
    stores = [machine.store for machine in machines if machine.store.exists()]
    merge_cache.merge(results, stores, Path("cache"))
    store = _native.RecordStore("cache/d/hotreload", ".")
    return {file: json.loads(store.get(file) or "{}")["flags"][0] for file in store.files()}


def test_of_each_file_what_knows_who_ran_it(machines: list[Machine]) -> None:
    one, two = machines
    one.ran, two.ran = {A: "passed"}, {B: "skipped"}
    for machine, flag in ((one, "one"), (two, "two")):
        for file in (A, B):
            machine.knows(file, flag)
    one.knows(C, "old")  # nobody ran it: whoever knows it
    assert merged(machines) == {A: "one", B: "two", C: "old"}
    assert merged(machines[::-1]) == {A: "one", B: "two", C: "old"}


def test_what_failed_does_not_come_back(machines: list[Machine]) -> None:
    """Its record was removed where it failed, and the other's older one says that it passed."""
    one, two = machines
    one.ran = {A: "failed"}
    two.knows(A, "old")
    two.knows(B, "old")
    store = _native.RecordStore("cache/d/hotreload", ".")
    store.adopt(str(two.store), [A])  # and so does the cache that is merged into
    assert store.files() == [A]
    assert merged(machines) == {B: "old"}


def test_a_record_of_a_failure_is_one(machines: list[Machine]) -> None:
    one, two = machines
    one.ran = {A: "failed"}
    one.knows(A, "new", outcome="failed")
    two.knows(A, "old")
    assert merged(machines) == {A: "new"}


def test_where_shards_share_a_folder(machines: list[Machine]) -> None:
    """Whose record of a failed file that is, nobody knows."""
    one, two = machines
    one.ran, two.ran = {A: "failed", C: "passed"}, {B: "passed"}
    for file in (A, B, C):
        one.knows(file, "some")
    two.folder = one.folder
    assert merged([one, two]) == {B: "some", C: "some"}


def test_a_shard_without_records(machines: list[Machine]) -> None:
    one, two = machines
    one.ran, two.ran = {A: "passed"}, {B: "passed"}
    for file in (A, B):
        two.knows(file, "two")
    assert merged(machines) == {B: "two"}


def test_reused_results_are_no_runs(machines: list[Machine]) -> None:
    one, _ = machines
    one.knows(A, "kept")
    result = one.result.said["tests"]
    result.append(
        {"nodeid": "x", "file": A, "outcome": "skipped", "seconds": 0, "reused": {"at": "", "revision": ""}}
    )
    said = {"tests": result, "files": [], "errors": [], "stopped": None}
    merge_cache.merge([Result(one.folder / "r.json", said)], [one.store], Path("cache"))
    assert _native.RecordStore("cache/d/hotreload", ".").files() == [A]
    assert json.loads(Path("cache/v/hotreload/durations").read_text()) == {}


def test_durations_of_plans(machines: list[Machine]) -> None:
    """What a shard measured completely; of other files, what any cache knew."""
    one, two = machines
    one.ran, two.ran = {A: "passed"}, {B: "passed"}
    for machine, file in ((one, A), (one, C), (two, B), (two, D)):
        machine.store.mkdir(parents=True, exist_ok=True)
        known = plan_durations.Measured(9.0, 8.0, ("numpy",))
        plan_durations.save(machine.store, {file: known}, keep=(A, C, B, D))
    stopped = Result(two.folder / "results.json", {**two.result.said, "stopped": "by -x"})
    merge_cache.merge([one.result, stopped], [one.store, two.store], Path("cache"))
    older = plan_durations.Measured(9.0, 8.0, ("numpy",))
    assert plan_durations.load(Path("cache/d/hotreload")) == {
        A: plan_durations.Measured(1.5, 0.0, ("numpy",)),
        **dict.fromkeys((B, C, D), older),
    }


def test_durations_and_couplings(machines: list[Machine]) -> None:
    one, two = machines
    one.ran, two.ran = {A: "passed"}, {B: "passed"}
    for machine, known in ((one, {A: 9.0, C: 3.0}), (two, {A: 8.0, D: 4.0})):
        machine.knows(D, "d")
        path = machine.folder / ".pytest_cache/v/hotreload/durations"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(known))
        couplings.save(machine.store, (), {C: ["some.module"]})
    (two.folder / ".pytest_cache/v/hotreload/learned").write_text("no JSON")
    merged(machines)
    durations = json.loads(Path("cache/v/hotreload/durations").read_text())
    assert durations == {A: 1.5, B: 1.5, C: 3.0, D: 4.0}
    assert couplings.load(Path("cache/d/hotreload")) == {C: ["some.module"]}


def memory(key: str) -> list[str]:
    return list(json.loads(Path("cache/v/cache", key).read_text()))


def test_failures_that_pytest_remembers(machines: list[Machine]) -> None:
    """Of what ran, the outcome counts; of the rest, what anybody knew."""
    one, two = machines
    one.ran, two.ran = {A: "failed", B: "xfailed"}, {C: "error"}
    two.errors = [{"nodeid": D, "text": "SyntaxError"}, {"nodeid": "", "text": "INTERNALERROR"}]
    for machine in machines:
        machine.knows(A, "some")  # so that there is a cache to be found
        # B passed where it ran, and could be collected again; the last was not selected.
        machine.remembers("lastfailed", f"{B}::test", B, "tests/test_other.py::test_deselected")
    merged(machines)
    assert memory("lastfailed") == [f"{A}::test", f"{C}::test", D, "tests/test_other.py::test_deselected"]
    # Next time it passes, also where only the cache that is merged into knows.
    one.ran, two.ran, two.errors = {A: "passed"}, {C: "passed", D: "skipped"}, []
    for machine in machines:
        machine.remembers("lastfailed")
    merged(machines)
    assert memory("lastfailed") == ["tests/test_other.py::test_deselected"]


def test_tests_that_pytest_knows(machines: list[Machine]) -> None:
    one, two = machines
    for machine, name in ((one, "b"), (two, "a")):
        machine.knows(A, "some")
        machine.remembers("nodeids", f"{name}::test", "both::test")
    merged(machines)
    assert memory("nodeids") == ["a::test", "b::test", "both::test"]
    (one.folder / ".pytest_cache/v/cache/nodeids").write_text("[")
    (two.folder / ".pytest_cache/v/cache/nodeids").write_text("7")
    merged(machines)
    assert memory("nodeids") == ["a::test", "b::test", "both::test"]


def test_of_each_file_its_last_run(machines: list[Machine]) -> None:
    one, two = machines
    one.knows(A, "one")
    two.knows(B, "two")
    early, late = last_run.Last(100, "1111111"), last_run.Last(200, "2222222")
    last_run.save(one.store, {A: late, B: early, D: late}, ())
    last_run.save(two.store, {A: early, B: late}, ())
    merged(machines)
    assert last_run.load(Path("cache/d/hotreload")) == {A: late, B: late}, "of those that have records"
