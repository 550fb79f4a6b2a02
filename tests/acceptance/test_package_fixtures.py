"""Costly package fixtures are set up once for the tests of their package, and torn down after the last of them."""

from __future__ import annotations

import pytest

from .shared_suites import NOTE, refusals, shared_lines

#: A package's fixture, which notes when it is set up and torn down; ``{name}`` is its name, ``{uses}`` what it uses.
FIXTURE = """
@pytest.fixture(scope="{scope}")
def {name}({uses}):
    note("{name}")
    time.sleep(0.12)
    yield "{name}"
    close_{name}()

def close_{name}():
    note("{name}-down")
"""


def fixture(name, *, scope="package", uses=""):
    return FIXTURE.format(name=name, scope=scope, uses=uses)


def using(*names):
    """A file whose test uses these fixtures, and notes that it runs."""
    return f"""
import os

def test_it({", ".join(names)}):
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"test {{os.getpid()}}\\n")
"""


def package(folder, conftest, **files):
    """A package with a conftest and test files."""
    return {
        f"{folder}/__init__.py": "",
        f"{folder}/conftest.py": NOTE + conftest,
        **{f"{folder}/test_{name}.py": text for name, text in files.items()},
    }


SHOP = package("shop", fixture("index"), a=using("index"), b=using("index"), c=using("index"))
AFTER = {"test_z.py": using(), "zoo/test_z2.py": using()}


def words_of(made):
    return [word for word, _ in made.words()]


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
    plain = made.project.run(slots=None)
    made.words()
    made.project.run(slots=slots)
    made.words()
    ours = made.project.run(slots=slots)
    words = words_of(made)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert [word for word in words if word != "test"] == ["index", "index-down"]


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
