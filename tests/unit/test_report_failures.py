"""Failures on the page about a run: every text is there and is text, and long ones are cut where it is said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.report import failure
from pytest_hotreload.report.failure import Failure, message_of, readable, shortened, within_budget
from pytest_hotreload.report.failure_reports import FailureReports
from pytest_hotreload.report.page import page
from pytest_hotreload.report.timeline import Child, ItemSpan, Phase, Timeline, lay_out

from .report_articles import Article, articles_of, sections_of
from .timelines import NAMES

TEXT = """\
    def test_total():
>       assert total([1, 2]) == 4
E       assert 3 == 4
E        +  where 3 = total([1, 2])

tests/test_a.py:7: AssertionError"""


def timeline_of(*failures: Failure) -> Timeline:
    """A run of the tests that failed, and of one that passed."""
    timeline = Timeline(seconds=3.0, slots=["gw0", "gw1"], exitstatus=1)
    worst = {each.nodeid: each.outcome for each in failures if each.nodeid and "::" in each.nodeid}
    for number, (nodeid, outcome) in enumerate({**worst, "tests/test_z.py::test_passes": "passed"}.items()):
        file = nodeid.partition("::")[0]
        timeline.children.append(Child(number % 2, file, number, number + 0.9, order=[number]))
        timeline.tests.append(
            ItemSpan(nodeid, file, outcome, [Phase("call", number + 0.1, number + 0.8, number)])
        )
    timeline.failures = list(failures)
    lay_out(timeline)
    return timeline


def test_what_failed_comes_first_then_the_slowest_then_all():
    source = page(
        timeline_of(
            Failure("tests/test_a.py::test_total", "failed", text=TEXT),
            Failure("tests/test_a.py::test_flaky", "rerun", text=TEXT),
        )
    )
    assert sections_of(source) == [
        "Failures",
        "Passed when they ran again",
        "What stands out",
        "Slowest",
        "All tests",
        "All test files",
        "Timeline",
        "Where the time went",
    ]
    assert re.findall(r'<li><a href="#about-([a-z-]*)">(.*?)</a></li>', source) == [
        (title.lower().replace(" ", "-"), title) for title in sections_of(source)
    ]
    assert source.index('<nav aria-label="Parts of the page">') < source.index("<main>")


def test_a_failure_says_all_that_is_known_of_it():
    found = Failure(
        "tests/test_a.py::test_total[a b]",
        "error",
        when="teardown",
        subtest="[part] (i=1)",
        file="src/total.py",
        line=12,
        message="assert 3 == 4",
        text=TEXT,
        output=(("Captured stdout call", "one\ntwo\n"), ("Captured log call", "WARNING\n")),
    )
    source = page(timeline_of(found))
    assert articles_of(source) == [
        Article(
            name="failure-1",
            section="Failures",
            outcome="error",
            title="tests/test_a.py::test_total[a b] [part] (i=1)",
            message="assert 3 == 4",
            place="src/total.py:12 · in the teardown",
            command="pytest 'tests/test_a.py::test_total[a b]'",
            text=TEXT,
            unfolded=True,
            output=[("Captured stdout call", "one\ntwo"), ("Captured log call", "WARNING")],
        )
    ]
    assert '<b class="bad">E       assert 3 == 4\nE        +  where 3 = total([1, 2])</b>' in source
    assert source.count('<span class="bad"><a href="#failure-1">error</a></span>') == 2  # slowest and all


def test_what_is_missing_is_left_out():
    source = page(timeline_of(Failure("", "internal error", "", text="boom", message="boom")))
    (article,) = articles_of(source)
    assert (article.title, article.message, article.place, article.command) == ("", "", "", "")
    assert "<p>1 error outside of tests.</p>" in source
    (article,) = articles_of(page(timeline_of(Failure("a.py::test_a", "failed"))))
    assert (article.text, article.output, article.place) == ("", [], "")


def test_failures_are_counted_as_failures_of_tests():
    one = Failure("a.py::test_a", "failed")
    bad = Failure("b.py", failure.NOT_COLLECTED, "collect")
    more = ". Each command repeats one of them, in the root folder of the project.</p>"
    for found, said in (
        ([one], "<p>1 failure"),
        ([one, one], "<p>2 failures of 1 test"),
        ([bad, one], "<p>1 error outside of tests and 1 failure"),
    ):
        assert said + more in page(timeline_of(*found))


def test_a_run_without_failures_has_no_section_for_them():
    source = page(timeline_of())
    assert sections_of(source)[0] == "Slowest"
    assert articles_of(source) == []


def test_the_first_texts_are_unfolded_and_all_are_there():
    failures = [Failure(f"a.py::test_{number}", "failed", text=f"{TEXT} {number}") for number in range(60)]
    articles = articles_of(page(timeline_of(*failures)))
    assert [article.text for article in articles] == [each.text for each in failures]
    assert [article.unfolded for article in articles] == [True] * 10 + [False] * 50


def test_only_many_failures_are_laid_out_when_they_are_seen():
    for count, many in ((100, 0), (101, 1)):
        failures = [Failure(f"a.py::test_{number}", "failed") for number in range(count)]
        assert page(timeline_of(*failures)).count('<div class="failures many">') == many


@settings(max_examples=80)
@given(NAMES, NAMES, NAMES, st.lists(st.tuples(NAMES.filter(str.strip), NAMES), max_size=2))
def test_texts_of_tests_are_text(nodeid, message, content, output):
    given = Failure(
        f"a::{nodeid}", "failed", message=message, file=message, text=content, output=tuple(output)
    )
    source = page(timeline_of(given)).encode("utf-8", "backslashreplace").decode("utf-8")
    (article,) = articles_of(source)
    assert source.count("<script") == source.count("</script>") == 2
    assert len(article.output) == len(output)
    if content.strip() and content.isprintable():
        assert article.text == content
    for tag in ("<img", "<svg o", "<iframe", "javascript:"):
        assert tag not in source


def test_the_command_is_one_word_for_a_shell():
    nodeid = "a.py::test_a[it's $HOME `x` \\ ; & \"]"
    command = Failure(nodeid, "failed").command
    assert shlex.split(command) == ["pytest", nodeid]
    assert Failure("", "internal error").command == ""


def test_colours_and_titles_of_terminals_are_left_out():
    assert (
        readable("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;x\x1b\\link\r\nnext\x1b[2K")
        == "red link\nnext"
    )


def test_a_long_text_keeps_its_begin_and_its_end():
    assert shortened("x" * 100, 100) == "x" * 100
    assert shortened("a" * 100 + "b" * 1901 + "c" * 100, 200) == (
        "a" * 100 + "\n… 1,901 characters left out …\n" + "c" * 100
    )
    assert message_of("\n first \nsecond") == "first"
    assert message_of("x" * 301) == "x" * 299 + "…"
    assert message_of("x" * 300) == "x" * 300


def test_texts_of_all_failures_have_a_limit_and_texts_come_before_output():
    failures = [
        Failure(f"a.py::{name}", "failed", text=name * 40, output=(("out", name * 30),)) for name in "abc"
    ]
    left_out = "Left out, because the texts of all failures are too long for one page; the command shows it."
    for most, texts, outputs in (
        (210, "abc", "abc"),
        (209, "abc", "ab"),
        (120, "abc", ""),
        (119, "ab", "a"),
        (0, "", ""),
    ):
        found = within_budget(failures, most)
        assert [each.text for each in found] == [n * 40 if n in texts else left_out for n in "abc"]
        assert [each.output for each in found] == [
            (("out", n * 30 if n in outputs else left_out),) for n in "abc"
        ]


# ------------------------------------------------------------------------------------- reports


ROOT = Path("/project")


def reports_of(show_capture: str = "all", here: Path = ROOT) -> FailureReports:
    config: Any = SimpleNamespace(
        rootpath=ROOT,
        invocation_params=SimpleNamespace(dir=here),
        option=SimpleNamespace(showcapture=show_capture),
    )
    return FailureReports(config)


def report(nodeid: str = "a.py::test_a", outcome: Any = "failed", longrepr: Any = "why", **more: Any) -> Any:
    return pytest.TestReport(
        nodeid=nodeid,
        location=("a.py", 4, "test_a"),
        keywords={},
        outcome=outcome,
        longrepr=longrepr,
        when=more.pop("when", "call"),
        **more,
    )


def test_reports_of_failures_are_kept_in_order():
    reports = reports_of()
    for outcome, when in (
        ("passed", "setup"),
        ("failed", "call"),
        ("skipped", "call"),
        ("failed", "teardown"),
    ):
        reports.report(report(outcome=outcome, when=when, longrepr=f"{when} {outcome}"))
    assert [(each.outcome, each.when, each.text, each.message) for each in reports.failures()] == [
        ("failed", "call", "call failed", "call failed"),
        ("error", "teardown", "teardown failed", "teardown failed"),
    ]


def test_an_expected_failure_is_none():
    reports = reports_of()
    reports.report(report(outcome="skipped", wasxfail="reason: known"))
    reports.report(report(outcome="passed", wasxfail=""))
    assert reports.failures() == []


def test_attempts_of_a_test_that_failed_in_the_end_are_left_out():
    reports = reports_of()
    for nodeid, outcome in (
        ("a.py::x", "rerun"),
        ("a.py::x", "failed"),
        ("a.py::y", "rerun"),
        ("a.py::y", "passed"),
    ):
        reports.report(report(nodeid, outcome))
    assert [(each.nodeid, each.outcome) for each in reports.failures()] == [
        ("a.py::x", "failed"),
        ("a.py::y", "rerun"),
    ]


@pytest.mark.parametrize(
    ("show", "expected"),
    [
        ("all", ["Captured stdout call", "Captured log call", "From a plugin"]),
        ("stdout", ["Captured stdout call"]),
        ("log", ["Captured log call"]),
        ("no", []),
    ],
)
def test_output_that_the_terminal_does_not_show_is_not_on_the_page(show, expected):
    reports = reports_of(show)
    sections = [
        ("Captured stdout call", "o"),
        ("Captured log call", "l"),
        ("From a plugin", "p"),
        ("Empty", ""),
    ]
    reports.report(report(sections=sections))
    (found,) = reports.failures()
    assert [name for name, _ in found.output] == expected


def test_a_failure_without_a_traceback_is_at_its_test():
    reports = reports_of(here=ROOT / "sub")
    reports.report(report(longrepr="the process of this test ended"))
    (found,) = reports.failures()
    assert (found.file, found.line) == ("a.py", 5)


def test_lines_of_an_import_that_failed_are_found_in_its_text():
    reports = reports_of(here=ROOT / "sub")
    text = (
        "ImportError while importing\nTraceback:\n../helper.py:3: in <module>\n    import nowhere\n"
        f"{Path(pytest.__file__)}:9: in load\n    raise\nE   ModuleNotFoundError: No module named 'nowhere'"
    )
    reports.collected(pytest.CollectReport("sub/test_a.py", "failed", text, None))
    (found,) = reports.failures()
    assert (found.file, found.line, found.message) == (
        "helper.py",
        3,
        "ModuleNotFoundError: No module named 'nowhere'",
    )
    assert (found.outcome, found.when, found.command) == ("not collected", "collect", "pytest sub/test_a.py")


def test_a_text_that_can_not_be_shown_does_not_lose_the_page():
    class Broken:
        def toterminal(self, writer: Any) -> None:
            raise ZeroDivisionError

        def __str__(self) -> str:
            raise ZeroDivisionError

    reports = reports_of()
    reports.report(report(longrepr=Broken()))
    reports.report(report(longrepr="other"))
    assert [each.text for each in reports.failures()] == [
        "the text of this failure can't be shown: ZeroDivisionError",
        "other",
    ]


def test_an_internal_error_is_told_by_its_last_line():
    reports = reports_of()
    reports.internal("Traceback:\n  line\nValueError: no")
    (found,) = reports.failures()
    assert (found.outcome, found.message, found.text) == (
        "internal error",
        "ValueError: no",
        "Traceback:\n  line\nValueError: no",
    )
