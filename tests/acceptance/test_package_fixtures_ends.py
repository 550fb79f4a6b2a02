"""Costly package fixtures where a run does not go straight on: stops, deaths, failures, edits, later needs."""

from __future__ import annotations

import pytest

from .package_suites import AFTER, SHOP, fixture, package, using, words_of
from .shared_suites import refusals, shared_lines

OWNER = """
@pytest.fixture(scope="session")
def base():
    note("base")
    if os.environ.get("ALONE"):
        os.mkdir("owned")
    time.sleep(0.12)
    yield 1
    close_base()

def close_base():
    note("base-down")
    if os.environ.get("ALONE"):
        os.rmdir("owned")
"""


def test_a_session_fixture_that_a_later_file_needs(suite, slots):
    """No process may hold it while a child sets it up: with one slot the package's process is begun again."""
    made = suite(
        OWNER,
        {
            **package(
                "shop", fixture("index"), a=using("index"), b=using("index", "base"), c=using("base", "index")
            ),
            "test_z.py": using("base"),
        },
    )
    if slots == 1:
        made.project.environ["ALONE"] = "1"
    plain, ours = made.learned("-s", slots=slots)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    if slots == 1:
        assert words.count("base") == words.count("base-down") == 1
        assert words.count("index") == words.count("index-down") == 2


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_torn_down_after_a_stop(suite, slots, option):
    failing = package(
        "shop",
        fixture("index").replace(
            'note("index-down")', 'note("index-down")\n    raise OSError("down and out")'
        ),
        a="def test_it(index): assert 0\n",
        b=using("index"),
    )
    made = suite("", {**failing, **AFTER})
    made.project.run(slots=slots)
    plain, ours = made.learned(option, slots=slots)
    words = [word for word in words_of(made) if word != "test"]
    assert words == ["index", "index-down"]
    assert (ours.status, ours.lines[-1]) == (plain.status, plain.lines[-1])
    if slots == 1:
        assert ours.lines == plain.lines


def test_a_failing_teardown_stops_the_run(suite):
    """With ``-x``, as in plain pytest: the next file does not start."""
    failing = package(
        "shop",
        fixture("index").replace(
            'note("index-down")', 'note("index-down")\n    raise OSError("down and out")'
        ),
        a=using("index"),
        b=using("index"),
    )
    made = suite("", {**failing, **AFTER})
    made.project.run(slots=1)
    made.words()
    plain = made.project.run("-x", slots=None)
    order = words_of(made)
    ours = made.project.run("-x", slots=1)
    assert words_of(made) == order == ["index", "test", "test", "index-down"]
    assert ours.lines == plain.lines
    assert ours.status == plain.status == 1


def test_requested_while_a_test_runs(suite, slots):
    request = 'def test_before(): pass\ndef test_it(request): assert request.getfixturevalue("index")\n'
    made = suite("", {**package("shop", fixture("index"), **dict.fromkeys("abcd", request)), **AFTER})
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert [word for word in words_of(made) if word != "test"] == ["index", "index-down"]


def test_each_test_isolated(suite, slots):
    files = package(
        "shop", fixture("index"), a=using("index") + "def test_two(index): pass\n", b=using("index")
    )
    made = suite("", {**files, **AFTER})
    made.project.run("--hotreload-isolate=test", slots=slots)
    made.words()
    ours = made.project.run("--hotreload-isolate=test", slots=slots)
    words = words_of(made)
    assert ours.lines[-1] == "== 5 passed in TIME =="
    assert [word for word in words if word != "test"] == ["index", "index-down"]
    if slots == 1:
        assert words == ["index", "test", "test", "index-down", "test", "test"]


def test_the_process_dies(suite):
    """A child kills its parent: the rest of the package runs without it, and the replay does not wait for it."""
    user = "def test_it(index): pass\n"
    killing = "import os, time\ndef test_it(index):\n    os.kill(os.getppid(), 9)\n    time.sleep(20)\n"
    made = suite("", {**package("shop", fixture("index"), a=user, b=user, c=user, d=user), **AFTER})
    made.project.run(slots=1)
    made.project.write({"shop/test_b.py": killing})
    made.words()
    ours = made.project.run(slots=1)
    words = words_of(made)
    assert ours.lines[-1] == "== 1 failed, 5 passed in TIME =="
    assert ours.outcomes["shop/test_b.py::test_it"] == [("call", "failed")]
    assert words.count("index") == 4, (
        "in the process that died, and in the children of the second try, c and d"
    )


@pytest.mark.slow
def test_a_package_with_a_setup_of_its_own(suite):
    """It runs before the fixtures, and in each child."""
    files = package("shop", fixture("index"), **dict.fromkeys("abcd", "def test_it(index): pass\n"))
    files["shop/__init__.py"] = "import os\ndef setup_module(): os.environ['READY'] = '1'\n"
    files["shop/conftest.py"] = files["shop/conftest.py"].replace(
        'note("index")\n', 'note("index")\n    assert os.environ["READY"]\n'
    )
    files["shop/conftest.py"] = files["shop/conftest.py"].replace("sleep(0.12)", "sleep(0.5)")
    made = suite("", files)
    made.project.run(slots=1)
    ours = made.project.run(slots=1)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert not shared_lines(ours)
    assert "has a setup of its own" in refusals(ours)[0]


def test_coverage(suite, slots):
    """Of the setup and the teardown, which run in the package's process only."""
    pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")
    made = suite("", {**SHOP, **AFTER})
    made.project.plugins = ["pytest_cov.plugin"]
    plain, ours = made.learned("--cov=shop", slots=slots)
    assert shared_lines(ours)
    assert [line for line in ours.raw.splitlines() if line.startswith("shop/")] == [
        line for line in plain.raw.splitlines() if line.startswith("shop/")
    ]


@pytest.mark.slow
def test_edits_of_what_the_setup_used(suite):
    """The records of all files that inherited the value name it, and no others."""
    import time

    reads = fixture("index").replace('note("index")', 'note("index")\n    open("data.txt").close()')
    user = "def test_it(index): pass\n"
    free = {"test_z.py": "def test_it(): pass\n", "zoo/test_z2.py": "def test_it(): pass\n"}
    made = suite("", {**package("shop", reads, a=user, b=user), **free, "data.txt": "1"})
    made.project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    made.project.run(slots=1)
    assert shared_lines(made.project.run(slots=1))
    time.sleep(2.1)
    made.project.run(slots=1)
    (made.project.root("forks") / "data.txt").write_text("2")
    affected = made.project.run("--hotreload-affected", slots=1)
    assert set(affected.outcomes) == {"shop/test_a.py::test_it", "shop/test_b.py::test_it"}
