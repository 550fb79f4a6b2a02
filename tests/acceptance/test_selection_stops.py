"""Everything that ends a run before its last test, or before its first test."""

from __future__ import annotations

import pytest

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
FAILED = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]

#: Later files are fast and the first is slow, so that ours runs ahead of what it may show.
FILES = {
    "conftest.py": """\
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def wide():
            yield
            print("module down")
        """,
    "test_a.py": "import time\ndef test_1(): time.sleep(0.3)\ndef test_2(): assert 0\ndef test_3(): pass\n",
    "test_b.py": "def test_1(): pass\ndef test_2(): assert 0\ndef test_3(): assert 0\ndef test_4(): pass\n",
    "test_c.py": "import pytest\n@pytest.fixture\ndef bad(): 1 / 0\ndef test_1(bad): pass\ndef test_2(): pass\n",
}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("-x", ["a.py::test_1", "a.py::test_2"]),
        ("--maxfail=2", ["a.py::test_1", "a.py::test_2", "a.py::test_3", "b.py::test_1", "b.py::test_2"]),
        ("--maxfail=4 -v", None),
        ("-x --tb=short -rA", None),
    ],
)
def test_failures_that_stop(project, slots, options, shown):
    project.write(FILES)
    if slots > 1 and "maxfail" in options:
        # Of files that run at once none knows how many tests failed before: the one that reaches the
        # number leaves the module to be torn down later, which nobody is shown.
        plain, ours = project.both(*options.split(), slots=slots)
        assert ours.outcomes == plain.outcomes
        assert [
            line for line in plain.lines if "module down" not in line and "teardown ---" not in line
        ] == ours.lines
    else:
        _, ours = project.same(*options.split(), slots=slots)
    if shown is not None:
        assert ours.order == [f"test_{name}" for name in shown]
    assert ours.status == 1


_EXIT = "import pytest\ndef leave(): pytest.exit('enough'{})\n"
_FIXTURE = "@pytest.fixture\ndef f():\n"
EXITS = {
    "in a test": ("test_b.py", "def test_1(): pass\ndef test_2(): leave()\ndef test_3(): pass\n"),
    "in a fixture": ("test_b.py", _FIXTURE + "    leave()\ndef test_1(f): pass\ndef test_2(): pass\n"),
    "in a teardown": (
        "test_b.py",
        _FIXTURE + "    yield\n    leave()\ndef test_1(f): pass\ndef test_2(): pass\n",
    ),
    "at import": ("test_b.py", "leave()\n"),
    "in a setup hook": (
        "conftest.py",
        "def pytest_runtest_setup(item):\n    if 'b.py' in item.nodeid: leave()\n",
    ),
    "in a report hook": (
        "conftest.py",
        "def pytest_runtest_logreport(report):\n    if report.failed: leave()\n",
    ),
}


@pytest.mark.parametrize(
    ("where", "returncode"), [*((where, "") for where in EXITS), ("in a test", ", returncode=7")]
)
def test_pytest_exit(project, where, returncode):
    name, text = EXITS[where]
    project.write({**FILES, name: _EXIT.format(returncode) + text})
    _, ours = project.same(slots=2)
    assert ours.status == (7 if returncode and where != "at import" else 2)
    assert any("enough" in line for line in ours.lines)


@pytest.mark.parametrize("attribute", ["shouldstop", "shouldfail"])
@pytest.mark.parametrize("where", ["test", "hook", "report hook"])
def test_session_attributes(project, attribute, where):
    slots = 1 if where == "test" else 2
    files = dict(FILES)
    if where == "test":
        files["test_b.py"] = (
            f"def test_1(request): request.session.{attribute} = 'told to'\ndef test_2(): pass\n"
        )
    elif where == "hook":
        files["conftest.py"] = (
            f"def pytest_runtest_teardown(item):\n    if item.name == 'test_2':\n"
            f"        item.session.{attribute} = 'told to'\n"
        )
    else:
        files["conftest.py"] = (
            "import pytest\nclass P:\n    def __init__(self, s): self.s = s\n"
            "    def pytest_runtest_logreport(self, report):\n"
            f"        if report.when == 'call' and report.failed: self.s.{attribute} = 'told to'\n"
            "def pytest_sessionstart(session): session.config.pluginmanager.register(P(session))\n"
        )
    project.write(files)
    _, ours = project.same(slots=slots)
    assert any("told to" in line for line in ours.lines)
    assert ours.status == (2 if attribute == "shouldstop" else 1)


