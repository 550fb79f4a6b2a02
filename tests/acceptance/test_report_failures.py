"""The failures on the page about a run: each with the text that plain pytest's terminal shows for it."""

from __future__ import annotations

import re
import shlex

import pytest

from ..unit.report_articles import Article, articles_of, sections_of  # noqa: TID252 - one reader of pages
from .compare import Project, Result
from .sample import FILES, OUTCOMES

REPORT = "--hotreload-report=run.html"


def articles(result: Result) -> list[Article]:
    return articles_of((result.root / "run.html").read_text(encoding="utf-8"))


def comparable(text: str) -> str:
    """Without addresses, the names of workers, and spaces at the ends of lines."""
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("[gw")]
    return re.sub(r"0x\w+", "0x", "\n".join(lines).strip("\n"))


def test_every_failure_is_there_with_the_text_of_the_terminal(project, slots):
    project.write(FILES)
    plain, ours = project.same(slots=slots, extra=[REPORT])
    found = articles(ours)
    failed = {
        (nodeid, when)
        for nodeid, reports in OUTCOMES.items()
        for when, outcome in reports
        if outcome == "failed"
    }
    assert len(found) == len(failed) == 12
    assert [article.title for article in found] == [each for each in OUTCOMES if each in dict(failed)]
    terminal = comparable(plain.output)
    for article in found:
        when = next(when for nodeid, when in failed if nodeid == article.title)
        assert article.outcome == ("failed" if when == "call" else "error")
        assert article.section == "Failures"
        assert shlex.split(article.command) == ["pytest", article.title]
        assert comparable(article.text) in terminal
        assert article.message.removeprefix("Failed: ") in article.text
        for _, content in article.output:
            assert all(line.rstrip() in terminal for line in content.splitlines())
    by_name = {article.title.rpartition("::")[2]: article for article in found}
    assert [name for name, _ in by_name["test_fails"].output] == [
        "Captured stdout setup",
        "Captured log setup",
        "Captured stdout call",
        "Captured stderr call",
        "Captured log call",
    ]
    assert dict(by_name["test_fails"].output)["Captured stderr call"] == "err"
    assert {
        name: by_name[name].place
        for name in ("test_fails", "test_errors", "test_errors_late", "test_in_class")
    } == {
        "test_fails": "test_plain.py:12",
        "test_errors": "conftest.py:15 · in the setup",
        "test_errors_late": "conftest.py:20 · in the teardown",
        "test_in_class": "test_marks.py:42",
    }
    assert by_name["test_deep"].message == "ValueError: line one"


def test_the_order_of_a_page(project):
    project.write(
        {
            "test_a.py": "import time\ndef test_a(): assert 0\ndef test_b(): time.sleep(0.1)\n",
            "test_b.py": "def test_c(): pass\n",
        }
    )
    ours = project.run(REPORT, slots=2)
    headings = sections_of((ours.root / "run.html").read_text(encoding="utf-8"))
    assert headings[0] == "Failures"
    assert [each for each in headings if each not in ("What stands out", "Imports")] == [
        "Failures",
        "Slowest",
        "All tests",
        "All test files",
        "Timeline",
        "Where the time went",
    ]


def test_what_is_no_failure_of_a_test_is_there(project):
    """A file that can't be collected, a child that dies, and subtests."""
    pytest.importorskip("_pytest.subtests")
    project.write(
        {
            "test_bad.py": "\nimport nowhere_at_all\n",
            "test_dies.py": "import os\ndef test_dies(): os._exit(3)\n",
            "test_parts.py": """\
                def test_parts(subtests):
                    for i in range(3):
                        with subtests.test("part", i=i):
                            assert i == 1
                """,
        }
    )
    ours = project.run(REPORT, "--continue-on-collection-errors", slots=1)
    found = articles(ours)
    assert [(a.outcome, a.title, a.message, a.place, a.command) for a in found] == [
        (
            "not collected",
            "test_bad.py",
            "ModuleNotFoundError: No module named 'nowhere_at_all'",
            "test_bad.py:2 · while the file was collected",
            "pytest test_bad.py",
        ),
        ("failed", "test_dies.py::test_dies", "", "test_dies.py:2", "pytest test_dies.py::test_dies"),
        *(
            (
                "failed",
                f"test_parts.py::test_parts [part] (i={i})",
                f"assert {i} == 1",
                "test_parts.py:4",
                "pytest test_parts.py::test_parts",
            )
            for i in (0, 2)
        ),
    ]
    assert found[1].text == "the process of this test ended with exit status 3 during call"
    assert "<p>1 error outside of tests and 3 failures of 2 tests. " in (ours.root / "run.html").read_text()


def test_a_test_that_passed_when_it_ran_again_is_apart(project):
    pytest.importorskip("pytest_rerunfailures")
    project.plugins = ["pytest_rerunfailures"]
    project.write(
        {
            "test_flaky.py": """
                tries = []
                def test_flaky():
                    tries.append(1)
                    assert len(tries) == 2
                def test_fails():
                    assert 0
            """
        }
    )
    found = articles(project.run(REPORT, "--reruns=1", slots=1))
    assert [(a.section, a.title, a.outcome, a.unfolded) for a in found] == [
        ("Failures", "test_flaky.py::test_fails", "failed", True),
        ("Passed when they ran again", "test_flaky.py::test_flaky", "failed attempt", False),
    ]
    assert "assert 1 == 2" in found[1].text


def test_texts_and_output_are_text(project):
    hostile = "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>"
    project.write(
        {
            "test_a.py": f"""
                import pytest
                HOSTILE = {hostile!r}

                @pytest.mark.parametrize("name", [HOSTILE])
                def test_a(name):
                    print(name)
                    raise ValueError(name)
            """
        }
    )
    ours = project.run(REPORT, slots=1)
    (article,) = articles(ours)
    assert article.title == f"test_a.py::test_a[{hostile}]"
    assert article.message == f"ValueError: {hostile}"
    assert article.output == [("Captured stdout call", hostile)]
    source = (ours.root / "run.html").read_text()
    assert "<img" not in source
    assert source.count("<script") == 2


def test_the_page_has_what_the_terminal_was_told_to_show(project):
    project.write({"test_a.py": "def test_a():\n    print('secret')\n    assert 1 == 2\n"})
    (article,) = articles(project.run(REPORT, "--show-capture=no", "--tb=line", slots=1))
    assert article.output == []
    assert article.text == "E   assert 1 == 2"
    assert (article.place, article.message) == ("test_a.py:3", "assert 1 == 2")


def test_an_internal_error_has_its_text(project: Project):
    project.write(
        {
            "test_a.py": "def test_a(): pass\n",
            "conftest.py": "def pytest_runtest_logreport(report):\n    raise ZeroDivisionError('by a plugin')\n",
        }
    )
    ours = project.run(REPORT, slots=1)
    assert ours.status == 3
    (article,) = articles(ours)
    assert (article.outcome, article.message, article.command) == (
        "internal error",
        "ZeroDivisionError: by a plugin",
        "",
    )


def test_functions_that_a_test_file_replaced_make_no_other_page(project):
    project.write(
        {
            "test_a.py": """
                import html, shlex

                def replaced(*args, **kwargs):
                    raise RuntimeError("replaced")

                html.escape = shlex.quote = replaced

                def test_a():
                    assert 1 == 2
            """
        }
    )
    (article,) = articles(project.run(REPORT, slots=1))
    assert (article.command, article.message) == ("pytest test_a.py::test_a", "assert 1 == 2")
