"""Reports that are hard to pickle arrive completely."""

from __future__ import annotations

PASSED = [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
FAILED = [("setup", "passed"), ("call", "failed"), ("teardown", "passed")]


def test_attributes_of_plugins(project, slots):
    project.write(
        {
            "conftest.py": """\
            import pytest

            class Text:
                def __init__(self, text):
                    self.text = text

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                report.item = item
                report.parent = item.parent
                report.config = item.config
                report.number = 7
                report.pair = (1, 2)
                report.text = Text("of a class in a conftest")
                report.duration_of_call = call.duration
                return report

            def pytest_runtest_logreport(report):
                if report.when == "call":
                    assert report.item.nodeid == report.nodeid
                    assert report.item.config is report.config
                    assert report.pair == (1, 2)
                    assert type(report.parent).__name__ == "Module"
                    print("seen", report.item.name, report.number, report.text.text)

            def pytest_report_teststatus(report):
                if report.when == "call" and getattr(report, "number", 0) == 7 and report.passed:
                    return "sevens", "7", ("SEVEN", {"purple": True})
            """,
            "test_a.py": "def test_a(): pass\ndef test_b(): assert 0\n",
            "test_c.py": "def test_c(): pass\n",
        }
    )
    for options in ([], ["-v", "--color=yes"]):
        _, ours = project.same(*options, "-s", slots=slots)
        assert ours.outcomes == {
            "test_a.py::test_a": PASSED,
            "test_a.py::test_b": FAILED,
            "test_c.py::test_c": PASSED,
        }
        assert any("seen test_c 7 of a class in a conftest" in line for line in ours.lines)


def test_identity_of_the_controllers_own_item(project):
    """A plugin that keeps items by identity finds them again on the reports."""
    project.write(
        {
            "conftest.py": """\
            import pytest

            def pytest_collection_modifyitems(items, config):
                config.known = {id(item) for item in items}

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                report.item = item
                return report

            def pytest_runtest_logreport(report):
                print("known" if id(report.item) in report.item.config.known else "strange", report.when)
            """,
            "test_a.py": "class TestA:\n    def test_a(self): pass\n",
            "test_b.py": "def test_b(): pass\n",
        }
    )
    _, ours = project.same("-s")
    assert sum("known" in line for line in ours.lines) == 6
    assert not any("strange" in line for line in ours.lines)


def test_values_that_cannot_be_pickled(project, slots):
    project.write(
        {
            "conftest.py": """\
            import threading
            import pytest

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                report.lock = threading.Lock()
                report.user_properties.append(("lock", "text"))
                return report

            def pytest_terminal_summary(terminalreporter):
                for report in terminalreporter.stats.get("passed", ()):
                    terminalreporter.write_line(f"{report.nodeid} {[key for key, _ in report.user_properties]}")
            """,
            "test_a.py": """\
            import sys

            class Evil(Exception):
                def __init__(self, a, b):
                    self.a, self.b = a, b

                def __reduce__(self):
                    raise TypeError("never")

                def __str__(self):
                    raise RuntimeError("no text")

                __repr__ = __str__

            class BadRepr:
                def __repr__(self):
                    raise ValueError("no repr")

            def test_properties(record_property):
                record_property("lambda", "x")

            def test_evil():
                raise Evil(lambda: 1, sys._getframe())

            def test_bad_repr():
                bad = BadRepr()
                assert bad == 1

            def test_chain():
                try:
                    raise Evil(1, 2)
                except Evil as error:
                    raise KeyError(BadRepr()) from error

            def test_context():
                try:
                    raise ValueError(lambda: 1)
                except ValueError:
                    raise OSError(2, "no such thing", "name")

            def test_deep():
                def down(n):
                    return down(n + 1) if n < 60 else 1 / 0
                down(0)

            def test_base():
                raise SystemExit(3)

            def test_long():
                assert list(range(5000)) == list(range(1, 5001))
            """,
        }
    )
    for options in ([], ["--tb=short", "-rA"], ["--showlocals", "--tb=native"]):
        _, ours = project.same(*options, slots=slots)
        assert ours.status == 1
        assert len(ours.outcomes) == 8


def test_how_a_failure_shows_itself(project, slots):
    project.write(
        {
            "conftest.py": """\
            import pytest
            from _pytest._code.code import TerminalRepr

            class Shown(TerminalRepr):
                def __init__(self, value):
                    self.value = value
                    self.later = lambda: "can't be pickled" if "pickle" in str(value) else None

                def toterminal(self, tw):
                    tw.line(f"shown in colour: {self.value}", bold=True, red=True)
                    tw.sep("~", "and a separator")

            class Picklable(TerminalRepr):
                def __init__(self, value):
                    self.value = str(value)

                def toterminal(self, tw):
                    tw.line(f"picklable: {self.value}", green=True)

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_makereport(item, call):
                report = yield
                if report.failed:
                    shown = Shown if "shown" in item.name else Picklable
                    report.longrepr = shown(call.excinfo.value)
                return report
            """,
            "test_a.py": "def test_shown(): raise ValueError('of mine')\ndef test_other(): assert 0, 'x'\n",
            "test_b.py": "def test_shown(): raise ValueError('of mine')\n",
        }
    )
    for options in (["--color=yes"], ["-rA", "--junitxml=out.xml"]):
        _, ours = project.same(*options, slots=slots)
        assert sum("shown in colour: of mine" in line for line in ours.lines) >= 2


def test_assertion_hooks_and_sections(project, slots):
    project.write(
        {
            "conftest.py": """\
            import pytest

            class Thing:
                def __init__(self, n): self.n = n
                def __eq__(self, other): return self.n == other.n

            @pytest.fixture
            def thing(): return Thing

            def pytest_assertrepr_compare(config, op, left, right):
                if isinstance(left, Thing) and op == "==":
                    return ["two things differ", f"{left.n} is not {right.n}"]

            def pytest_assertion_pass(item, lineno, orig, expl):
                item.add_report_section("call", "passed", f"{lineno}: {orig} -> {expl}")

            def pytest_exception_interact(node, call, report):
                report.sections.append(("interact", f"{node.name} {call.when}"))
            """,
            "pytest.ini": "[pytest]\nenable_assertion_pass_hook = true\n",
            "test_a.py": "def test_a(thing):\n    assert 1 == 1\n    assert thing(1) == thing(2)\n",
            "test_b.py": "def test_b(thing):\n    assert thing(3) == thing(3)\n    assert thing(1) == thing(4)\n",
        }
    )
    _, ours = project.same("-rA", slots=slots)
    assert "E       assert two things differ" in ours.lines
