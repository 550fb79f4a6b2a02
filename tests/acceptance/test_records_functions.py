"""Edits of single functions: they affect the test files, and the tests, that ran them."""

from __future__ import annotations

import json
import sys

import pytest

from pytest_hotreload.ci.results_file import declared, mismatch

from .commands import say
from .keeping import Kept, outcomes, said

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="functions are recorded from Python 3.12 on"
)

PRICING = '''\
"""Prices."""
import functools

RATE = 0.5


def net(price):
    """The price without tax."""
    return price


def gross(price):
    return net(price) * (1 + RATE)


@functools.lru_cache
def table(n):
    return [n * 2]


class Cart:
    note: int = 1

    def __init__(self):
        self.prices = []

    def total(self):
        return sum(gross(price) for price in self.prices)


def stream():
    yield 1


def seldom():
    return 1
'''

FILES = {
    "pricing.py": PRICING,
    "test_net.py": "import pricing\n\ndef test_net():\n    assert pricing.net(1) == 1\n",
    "test_gross.py": """\
        import pytest
        from pricing import Cart, gross, stream

        @pytest.fixture
        def cart():
            return Cart()

        def test_gross():
            assert gross(2) == 3

        def test_total(cart):
            cart.prices.append(2)
            assert cart.total() == 3

        def test_stream():
            assert list(stream()) == [1]

        def test_nothing():
            stream()
        """,
    "test_other.py": "import pricing\n\ndef test_other():\n    assert pricing.table(1) == [2]\n",
}
ALL = ("test_gross.py", "test_net.py", "test_other.py")


@pytest.fixture
def kept(tmp_path):
    kept = Kept(tmp_path, FILES)
    assert said(kept.run()) == ["unchanged since their last run: 0 of 3 test files (3 new)"]
    assert kept.affected() == {}
    return kept


@pytest.mark.parametrize(
    ("old", "new", "function", "files"),
    [
        ("return net(price)", "return 1 * net(price)", "gross", ["test_gross.py"]),
        ("return price", "return price + 0", "net", ["test_gross.py", "test_net.py"]),
        ("[n * 2]", "[n + n]", "table", ["test_other.py"]),
        ("self.prices = []", "self.prices = list()", "Cart.__init__", ["test_gross.py"]),
        ("for price in self", "for price in 1 and self", "Cart.total", ["test_gross.py"]),
        ("yield 1", "yield 0 + 1", "stream", ["test_gross.py"]),
    ],
)
def test_a_body_affects_the_files_that_ran_it(kept, old, new, function, files):
    kept.edit("pricing.py", old, new)
    assert kept.affected() == {file: f"pricing.py:{function} ← {file}" for file in files}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("return 1", "return 2", "seldom changed, which no test ran"),
        ("return price", "return price  # as it is", "only comments, layout or positions changed"),
        ("def gross", "\n\n# here\n\ndef gross", "only comments, layout or positions changed"),
        ("0.5", "0.50", "only comments, layout or positions changed"),
    ],
)
def test_an_edit_without_effect_runs_nothing_and_says_so(kept, old, new, why):
    kept.edit("pricing.py", old, new)
    result = kept.run("--affected")
    assert (result.status, result.outcomes) == (0, {})
    assert f"  pricing.py: {why}" in result.raw.splitlines()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.25"),
        ('"""The price without tax."""', '"""The price."""'),
        ("def net(price)", "def net(price, more=1)"),
        ("@functools.lru_cache", "@functools.cache"),
        ("def seldom", "def never"),
        ("yield 1", "return 1"),
        ("note: int", "(note): int"),
    ],
)
def test_everything_else_affects_all(kept, old, new):
    kept.edit("pricing.py", old, new)
    assert kept.affected() == {file: f"pricing.py ← {file}" for file in ALL}


def test_reuse_knows_functions(kept):
    kept.edit("pricing.py", "[n * 2]", "[n * 3]")
    result = kept.run("--reuse=on")
    assert result.status == 1
    assert outcomes(result)["test_other.py::test_other"] == "failed"
    assert "5 reused" in result.raw


