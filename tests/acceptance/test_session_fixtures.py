"""Costly session fixtures are set up once, in a process above the children, without being named."""

from __future__ import annotations

import pytest

from .shared_suites import FOUR, NOTE, SLOW, refusals, shared_lines


def test_set_up_once_and_torn_down_last(suite, slots):
    files = {
        f"test_{name}.py": """
            def test_first(base, track): base["n"] += 1
            def test_second(base, track): assert base["n"] == 2
        """
        for name in FOUR
    }
    made = suite(SLOW + "@pytest.fixture\ndef track():\n    yield\n    note('test')\n", files)
    plain = made.project.run(slots=None)
    made.words()
    first = made.project.run(slots=slots)
    assert first.outcomes == plain.outcomes | {
        f"test_{name}.py::test_second": first.outcomes["test_a.py::test_second"] for name in FOUR
    }, "each file sees the value as it was set up"
    assert [word for word, _ in made.words()].count("up") in range(2, slots + 2), "measured, then shared"
    second = made.project.run(slots=slots)
    words = made.words()
    assert second.outcomes == first.outcomes
    assert [word for word, _ in words] == ["up", *["test"] * 8, "down"]
    assert words[0][1] == words[-1][1] not in {pid for _, pid in words[1:-1]}
    (line,) = shared_lines(second)
    assert line.startswith("hotreload: shared: base · set up once instead of 4 times: ")
    assert not refusals(second)


def test_the_output_is_plain_pytests(suite, slots):
    """Of the setup, with the first test that uses the fixture; of the teardown, with the last test."""
    made = suite(
        """
        import logging, sys, warnings

        @pytest.fixture(scope="session")
        def base():
            print("printed up")
            print("erred up", file=sys.stderr)
            logging.getLogger("x").warning("logged up")
            warnings.warn("warned up")
            time.sleep(0.15)
            yield 1
            print("printed down")
            close()

        def close():
            logging.getLogger("x").warning("logged down")

        @pytest.fixture
        def own(base): print("own")
        """,
        {
            f"test_{name}.py": "def test_fails(base, own): assert not base\ndef test_passes(base): pass\n"
            for name in FOUR
        },
    )
    plain, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines == plain.lines
    assert ours.warnings == plain.warnings


@pytest.mark.parametrize("option", ["-s", "--setup-show", "--log-cli-level=INFO", "--capture=sys"])
def test_the_output_with(suite, option):
    made = suite(
        """
        import logging

        @pytest.fixture(scope="session")
        def base():
            print("printed up")
            logging.getLogger("x").warning("logged up")
            time.sleep(0.15)
            return 1
        """,
        {f"test_{name}.py": "def test_fails(base): assert not base\n" for name in FOUR},
    )
    plain, ours = made.learned(option, slots=2)
    assert shared_lines(ours)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines


def test_durations_name_it_once(suite, slots):
    made = suite(SLOW)
    _, ours = made.learned("--durations=1", "--durations-min=0.1", slots=slots)
    (line,) = [line for line in ours.raw.splitlines() if "s setup" in line]
    assert line.endswith("test_a.py::test_it")
    assert float(line.partition("s setup")[0]) >= 0.15


PER_SLOT = {
    "worker_id": "def base(worker_id):\n    value = worker_id",
    "what it uses": "def base(under):\n    value = under",
    "tmp_path_factory": "def base(tmp_path_factory):\n    value = str(tmp_path_factory.mktemp('x'))",
    "a variable": "def base():\n    value = os.environ.get('PYTEST_XDIST_WORKER', 'master')",
    "workerinput": "def base(request):\n"
    "    value = getattr(request.config, 'workerinput', {}).get('workerid', 'master')",
}


@pytest.mark.parametrize("kind", PER_SLOT)
def test_a_value_for_each_slot(suite, kind):
    """What depends on the worker is set up in a process for each slot, also if only the setup shows that."""
    made = suite(
        f"""
@pytest.fixture(scope="session")
def under(worker_id): return worker_id

@pytest.fixture(scope="session")
{PER_SLOT[kind]}
    note("up")
    time.sleep(0.15)
    return value
""",
        {
            f"test_{name}.py": """
                import os, time
                def test_it(base):
                    time.sleep(0.1)
                    worker = os.environ.get("PYTEST_XDIST_WORKER", "master")
                    assert worker in base or base.startswith("/") and worker in base
            """
            for name in FOUR
        },
    )
    _, ours = made.learned(slots=2)
    words = made.words()
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert [word for word, _ in words] == ["up", "up"]
    assert len({pid for _, pid in words}) == 2
    (line,) = shared_lines(ours)
    assert "set up 2 times instead of 4 times" in line


