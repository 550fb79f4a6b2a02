"""The page in a real browser: no error, no network request, and 5,000 tests without visible delay.

Skipped where there is no Chromium; ``HOTRELOAD_BROWSER`` names one that is not on the path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_hotreload.report.page import page as page_of

from ..unit.timelines import big  # noqa: TID252 - one home for a big timeline
from .browser import Browser, Page, found

pytestmark = pytest.mark.skipif(
    found() is None, reason="no Chromium on this machine (HOTRELOAD_BROWSER names one)"
)

#: What a frame may take while it zooms over 5,000 tests. On a busy machine without a GPU: 20 to 60 ms.
_STUTTER_MS = 500
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with contextlib.closing(Browser(tmp_path_factory.mktemp("browser"))) as started:
        yield started


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 5,000 tests."""
    path = tmp_path_factory.mktemp("page") / "many.html"
    path.write_text(page_of(big(5000)), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_trouble(browser: Browser) -> Iterator[None]:
    browser.events.clear()
    yield
    shown = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    assert [event for event in browser.events if event["method"] in shown] == []


def cells(page: Page, table: str) -> list[str]:
    """The first column of a table."""
    return list(
        page.evaluate(
            f"[...document.querySelectorAll('#{table} tbody tr')].map(row => row.cells[0].textContent)"
        )
    )


def type_into(page: Page, place: int, text: str) -> None:
    """Into a filter, and wait until it was taken."""
    page.evaluate(f"document.querySelectorAll('input[type=search]')[{place}].focus()")
    page.ask("Input.insertText", text=text)
    page.evaluate("new Promise(done => setTimeout(done, 200))")


def test_nothing_is_asked_for_and_all_is_drawn(browser, many):
    page = browser.open(many)
    assert page.requests() == [many.as_uri()]
    assert page.troubles() == []
    assert page.evaluate("document.querySelectorAll('#timeline canvas').length") == 1
    assert page.evaluate("getComputedStyle(document.querySelector('.without-script')).display") == "none"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_javascript_there_are_tables(browser, many):
    page = browser.open(many, script=False)
    root = page.ask("DOM.getDocument")["root"]["nodeId"]
    for selector, count in (
        ("#timeline + p.without-script", 1),
        ("#tests tbody tr", 100),
        ("canvas", 0),
        ("input", 0),
    ):
        assert len(page.ask("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]) == count


def test_light_and_dark_are_told_apart(browser, many):
    papers = [
        browser.open(many, dark=dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert papers == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_tests_are_filtered_and_sorted_over_all(browser, many):
    page = browser.open(many)
    assert len(cells(page, "tests")) == 100
    type_into(page, 1, "name_0007 case-24-")
    (name,) = cells(page, "tests")
    assert name.startswith("tests/some_package/another/test_module_with_a_long_name_0007.py::TestSomething::")
    assert name.endswith("[case-24-of-many]")
    type_into(page, 0, "name_019")
    assert len(cells(page, "files")) == 10
    page.evaluate("document.querySelector('#files th button').click()")
    assert cells(page, "files") == sorted(cells(page, "files"))
    assert page.evaluate("document.querySelector('#files th').getAttribute('aria-sort')") == "ascending"
    page.evaluate("document.querySelector('#files th button').click()")
    assert cells(page, "files") == sorted(cells(page, "files"), reverse=True)


def test_the_timeline_is_used_by_keys(browser, many):
    page = browser.open(many)
    page.evaluate("document.querySelector('canvas').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.key(key)
    said = page.evaluate("document.getElementById('details').textContent")
    assert said.startswith("tests/some_package/another/test_module_with_a_long_name_0005.py · gw1, a fork")
    assert "25 tests · CPU 100 ms" in said
    page.key("Enter")
    assert len(cells(page, "tests")) == 25
    page.key("Escape")
    assert "Point at a bar" in page.evaluate("document.getElementById('details').textContent")


def test_a_bar_says_what_it_is(browser, many):
    page = browser.open(many)
    page.evaluate("document.querySelector('#tests button.goto').click()")
    page.evaluate(FRAME)
    assert "failed · setup 3 ms, call 14 ms" in page.evaluate(
        "document.getElementById('details').textContent"
    )
    page.key("0")
    page.evaluate(FRAME)
    box = page.evaluate(
        "(r => [r.left, r.top, r.width])(document.querySelector('canvas').getBoundingClientRect())"
    )
    rows = [box[1] + 2 + 34 * number + 20 for number in range(6)]
    page.mouse("mouseMoved", box[0] + box[2] / 2, rows[0])
    assert page.evaluate("document.getElementById('tip').textContent").startswith("run · ")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.mouse(kind, box[0] + box[2] / 2, rows[3])
    assert "· gw1, a fork ·" in page.evaluate("document.getElementById('details').textContent")


def test_five_thousand_tests_do_not_stutter(browser, many):
    page = browser.open(many)
    frames = page.evaluate(
        """(async () => {
            const canvas = document.querySelector("canvas"), frames = [];
            for (let turn = 0; turn < 40; turn++) {
                const began = performance.now();
                canvas.dispatchEvent(new KeyboardEvent("keydown", {key: turn < 20 ? "+" : "-"}));
                await new Promise(requestAnimationFrame);
                frames.push(performance.now() - began);
            }
            return frames;
        })()"""
    )
    assert len(frames) == 40
    assert sorted(frames)[20] < _STUTTER_MS
