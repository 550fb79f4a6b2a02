"""The tables on the page about a run, with their texts: files, tests, imports, fixtures, shards."""

from __future__ import annotations

from pytest_hotreload.records.file_outcome import FAILED
from pytest_hotreload.records.saving import Saving
from pytest_hotreload.report.html import Column, section, share, table, text
from pytest_hotreload.report.timeline import Timeline, file_costs, fixture_costs
from pytest_hotreload.wording import duration, many

#: The maximum number of rows in the page itself. With JavaScript, the tables hold all rows.
_MOST_FILES, _MOST_TESTS, _MOST_IMPORTS = 100, 100, 25

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


def files(timeline: Timeline) -> list[str]:
    costs = file_costs(timeline)
    if not costs:
        return []
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
    return section(
        "Test files",
        *_more(len(costs), _MOST_FILES, "files", "longest"),
        table(_FILE_COLUMNS, rows, name="files"),
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
    Column("Setup", number=True, key="setup"),
    Column("Call", number=True, key="call"),
    Column("Teardown", number=True, key="teardown"),
    Column("Total", number=True, key="seconds"),
]


def tests(timeline: Timeline) -> list[str]:
    if not timeline.tests:
        return []
    ordered = sorted(timeline.tests, key=lambda test: (test.outcome not in FAILED, -test.seconds))
    rows = [
        [
            text(test.nodeid),
            _outcome(test.outcome),
            *(
                duration(sum(p.seconds for p in test.phases if p.when == when))
                for when in ("setup", "call", "teardown")
            ),
            duration(test.seconds),
        ]
        for test in ordered[:_MOST_TESTS]
    ]
    return section(
        "Tests",
        *_more(len(ordered), _MOST_TESTS, "tests", "failed or slowest"),
        table(_TEST_COLUMNS, rows, name="tests"),
    )


def _outcome(outcome: str) -> str:
    shown = text(outcome or "no result")
    return f'<span class="bad">{shown}</span>' if outcome in FAILED else shown


def imports(timeline: Timeline) -> list[str]:
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
    return section("Imports", *parts) if parts else []


def _saving(saving: Saving) -> list[str]:
    """The parts of the figure of the last line; nothing where no two workers would have started."""
    if saving.workers < 2:
        return []
    rows = [
        ["start, conftests and collection, which this run paid once", duration(saving.start)],
        [
            f"the same for each of {saving.workers} separately started workers",
            duration(saving.start * saving.workers),
        ],
        ["isolation: forks, copied memory, messages, replay", duration(saving.isolation)],
        ["saved" if saving.cpu else "saved: isolation cost more", f"<b>{saving.cpu:.1f} s</b>"],
    ]
    columns = [Column(""), Column("CPU", number=True)]
    note = (
        "Measured, except for the second row, which is computed. The saving is the second row without the first and "
        "the third."
    )
    return [table(columns, rows, caption="What one start saved"), f'<p class="quiet">{note}</p>']


def fixtures(timeline: Timeline) -> list[str]:
    costs = fixture_costs(timeline)
    if not costs:
        return []
    most = costs[0][2] or 1.0
    rows = [
        [text(name), share(spent / most, "setup"), str(times), duration(spent)]
        for name, times, spent in costs
    ]
    columns = [Column("Fixture"), Column(""), Column("Setups", number=True), Column("Time", number=True)]
    return section("Session and package fixtures", table(columns, rows, caption="Setups in children"))


def shard(timeline: Timeline) -> list[str]:
    """Return the section about shards.

    ``timeline.shard``: {"shard": m, "of": n, "fingerprint": …, "loads": [predicted seconds of each shard]}.
    """
    shard = timeline.shard
    if not shard:
        return []
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
    return section("Shards", f"<p>{text(said)}</p>", *([table(columns, rows)] if rows else []))
