"""Collected = run + reported: a lost report is an error of its test, never a green run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

#: (what the test does before it fails, what its failure says; None: plain pytest's own).
BROKEN = {
    "unregistered": (
        (
            "for name, plugin in list(request.config.pluginmanager.list_name_plugin()):\n"
            "        if plugin is not None and 'hotreload' in name:\n"
            "            request.config.pluginmanager.unregister(plugin)"
        ),
        "its call was not reported although its setup passed",
    ),
    "no implementations": (
        "request.config.hook.pytest_runtest_logreport._hookimpls.clear()",
        "its call was not reported although its setup passed",
    ),
    "silent": (
        "from pytest_hotreload.run.child.reporter import Reporter\n    Reporter.put = lambda self, message: None",
        "ended with exit status 0 after the last test",
    ),
    "raising": (
        "from pytest_hotreload.run.child import reporter\n    reporter.pack_report = None",
        "a report could not be prepared: TypeError",
    ),
    "closed": ("import os\n    os.closerange(3, 250)", "ended with exit status 70 during call"),
    "cut": (
        (
            "from pytest_hotreload.run.child.reporter import Reporter\n"
            "    reporter = request.config.pluginmanager.get_plugin('hotreload-reporter')\n"
            "    reporter.channel.socket.sendall(b'\\0\\0\\0\\3abc')\n"
            "    import time; time.sleep(60)"
        ),
        "sent a message that can't be read (UnpicklingError",
    ),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_loss_is_an_error_by_name(project, slots, way):
    does, says = BROKEN[way]
    project.write({
        "test_a.py": f"""
def test_before(): pass
def test_breaks(request):
    {does}
    assert 0
""",
        "test_b.py": "def test_other(): pass\n",
    })  # fmt: skip
    ours = project.run("--junitxml=junit.xml", "--hotreload-json=run.json", slots=slots)
    assert ours.status == 1
    assert says in ours.output.replace("\n", " ")
    outcomes = {test["nodeid"]: test["outcome"] for test in ours.json("run.json")["tests"]}
    assert outcomes["test_a.py::test_breaks"] in ("failed", "error")
    assert outcomes["test_b.py::test_other"] == "passed"
    failed = {case.get("name") for case in ET.parse(ours.root / "junit.xml").iter("testcase") if len(case)}
    assert failed == {"test_breaks"}


def test_what_is_lost_on_the_way_is_an_error_of_the_last_test(project, slots):
    project.write({
        "test_a.py": """
            from pytest_hotreload.process.channel import Channel

            def test_loses():
                plain = Channel.put
                def put(self, index, message):
                    if type(message).__name__ == "Wrote": self.sent += 1
                    else: plain(self, index, message)
                Channel.put = put
            def test_writes(pytestconfig):
                pytestconfig.pluginmanager.get_plugin("terminalreporter").write_line("said")
        """,
    })  # fmt: skip
    ours = project.run(slots=slots)
    assert ours.status == 1
    assert ours.outcomes["test_a.py::test_writes"][-1] == ("teardown", "failed")
    assert "messages, of which" in ours.output


def test_a_plugin_that_runs_tests_itself_may_leave_out_what_it_leaves_out(project, slots):
    project.write({
        "conftest.py": """
            import pytest
            from _pytest.runner import runtestprotocol

            def pytest_runtest_protocol(item, nextitem):
                if "not" in item.name: return True
                if "twice" not in item.name: return None
                for _ in range(2):
                    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                    runtestprotocol(item, nextitem=nextitem)
                    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                return True
        """,
        "test_a.py": "def test_twice(): pass\ndef test_not(): assert 0\ndef test_plain(): pass\n",
        "test_b.py": "def test_not(): assert 0\ndef test_twice(): assert 0\n",
    })  # fmt: skip
    project.same("-v", slots=slots)


@pytest.mark.parametrize("option", ["--setup-only", "--setup-show", "-x", "--maxfail=2"])
def test_nothing_is_missing_where_pytest_leaves_it_out(project, slots, option):
    project.write({
        "test_a.py": """
            import pytest
            @pytest.fixture
            def one(): yield 1
            def test_a(one): assert 0
            def test_b(): pass
        """,
        "test_b.py": "import pytest\ndef test_c(): pytest.skip('x')\ndef test_d(): assert 0\ndef test_e(): assert 0\n",
    })  # fmt: skip
    project.same(option, slots=slots)
