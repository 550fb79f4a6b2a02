"""The page and the trace of any timeline: names of tests are always text, and everything is shown."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hotreload.records.saving import Saving
from pytest_hotreload.report import collector, html, page_data
from pytest_hotreload.report.failure import Failure
from pytest_hotreload.report.page import counted, findings, page
from pytest_hotreload.report.timeline import Child, ItemSpan, Phase, Span, Timeline, lay_out
from pytest_hotreload.report.trace import trace

from .timelines import NAMES, big, timelines

#: Every element that we write ourselves.
OURS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "section",
        "h1",
        "h2",
        "h3",
        "nav",
        "a",
        "article",
        "details",
        "summary",
        "pre",
        "code",
        "p",
        "small",
        "span",
    ),
    *("b", "dl", "div", "dt", "dd", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "rect", "script"),
}


class Page(HTMLParser):
    """``tags``: how often each stands there. ``texts``: of elements by tag. ``attributes``: all of them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self._table: str | None = ""
        self._cells: dict[str, list[int]] = {}
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")
        self._table = dict(attrs).get("id", "") if tag == "table" else self._table
        if tag == "td":
            self._cells.setdefault(self._table or "", []).append(len(self.texts["td"]) - 1)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def cells(self, table: str) -> list[str]:
        """The texts of the cells of a table, as far as they lie in no other element."""
        return [self.texts["td"][at] for at in self._cells[table]]

    @property
    def data(self):
        return json.loads(self.texts["script"][0])


def named(name: str) -> Timeline:
    """One test of that name, in a file of that name, with a failure that consists of it."""
    timeline = Timeline(seconds=3.0, slots=["master"], facts={"project": name})
    timeline.tests = [ItemSpan(f"{name}::{name}", name, "failed", [Phase("call", 1.0, 2.0, 0)])]
    timeline.children = [Child(0, name, 1.0, 2.5, order=[0], ending=name)]
    timeline.phases = [Span("run", 0.0, 3.0)]
    timeline.failures = [
        Failure(
            f"{name}::{name}", "failed", name, name, name, 3, f"said {name}", f"E {name}", ((name, name),)
        )
    ]
    lay_out(timeline)
    return timeline


@settings(max_examples=60)
@given(NAMES.filter(bool))
def test_names_are_text_wherever_they_stand(name):
    source = page(named(name))
    shown = Page(source.encode("utf-8", "backslashreplace").decode("utf-8"))
    plain = Page(page(named("x")))
    assert shown.tags == plain.tags
    assert [key for key, _ in shown.attributes] == [key for key, _ in plain.attributes]
    assert shown.data["files"] == [name]
    assert source.count("</script>") == 2


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a\"b'c",
        "<!--",
        "\ud800",
        "\x00",
        "é中\u202e",
    ],
)
def test_hostile_names_are_shown_as_they_are(name):
    shown = Page(page(named(name)).encode("utf-8", "backslashreplace").decode("utf-8"))
    cell = re.sub(
        r"\\(x00|ud800)", lambda m: {"x00": "\x00", "ud800": "\ud800"}[m.group(1)], shown.cells("tests")[0]
    )
    assert cell == f"{name}::{name}"
    assert shown.data["tests"][0][:2] == [0, f"::{name}"]


@settings(max_examples=40)
@given(timelines())
def test_the_page_holds_every_test_and_no_element_of_anybody_else(timeline):
    shown = Page(page(timeline).encode("utf-8", "backslashreplace").decode("utf-8"))
    assert set(shown.tags) <= OURS
    assert shown.tags["script"] == 2
    data = shown.data
    assert len(data["tests"]) == len(timeline.tests)
    for row, test in zip(data["tests"], timeline.tests, strict=True):
        name = data["files"][row[0]] + row[1] if row[1].startswith("::") else row[1]
        assert name == test.nodeid
        assert data["outcomes"][row[2]] == (test.outcome or "no result")
        assert sum(sum(row[at + 2 : at + 5]) for at in range(3, len(row), 5)) == sum(
            round(phase.end / page_data.UNIT) - round(phase.begin / page_data.UNIT) for phase in test.phases
        )


@settings(max_examples=40)
@given(timelines())
def test_spans_of_the_data_do_not_overlap(timeline):
    data = page_data.payload(timeline)
    rounds: dict[int, list[tuple[int, int]]] = {}
    for row in data["tests"]:
        for at in range(3, len(row), 5):
            child, begin, *lengths = row[at : at + 5]
            rounds.setdefault(child, []).append((begin, begin + sum(lengths)))
    for number, spans in rounds.items():
        _, _, begin, length, *_ = data["children"][number]
        ordered = sorted(spans)
        assert ordered[0][0] >= begin
        assert ordered[-1][1] <= begin + length
        assert all(one[1] <= following[0] for one, following in pairwise(ordered))