def test_tests_that_ran_what_changed(kept):
    kept.edit("pricing.py", "return net(price)", "return 2 * net(price)")
    result = kept.run("--affected=tests")
    assert result.status == 1
    assert outcomes(result) == {
        "test_gross.py::test_gross": "failed",
        "test_gross.py::test_total": "failed",
    }
    assert "hotreload: 1 of 3 test files affected · 2 of 4 tests ran what changed" in result.raw


def test_a_run_of_single_tests_proves_nothing_of_the_file(kept):
    kept.edit("pricing.py", "return net(price)", "return 1 * net(price)")
    kept.run("--affected=tests")
    assert kept.affected() == {"test_gross.py": "pricing.py:gross ← test_gross.py"}


def test_what_ran_in_a_collection_concerns_everybody(tmp_path):
    """What another test file's import left in a module is there for all."""
    state = "NUMBERS = []\n\ndef leave(n):\n    NUMBERS.append(n)\n\ndef unused():\n    pass\n"
    kept = Kept(tmp_path, {
        "state.py": state,
        "test_a.py": "import state\nstate.leave(1)\n\ndef test_a(): pass\n",
        "test_b.py": "import state\n\ndef test_b():\n    assert state.NUMBERS == [1]\n",
    })  # fmt: skip
    kept.run()
    kept.edit("state.py", "append(n)", "append(n + 1)")
    result = kept.run("--affected")
    assert result.status == 1
    assert outcomes(result) == {"test_a.py::test_a": "passed", "test_b.py::test_b": "failed"}


def test_the_results_file_names_changed_functions(kept):
    def changes(*arguments):
        kept.run("--hotreload-json=results.json", *arguments)
        found = json.loads((kept.root / "results.json").read_text())
        assert mismatch(found, declared(), strict=True) == ""
        return {each["file"]: each["changes"] for each in found["files"] if "changes" in each}

    kept.edit("pricing.py", "return net(price)", "return 1 * net(price)")
    ran = [{"file": "pricing.py", "functions": ["gross"]}]
    assert changes("--affected") == {"test_gross.py": ran}
    assert changes("--affected") == {}
    kept.edit("pricing.py", "return price", "return price + 0")
    net = [{"file": "pricing.py", "functions": ["net"]}]
    assert changes() == {"test_gross.py": net, "test_net.py": net}
    kept.edit("pricing.py", "0.5", "0.25")
    whole = [{"file": "pricing.py", "functions": None}]
    assert changes() == dict.fromkeys(ALL, whole)
    kept.edit("test_net.py", "test_net():", "test_net():\n    assert True")
    kept.edit("pricing.py", "[n * 2]", "[n + n]")
    assert changes() == {
        "test_net.py": [{"file": "test_net.py", "functions": ["test_net"]}],
        "test_other.py": [{"file": "pricing.py", "functions": ["table"]}],
    }


