"""The tables on the page about a run, with their texts: slowest, tests, files, imports, fixtures, shards."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.records.saving import Saving
from pytest_hotreload.report import failure_section
from pytest_hotreload.report.html import Column, Section, share, table, text
from pytest_hotreload.report.timeline import ItemSpan, Timeline, file_costs, fixture_costs
from pytest_hotreload.wording import duration, many

#: The maximum number of rows in the page itself. With JavaScript, the tables hold all rows.
_MOST_FILES, _MOST_TESTS, _MOST_IMPORTS = 50, 50, 25
#: The number of rows of the tables that show only the slowest.
_SLOWEST_TESTS, _SLOWEST_FILES = 15, 10
#: Tests that take less than a millisecond are not worth a row among the slowest.
_SLOW = 0.001

_FILE_COLUMNS = [
    Column("File", key="file"),
    Column("Tests", number=True, key="tests"),
    Column("Not passed", number=True, key="failed"),
    Column("", key=""),
    Column("In children", number=True, key="children"),
    Column("In tests", number=True, key="seconds"),
    Column("CPU", number=True, key="cpu"),
    Column("Collection", number=True, key="collection"),
    Column("of which imports", number=True, key="imports"),
]


def files(timeline: Timeline) -> Section | None:
    costs = file_costs(timeline)
    if not costs:
        return None
    longest = max(max(cost.children, cost.tests) for cost in costs) or 1.0
    rows = [
        [
            text(cost.file),
            str(cost.count),
            _bad(cost.failed),
            share(max(cost.children, cost.tests) / longest),
            _known(cost.children or None),
            duration(cost.tests),
            _known(cost.cpu),
            _known(cost.collection or None),
            _known(cost.imports),
        ]
        for cost in costs[:_MOST_FILES]
    ]
    return Section(
        "All test files",
        (
            *_more(len(costs), _MOST_FILES, "files", "longest"),
            table(_FILE_COLUMNS, rows, name="files"),
        ),
    )


def _bad(count: int) -> str:
    return f'<span class="bad">{count}</span>' if count else ""


def _known(amount: float | None) -> str:
    return "" if amount is None else duration(amount)


def _more(count: int, most: int, what: str, which: str) -> list[str]:
    if count <= most:
        return []
    return [
        f'<p class="without-script">Only the {most} {which} of {count} {what}; JavaScript shows all of them.</p>'
    ]


_TEST_COLUMNS = [
    Column("Test", key="test"),
    Column("Outcome", key="outcome"),
    Column("Total", number=True, key="seconds"),
    Column("Setup", number=True, key="setup"),
    Column("Call", number=True, key="call"),
    Column("Teardown", number=True, key="teardown"),
]


def tests(timeline: Timeline) -> Section | None:
    if not timeline.tests:
        return None
    ordered = sorted(timeline.tests, key=lambda test: (test.outcome not in FAILED, -test.seconds))
    linked = failure_section.anchors(timeline)
    rows = [[text(test.nodeid), _outcome(test, linked), *_times(test)] for test in ordered[:_MOST_TESTS]]
    return Section(
        "All tests",
        (
            *_more(len(ordered), _MOST_TESTS, "tests", "failed or slowest"),
            table(_TEST_COLUMNS, rows, name="tests"),
        ),
    )


def _times(test: ItemSpan) -> list[str]:
    """Return the seconds of the test and of its phases; nothing of a test that did not run."""
    if not test.phases:
        return [""] * 4
    phases = [
        sum(phase.seconds for phase in test.phases if phase.when == when)
        for when in ("setup", "call", "teardown")
    ]
    return [duration(seconds) for seconds in (test.seconds, *phases)]


def _outcome(test: ItemSpan, linked: Mapping[str, str]) -> str:
    """Return the outcome, with a link to its text if there is one."""
    shown = text(test.outcome or "no result")
    if test.nodeid in linked:
        shown = f'<a href="#{linked[test.nodeid]}">{shown}</a>'
    return f'<span class="bad">{shown}</span>' if test.outcome in FAILED else shown


def slowest(timeline: Timeline) -> Section | None:
    """Return the section that shows what to make faster first."""
    timed = sorted((test for test in timeline.tests if test.seconds >= _SLOW), key=lambda test: -test.seconds)
    if not timed:
        return None
    first, whole = timed[:_SLOWEST_TESTS], sum(test.seconds for test in timeline.tests)
    part = sum(test.seconds for test in first)
    linked = failure_section.anchors(timeline)
    columns = [Column("Test"), Column(""), *(column._replace(key="") for column in _TEST_COLUMNS[1:])]
    rows = [
        [
            text(test.nodeid),
            share(test.seconds / first[0].seconds),
            _outcome(test, linked),
            *_times(test),
        ]
        for test in first
    ]
    said = (
        f"The {len(first)} slowest of {len(timeline.tests)} tests took {duration(part)}, "
        f"{100 * part / whole:.0f} % of the time of all tests."
    )
    parts = [f"<p>{said}</p>"] if len(first) < len(timeline.tests) else []
    parts.append(table(columns, rows, name="slowest-tests", caption="Tests"))
    return Section("Slowest", (*parts, *_slowest_files(timeline)))


def _slowest_files(timeline: Timeline) -> list[str]:
    costs = [cost for cost in file_costs(timeline) if cost.count and max(cost.children, cost.tests) > 0]
    if len(costs) < 2:
        return []
    longest = max(costs[0].children, costs[0].tests)
    rows = [
        [
            text(cost.file),
            share(max(cost.children, cost.tests) / longest),
            str(cost.count),
            _known(cost.children or None),
            duration(cost.tests),
            _known(cost.collection or None),
        ]
        for cost in costs[:_SLOWEST_FILES]
    ]
    columns = [
        Column("File"),
        Column(""),
        Column("Tests", number=True),
        Column("In children", number=True),
        Column("In tests", number=True),
        Column("Collection", number=True),
    ]
    return [table(columns, rows, name="slowest-files", caption="Test files")]


def imports(timeline: Timeline) -> Section | None:
    parts: list[str] = []
    parts += _saving(timeline.saving)
    if timeline.imports:
        most = max(each.own for each in timeline.imports) or 1.0
        rows = [
            [
                text(each.name),
                share(each.own / most, "imports"),
                duration(each.own),
                duration(each.total),
                str(each.modules),
            ]
            for each in timeline.imports[:_MOST_IMPORTS]
        ]
        columns = [
            Column("Package"),
            Column(""),
            Column("CPU, own modules", number=True),
            Column("CPU, with its imports", number=True),
            Column("Modules", number=True),
        ]
        parts.append(
            table(columns, rows, caption="Installed packages, by the CPU time of importing their own modules")
        )
        left = len(timeline.imports) - _MOST_IMPORTS
        if left > 0:
            parts.append(f"<p>{many(left, 'more package')} took less time.</p>")
    return Section("Imports", tuple(parts)) if parts else None


def _saving(saving: Saving) -> list[str]:
    """The parts of the figure of the last line; nothing where no two workers would have started."""
    if saving.workers < 2:
        return []
    rows = [
        ["start, conftests and collection, without hotreload's own work", duration(saving.start)],
        [
            f"the same for each of {saving.workers} separately started workers",
            duration(saving.start * saving.workers),
        ],
        ["isolation: forks, copied memory, messages, replay", duration(saving.isolation)],
        ["saved" if saving.cpu else "saved: isolation cost more", f"<b>{saving.cpu:.1f} s</b>"],
    ]
    columns = [Column(""), Column("CPU", number=True)]
    note = (
        "The first row is nine tenths of what this run measured, the second is computed, the third is measured. The "
        "saving is the second row without the first and the third."
    )
    return [table(columns, rows, caption="What one start saved"), f'<p class="quiet">{note}</p>']


def fixtures(timeline: Timeline) -> Section | None:
    costs = fixture_costs(timeline)
    if not costs:
        return None
    most = costs[0][2] or 1.0
    rows = [
        [text(name), share(spent / most, "setup"), str(times), duration(spent)]
        for name, times, spent in costs
    ]
    columns = [Column("Fixture"), Column(""), Column("Setups", number=True), Column("Time", number=True)]
    return Section("Session and package fixtures", (table(columns, rows, caption="Setups in children"),))


def shard(timeline: Timeline) -> Section | None:
    """Return the section about shards.

    ``timeline.shard``: {"shard": m, "of": n, "fingerprint": …, "loads": [predicted seconds of each shard]}.
    """
    shard = timeline.shard
    if not shard:
        return None
    loads = [float(load) for load in shard.get("loads", ())]
    most = max(loads, default=0.0) or 1.0
    mean = sum(loads) / len(loads) if loads else 0.0
    rows = [
        [
            f"{number}{' (this one)' if number == shard.get('shard') else ''}",
            share(load / most, "run"),
            duration(load),
            f"{100 * (load / mean - 1):+.1f} %" if mean else "",
        ]
        for number, load in enumerate(loads, 1)
    ]
    columns = [
        Column("Shard"),
        Column(""),
        Column("Planned", number=True),
        Column("Compared with the mean", number=True),
    ]
    said = f"Shard {shard.get('shard')} of {shard.get('of')}, plan {shard.get('fingerprint')}."
    return Section("Shards", (f"<p>{text(said)}</p>", *([table(columns, rows)] if rows else [])))
