"""Texts about reuse."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pytest_hotreload.records.affected_messages import COUNTED, new_epoch
from pytest_hotreload.records.last_run import Last
from pytest_hotreload.wording import many, plural

IN_WATCH = "--reuse is ignored in a watch, which runs the tests that an edit affects"
FORCED = "--force: everything runs, nothing is reused"
COVERAGE = "coverage is measured, and reused tests have no coverage: everything runs, nothing is reused"
TRACED = "--trace stops in each test: everything runs, nothing is reused"
NO_RECORDS = "there are no records (no cache): everything runs, nothing is reused"
IN_WORKER = "--hotreload-isolate=worker keeps no records: everything runs, nothing is reused"

#: Reasons for which a last pass is not valid although no input changed: kind -> (reason, word in a count).
_REASONS = {
    "marker": ("a marker says reuse=False", "marked reuse=False"),
    "declared": ("listed in hotreload_no_reuse: {}", "in hotreload_no_reuse"),
    "network": ("it used the network", "used the network"),
    "subprocess": ("it started a process and declares no dependencies", "started a process"),
    "left": ("it left a process behind", "left a process behind"),
    "coupled": ("it depends on other test files, as doctor found", "order-dependent"),
    "writes": ("it writes {}, which other test files may need", "wrote files"),
    "setting": ("it ran with other settings ({})", "ran with other settings"),
    "tests": ("the selected tests, or their order, differ from its record", "with other tests selected"),
    "outcome": ("one of its tests did not pass", "failed"),
    "cache": ("one of its tests failed in a run without records", "failed"),
}
_WORDS = {**COUNTED, **{f"reuse {kind}": word for kind, (_, word) in _REASONS.items()}}
_UNITS = ((86_400, "d", 2), (3_600, "h", 1), (60, "min", 1), (1, "s", 0))


def reason(kind: str, detail: str = "") -> str:
    return _REASONS[kind][0].format(detail)


def reused(last: Last | None, now: float) -> str:
    """The text in a report: ``reused: ran 3 h ago at 9f1c24f``."""
    return "reused: " + (ran([last], now) if last is not None else "its record is fresh")


def count(tests: int, lasts: Collection[Last], now: float) -> str:
    return f"{tests} reused" + (f" ({ran(lasts, now)})" if lasts else "")


def ran(lasts: Collection[Last], now: float) -> str:
    """``ran 3 h ago at 9f1c24f``; for several runs ``ran 2 d to 3 h ago at 9f1c24f and 1 more revision``."""
    ages = dict.fromkeys(age(now - last.at) for last in sorted(lasts))
    first, *_, last = [*ages, *ages]
    when = first if first == last else f"{first} to {last}"
    revisions = list(dict.fromkeys(each.revision for each in sorted(lasts, reverse=True) if each.revision))
    more = len(revisions) - 1
    at = f" at {revisions[0]}" if revisions else ""
    return f"ran {when} ago{at}" + (f" and {more} more {plural(more, 'revision')}" if more > 0 else "")


def age(seconds: float) -> str:
    """The age in the largest unit of which it contains at least one (for days, two)."""
    whole = max(int(seconds), 0)
    unit, name = next((unit, name) for unit, name, least in _UNITS if whole >= least * unit)
    return f"{whole // unit} {name}"


def hits(files: int, kinds: Mapping[str, int], changes: Sequence[tuple[str, str | None, str | None]]) -> str:
    """``records: 274/276 hit (2 miss: 1 changed, 1 used the network)``."""
    counts: dict[str, int] = {}
    for kind, word in _WORDS.items():
        if kinds.get(kind):
            counts[word] = counts.get(word, 0) + kinds[kind]
    misses = sum(kinds.values())
    why = ", ".join(f"{number} {word}" for word, number in counts.items())
    line = f"records: {files - misses}/{files} hit" + (f" ({misses} miss: {why})" if misses else "")
    return line + (" · " + new_epoch(changes) if changes else "")


def verified(files: int, wrong: int) -> str:
    found = f"{wrong} WRONG" if wrong else "none wrong"
    return f"verified {many(files, 'test file')} that would be reused: {found}"


def wrong_reuse(file: str, tests: Sequence[tuple[str, str, str]], few: int) -> str:
    """The line about one file whose reuse would have been wrong.

    ``tests``: (node id, recorded outcome, outcome now).
    """
    shown = [
        f"{nodeid.partition('::')[2] or nodeid} {now}, recorded as {then}" for nodeid, then, now in tests
    ]
    more = [f"and {len(shown) - few} more"] if len(shown) > few else []
    return (
        f"WRONG REUSE: {file}: {'; '.join(shown[:few] + more)}; hint: declare what it depends on "
        "(hotreload_depends), or mark it with reuse=False"
    )


def would_be_reused() -> str:
    return "--reuse: would be reused"


def would_not_be_reused(why: str) -> str:
    return f"--reuse: would run: {why}"