def test_requested_while_a_test_runs(suite, slots):
    """``getfixturevalue``: the rest of the file runs from the process that holds the fixture; the next run knows."""
    files = {
        f"test_{name}.py": """
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def around(tracks):
                yield
                tracks("around down")

            def test_before(): pass
            def test_it(request): assert request.getfixturevalue("base")["n"] == 1
            def test_after(): assert 0
        """
        for name in FOUR
    }
    made = suite(
        SLOW + "@pytest.fixture\ndef nothing(): pass\n@pytest.fixture(scope='session')\ndef tracks():\n"
        "    return lambda word: note(word.replace(' ', '-'))\n",
        files,
    )
    plain = made.project.run(slots=None)
    made.words()
    first = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert first.outcomes == plain.outcomes
    assert words.count("up") in range(2, slots + 2)
    second = made.project.run(slots=slots)
    words = [word for word, _ in made.words()]
    assert second.outcomes == plain.outcomes
    assert second.lines == plain.lines
    assert words.count("up") == 1
    assert words.count("around-down") == 4, "no file ran in two parts"


def test_each_test_isolated(suite, slots):
    files = {
        f"test_{name}.py": "def test_x(base): base['n'] = 2\ndef test_y(base): assert base['n'] == 1\n"
        for name in "ab"
    }
    made = suite(SLOW, files)
    made.project.run("--hotreload-isolate=test", slots=slots)
    made.words()
    ours = made.project.run("--hotreload-isolate=test", slots=slots)
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert [word for word, _ in made.words()] == ["up", "down"]


@pytest.mark.parametrize("value", ["off", "other"])
def test_off(suite, value):
    """``off``, or names without ``auto``: no other fixture is shared."""
    other = "\n@pytest.fixture(scope='session')\ndef other(): return 1\n"
    made = suite(SLOW + other, **{"pytest.ini": f"[pytest]\nhotreload_shared_fixtures = {value}\n"})
    made.project.run(slots=1)
    made.words()
    made.project.run(slots=1)
    assert [word for word, _ in made.words()].count("up") == 4


def test_off_beside_names(suite):
    made = suite(SLOW, **{"pytest.ini": "[pytest]\nhotreload_shared_fixtures = off base\n"})
    ours = made.project.run(slots=1)
    assert ours.status == 4
    assert ours.errors[0].startswith(
        "ERROR: hotreload: hotreload_shared_fixtures: off cannot stand beside base; hint: "
    )


def test_fixtures_of_one_name_in_two_folders(suite, slots):
    fixture = (
        "@pytest.fixture(scope='session')\ndef base():\n"
        "    note({name!r})\n    time.sleep(0.15)\n    return {name!r}\n"
    )
    names = ("one", "two")
    users = {
        f"{name}/test_{name}{number}.py": f"def test_it(base): assert base == {name!r}\n"
        for name in names
        for number in "12"
    }
    conftests = {f"{name}/conftest.py": NOTE + fixture.format(name=name) for name in names}
    made = suite("", users, **conftests)
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == "== 4 passed in TIME =="
    assert sorted(word for word, _ in made.words()) == ["one", "two"]


def test_one_that_uses_another(suite, slots):
    made = suite(
        SLOW
        + """
@pytest.fixture(scope="session")
def above(base):
    note("above")
    time.sleep(0.15)
    yield base["n"] + 1
    close_above()

def close_above(): note("above-down")
""",
        {
            "test_a.py": "def test_it(base): pass\n",
            "test_b.py": "def test_it(above): assert above == 2\n",
            "test_c.py": "def test_it(above, base): assert above == 2\n",
            "test_d.py": "def test_it(base): assert base == {'n': 1}\n",
            "test_e.py": "def test_it(): pass\n",
        },
    )
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert [word for word, _ in made.words()] == ["up", "above", "above-down", "down"]


