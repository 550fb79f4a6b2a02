"""Texts about records and about the reasons for which a test file is affected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_hotreload.wording import listed, many
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

NO_RECORDS = "there are no records (no cache)"


#: Kinds of verdicts in order of interest, each with the word under which it is counted.
COUNTED = {
    "epoch": "from another environment",
    "content": "changed",
    "gone": "changed",
    "appeared": "changed",
    "listing": "changed",
    "declared": "changed",
    "environment": "changed",
    "project": "changed",
    "layout": "changed",
    "failed": "failed",
    "unsettled": "changed while they ran",
    "unknown": "new",
}


def records(
    files: int, kinds: Mapping[str, int], changes: Sequence[tuple[str, str | None, str | None]]
) -> str:
    """The line with the number of records that held before the run, and the reasons of the others."""
    counts: dict[str, int] = {}
    for kind, word in COUNTED.items():
        if kinds.get(kind):
            counts[word] = counts.get(word, 0) + kinds[kind]
    others = ", ".join(f"{count} {word}" for word, count in counts.items())
    fresh = kinds.get("fresh", 0)
    line = f"unchanged since their last run: {fresh} of {many(files, 'test file')}"
    line += f" ({others})" if others else ""
    return line + (" · " + new_epoch(changes) if changes else "")


def new_epoch(changes: Sequence[tuple[str, str | None, str | None]]) -> str:
    """The line with the exact inputs that differ; long values are not shown."""
    shown = [_change(*change) for change in changes[:3]]
    more = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "environment changed: " + ", ".join(shown + more)


def _change(name: str, then: str | None, now: str | None) -> str:
    if then is None or now is None:
        return f"{name} {'added' if then is None else 'removed'}"
    short = max(len(then), len(now)) <= 24
    return f"{name} {then} → {now}" if short else f"{name} changed"


def reason(path: str, kind: str, detail: str, chain: Sequence[str], functions: Sequence[str] = ()) -> str:
    """The reason why a test file would run: ``tests/test_a.py: src/pay/card.py ← src/pay/api.py ← tests/test_a.py``.

    ``functions``: those that changed and that the file ran: ``src/pay/card.py:charge ← …``.
    """
    changed = f"{detail}:{listed(functions)}" if functions else detail
    why = {
        "unknown": "no record yet",
        "epoch": "its record is from another environment",
        "unsettled": f"{detail} changed while it ran or just before",
        "failed": "one of its tests failed",
        "gone": f"{detail} no longer exists",
        "appeared": f"{detail} is new",
        "listing": f"the entries of the folder {detail} changed",
        "declared": f"a file that matches {detail} changed",
        "environment": f"the environment variable {detail} changed"
        if detail != "*"
        else "the environment changed",
        "project": "it started a process, and a project file changed",
        "layout": "its imports resolve to other files",
        "fresh": "none of its dependencies changed",
    }.get(kind, changed)
    links = [changed, *chain[1:]] if functions else chain
    return f"{path}: {' ← '.join(links) if chain else why}"


def without_effect(path: str, functions: Sequence[str]) -> str:
    """The line about a changed file that affects no test file."""
    if not functions:
        return f"{path}: only comments, layout or positions changed"
    return f"{path}: {listed(functions)} changed, which no test ran"


def tests(selected: int, total: int) -> str:
    return f"{selected} of {many(total, 'test')} ran what changed"


def more_reasons(count: int) -> str:
    return f"and {count} more (-v shows them)"


def affected(selected: int, left_out: int) -> str:
    total = selected + left_out
    return f"{selected} of {many(total, 'test file')} affected"


def no_records() -> str:
    return f"{NO_RECORDS}: everything runs"


def records_lost(error: str) -> str:
    return f"this run keeps no records ({error})"


def ignored(note: str) -> str:
    """The line about something that the store could not use."""
    return f"records: {note}"


def unseen_import(name: str, why: str) -> str:
    """The line about a module that was imported too early, and that cannot be imported again under observation."""
    return (
        f"{name}: the inputs of its import are unknown ({why}), so every test file runs each time; "
        "hint: name it in pytest_plugins of the root conftest.py instead"
    )