def test_nothing_comes_from_elsewhere():
    source = page(named("x"))
    shown = Page(source)
    assert not {"src", "action", "srcset", "poster", "data"} & {key for key, _ in shown.attributes}
    links = [value for key, value in shown.attributes if key == "href"]
    names = {f"#{value}" for key, value in shown.attributes if key == "id"}
    assert set(links) <= names
    assert "#failure-1" in links
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org/2000/svg)", source)
    policy = next(
        value for key, value in shown.attributes if key == "content" and value and "default-src" in value
    )
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert html.allowed(shown.texts["script"][1]) == policy


def test_the_page_can_be_read_without_javascript():
    shown = Page(page(big(300)))
    assert shown.texts["h2"] == [
        "Failures",
        "Slowest",
        "All tests",
        "All test files",
        "Timeline",
        "Where the time went",
    ]
    assert "Only the 50 failed or slowest of 300 tests; JavaScript shows all of them." in shown.texts["p"]
    assert any(text.startswith("12 children in 4 slots over ") for text in shown.texts["p"])
    rows = {
        name: sum("test_module" in cell for cell in shown.cells(name)) for name in ("tests", "slowest-tests")
    }
    assert rows == {"tests": 50, "slowest-tests": 15}


def test_five_thousand_tests_of_which_fifty_fail_are_less_than_a_megabyte():
    source = page(big(5000))
    assert source.count("<article") == 51
    assert len(source.encode()) < 1_000_000
    assert len(Page(source).data["tests"]) == 5000


@settings(max_examples=40)
@given(timelines())
def test_the_trace_is_one_that_viewers_read(timeline):
    read = json.loads(trace(timeline))
    assert set(read) == {"traceEvents", "displayTimeUnit", "otherData"}
    events = read["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == dict(enumerate(["controller", *timeline.slots]))
    for event in events:
        assert event["ph"] in "XMCi"
        assert isinstance(event["ts"], int)
        assert event["tid"] in names
        assert event["ph"] != "X" or (isinstance(event["dur"], int) and event["dur"] >= 0)
    shown = Counter(
        e["name"] for e in events if e.get("cat") in ("test", "not run") and "outcome" in e["args"]
    )
    assert shown == Counter(test.nodeid for test in timeline.tests if test.phases or test.outcome)
    for slot in range(len(timeline.slots)):
        nest([event for event in events if event["tid"] == slot + 1 and event["ph"] == "X"])


def nest(events):
    """Viewers draw spans of one thread that lie in each other or apart; anything else is torn."""
    spans = sorted((event["ts"], -event["dur"]) for event in events)
    above: list[int] = []
    for begin, length in spans:
        while above and above[-1] <= begin:
            above.pop()
        end = begin - length
        assert not above or end <= above[-1]
        above.append(end)


def test_what_stands_out_is_said():
    timeline = named("x")
    timeline.slots = ["gw0", "gw1"]
    timeline.children.append(Child(1, "y", 1.0, 1.2))
    timeline.children[0].setups = [Span("db", 1.0, 1.5)] * 2
    timeline.saving = Saving(2.0, 2, 1.0, 0.5)
    assert list(findings(timeline)) == [
        "1 child did not end normally: x x.",
        (
            "x takes 1.50 s, 100 % of the time in which children ran. More slots cannot make the run shorter than "
            "this file; splitting the file can."
        ),
        "The slots were idle for 1.30 s in total, 43 % of their time.",
        "The fixture db was set up 2 times, 1.00 s in total; hotreload_shared_fixtures may set it up only once.",
    ]
    assert list(findings(Timeline())) == []


@given(st.lists(st.sampled_from(["passed", "failed", "error", "reused", ""])))
def test_counts_say_how_many_ended_how(outcomes):
    timeline = Timeline(tests=[ItemSpan("n", "f", outcome) for outcome in outcomes])
    words = {"error": "errors", "": "without a result"}
    said = counted(timeline)
    for outcome, count in Counter(outcomes).items():
        assert f"{count} {words.get(outcome, outcome)}" in said.split(", ")
    assert (
        said == "no tests"
        if not outcomes
        else sum(int(part.split()[0]) for part in said.split(", ")) == len(outcomes)
    )


def test_a_shard_says_what_its_plan_gives_to_each():
    plan = SimpleNamespace(fingerprint="0a1b", predicted=[3.0, 1.0])
    plugin = SimpleNamespace(shard=SimpleNamespace(number=2, of=2, plan=plan))
    config: Any = SimpleNamespace(
        pluginmanager=SimpleNamespace(get_plugin={"hotreload-sharding": plugin}.get)
    )
    timeline = Timeline(shard=collector.shard_of(config))
    shown = Page(page(timeline))
    assert "Shard 2 of 2, plan 0a1b." in shown.texts["p"]
    cells = [cell for cell in shown.texts["td"] if cell]
    assert cells[-6:] == ["1", "3.00 s", "+50.0 %", "2 (this one)", "1.00 s", "-50.0 %"]


def test_a_run_without_shards_says_nothing_of_them():
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin={}.get))
    assert collector.shard_of(config) is None
    assert "Shards" not in Page(page(Timeline())).texts["h2"]
