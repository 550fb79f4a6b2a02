"""Logs and fixture traces: written while a test runs, so they travel as they happen."""

from __future__ import annotations

import re

import pytest

FILES = {
    "conftest.py": """\
        import logging
        import pytest

        def pytest_runtest_logstart(nodeid):
            logging.info("started %s", nodeid)

        @pytest.fixture(scope="module", autouse=True)
        def wide():
            logging.warning("module up")
            yield 1
            logging.warning("module down")

        @pytest.fixture(params=["x", "y"])
        def narrow(request, wide):
            logging.info("narrow %s", request.param)
            return request.param
        """,
    "test_a.py": """\
        import logging
        import pytest

        def test_plain(caplog):
            caplog.set_level(logging.INFO)
            logging.info("info of a")
            logging.error("error of a\\nover two lines")
            assert caplog.messages == ["info of a", "error of a\\nover two lines"]

        def test_fixtures(narrow):
            logging.debug("debug %s", narrow)
            assert narrow == "x"

        def test_levels(caplog):
            with caplog.at_level(logging.DEBUG, "deep.one"):
                logging.getLogger("deep.one").debug("deep")
            assert caplog.record_tuples[-1] == ("deep.one", logging.DEBUG, "deep")
        """,
    "test_b.py": """\
        import logging
        import pytest

        @pytest.fixture(scope="session")
        def session_wide(tmp_path_factory):
            logging.info("session up")
            return 3

        class TestB:
            def test_b(self, session_wide, narrow):
                print("printed")
                logging.critical("critical of b")

            @pytest.mark.skip
            def test_skipped(self):
                pass
        """,
}


@pytest.mark.parametrize(
    "options",
    [
        "--setup-show",
        "--setup-show -v",
        "--setup-only",
        "--setup-plan",
        "-o log_cli=true",
        "-o log_cli=true -v --log-cli-level=DEBUG",
        "-o log_cli=true --log-cli-level=INFO -s",
        "-o log_cli=true --color=yes --setup-show",
        "--log-level=DEBUG -rA",
        "--log-disable=deep --log-level=DEBUG -rA",
        "--setup-show -s",
    ],
)
def test_shown_while_it_runs(project, options):
    project.write(FILES)
    _, ours = project.same(*options.split(), slots=2)
    if "setup-" not in options or "show" in options:
        failed = [nodeid for nodeid, each in ours.outcomes.items() if ("call", "failed") in each]
        assert failed == ["test_a.py::test_fixtures[y]"]


@pytest.mark.parametrize("options", ["--setup-show", "-o log_cli=true --log-cli-level=INFO"])
def test_shown_while_it_runs_with_one_slot(project, options):
    project.write(FILES)
    _, ours = project.same(*options.split(), slots=1)
    assert len(ours.outcomes) == 7


@pytest.mark.parametrize("mode", ["w", "a"])
def test_log_file(project, slots, mode):
    project.write({**FILES, "run.log": "from before\n"})
    plain, ours = project.same(
        "--log-file=run.log", "--log-file-level=DEBUG", f"--log-file-mode={mode}", slots=slots
    )
    assert ours.read("run.log") == plain.read("run.log")
    assert ("from before" in ours.read("run.log")) == (mode == "a")
    assert len(re.findall("critical of b", ours.read("run.log"))) == 2


def test_log_file_that_a_hook_moves(project):
    project.write(
        {
            **FILES,
            "conftest.py": """
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_setup(item):
            plugin = item.config.pluginmanager.get_plugin("logging-plugin")
            plugin.set_log_path(str(item.config.rootpath / "logs" / f"{item.name}.log"))
            return (yield)

        @pytest.fixture(params=["x", "y"])
        def narrow(request):
            return request.param
        """,
        }
    )
    plain, ours = project.same("--log-file=run.log", "--log-file-level=DEBUG")
    names = sorted(path.name for path in (plain.root / "logs").iterdir())
    assert sorted(path.name for path in (ours.root / "logs").iterdir()) == names
    for name in names:
        assert ours.read(f"logs/{name}") == plain.read(f"logs/{name}")


def test_what_plugins_write_to_the_terminal(project, slots):
    project.write(
        {
            "conftest.py": """\
            import pytest

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_call(item):
                reporter = item.config.pluginmanager.get_plugin("terminalreporter")
                reporter.write_line(f"about to call {item.name}", bold=True)
                reporter.write("no newline ")
                reporter.section("a section")
                reporter.write_sep("-", "a separator", red=True)
                return (yield)
            """,
            "test_a.py": "def test_a(): pass\ndef test_aa(): assert 0\n",
            "test_b.py": "def test_b(): pass\n",
        }
    )
    for options in (["--color=yes"], ["-v"]):
        _, ours = project.same(*options, slots=slots)
        assert sum("about to call" in line for line in ours.lines) == 3
