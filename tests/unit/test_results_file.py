"""The results file: what is written is read again, what is damaged is refused, and the schema says what is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.ci import results_file
from pytest_hotreload.ci.results_file import UnusableError

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "results.schema.json").read_text(encoding="utf-8"))


def document(**changes: Any) -> dict[str, Any]:
    test = {
        "nodeid": "a::b",
        "file": "a",
        "outcome": "failed",
        "seconds": 1,
        "reused": None,
        "text": "\udcff",
    }
    return {
        "schema": results_file.SCHEMA,
        "version": "1",
        "started": "2026-01-01T00:00:00.000+00:00",
        "seconds": 0.5,
        "exitstatus": 1,
        "python": "3.12.1",
        "platform": "linux-x86_64",
        "plan": {
            "fingerprint": "f",
            "shard": 1,
            "of": 2,
            "predicted": None,
            "files": ["a"],
            "own": ["a"],
            "left_out": [],
            "found": [],
        },
        "collected": 1,
        "deselected": [],
        "stopped": None,
        "left_to_plain": None,
        "tests": [test],
        "errors": [],
        "files": [{"file": "a", "tests": 1, "seconds": 1.0}],
        **changes,
    }


def shape(schema: dict[str, Any]) -> Any:
    """A JSON Schema, as our own reader has it."""
    if "anyOf" in schema:
        (real,) = [each for each in schema["anyOf"] if each != {"type": "null"}]
        return (shape(real), None)
    kinds = {"string": str, "integer": int, "number": float}
    kind = schema.get("type", "string")  # what is one of some strings, says no type
    if isinstance(kind, list):
        assert kind[1] == "null"
        return (kinds[kind[0]], None)
    if kind == "array":
        return [shape(schema["items"])]
    if kind == "object":
        keys = schema["properties"].items()
        return {name + "?" * (name not in schema["required"]): shape(each) for name, each in keys}
    return kinds[kind]


def test_the_schema_says_what_is_read() -> None:
    assert shape(SCHEMA) == results_file._SHAPE


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "deep/r.json"
    results_file.write(path, document())
    assert results_file.read(path) == document()
    assert [each.name for each in path.parent.iterdir()] == ["r.json"]
    assert path.read_bytes().isascii()
    assert results_file.is_one(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="Out of range"):
        results_file.write(path, document(seconds=float("nan")))
    assert results_file.read(path) == document()
    assert [each.name for each in path.parent.iterdir()] == ["r.json"]


@given(st.data())
def test_cut_off_it_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.json"
    results_file.write(path, document())
    whole = path.read_bytes().rstrip()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UnusableError):
        results_file.read(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tests": {}}, "tests is not a list"),
        ({"tests": [{"nodeid": "a"}]}, r"tests\[0\] has no 'file'"),
        ({"collected": True}, "collected is not of type int"),
        ({"seconds": -1}, "seconds is not a number"),
        ({"plan": {"shard": 1}}, "plan has no 'fingerprint'"),
        ({"started": "today"}, "started is 'today', not a time with a time zone"),
        ({"started": "2026-01-01"}, "started is '2026-01-01', not a time with a time zone"),
        ({"schema": 3}, "its schema is 3, but only 'hotreload-results/1' can be read"),
    ],
)
def test_of_another_shape(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = tmp_path / "r.json"
    results_file.write(path, document(**change))
    with pytest.raises(UnusableError, match=why):
        results_file.read(path)


def test_further_keys_are_let_be(tmp_path: Path) -> None:
    results_file.write(tmp_path / "r.json", document(later=1))
    assert results_file.read(tmp_path / "r.json")["later"] == 1


def test_no_object(tmp_path: Path) -> None:
    for text in ("[]", "3", "[" * 100_000, "\xff"):
        (tmp_path / "r.json").write_text(text, encoding="latin-1")
        with pytest.raises(UnusableError):
            results_file.read(tmp_path / "r.json")
    with pytest.raises(UnusableError, match="it can't be read"):
        results_file.read(tmp_path)