def test_files_that_do_not_use_it_do_not_see_it(suite, slots):
    """What a setup leaves in a process is not seen by files that run without the fixture."""
    made = suite(
        """
        @pytest.fixture(scope="session")
        def base():
            os.environ["LEFT"] = "1"
            time.sleep(0.15)
            return 1
        """,
        {
            "test_a.py": "import os\ndef test_it(): assert 'LEFT' not in os.environ\n",
            "test_b.py": "import os\ndef test_it(base): assert 'LEFT' in os.environ\n",
            "test_c.py": "import os\ndef test_it(base): assert 'LEFT' in os.environ\n",
            "test_d.py": "import os\ndef test_it(): assert 'LEFT' not in os.environ\n",
        },
    )
    made.project.run(slots=slots)
    ours = made.project.run(slots=slots)
    assert shared_lines(ours)
    assert ours.lines[-1] == "== 4 passed in TIME =="


def test_a_file_with_a_collection_of_its_own(suite, slots):
    """Its child sets the fixture up for itself, so the process that holds it for this slot ends first."""
    made = suite(
        """
        import threading

        @pytest.fixture(scope="session")
        def base(worker_id):
            name = f"database-{worker_id}"
            assert not os.path.exists(name), "two owners at once"
            open(name, "w").close()
            time.sleep(0.15)
            yield name
            os.remove(name)
        """,
        {
            **{
                f"test_{name}.py": "import os\ndef test_it(base): assert os.path.exists(base)\n"
                for name in FOUR
            },
            "test_apart.py": """
                import os, threading
                threading.Thread(target=threading.Event().wait, daemon=True).start()
                def test_it(base): assert os.path.exists(base)
            """,
        },
    )
    made.project.run(slots=slots)
    ours = made.project.run(slots=slots)
    assert shared_lines(ours)
    assert ours.lines[-1] == "== 5 passed in TIME =="


@pytest.mark.slow
def test_what_was_set_up_above_is_no_cost_of_a_child(suite, slots):
    made = suite(
        SLOW, {f"test_{name}.py": "import time\ndef test_it(base): time.sleep(0.2)\n" for name in FOUR}
    )
    _, ours = made.learned(slots=slots)
    assert shared_lines(ours)
    assert not [line for line in ours.notices if "set up in each child" in line]


def test_a_suite_that_reads_the_worker_id_early(suite, slots):
    """Each slot collects in a process of its own, which its fixture process is a fork of."""
    made = suite("WORKER = os.environ.get('PYTEST_XDIST_WORKER', 'master')\n" + SLOW)
    plain, ours = made.learned(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.outcomes == plain.outcomes
    assert ours.status == 0
    assert words == ["up"] * slots + ["down"] * slots
    assert shared_lines(ours)


def test_a_file_that_ran_in_two_parts_has_a_record_and_coverage(suite, slots):
    """What the child did before it stopped counts: the request is not known in the first run."""
    pytest.importorskip("pytest_cov", reason="pytest-cov is not installed")
    body = "import shop, pytest\ndef test_before(): shop.first()\n"
    body += "def test_it(request):\n    request.getfixturevalue('base')\n    shop.second()\n"
    made = suite(
        "@pytest.fixture(scope='session')\ndef base():\n    time.sleep(0.15)\n    return 1\n",
        {f"test_{name}.py": body.replace("first", f"first_{name}") for name in FOUR},
        **{
            "shop.py": "".join(f"def first_{name}():\n    return 1\n" for name in FOUR)
            + "def second():\n    return 2\n",
            "pytest.ini": "[pytest]\npythonpath = .\n",
        },
    )
    made.project.plugins = ["hotreload_young", "pytest_cov.plugin"]
    made.project.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    arguments = ["--cov=shop", "--cov-report=term-missing"]
    ours = made.project.run(*arguments, slots=slots)
    assert "set up once instead of" in shared_lines(ours)[0], "some ran in two parts"
    assert any(line.split() == ["shop.py", "10", "0", "100%"] for line in ours.lines)
    again = made.project.run(*arguments, "--hotreload-affected", slots=slots)
    assert again.outcomes == {}, again.notices


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='x')", "xfail(run=False)"])
def test_of_tests_that_are_skipped(suite, slots, mark):
    """A fixture that no test reaches is not set up, and its output belongs to the first test that reaches it."""
    made = suite(SLOW)
    made.project.run(slots=slots)
    text = f"import pytest\n@pytest.mark.{mark}\ndef test_it(base): assert base\n"
    made.project.write({f"test_{name}.py": text for name in FOUR})
    made.words()
    plain = made.project.run(slots=None)
    ours = made.project.run(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert made.words() == []
