"""Suites that read the worker id while they are imported or configured, and therefore get slot processes."""

from __future__ import annotations

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
FILES = {
    f"test_{n}.py": f"""\
        import os, pytest

        @pytest.mark.parametrize("n", [1, 2])
        def test_{n}(n):
            worker_id = os.environ.get("PYTEST_XDIST_WORKER", "master")
            with open(os.path.join(os.path.dirname(__file__), "ids.txt"), "a") as file:
                file.write(f"{{worker_id}}\\n")
        """
    for n in "abcdef"
}
IDS = [f"test_{n}.py::test_{n}[{i}]" for n in "abcdef" for i in (1, 2)]
NOTICE = "hotreload: {} reads the worker id early, so each slot collects in its own process"


def _lines(ours, name):
    path = ours.root / name
    return path.read_text().split("\n")[:-1] if path.exists() else []


#: sqlalchemy's way: names a database for each node in the controller, and drops it at the end.
BY_INPUT = """\
    import os, pytest

    here = os.path.dirname(__file__)

    def note(name, text):
        with open(os.path.join(here, name), "a") as file:
            file.write(text + "\\n")

    class Nodes:
        def pytest_configure_node(self, node):
            node.workerinput["database"] = "database of " + node.gateway.id
            note("made.txt", node.workerinput["database"])

        def pytest_testnodedown(self, node, error):
            note("dropped.txt", node.workerinput["database"])

    def pytest_configure(config):
        if config.pluginmanager.hasplugin("xdist"):
            config.pluginmanager.register(Nodes())
        if hasattr(config, "workerinput"):
            config.database = config.workerinput["database"]
            note("configured.txt", config.database)
        else:
            config.database = "the one"

    def pytest_sessionstart(session):
        note("started.txt", session.config.database)

    def pytest_sessionfinish(session):
        note("finished.txt", session.config.database)

    def pytest_unconfigure(config):
        note("unconfigured.txt", config.database)

    @pytest.fixture(autouse=True)
    def used(pytestconfig):
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        assert pytestconfig.database == ("database of " + worker if worker else "the one")
        note("used.txt", pytestconfig.database)
    """


@pytest.mark.slow
def test_worker_input_read_in_configure(project):
    project.write({"conftest.py": BY_INPUT, **FILES})
    _, ours = project.same(slots=2)
    assert ours.notices[1] == NOTICE.format("conftest.py")
    databases = ["database of gw0", "database of gw1"]
    assert sorted(_lines(ours, "made.txt")) == databases
    assert sorted(_lines(ours, "configured.txt")) == databases
    assert set(_lines(ours, "used.txt")) <= set(databases)
    assert len(_lines(ours, "used.txt")) == len(IDS)
    assert sorted(set(_lines(ours, "dropped.txt"))) == databases
    for name in ("started.txt", "finished.txt", "unconfigured.txt"):
        assert sorted(_lines(ours, name)) == [*databases, "the one"], name


@pytest.mark.parametrize(("slots", "option"), [(2, None), (1, None), (1, "--hotreload-start=spawn")])
def test_hooks_that_a_conftest_imports(project, slots, option):
    """As those of SQLAlchemy's dialects and of Alembic do: the hooks lie in an installed package."""
    project.outside = ["../lib/site-packages"]
    hooks = BY_INPUT.replace("os.path.dirname(__file__)", "os.getcwd()")
    project.write(
        {"../lib/site-packages/dialect.py": hooks, "conftest.py": "from dialect import *  # noqa", **FILES}
    )
    _, ours = project.same(slots=slots, extra=[option] if option else [])
    databases = {"database of gw0", "database of gw1"} if slots > 1 else {"the one"}
    assert set(_lines(ours, "used.txt")) <= databases
    assert (NOTICE.format("conftest.py") in ours.notices) == (slots > 1)


@pytest.mark.slow
def test_one_slot_is_plain(project):
    project.write({"conftest.py": BY_INPUT, **FILES})
    for options in ([], ["--hotreload-isolate=strict"], ["--hotreload-start=spawn"]):
        _, ours = project.same(slots=1, extra=options)
        assert not any("worker id" in line for line in ours.notices)
        assert not _lines(ours, "made.txt")
        assert set(_lines(ours, "used.txt")) == {"the one"}
        assert set(_lines(ours, "ids.txt")) == {"master"}


