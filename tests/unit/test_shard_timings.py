"""Timings read from records, results, plans and files, and the estimated cost of a distribution's first import."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_hotreload.ci.plan import as_json, make
from pytest_hotreload.ci.timings import Cost, Timings, as_data, from_data, merged, of_measured, of_text
from pytest_hotreload.records.plan_durations import Measured, of_record


def record(tests: list[float], collection: float, imports: float, *distributions: str) -> Measured:
    """What is taken from as much of a record as counts."""
    said: dict[str, Any] = {
        "tests": [[f"::test_{number}", "passed", seconds] for number, seconds in enumerate(tests)],
        "costs": {"collection": collection, "fixtures": 99.0, "imports": imports},
        "distributions": dict.fromkeys(distributions, "1.0"),
    }
    return of_record(said)


def test_a_file_costs_its_tests_and_its_collection() -> None:
    """Fixtures are part of the tests' setup, imports of the collection."""
    assert of_measured({"a.py": record([1.0, 0.5], 0.25, 0.2)}) == Timings({"a.py": Cost(1.75)})


def test_the_slowest_import_paid_for_what_others_found_warm() -> None:
    found = of_measured(
        {
            "a.py": record([1.0], 0.1, 0.1),
            "b.py": record([1.0], 2.1, 2.1, "torch"),
            "c.py": record([1.0], 0.1, 0.1, "torch"),
            "d.py": record([1.0], 0.1, 0.1),
        }
    )
    assert found.warm == {"torch": 2.0}
    torch = frozenset({"torch"})
    assert {name: (round(cost.seconds, 6), cost.needs) for name, cost in found.files.items()} == {
        "a.py": (1.1, frozenset()),
        "b.py": (1.1, torch),
        "c.py": (1.1, torch),
        "d.py": (1.1, frozenset()),
    }


def test_what_one_import_paid_for_is_shared_by_it() -> None:
    rest = {name: record([], 0.0, 0.0, "numpy", "pandas") for name in ("b.py", "c.py")}
    found = of_measured({"a.py": record([], 3.0, 3.0, "numpy", "pandas"), **rest})
    assert found.warm == {"numpy": 1.5, "pandas": 1.5}
    assert found.files["a.py"].seconds == 0.0


def test_imports_that_hardly_differ_warm_nothing() -> None:
    found = of_measured({f"{n}.py": record([1.0], 0.1, 0.1 + n / 1000, "attrs") for n in range(5)})
    assert found == Timings({f"{n}.py": Cost(1.1) for n in range(5)})


def test_without_records_nothing_is_known() -> None:
    assert of_measured({}) == Timings()


# ------------------------------------------------------------------------------------- files


_TIMINGS = Timings({"a.py": Cost(1.5, frozenset({"numpy"})), "b.py": Cost(0.5)}, {"numpy": 2.0})


def test_timings_survive_their_form() -> None:
    assert from_data(as_data(_TIMINGS)) == _TIMINGS
    assert of_text(json.dumps({"schema": "hotreload-timings/1", **as_data(_TIMINGS)})) == _TIMINGS


def test_names_of_another_system_are_ours() -> None:
    text = json.dumps({"schema": "hotreload-timings/1", "files": {"tests\\test_a.py": 1}})
    assert of_text(text) == Timings({"tests/test_a.py": Cost(1.0)})


def test_a_plan_holds_its_snapshot() -> None:
    assert of_text(as_json(make(["a.py", "b.py"], _TIMINGS, 2))) == _TIMINGS


def test_results_count_what_ran_whole() -> None:
    """Not a file of which some was deselected, or reused."""
    text = json.dumps(
        {
            "schema": "hotreload-results/1",
            "deselected": ["b.py::test_b[x::y]"],
            "tests": [
                {"nodeid": "a.py::test_a", "file": "a.py", "reused": None},
                {"nodeid": "c.py::test_c", "file": "c.py", "reused": {"at": "2024-01-01T00:00:00Z"}},
            ],
            "files": [
                {"file": "a.py", "tests": 1, "seconds": 2.0, "imports": 0.5, "collection": 1.0},
                {"file": "b.py", "tests": 1, "seconds": 2.0, "imports": 0.5, "collection": 1.0},
                {"file": "c.py", "tests": 1, "seconds": 0.0, "imports": 0.5, "collection": 1.0},
            ],
        }
    )
    assert of_text(text) == Timings({"a.py": Cost(3.0)})


def test_what_is_known_twice_is_the_mean_and_warming_the_most() -> None:
    one = Timings({"a.py": Cost(1.0), "b.py": Cost(7.0)}, {"numpy": 1.0, "django": 1.0})
    other = Timings({"a.py": Cost(2.0, frozenset({"numpy"}))}, {"numpy": 3.0})
    expected = Timings(
        {"a.py": Cost(1.5, frozenset({"numpy"})), "b.py": Cost(7.0)}, {"numpy": 3.0, "django": 1.0}
    )
    assert merged([one, other]) == merged([other, one]) == expected


WRONG = {
    "empty": "",
    "cut off": '{"schema": "hotreload-timings/1", "files": {"a.py": 1',
    "a list": "[]",
    "deep": '{"a":' * 100_000,
    "of nobody": {"files": {}},
    "of another": {"schema": "durations/7", "files": {"a.py": 1}},
    "no files": {"schema": "hotreload-timings/1"},
    "files of another shape": {"schema": "hotreload-timings/1", "files": [["a.py", 1]]},
    "text": {"schema": "hotreload-timings/1", "files": {"a.py": "1.0"}},
    "true": {"schema": "hotreload-timings/1", "files": {"a.py": True}},
    "negative": {"schema": "hotreload-timings/1", "files": {"a.py": -0.1}},
    "not a number": {"schema": "hotreload-timings/1", "files": {"a.py": math.nan}},
    "endless": {"schema": "hotreload-timings/1", "files": {"a.py": math.inf}},
    "no seconds": {"schema": "hotreload-timings/1", "files": {"a.py": {"needs": []}}},
    "needs no list": {"schema": "hotreload-timings/1", "files": {"a.py": {"seconds": 1, "needs": "numpy"}}},
    "needs no names": {"schema": "hotreload-timings/1", "files": {"a.py": {"seconds": 1, "needs": [1]}}},
    "warm no number": {"schema": "hotreload-timings/1", "files": {}, "warm": {"numpy": None}},
    "a plan without": {"schema": "hotreload-plan/1"},
    "results of another shape": {"schema": "hotreload-results/1", "files": {"a.py": 1}},
    "results without numbers": {"schema": "hotreload-results/1", "files": [{"file": "a.py", "seconds": "1"}]},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_corrupt_says_so(name: str) -> None:
    content = WRONG[name]
    with pytest.raises(ValueError, match=r"\S"):
        of_text(content if isinstance(content, str) else json.dumps(content))
