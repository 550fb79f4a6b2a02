"""Suites in which a conftest or a test does something unusual: all that can be seen is plain pytest's."""

from __future__ import annotations

from typing import Any

import pytest

OTHER = {"test_other.py": "def test_other(): pass\n"}
SUITES = {
    "a handler of SIGCHLD that reaps": {
        "conftest.py": """
            import os, signal
            def reap(number, frame):
                try:
                    while os.waitpid(-1, os.WNOHANG)[0]: pass
                except ChildProcessError: pass
            signal.signal(signal.SIGCHLD, reap)
            """,
        "test_a.py": "import signal\ndef test_a(): assert signal.getsignal(signal.SIGCHLD).__name__ == 'reap'\n",
    },
    "a report that reaches the plugin manager": {
        "conftest.py": """
            import pytest
            @pytest.fixture
            def terminal(request): return request.config.pluginmanager.getplugin("terminalreporter")
            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                report.reaches = [item.ihook, item.config.hook, item.config.pluginmanager, item.session]
                report.values = dict(item.funcargs)
                report.statistics = item.config.pluginmanager.getplugin("terminalreporter").stats
                return report
            def pytest_runtest_logreport(report):
                assert report.reaches[2].getplugin("terminalreporter") and type(report.statistics).__mro__[-2] is dict
            """,
        "test_a.py": """
            import pytest
            @pytest.mark.xfail
            def test_x(terminal): assert 0
            def test_ok(terminal): pass
            def test_fails(terminal): assert 0
            """,
    },
    "a key that is hashed by code of the project": {
        "conftest.py": """
            import os, pytest
            class Key:
                def __init__(self): self.pid = os.getpid()
                def __hash__(self):
                    if os.getpid() != self.__dict__.get("pid"): os._exit(0)
                    return 1
                def __eq__(self, other): return self is other
            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                report.held = [{Key(): 1}, {Key()}, frozenset([Key()])]
                return report
            """,
        "test_a.py": "def test_a(): assert 0\n",
    },
    "a category of warnings with a metaclass": {
        "test_a.py": """
            import warnings
            class Meta(type):
                @property
                def __mro__(cls): raise ValueError
            class Odd(UserWarning, metaclass=Meta): pass
            def test_a(): warnings.warn("odd", Odd)
            """,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SUITES)
def test_all_is_the_same(project: Any, slots: int, name: str) -> None:
    project.write(SUITES[name] | OTHER)
    project.same(slots=slots)


def test_a_closed_standard_output(project: Any, slots: int) -> None:
    """Plain pytest prints a traceback when it ends."""
    project.write({"test_a.py": "import sys\ndef test_a(): sys.stdout.close()\n"})
    plain, ours = project.both(slots=slots)
    assert (ours.status, ours.outcomes) == (plain.status, plain.outcomes)


def test_a_record_that_the_log_file_cannot_take(project: Any, slots: int) -> None:
    project.write(
        {
            **OTHER,
            "test_a.py": """
                import logging, os
                def test_a():
                    logging.warning("before")
                    logging.warning("cannot read %s", os.fsdecode(b"caf\\xe9.txt"))
                    logging.warning("after")
                """,
        }
    )
    plain, ours = project.same("--log-file=log.txt", slots=slots)
    assert ours.read("log.txt") == plain.read("log.txt")
    assert ours.read("log.txt").count("\n") == 2


#: A daemon is made of the child, and returns into pytest.
LEAVES = """
    import os
    def test_before(): pass
    def test_leaves():
        if os.fork(): os._exit(0)
    def test_after(): pass
    def test_last(): pass
    """


def test_a_copy_of_the_child_ends_with_its_test(project: Any, slots: int) -> None:
    project.write({**OTHER, "test_a.py": LEAVES})
    for _ in range(3):
        ours = project.run(slots=slots)
        outcomes = {name: [outcome for _, outcome in each] for name, each in ours.outcomes.items()}
        assert outcomes.pop("test_a.py::test_leaves")[-1] == "failed"
        assert set(map(tuple, outcomes.values())) == {("passed", "passed", "passed")}
        assert len(outcomes) == 4
        assert "exit status 0 during call" in ours.output


def test_an_audit_hook_of_a_conftest_that_forbids_forks(project, slots):
    project.write({
        "conftest.py": """
            import sys

            def forbid(event, _):
                if event == "os.fork":
                    raise RuntimeError("forbidden")

            def pytest_sessionstart():
                sys.addaudithook(forbid)
        """,
        **{f"test_{name}.py": "def test_it(): pass" for name in "ab"},
    })  # fmt: skip
    plain, ours = project.run(slots=None), project.run(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert len(ours.outcomes) == 2
    refused = "the system refused to fork (an audit hook: forbidden): starting fresh interpreters instead"
    assert ours.notices[-1].endswith(refused)
