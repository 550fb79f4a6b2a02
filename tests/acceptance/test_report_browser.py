"""The page in a real browser: no error, no network request, and 5,000 tests without visible delay.

Skipped where there is no Chromium; ``HOTRELOAD_BROWSER`` names one that is not on the path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
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
#: The tests of the big page that failed.
FAILED = sum(test.outcome == "failed" for test in big(5000).tests)
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
        ("#tests tbody tr", 50),
        ("article", FAILED),
        ("article .text[open] pre", 10),
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
    assert len(cells(page, "tests")) == 50
    type_into(page, 0, "name_0007 case-24-")
    (name,) = cells(page, "tests")
    assert name.startswith("tests/some_package/another/test_module_with_a_long_name_0007.py::TestSomething::")
    assert name.endswith("[case-24-of-many]")
    type_into(page, 1, "name_019")
    assert len(cells(page, "files")) == 10
    page.evaluate("document.querySelector('#files th button').click()")
    assert cells(page, "files") == sorted(cells(page, "files"))
    assert page.evaluate("document.querySelector('#files th').getAttribute('aria-sort')") == "ascending"
    page.evaluate("document.querySelector('#files th button').click()")
    assert cells(page, "files") == sorted(cells(page, "files"), reverse=True)


def test_tests_of_one_outcome_are_chosen(browser, many):
    page = browser.open(many)
    options = "[...document.querySelector('select').options].map(each => each.textContent)"
    assert page.evaluate(options) == ["all 5000", f"failed {FAILED}", f"passed {5000 - FAILED}"]
    page.evaluate(
        "(s => { s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })(document.querySelector('select'))"
    )
    assert page.evaluate("document.querySelector('.count').textContent") == f"{FAILED} of 5000"
    outcomes = page.evaluate(
        "[...document.querySelectorAll('#tests tbody tr')].map(row => row.cells[1].textContent)"
    )
    assert set(outcomes) == {"failed"}


OPEN = "[...document.querySelectorAll('.text')].filter(each => each.open).length"


def test_an_outcome_leads_to_its_text(browser, many):
    page = browser.open(many)
    last = f"failure-{FAILED}"
    assert page.evaluate(f"document.querySelector('#{last} .text').open") is False
    page.evaluate(
        "(s => { s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })(document.querySelector('select'))"
    )
    page.evaluate("document.querySelector('.more:not([hidden])')?.click()")
    for _ in range(2):  # also when the address has it already
        page.evaluate(f"document.querySelector('#{last} .text').open = false")
        page.evaluate(f"""document.querySelector('#tests a[href="#{last}"]').click()""")
        page.evaluate(FRAME)
        assert page.evaluate(f"document.querySelector('#{last} .text').open") is True
        top = page.evaluate(f"document.getElementById('{last}').getBoundingClientRect().top")
        assert 0 <= top < 900
    assert page.evaluate("location.hash") == f"#{last}"


def test_texts_are_folded_and_unfolded_by_keys_and_all_at_once(browser, many):
    page = browser.open(many)
    assert page.evaluate(OPEN) == 10
    page.evaluate("document.querySelector('#failure-11 summary').focus()")
    page.ask(
        "Input.dispatchKeyEvent",
        type="keyDown",
        key="Enter",
        code="Enter",
        windowsVirtualKeyCode=13,
        text="\r",
    )
    page.ask("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    assert page.evaluate(OPEN) == 11
    click = "[...document.querySelectorAll('button')].find(each => each.textContent === '{}').click()"
    page.evaluate(click.format("Unfold all texts"))
    assert page.evaluate(OPEN) == FAILED
    page.evaluate(click.format("Fold all texts"))
    assert page.evaluate(OPEN) == 0


@pytest.mark.parametrize("script", [True, False])
def test_texts_are_printed_and_output_is_not(browser, many, script):
    page = browser.open(many, script=script)
    page.ask("Emulation.setEmulatedMedia", media="print")
    root = page.ask("DOM.getDocument")["root"]["nodeId"]

    def heights(selector: str) -> list[float]:
        nodes = page.ask("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]
        found = []
        for node in nodes:
            try:
                found.append(page.ask("DOM.getBoxModel", nodeId=node)["model"]["height"])
            except AssertionError:  # not rendered
                found.append(0)
        return found

    assert all(height > 100 for height in heights(".text pre"))
    assert heights(".output pre") == [0] * FAILED
    assert heights("nav") == [0]


def test_a_browser_without_that_style_prints_texts_too(browser, many):
    page = browser.open(many)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(OPEN) == FAILED
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(OPEN) == 10


#: Of each text of a kind: its contrast to what lies behind it.
CONTRAST = """(() => {
    const light = (colour) => {
        const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (!colour.endsWith(", 0)") && colour !== "transparent") return colour;
        }
    };
    const found = {};
    for (const element of document.body.querySelectorAll("*")) {
        if (![...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim())) continue;
        if (["SCRIPT", "OPTION"].includes(element.tagName) || !element.checkVisibility()) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const kind = `${element.tagName} ${element.className}`;
        found[kind] = Math.min(found[kind] ?? 99, ratio);
    }
    return found;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_are_told_from_the_paper(browser, many, dark):
    """The contrast that WCAG demands at level AA."""
    page = browser.open(many, dark=dark)
    found = page.evaluate(CONTRAST)
    assert {"H2 ", "H3 ", "B bad", "PRE ", "P place", "CODE command", "A ", "TH n", "SPAN quiet"} <= set(
        found
    )
    assert {kind: ratio for kind, ratio in found.items() if ratio < 4.5} == {}


#: What a screen reader could not name.
UNNAMED = """(() => {
    const all = document.querySelectorAll("input, select, button, canvas, nav, section, article, summary, a");
    const name = (each) => each.getAttribute("aria-label") || each.textContent
        || document.getElementById(each.getAttribute("aria-labelledby"))?.textContent;
    return [...all].filter((each) => !each.hidden && !name(each)?.trim()).map((each) => each.outerHTML);
})()"""


def test_headings_and_landmarks_have_an_order(browser, many):
    page = browser.open(many)
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))"
    )
    assert levels[:3] == [1, 2, 3]
    assert all(following <= level + 1 for level, following in pairwise(levels))
    assert page.evaluate("[...document.body.children].map(each => each.tagName).slice(0, 3)") == [
        "HEADER",
        "NAV",
        "MAIN",
    ]
    assert page.evaluate(UNNAMED) == []


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_no_width_needs_scrolling_to_the_side(browser, many, width):
    page = browser.open(many, size=(width, 900))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == width


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
