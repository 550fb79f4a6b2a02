"""Costly package fixtures are set up once for the tests of their package, and torn down after the last of them."""

from __future__ import annotations

import pytest

from .package_suites import AFTER, SHOP, fixture, package, using, words_of
from .shared_suites import refusals, shared_lines


def test_set_up_once_and_torn_down_after_the_package(suite, slots):
    made = suite("", {**SHOP, **AFTER})
    plain = made.project.run(slots=None)
    order = words_of(made)
    made.project.run(slots=slots)
    made.words()
    ours = made.project.run(slots=slots)
    notes = made.words()
    words = [word for word, _ in notes]
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert order == ["index", "test", "test", "test", "index-down", "test", "test"]
    assert sorted(words) == sorted(order)
    assert [word for word in words if word != "test"] == ["index", "index-down"]
    if slots == 1:
        assert words == order
    holder = {pid for word, pid in notes if word != "test"}
    assert len(holder) == 1
    assert holder.isdisjoint(pid for word, pid in notes if word == "test")
    (line,) = shared_lines(ours)
    assert line.startswith("hotreload: shared: index · set up once instead of 3 times: ")
    assert not refusals(ours)


def test_other_packages_do_not_see_it(suite, slots):
    """Neither what the setup left behind in memory, nor what it owns outside until the teardown."""
    left = """
@pytest.fixture(scope="package")
def index():
    assert not os.path.exists("index.txt")
    os.environ["LEFT"] = "1"
    open("index.txt", "w").close()
    time.sleep(0.12)
    yield 1
    os.remove("index.txt")
    os.environ.pop("LEFT")
"""
    user = "import os\ndef test_it(index): assert os.environ['LEFT'] and os.path.exists('index.txt')\n"
    other = "import os\ndef test_it(): assert 'LEFT' not in os.environ\n"
    alone = "import os\ndef test_it(): assert not os.path.exists('index.txt')\n" if slots == 1 else other
    made = suite(
        "",
        {
            **package("one", left, a=user, b=user),
            **package("three", left, c=user, d=user),
            "one/test_z.py": other.replace("not in", "in") if slots < 1 else "def test_it(): pass\n",
            "two/test_o.py": alone,
            "two/test_p.py": other,
        },
    )
    made.project.run(slots=1)
    ours = made.project.run(slots=1)
    assert len(shared_lines(ours)) == 1
    assert ours.lines[-1] == "== 7 passed in TIME =="


@pytest.mark.parametrize("option", ["--tb=short", "-s", "--setup-show", "--log-cli-level=INFO", "-v"])
def test_the_output_is_plain_pytests(suite, option):
    made = suite(
        "",
        {
            **package(
                "shop",
                """
import logging, sys, warnings

@pytest.fixture(scope="package")
def index():
    print("printed up")
    logging.getLogger("x").warning("logged up")
    warnings.warn("warned up")
    time.sleep(0.12)
    yield 1
    print("printed down")
    close()

def close():
    logging.getLogger("x").warning("logged down")
    raise OSError("down and out")
""",
                a="def test_fails(index): assert not index\ndef test_passes(index): pass\n",
                b="def test_fails(index): assert not index\ndef test_passes(index): pass\n",
            ),
            **AFTER,
        },
    )
    plain, ours = made.learned(option, slots=2)
    assert shared_lines(ours)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines
    assert ours.warnings == plain.warnings


