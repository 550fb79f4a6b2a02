"""Plugins and conftests that implement ``pytest_runtestloop``: called as in plain pytest, also if they run tests."""

from __future__ import annotations

from typing import Any

TESTS = {
    "test_a.py": "def test_passes(): pass\ndef test_fails(): assert 0\n",
    "test_b.py": "def test_b(): pass\n",
}
#: Each notes its name, and how many items it was given.
NOTES = """
    import pytest
    def note(name, session=None):
        with open("calls.txt", "a") as calls:
            calls.write(f"{name} {len(session.items) if session is not None else ''}\\n")
"""
CONFTEST = (
    NOTES
    + """
    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(session):
        note("wrapper", session)
        result = yield
        note("wrapper's end")
        return result

    class Usual:
        def pytest_runtestloop(self, session): note("usual", session)
    class WithoutArguments:
        def pytest_runtestloop(self): note("without arguments")
    class First:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session): note("first", session)
    class Last:
        @pytest.hookimpl(trylast=True)
        def pytest_runtestloop(self, session): note("last", session)

    def pytest_configure(config):
        for plugin in (Usual(), WithoutArguments(), First(), Last()):
            config.pluginmanager.register(plugin)
"""
)
LOOP = (
    NOTES
    + """
    def pytest_runtestloop(session):
        note("loop", session)
        for number, item in enumerate(session.items):
            following = session.items[number + 1 :][:1] or [None]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following[0])
        return "done"
"""
)


def same(project: Any, conftest: str, slots: int, *args: str) -> Any:
    project.write({**TESTS, "conftest.py": conftest})
    plain, ours = project.same(*args, slots=slots)
    assert ours.read("calls.txt") == plain.read("calls.txt")
    return ours


def test_all_are_called_in_order(project, slots):
    ours = same(project, CONFTEST, slots)
    calls = [line.strip() for line in ours.read("calls.txt").splitlines()]
    assert sorted(calls) == ["first 3", "usual 3", "without arguments", "wrapper 3", "wrapper's end"]


def test_one_that_runs_the_tests(project, slots):
    ours = same(project, LOOP, slots)
    assert ours.read("calls.txt") == "loop 3\n"
    (notice,) = [line for line in ours.notices if "plain pytest" in line]
    assert notice.startswith("hotreload: plain pytest runs this suite, without children: ")
    assert notice.endswith("conftest.py runs the tests by itself (pytest_runtestloop)")


def test_one_that_ends_the_run(project, slots):
    same(
        project,
        NOTES
        + "    def pytest_runtestloop(session):\n        note('exit')\n        pytest.exit('enough', 7)\n",
        slots,
    )


def test_one_with_a_mistake(project, slots):
    same(
        project,
        NOTES
        + "    def pytest_runtestloop(session):\n        note('error')\n        raise pytest.UsageError('no')\n",
        slots,
    )
