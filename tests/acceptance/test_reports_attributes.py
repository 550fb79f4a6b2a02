"""All attributes of reports and items, in every reporting hook of the controller: those of plain pytest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ADAPTERS = str(Path(__file__).with_name("adapters"))
PROJECT = {
    "test_a.py": """
        import unittest

        import pytest

        def test_passes(record_property):
            print("said")
            record_property("colour", "green")
        def test_fails(): assert [1, 2] == [1, 3]
        @pytest.mark.parametrize("n", [0, 1])
        def test_each(n): assert n
        @pytest.fixture
        def broken(): raise RuntimeError("no database")
        def test_setup(broken): pass
        @pytest.mark.skip
        def test_skipped(): pass
        def test_skips(): pytest.skip("by itself")
        @pytest.mark.xfail(reason="known")
        def test_expected(): assert 0
        class TestIn:
            def test_method(self): pass
        class TestUnit(unittest.TestCase):
            def test_equal(self): self.assertEqual(1, 2)
    """,
    "sub/test_b.py": """
        import pytest

        @pytest.fixture
        def leaves():
            yield
            raise ValueError("left")
        def test_teardown(leaves): pass
    """,
    "test_c.py": """
        def test_subtests(subtests):
            for n in range(3):
                with subtests.test(n=n): assert n != 1
    """,
}


def recorded(result: Any) -> list[Any]:
    """What the recorder wrote, without the place of the project's copy."""
    text = (result.root / "attributes.json").read_text()
    return list(json.loads(re.sub(r"/[^' ]*/(plain|forks)/project", "<root>", text)))


def differences(one: list[Any], other: list[Any]) -> list[tuple[Any, ...]]:
    """(hook, test, attribute, value, other value) of each attribute that differs."""
    found: list[tuple[Any, ...]] = []
    for mine, theirs in zip(one, other, strict=True):
        assert mine[:2] == theirs[:2]
        for place, (left, right) in enumerate(zip(mine[2:], theirs[2:], strict=True)):
            if isinstance(left, dict):
                names = sorted(left.keys() | right.keys())
                found += [
                    (*mine[:2], name, left.get(name), right.get(name))
                    for name in names
                    if left.get(name) != right.get(name)
                ]
            elif left != right:
                found.append((*mine[:2], place, left, right))
    return found


@pytest.mark.parametrize("how", [[], ["--hotreload-isolate=strict"]], ids=["fork", "strict"])
def test_attributes(project, slots, how):
    project.write(PROJECT)
    project.plugins, project.outside = ["attribute_recorder"], [ADAPTERS]
    plain, ours = project.same(slots=slots, extra=how)
    assert differences(recorded(plain), recorded(ours)) == []
    hooks = [line[0] for line in recorded(plain)]
    assert {hook: hooks.count(hook) for hook in hooks} == {
        "logstart": 12,
        "logreport": 37,
        "teststatus": 34,
        "logfinish": 12,
        "sessionfinish": 12,
    }