def test_a_teardown_that_fails(suite, slots):
    """Its error belongs to the last test of the package, and comes before the next file's results."""
    files = package(
        "shop",
        """
@pytest.fixture(scope="package")
def index():
    time.sleep(0.12)
    yield 1
    close()

def close(): raise OSError("down and out")
""",
        a=using("index"),
        b=using("index"),
        c=using(),
    )
    made = suite("", {**files, **AFTER})
    plain, ours = made.learned("-v", slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.lines[-1] == "== 5 passed, 1 error in TIME =="


def test_a_setup_that_fails(suite, slots):
    failing = (
        "@pytest.fixture(scope='package')\ndef index():\n    time.sleep(0.12)\n    raise OSError('no')\n"
    )
    made = suite("", {**package("shop", failing, a=using("index"), b=using("index")), **AFTER})
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines


@pytest.mark.slow
def test_nested_packages(suite, slots):
    """The inner package's value stands on the outer one's, and is torn down before it, at its own end."""
    made = suite(
        fixture("base", scope="session"),
        {
            **package("shop", fixture("index", uses="base"), a=using("index"), z=using("index")),
            **package("shop/cart", fixture("cart", uses="index"), b=using("cart"), c=using("cart", "index")),
            **package("shop/desk", fixture("desk"), d=using("desk"), e=using("desk", "base")),
            **AFTER,
        },
    )
    plain = made.project.run(slots=None)
    order = words_of(made)
    made.project.run(slots=slots)
    made.words()
    ours = made.project.run(slots=slots)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    if slots == 1:
        assert words == order
    for name in ("base", "index", "cart"):
        assert words.count(name) == words.count(f"{name}-down") == 1
    assert words.index("cart-down") < words.index("index-down") < words.index("base-down")


def test_a_folder_that_is_no_package(suite, slots):
    """pytest keeps such a fixture until the end of the session."""
    files = {name: text for name, text in SHOP.items() if not name.endswith("__init__.py")}
    made = suite("", {**files, **AFTER})
    plain, ours = made.learned(slots=slots)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert (words.count("index"), words[-1]) == (1, "index-down")
    assert shared_lines(ours)


def test_a_value_for_each_slot(suite):
    made = suite(
        "",
        {
            **package(
                "shop", fixture("index", uses="tmp_path_factory"), **dict.fromkeys("abcd", using("index"))
            )
        },
    )
    plain, ours = made.learned(slots=2)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert 1 <= words.count("index") <= 2
    assert words.count("index") == words.count("index-down")
    assert shared_lines(ours)


def test_beside_a_session_fixture_for_each_slot(suite):
    """The package's chain stands below the slot's, so its children inherit both."""
    made = suite(
        fixture("base", scope="session", uses="tmp_path_factory"),
        package("shop", fixture("index"), **dict.fromkeys("abcd", using("index", "base"))),
    )
    plain, ours = made.learned(slots=2)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    for name in ("base", "index"):
        assert 1 <= words.count(name) == words.count(f"{name}-down") <= 2
    assert len(words) <= 4 + 8


ORDERS = {
    "arguments": ("shop/test_a.py", "other/test_o.py", "shop/test_b.py", "shop/test_c.py", "shop/test_d.py"),
    "only one package": ("shop", "-k", "test_a or test_b or test_c"),
    "a deselected file between": (".", "-k", "not test_o and not test_d"),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_the_selection_decides_where_a_package_ends(suite, slots, kind):
    made = suite(
        "",
        {
            **package("shop", fixture("index"), **dict.fromkeys("abcd", using("index"))),
            **package("other", fixture("index"), o=using("index"), p=using("index")),
        },
    )
    made.project.run(slots=slots)
    made.words()
    plain = made.project.run(*ORDERS[kind], slots=None)
    order = words_of(made)
    ours = made.project.run(*ORDERS[kind], slots=slots)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert sorted(words) == sorted(order)
    if slots == 1:
        assert words == order


def test_a_file_of_two_stretches(suite, slots):
    """Its child sets the fixture up by itself, when no process holds it."""
    if pytest.version_tuple[:2] == (9, 1):
        pytest.skip("pytest 9.1 itself does not find the package's fixtures for the last argument")
    held = (
        fixture("index")
        .replace('note("index")', 'note("index")\n    os.mkdir("owned")')
        .replace('note("index-down")', 'note("index-down")\n    os.rmdir("owned")')
    )
    two = "def test_one(index): pass\ndef test_two(index): pass\n"
    made = suite(
        "", {**package("shop", held, a=using("index"), b=using("index"), c=two), "test_o.py": using()}
    )
    made.project.run(slots=1)
    arguments = (
        "shop/test_a.py",
        "shop/test_b.py",
        "shop/test_c.py::test_one",
        "test_o.py",
        "shop/test_c.py::test_two",
    )
    made.words()
    ours = made.project.run(*arguments, slots=1)
    words = words_of(made)
    assert ours.lines[-1] == "== 5 passed in TIME =="
    # pytest before 9.2 makes another node of the package for an argument that stands apart, in the child, too.
    times = 2 if pytest.version_tuple >= (9, 2) else 3
    assert words.count("index") == words.count("index-down") == times