def test_keyboard_interrupt_raised_by_a_test(project, slots):
    project.write(
        {
            **FILES,
            "test_b.py": "def test_1(): pass\ndef test_2():\n    raise KeyboardInterrupt('x')\ndef test_3(): pass\n",
        }
    )
    for options in ([], ["--full-trace"]):
        plain, ours = project.both(*options, slots=slots)
        assert ours.outcomes == plain.outcomes
        assert ours.status == plain.status == 2
        if not options:
            assert ours.lines == plain.lines


@pytest.mark.parametrize(
    "hook",
    [
        "pytest_runtest_setup(item)",
        "pytest_runtest_makereport(item, call)",
        "pytest_runtest_protocol(item, nextitem)",
        "pytest_runtest_logreport(report)",
        "pytest_runtest_logstart(nodeid, location)",
    ],
)
def test_internal_errors(project, hook):
    slots = 1 if "log" in hook else 2
    argument = hook.partition("(")[2].rstrip(")").split(",")[0]
    nodeid = argument if argument == "nodeid" else f"{argument}.nodeid"
    raised = "raise ValueError('broken hook')" if "setup" not in hook else "raise SystemError('broken hook')"
    project.write(
        {
            **FILES,
            "conftest.py": (
                "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
                f"def {hook}:\n    if 'b.py' in {nodeid}:\n        {raised}\n"
            ),
        }
    )
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status
    assert _without_frames(ours.lines) == _without_frames(plain.lines)


def _without_frames(lines):
    """Without the frames of a run loop, which can't be the same."""
    kept = [line for line in lines if not line.startswith(("INTERNALERROR>   ", "INTERNALERROR>     "))]
    shown = [line for line in lines if "conftest.py" in line or "broken hook" in line]
    return kept + shown


def test_errors_of_collection(project, slots):
    project.write({**FILES, "test_bad.py": "import surely_not_there\n", "test_worse.py": "def test_(:\n"})
    _, ours = project.same(slots=slots)
    assert ours.status == 2
    _, ours = project.same("--continue-on-collection-errors", slots=slots)
    assert ours.status == 1
    assert len(ours.outcomes) == 9
    _, ours = project.same("--continue-on-collection-errors", "-x", slots=slots)
    assert ours.outcomes == {}


def test_nothing_to_run(project, slots):
    project.write({**FILES, "empty/readme.txt": ""})
    for options, status in (
        (["empty"], 5),
        (["-k", "matches_nothing"], 5),
        (["nowhere.py"], 4),
        (["test_a.py::test_nowhere"], 4),
        (["--no-such-option"], 4),
        (["-k", "a b c"], 4),
        (["-c", "nowhere.ini"], None),  # pytest 8 and 9 differ
        (["-o", "not-an-ini"], 4),
    ):
        plain, ours = project.both(*options, slots=slots)
        assert ours.status == plain.status
        assert status is None or ours.status == status
        assert ours.lines == plain.lines
        strip = [line for line in plain.errors if "usage" not in line]
        assert [line for line in ours.errors if "usage" not in line] == strip


def test_exit_status_that_a_hook_changes(project, slots):
    project.write(
        {
            **FILES,
            "conftest.py": """\
            import pytest

            @pytest.hookimpl(trylast=True)
            def pytest_sessionfinish(session, exitstatus):
                print("finished with", int(exitstatus), session.testsfailed, session.testscollected)
                session.exitstatus = 9
            """,
        }
    )
    _, ours = project.same("-s", slots=slots)
    assert ours.status == 9


def test_session_hooks_run_once(project, slots):
    project.write(
        {
            **FILES,
            "conftest.py": """\
            import atexit, os

            def note(text):
                with open(os.path.join(os.path.dirname(__file__), "calls.txt"), "a") as file:
                    file.write(text + "\\n")

            def pytest_configure(config): note("configure")
            def pytest_unconfigure(config): note("unconfigure")
            def pytest_sessionstart(session): note("sessionstart")
            def pytest_sessionfinish(session): note(f"sessionfinish {session.testsfailed}")
            def pytest_terminal_summary(terminalreporter): note("summary")
            def pytest_runtest_logreport(report): note(f"{report.when} {report.nodeid}")
            def pytest_runtest_logstart(nodeid): note(f"start {nodeid}")
            def pytest_runtest_logfinish(nodeid): note(f"finish {nodeid}")
            def pytest_report_teststatus(report): pass
            atexit.register(note, "at exit")
            """,
        }
    )
    plain, ours = project.same(slots=slots)
    assert ours.read("calls.txt") == plain.read("calls.txt")
    assert ours.read("calls.txt").count("at exit") == 1
