"""``--junitxml``: the same file, except for times."""

from __future__ import annotations

import re

import pytest

from . import sample

TESTS = {
    "test_properties.py": """\
        import os, sys, logging
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def suite(record_testsuite_property):
            record_testsuite_property("suite", "level")

        def test_property(record_property):
            record_property("key", 1)
            record_property("other", {"a": [1]})
            print("printed")

        def test_attribute(record_xml_attribute):
            record_xml_attribute("extra", "<&>")
            record_xml_attribute("classname", "Renamed")
            assert 0

        @pytest.fixture
        def both(record_property, record_xml_attribute):
            record_property("from", "setup")
            record_xml_attribute("at", "setup")
            yield
            record_property("from", "teardown")
            raise OSError("late")

        def test_both(both):
            logging.error("logged \\x1b[31m \\x00")
            os.write(2, b"\\xff raw\\n")
        """,
    "test_plugin.py": """\
        def test_user_properties(request):
            request.node.user_properties.append(("added", "by hand"))
            request.node.user_properties.append(("unpicklable", lambda: 0))
        """,
}

_TIMES = re.compile(r'(time|timestamp|hostname)="[^"]*"')


def _junit(result):
    text = result.read("out.xml").replace("&lt;root&gt;", "<root>")
    return _TIMES.sub(r'\1=""', text).replace("><", ">\n<").splitlines()


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
@pytest.mark.parametrize("logging", ["all", "no"])
def test_same_file(project, family, logging):
    project.write({**sample.FILES, "test_properties.py": TESTS["test_properties.py"]})
    plain, ours = project.same(
        "--junitxml=out.xml", "-o", f"junit_family={family}", "-o", f"junit_logging={logging}", slots=2
    )
    assert _junit(ours) == _junit(plain)
    assert ('<property name="suite" value="level" />' in _junit(ours)) is True
    assert ours.outcomes["test_properties.py::test_both"][-1] == ("teardown", "failed")


def test_same_file_with_one_slot(project):
    project.write({**sample.FILES, "test_properties.py": TESTS["test_properties.py"]})
    plain, ours = project.same(
        "--junitxml=out.xml", "-o", "junit_logging=all", "-o", "junit_family=xunit1", slots=1
    )
    assert _junit(ours) == _junit(plain)
    assert any('extra="&lt;&amp;&gt;"' in line for line in _junit(ours))


def test_options(project):
    project.write(TESTS)
    plain, ours = project.same(
        "--junitxml=out.xml",
        "--junitprefix=before",
        "-o",
        "junit_suite_name=named",
        "-o",
        "junit_duration_report=call",
        "-o",
        "junit_log_passing_tests=false",
        "-o",
        "junit_logging=all",
    )
    strip = re.compile(r"function .*? at \S+")
    assert [strip.sub("F", line) for line in _junit(ours)] == [strip.sub("F", line) for line in _junit(plain)]
    assert any("before.test_plugin" in line for line in _junit(ours))
