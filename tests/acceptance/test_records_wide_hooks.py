"""A conftest of one folder may change the tests of all folders: pytest gives some of its hooks all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .keeping import Kept, outcomes

HOOK = "import rules, pytest\ndef pytest_collection_modifyitems(items):\n    {0}\n"
MARKS = HOOK.format("[item.add_marker(pytest.mark.skip) for item in items if rules.skips(item)]")
RULES = "def skips(item):\n    return {0}\ndef other():\n    return 1\n"
FILES = {
    "pytest.ini": "[pytest]\npythonpath = src\n",
    "src/rules.py": RULES.format("False"),
    "one/conftest.py": MARKS,
    "one/test_one.py": "def test_one(): pass\n",
    "two/conftest.py": "",
    "two/test_two.py": "def test_two(): pass\n",
}
ALL = {"one/test_one.py", "two/test_two.py"}
SKIPPED = {"one/test_one.py::test_one": "skipped", "two/test_two.py::test_two": "skipped"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    kept = Kept(tmp_path_factory.mktemp("wide"), FILES)
    assert set(outcomes(kept.run()).values()) == {"passed"}
    return kept


def test_what_the_hook_calls_concerns_all_tests(kept: Kept) -> None:
    assert kept.affected() == {}
    kept.write({"src/rules.py": RULES.format("False").replace("1", "2")})
    if sys.version_info >= (3, 12):
        assert kept.affected() == {}, "the hook does not call it"
    kept.write({"src/rules.py": RULES.format("True")})
    assert outcomes(kept.run("--affected")) == SKIPPED
    kept.write({"src/rules.py": RULES.format("False")})
    assert set(outcomes(kept.run("--affected")).values()) == {"passed"}


def test_a_hook_that_comes_or_goes_concerns_all_tests(tmp_path: Path) -> None:
    kept = Kept(tmp_path, {**FILES, "src/rules.py": RULES.format("True"), "one/conftest.py": ""})
    assert set(outcomes(kept.run()).values()) == {"passed"}
    kept.write({"one/conftest.py": MARKS})
    assert kept.affected()["two/test_two.py"] == "hooks of one/conftest.py concern all tests"
    assert outcomes(kept.run("--affected")) == SKIPPED
    assert kept.affected() == {}
    kept.write({"one/conftest.py": ""})
    assert kept.affected().keys() == ALL


def test_a_record_that_was_made_without_the_hook(tmp_path: Path) -> None:
    """A run of another folder alone does not load the conftest."""
    kept = Kept(tmp_path, {**FILES, "src/rules.py": RULES.format("True")})
    assert outcomes(kept.run("two")) == {"two/test_two.py::test_two": "passed"}
    assert kept.affected().keys() == ALL
