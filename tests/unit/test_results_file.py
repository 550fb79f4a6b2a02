"""The results file: written data can be read, damaged data is refused, and the schema describes both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.ci import results_file
from pytest_hotreload.ci.results_file import UnusableError


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
        ({"tests": {}}, "tests is not of type list"),
        ({"tests": [{"nodeid": "a"}]}, r"tests\[0\] has no 'file'"),
        ({"collected": True}, "collected is not of type int"),
        ({"seconds": -1}, "seconds is -1, less than 0"),
        ({"stopped": 3}, "stopped is not of type str"),
        ({"deselected": ["a", None]}, r"deselected\[1\] is not of type str"),
        (
            {"merged": [{"shard": "1", "exitstatus": 0, "seconds": 0}]},
            r"merged\[0\].shard is not of type int",
        ),
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


def test_an_outcome_that_is_none(tmp_path: Path) -> None:
    wrong = document()
    wrong["tests"][0]["outcome"] = "fine"
    results_file.write(tmp_path / "r.json", wrong)
    with pytest.raises(UnusableError, match=r"tests\[0\].outcome is 'fine', none of "):
        results_file.read(tmp_path / "r.json")


@pytest.mark.parametrize("number", ["Infinity", "NaN", "true"])
def test_a_number_that_is_none(tmp_path: Path, number: str) -> None:
    text = json.dumps(document()).replace('"seconds": 0.5', f'"seconds": {number}')
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UnusableError, match="seconds is not of type number"):
        results_file.read(tmp_path / "r.json")


def test_the_check_knows_every_word_of_the_schema() -> None:
    checked = {"type", "properties", "required", "items", "enum", "const", "anyOf", "minimum"}
    words = {"description", "title", "$schema", "$id", "additionalProperties"}

    def used(schema: dict[str, Any]) -> set[str]:
        below = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
        below += [schema["items"]] if "items" in schema else []
        return set(schema).union(*map(used, below))

    assert used(results_file.declared()) == checked | words


def test_further_keys_are_let_be(tmp_path: Path) -> None:
    results_file.write(tmp_path / "r.json", document(later=1))
    assert results_file.read(tmp_path / "r.json")["later"] == 1
    strictly = results_file.mismatch(document(later=1), results_file.declared(), strict=True)
    assert strictly == "it has ['later'], which are not declared"
    assert results_file.mismatch(document(), results_file.declared(), strict=True) == ""


def test_no_object(tmp_path: Path) -> None:
    for text in ("[]", "3", "[" * 100_000, "\xff"):
        (tmp_path / "r.json").write_text(text, encoding="latin-1")
        with pytest.raises(UnusableError):
            results_file.read(tmp_path / "r.json")
    with pytest.raises(UnusableError, match="it can't be read"):
        results_file.read(tmp_path)