def test_what_warm_functions_ran(tmp_path):
    """They run after the collection and before the first test, and what they leave is there for all."""
    kept = Kept(tmp_path, {
        "part.py": "HELD = []\n\ndef made():\n    return 1\n\ndef fill():\n    HELD.append(made())\n",
        "conftest.py": "import part\nfrom pytest_hotreload import warm\n\n@warm\ndef ahead():\n    part.fill()\n",
        **{f"test_{n}.py": "import part\n\ndef test_a():\n    assert part.HELD == [1]\n" for n in range(4)},
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    assert kept.affected() == {}
    kept.edit("part.py", "return 1", "return 2")
    assert len(kept.affected()) == 4


def test_what_runs_at_a_fork(tmp_path):
    """After the collection, and before anything of a test."""
    kept = Kept(tmp_path, {
        "part.py": "HELD = []\n\ndef made():\n    return 1\n\ndef fill():\n    HELD.append(made())\n",
        "conftest.py": "import os\nimport part\n\nos.register_at_fork(after_in_child=part.fill)\n",
        "test_a.py": "import part\n\ndef test_a():\n    assert {*part.HELD} == {1}\n",
    })  # fmt: skip
    assert set(outcomes(kept.run()).values()) == {"passed"}
    kept.edit("part.py", "return 1", "return 2")
    assert outcomes(kept.run("--affected")) == {"test_a.py::test_a": "failed"}


def test_code_that_is_executed_twice(tmp_path):
    """The same code object; what is registered behind it must not be taken for a part of it."""
    run_twice = """\
        import pathlib

        source = pathlib.Path(__file__).with_name("part.py")
        code = compile(source.read_text(), str(source), "exec")
        for _ in range(2):
            exec(code, {"__name__": "part"})
        """
    kept = Kept(tmp_path, {
        "twice.py": run_twice,
        "part.py": "def f():\n    return 1\n\ndef g():\n    return 2\n",
        "other.py": "def first():\n    return 1\n\ndef second():\n    return 2\n",
        "test_a.py": "import twice\nimport other\n\ndef test_a():\n    assert other.second() == 2\n",
    })  # fmt: skip
    kept.run()
    kept.edit("other.py", "return 1", "return 3")
    assert kept.affected() == {}
    kept.edit("other.py", "return 2", "return 4")
    assert kept.affected() == {"test_a.py": "other.py:second ← test_a.py"}


def test_a_plugin_that_was_imported_before(tmp_path):
    kept = Kept(tmp_path, {
        "pytest.ini": "[pytest]\naddopts = -p own\n",
        "own.py": "def helper():\n    return 1\n\ndef other():\n    return 2\n",
        "test_a.py": "import own\n\ndef test_a():\n    assert own.helper() == 1\n",
    })  # fmt: skip
    kept.run()
    kept.edit("own.py", "return 1", "return 2")
    assert outcomes(kept.run("--affected")) == {"test_a.py::test_a": "failed"}


def test_single_tests_only_where_functions_changed(kept):
    """A file that is affected for any other reason runs whole."""
    kept.write({"test_net.py": "import pricing\n\ndef test_net():\n    assert pricing.net(1) == 2\n"})
    assert set(outcomes(kept.run("test_net.py")).values()) == {"failed"}
    assert outcomes(kept.run("--affected=tests")) == {"test_net.py::test_net": "failed"}
    result = kept.run("--affected=tests", "--strict-markers")
    assert len(outcomes(result)) == 6


def test_many_files_without_effect_are_not_all_named(tmp_path):
    parts = {f"part{n}.py": "def f():\n    return 1\n" for n in range(15)}
    imports = "".join(f"import part{n}\n" for n in range(15))
    kept = Kept(tmp_path, {**parts, "test_a.py": imports + "\ndef test_a(): pass\n"})
    kept.run()
    for name in parts:
        kept.edit(name, "def f", "# Here.\ndef f")
    lines = kept.run("--affected").raw.splitlines()
    assert sum(line.endswith("only comments, layout or positions changed") for line in lines) == 10
    assert "  and 5 more (-v shows them)" in lines


def test_explain_names_functions_and_tests(kept):
    def asked(*arguments):
        said = say(
            kept.project,
            "pytest-hotreload",
            "explain",
            *arguments,
            PYTEST_ADDOPTS="-p hotreload -p hotreload_young",
        )
        assert (said.status, said.errors) == (0, [])
        return said.lines

    assert asked("pricing.py:gross") == [
        "gross: 2 tests ran it",
        "  test_gross.py::test_gross",
        "  test_gross.py::test_total",
    ]
    assert asked("pricing.py:seldom") == ["seldom: no test ran it, by the records"]
    lines = asked("test_gross.py::test_total")
    assert lines[-3:] == [
        "  test_gross.py::test_total",
        "    pricing.py: net, gross, Cart.__init__, Cart.total",
        "    test_gross.py: cart, test_total",
    ]
    lines = asked("test_net.py", "-v")
    at = lines.index("  functions: ran 2 of 8, in 2 files")
    assert lines[at + 1 : at + 3] == ["    pricing.py: net", "    test_net.py: test_net"]
