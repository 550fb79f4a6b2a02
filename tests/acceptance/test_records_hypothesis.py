"""Hypothesis reads the sources of all loaded modules: an input only of tests whose examples are the same each time."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .keeping import Kept, outcomes

pytestmark = pytest.mark.skipif(find_spec("hypothesis") is None, reason="needs hypothesis")

PLUGIN = ("-p", "_hypothesis_pytestplugin")
FILES = {
    "one.py": "def drawn(n):\n    return n + 1\n\ndef other():\n    return 123456\n",
    "two.py": "VALUE = 1\n",
    "test_drawn.py": """\
        import one
        from hypothesis import given, strategies

        @given(strategies.integers())
        def test_drawn(n):
            assert one.drawn(n) > n
        """,
    "test_other.py": "import one\n\ndef test_other():\n    assert one.other()\n",
    "test_two.py": "import two\n\ndef test_two():\n    assert two.VALUE\n",
}
DRAWN, OTHER, TWO = "test_drawn.py::test_drawn", "test_other.py::test_other", "test_two.py::test_two"
#: Hypothesis repeats its examples in CI.
RANDOM = """\
    from hypothesis import settings
    settings.register_profile("random", derandomize={})
    settings.load_profile("random")
    """


def kept_with(tmp_path: Path, *options: str, derandomize: bool = False) -> Kept:
    kept = Kept(tmp_path, {**FILES, "conftest.py": RANDOM.format(derandomize)})
    assert set(outcomes(kept.run(*PLUGIN, *options)).values()) == {"passed"}
    assert selected(kept, *options) == []
    return kept


def selected(kept: Kept, *options: str) -> list[str]:
    return sorted(outcomes(kept.run(*PLUGIN, "--affected", *options)))


def test_an_edit_of_a_module_affects_its_importers(tmp_path: Path) -> None:
    kept = kept_with(tmp_path)
    kept.write({"two.py": "VALUE = 2\n"})
    assert selected(kept) == [TWO]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on")
def test_an_edit_of_a_function_affects_those_that_ran_it(tmp_path: Path) -> None:
    kept = kept_with(tmp_path)
    kept.write({"one.py": FILES["one.py"].replace("123456", "654321")})
    assert selected(kept) == [OTHER]
    kept.write({"one.py": FILES["one.py"].replace("n + 1", "n + 2")})
    assert selected(kept) == [DRAWN, OTHER]


@pytest.mark.parametrize(
    ("derandomize", "options"), [(True, ()), (False, ("--hypothesis-seed=1",))], ids=["derandomize", "seed"]
)
def test_examples_that_are_the_same_depend_on_all_sources(
    tmp_path: Path, derandomize: bool, options: tuple[str, ...]
) -> None:
    """Which module's constants they are drawn from is not known, nor for which tests others remember them."""
    kept = kept_with(tmp_path, *options, derandomize=derandomize)
    kept.write({"two.py": "VALUE = 2\n"})
    assert selected(kept, *options) == [DRAWN, OTHER, TWO]