@pytest.mark.parametrize("option", ["--hotreload-isolate=strict", "--hotreload-start=spawn"])
def test_worker_input_where_files_are_alone_anyway(project, option):
    project.write({"conftest.py": BY_INPUT, **FILES})
    _, ours = project.same(slots=2, extra=[option])
    assert set(_lines(ours, "used.txt")) <= {"database of gw0", "database of gw1"}


EARLY = """\
    import os
    WORKER = os.environ.get("PYTEST_XDIST_WORKER", "master")
    """


@pytest.mark.parametrize("where", ["conftest.py", "sub/conftest.py", "test_0.py", "helper.py"])
@pytest.mark.parametrize("read", ["environ.get", "getenv", "in"])
def test_variable_read_at_import(project, where, read):
    text = {
        "environ.get": EARLY,
        "getenv": EARLY.replace("environ.get", "getenv"),
        "in": "import os\nWORKER = os.environ['PYTEST_XDIST_WORKER'] if 'PYTEST_XDIST_WORKER' in os.environ else 'master'\n",  # noqa: E501
    }[read]
    if read != "environ.get" and where != "conftest.py":
        pytest.skip("one place is enough for each spelling")
    module = {"sub/conftest.py": "sub.conftest"}.get(where, where[:-3])
    project.write(
        {
            "conftest.py": "",
            "sub/__init__.py": "",
            "sub/test_sub.py": "def test_sub(): pass\n",
            "test_0.py": "",
            where: text,
            **FILES,
            "test_z.py": f"""\
                import os
                import {module}

                def test_z():
                    assert {module}.WORKER == os.environ.get("PYTEST_XDIST_WORKER", "master")
                """,
        }
    )
    _, ours = project.same(slots=2)
    assert ours.status == 0
    assert ours.notices[1] == NOTICE.format(where)
    assert set(_lines(ours, "ids.txt")) <= {"gw0", "gw1"}  # a quick slot may run everything
    _, ours = project.same(slots=1)
    assert len(ours.notices) == 3, "header, records and closing line"


def test_reader_that_is_installed_is_none(project):
    project.outside = ["../lib/site-packages"]
    project.write(
        {
            "../lib/site-packages/reads_early.py": EARLY
            + "def pytest_configure(config): hasattr(config, 'workerinput')\n",
            "conftest.py": "pytest_plugins = ['reads_early']\n",
            **FILES,
        }
    )
    _, ours = project.same(slots=2)
    assert not any("worker id" in line for line in ours.notices)


def test_reader_in_a_test_only_is_none(project):
    project.write(
        {
            **FILES,
            "test_x.py": "import os\ndef test_x(): assert os.environ['PYTEST_XDIST_WORKER'][:2] == 'gw'\n",
        }
    )
    ours = project.run(slots=2)
    assert ours.status == 0
    assert not any("worker id" in line for line in ours.notices)


def test_death_in_an_own_slot(project):
    project.write(
        {
            "conftest.py": EARLY,
            **FILES,
            "test_g.py": "import os\ndef test_before(): pass\ndef test_dies(): os._exit(3)\ndef test_after(): pass\n",
        }
    )
    ours = project.run(slots=2)
    assert ours.status == 1
    assert ours.outcomes == {
        **dict.fromkeys(IDS, PASSED),
        "test_g.py::test_before": PASSED,
        "test_g.py::test_dies": [("call", "failed")],
        "test_g.py::test_after": PASSED,
    }


def test_slot_that_does_not_come_up(project):
    project.write(
        {
            "conftest.py": EARLY + "if WORKER == 'gw1': raise RuntimeError('not here')\n",
            **FILES,
        }
    )
    ours = project.run(slots=2)
    assert ours.status == 1
    assert list(ours.outcomes) == IDS
    assert "RuntimeError: not here" in ours.output
    assert all(each in (PASSED, [("setup", "failed")]) for each in ours.outcomes.values())
