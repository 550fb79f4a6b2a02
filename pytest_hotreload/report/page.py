"""The HTML page about a run: its sections, their order, and their texts.

Failures come first, with their texts, then the slowest tests and files, then everything.
The page is one file that loads nothing else. Failures and tables can be read without JavaScript. With JavaScript,
tables hold all rows, sort and filter, and there is a timeline that can be zoomed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.report import failure_section, tables
from pytest_hotreload.report.html import Column, Section, allowed, data, navigation, share, table, text
from pytest_hotreload.report.page_data import COUNTED, payload
from pytest_hotreload.report.timeline import Timeline, balance, fixture_costs, outcomes
from pytest_hotreload.wording import duration, many

#: A file that takes this share of the run, or more, determines the duration of the run.
_DOMINANT = 0.5
#: Below this busy share, idle slots are mentioned.
_BUSY = 0.8
#: The scripts of the page, which are one.
_SCRIPTS = ("page_data.js", "page_tables.js", "page_timeline.js", "page_failures.js", "page_start.js")

_WORDS = {"error": "errors", "rerun": "rerun", "": "without a result"}
_MEANING = {
    "start": "interpreter, pytest and its plugins",
    "conftests": "the first conftests, configuration",
    "collection": "importing and collecting test files",
    "preparation": "shared fixtures, and everything else before the first child",
    "run": "from the first child to the end of the last one",
    "last reports": "showing the remaining reports",
    "end": "writing records, and session-end hooks of plugins",
}
_EXIT = {0: "passed", 1: "failed", 2: "interrupted", 3: "internal error", 4: "usage error", 5: "no tests"}


def page(timeline: Timeline) -> str:
    """Return the whole page as HTML."""
    script = "".join(map(_file, _SCRIPTS))
    sections = [each for make in _SECTIONS if (each := make(timeline)) is not None]
    title = f"{timeline.facts.get('project', 'tests')}: {counted(timeline)}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{allowed(script)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(title)}</title>",
            f"<style>\n{_file('page.css')}</style>",
            "</head>",
            "<body>",
            *_header(timeline),
            *navigation(sections),
            "<main>",
            *(line for each in sections for line in each.lines),
            "</main>",
            f'<script type="application/json" id="data">{data(payload(timeline))}</script>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------- words


def counted(timeline: Timeline) -> str:
    """Return the number of tests per outcome, such as ``2 failed, 198 passed``."""
    counts = outcomes(timeline)
    words = [
        f"{counts[outcome]} {_WORDS.get(outcome, outcome)}" for outcome in COUNTED if counts.get(outcome)
    ]
    if timeline.errors:
        words.insert(0, f"{many(timeline.errors, 'file')} not collected")
    return ", ".join(words) or "no tests"


def _when(began: float) -> str:
    return dt.datetime.fromtimestamp(began, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


# ------------------------------------------------------------------------------------- sections


def _header(timeline: Timeline) -> list[str]:
    counts = outcomes(timeline)
    status = _EXIT.get(timeline.exitstatus, f"exit status {timeline.exitstatus}")
    facts = timeline.facts
    shown = [
        _when(timeline.began),
        facts.get("python", ""),
        f"pytest {facts['pytest']}" if "pytest" in facts else "",
        facts.get("system", ""),
        f"a child for each {facts['isolation']}"
        if facts.get("isolation") in ("file", "test")
        else facts.get("isolation", ""),
    ]
    busy = balance(timeline)
    part = sum(each.part for each in busy) / len(busy) if busy else 0.0
    figures = [
        ("took", duration(timeline.seconds), ""),
        ("CPU", duration(timeline.cpu), "of all processes"),
        ("slots", str(len(timeline.slots)), f"{100 * part:.0f} % busy while children ran" if busy else ""),
        (
            "children",
            str(len(timeline.children)),
            f"for {many(len({t.file for t in timeline.tests}), 'test file')}",
        ),
    ]
    if timeline.saving.cpu:
        figures.append(("saved", f"{timeline.saving.cpu:.1f} s", "CPU: all children share one start"))
    bad = any(counts.get(outcome) for outcome in FAILED) or timeline.exitstatus not in (0, 5)
    return [
        "<header>",
        f'<p class="project">{text(facts.get("project", ""))}</p>',
        f'<h1><span class="status {"bad" if bad else "good"}">{text(status)}</span> {text(counted(timeline))}</h1>',
        f'<p class="facts">{text(" · ".join(word for word in shown if word))}</p>',
        '<dl class="figures">',
        *(
            f"<div><dt>{text(name)}</dt><dd>{text(value)}{f'<small>{text(more)}</small>' if more else ''}</dd></div>"
            for name, value, more in figures
        ),
        "</dl>",
        "</header>",
    ]


def _stands_out(timeline: Timeline) -> Section | None:
    found = list(findings(timeline))
    if not found:
        return None
    return Section("What stands out", ("<ul>", *(f"<li>{text(each)}</li>" for each in found), "</ul>"))


def findings(timeline: Timeline) -> Iterator[str]:
    """Yield, in sentences, the facts that a reader should know first."""
    died = [child for child in timeline.children if child.ending]
    if died:
        yield (
            f"{many(len(died), 'child')} did not end normally: {died[0].file} {died[0].ending}"
            + (f", and {len(died) - 1} more" if len(died) > 1 else "")
            + "."
        )
    run = timeline.running
    longest = max(timeline.children, key=lambda child: child.seconds, default=None)
    several = len(timeline.slots) > 1 and len(timeline.children) > 1
    if longest is not None and several and longest.seconds >= _DOMINANT * run.seconds > 0:
        yield (
            f"{longest.file} takes {duration(longest.seconds)}, {100 * longest.seconds / run.seconds:.0f} % of the "
            "time in which children ran. More slots cannot make the run shorter than this file; splitting the file can."
        )
    shares = balance(timeline)
    part = sum(each.part for each in shares) / len(shares) if shares else 1.0
    if several and part < _BUSY:
        idle = sum(each.idle for each in shares)
        yield f"The slots were idle for {duration(idle)} in total, {100 * (1 - part):.0f} % of their time."
    for span in timeline.phases:
        if span.name in ("collection", "start", "conftests") and span.seconds > _DOMINANT * timeline.seconds:
            yield f"More than half of the run was spent on {span.name} ({_MEANING[span.name]})."
    fixtures = fixture_costs(timeline)
    if fixtures and fixtures[0][1] > 1 and fixtures[0][2] > 0.1 * max(run.seconds, 1e-9):
        name, times, spent = fixtures[0]
        yield (
            f"The fixture {name} was set up {times} times, {duration(spent)} in total; hotreload_shared_fixtures may "
            "set it up only once."
        )


def _timeline(timeline: Timeline) -> Section:
    counts = f"{many(len(timeline.children), 'child')} in {many(len(timeline.slots), 'slot')}"
    title = f"{counts} over {duration(timeline.seconds)}"
    legend = [
        ("setup", "setup"),
        ("call", "call"),
        ("teardown", "teardown"),
        ("other", "fork, collection in a child, end of a child"),
        ("imports", "imports of test files"),
        ("collect", "collection"),
    ]
    keys = "".join(f'<li><span class="key {kind}"></span>{text(word)}</li>' for kind, word in legend)
    failed = '<li><span class="key mark">▲</span>failed, or the child did not end normally</li>'
    return Section(
        "Timeline",
        (
            f'<ul class="legend">{keys}{failed}</ul>',
            f'<div id="timeline" role="group" aria-label="{text(title)}"></div>',
            f'<p class="without-script">{text(title)}. The picture of them needs JavaScript.</p>',
        ),
    )


def _phases(timeline: Timeline) -> Section:
    whole = max(timeline.seconds, 1e-9)
    rows = [
        [
            text(span.name),
            f'<span class="quiet meaning">{text(_MEANING.get(span.name, ""))}</span>',
            share(span.seconds / whole, "run"),
            duration(span.seconds),
            f"{100 * span.seconds / whole:.0f} %",
        ]
        for span in timeline.phases
    ]
    parts = [
        table(
            [
                Column("Phase"),
                Column(""),
                Column(""),
                Column("Time", number=True),
                Column("Share", number=True),
            ],
            rows,
        )
    ]
    if timeline.replayed:
        parts.append(
            f"<p>While children ran, the controller showed their reports for {duration(timeline.replayed)}.</p>"
        )
    shares = balance(timeline)
    if shares:
        slots = [
            [
                text(each.slot),
                str(each.children),
                share(each.part),
                duration(each.busy),
                duration(each.idle),
                f"{100 * each.part:.0f} %",
            ]
            for each in shares
        ]
        columns = [
            Column("Slot"),
            Column("Children", number=True),
            Column(""),
            Column("Busy", number=True),
            Column("Idle", number=True),
            Column("Share", number=True),
        ]
        parts.append(table(columns, slots, caption="Balance of the slots, while children ran"))
    return Section("Where the time went", tuple(parts))


#: In the order of the page: what failed, what was slow, everything, and then where the time went.
_SECTIONS = (
    failure_section.failures,
    failure_section.flaky,
    _stands_out,
    tables.slowest,
    tables.tests,
    tables.files,
    _timeline,
    _phases,
    tables.imports,
    tables.fixtures,
    tables.shard,
)
