"""Texts for users of a watch. Those about attached runs are in ``attach_messages.py``."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pytest_hotreload.compat.console import PREFIX, status_text
from pytest_hotreload.process.fork_messages import Warmed
from pytest_hotreload.watch.protocol import Changed
from pytest_hotreload.wording import listed, many, verb

if TYPE_CHECKING:
    from pytest_hotreload.watch.requests import PendingEdit


#: Characters up to which a refused filter is shown: two lines of a terminal.
_LONGEST = 160


#: The number of names up to which a list is complete; for the others, only their count is shown.
_FEW = 10


#: The keys with their actions, in the columns in which a wide terminal shows them.
_KEYS = (
    (
        ("Enter, a", "run all"),
        ("r", "run the last again"),
        ("f", "run failed tests"),
        ("d", "debug last failed"),
        ("R", "new template"),
    ),
    (
        ("p", "filter by path"),
        ("t", "filter by name (-k)"),
        ("m", "filter by marker (-m)"),
        ("c", "clear filters"),
        ("h", "this help"),
    ),
    (
        ("e", "why each file ran"),
        ("s", "what is running"),
        ("v", "show failures again"),
        ("P", "pause, resume"),
        ("q", "quit"),
    ),
)


def help_lines(width: int) -> list[str]:
    """Return the help: in three columns, or in one if the terminal is too narrow for them."""
    columns = [_aligned(column) for column in _KEYS]
    wide = ["  " + "  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    if max(map(len, wide)) <= width:
        return wide
    return ["  " + line.rstrip() for line in _aligned([key for column in _KEYS for key in column])]


def _aligned(keys: Sequence[tuple[str, str]]) -> list[str]:
    most = max(len(key) for key, _ in keys), max(len(what) for _, what in keys)
    return [f"{key:{most[0]}}  {what:{most[1]}}" for key, what in keys]


ASKED_FOR = "on request"


CONFIRMED = "confirmed with all files imported"


LEAF = "no reload needed"


NO_START = "pytest did not start"


REFUSED = "pytest refused to run"


TEMPLATE_ENDED = "the template ended"


NOT_YET = "nothing has run yet"


NOTHING_FAILING = "no test is failing"


NOTHING_RUNS = "nothing is running"


PAUSED = "paused: edits are kept, P resumes"


WATCHING = "watching, h for help"


CANCELLED = "cancelled; unfinished test files run after the next edit, or press Enter"


class Times(NamedTuple):
    """The durations of one rerun's phases, in seconds."""

    #: From the first file event to the comparison of contents.
    watch: float
    #: The selection of the affected test files.
    select: float
    #: Until the rerun's process was ready.
    fork: float
    #: The run itself, until its end.
    run: float
    #: pytest's own duration, from its start to its summary.
    pytest: float


def header(warmed: Warmed | None, files: int, slots: int) -> str:
    parts = [*template(warmed), _files(files)]
    parts.append(many(slots, "slot"))
    return PREFIX + " · ".join(parts)


def rerun(edit: PendingEdit, selected: int | None, known: int, how: str, root: str) -> str:
    """The line for the start of a rerun: ``RERUN src/pay/card.py → 6 of 418 test files (no reload needed)``.

    ``selected``: the number of test files that run, or None for all of them.
    """
    paths = edit.changes.paths
    if edit.burst == "git":
        affected = "all test files" if selected is None else _files(selected)
        return f"git checkout: {many(len(paths), 'file')} changed, {affected} affected ({how})"
    what = shown(paths, root) if paths else ASKED_FOR
    if selected is None:
        return f"RERUN {what} → all test files ({how})"
    return f"RERUN {what} → {selected} of {_files(max(known, selected))} ({how})"


def tests_first(functions: Mapping[str, Sequence[str]], tests: int, how: str) -> str:
    """The line for the rerun of the affected tests: ``RERUN pricing.py: gross() → 3 tests (no reload needed)``."""
    changed = [f"{file}: {listed([f'{name}()' for name in names], 3)}" for file, names in functions.items()]
    return f"RERUN {listed(changed, 3)} → {many(tests, 'test')} ({how})"


def follow(tests: int, files: int) -> str:
    """The end of the status line of the affected tests. ``tests``: the others of their files; 0 if not known."""
    of = many(files, "file")
    return f"{tests} more of {of} {verb(tests, 'follow')}" if tests else f"{of} {verb(files, 'follow')}"


def from_point(depth: int) -> str:
    return f"from fork point {depth}"


def left_out(options: Sequence[str]) -> str:
    return f"a watch does not write reports: {' and '.join(options)} {'are' if len(options) > 1 else 'is'} ignored"


def first(which: str, how: str) -> str:
    files = {"all": "all test files", "affected": "failed, changed or new test files"}[which]
    return f"RUN {files}" + (f" ({how})" if how != LEAF else "")


def new_points(why: str) -> str:
    return f"new fork points: {why}"


def written(path: str, root: str) -> str:
    return f"{shown([path], root)} changes during each rerun: its changes while tests run are ignored"


def third_party(names: Sequence[str]) -> str:
    tops = sorted({name.partition(".")[0] for name in names})
    return f"new third-party import, warm from now on: {listed(tops, 3)}"


def pending(path: str) -> str:
    return f"{path}: no result yet"


def uncollectable(path: str) -> str:
    return f"{path}: could not be collected before"


def settings_changed(path: str) -> str:
    return f"{path}: pytest's settings changed"


def unaffected(changes: Changed, root: str, without_effect: Sequence[str] = ()) -> str:
    """The line about an edit that affects no test file; ``without_effect``: what is known of its files."""
    if without_effect:
        return f"{listed(without_effect)} · {WATCHING}"
    return f"{shown(changes.paths, root)}: no test file is affected · {WATCHING}"


def saved(paths: Sequence[str], root: str) -> str:
    return f"{shown(paths, root)}: no content change · {WATCHING}"


def blocked(path: str, files: int) -> str:
    waiting = f"{_files(files)} {verb(files, 'wait')} until it parses" if files else "waiting until it parses"
    return f"BLOCKED {path}: {waiting} · {WATCHING}"


def broken(what: str) -> str:
    return f"BLOCKED {what}. Fix the error above; hotreload retries on the next change · {WATCHING}"


def new_template(why: str) -> str:
    return f"new template: {why}"


def late(paths: str) -> str:
    return f"{paths} changed before pytest had started"


def died(status: int | None) -> str:
    return f"the process of the rerun {_ended(status)}"


def died_in_place(status: int | None) -> str:
    return f"the process of the test file {_ended(status)}: the file runs again in a child, and that result is used"


def _ended(status: int | None) -> str:
    return status_text(status) if status is not None else "disappeared"


def status(
    ran: Mapping[str, int],
    times: Times,
    failing: bool,
    elsewhere: Sequence[str],
    unfinished: int,
    notes: Sequence[str],
    follow: str = "",
    *,
    phases: bool,
) -> tuple[str, str]:
    """The status line and its colour, which is red while any test is failing.

    ``follow``: what runs next, instead of the files without a result; "" if the watch waits for an edit.
    ``phases``: with the duration of each phase.
    """
    names = ("failed", "error", "passed", "rerun", "skipped", "xfailed", "xpassed")
    counts = ", ".join(f"{ran[name]} {name}" for name in names if ran.get(name)) or "no tests ran"
    parts = (times.watch, times.select, times.fork, times.run)
    detail = " + ".join(
        f"{name} {part * 1000:.0f}"
        for name, part in zip(("watch", "select", "fork", "run"), parts, strict=True)
    )
    took = f"{times.pytest:.2f} s" + (f" ({detail} ms)" if phases else "")
    line = [f"{'FAIL' if failing else 'PASS'} {counts} in {took}", *notes]
    if elsewhere:
        line.append(f"still failing: {listed(list(elsewhere), 3)}")
    if unfinished and not follow:
        line.append(f"{_files(unfinished)} without a result")
    colour = "red" if failing else "yellow" if unfinished else "green"
    return " · ".join([*line, follow or WATCHING]), colour


def filters(keyword: str, marker: str, path: str) -> str:
    """The filters that the user chose, or ""."""
    given = [(f"-k {keyword!r}", keyword), (f"-m {marker!r}", marker), (f"path {path!r}", path)]
    shown = [text for text, value in given if value]
    return f"only {', '.join(shown)}" if shown else ""


def filter_now(what: str, now: str) -> str:
    """The line above the prompt for a new filter, with the current filter."""
    return f"{what} is {now!r} now; an empty line removes it"


def filter_refused(why: str) -> str:
    shortened = why if len(why) <= _LONGEST else why[: _LONGEST - 1] + "…"
    return f"{shortened.encode('utf-8', 'replace').decode()}: the filters are unchanged · {WATCHING}"


def no_such_path(text: str) -> str:
    return f"no test file has {text!r} in its path"


def reasons(lines: Iterable[str]) -> list[str]:
    return ["  " + line for line in lines] or ["  " + NOT_YET]


def running(children: Sequence[tuple[str, int, float, str]]) -> list[str]:
    return [
        f"  {name} (process {pid}, {seconds:.1f} s)" + (f": {last}" if last else "")
        for name, pid, seconds, last in children
    ] or ["  " + NOTHING_RUNS]


def shown(paths: Sequence[str], root: str, most: int = 3) -> str:
    """A list of up to ``most`` paths; those below the root are relative to it."""
    return listed(
        [os.path.relpath(path, root) if path.startswith(root + os.sep) else path for path in paths], most
    )


def _files(count: int) -> str:
    return many(count, "test file")


def template(warmed: Warmed | None) -> list[str]:
    """The phrases about the interpreter and the template, for headers."""
    parts = [f"python {platform.python_version()}"]
    if warmed is not None:
        parts.append(f"template {warmed.modules} modules in {warmed.seconds:.1f} s")
    return parts


def changed_meanwhile(files: int) -> str:
    return f"{many(files, 'test file')} changed during the run and {verb(files, 'run')} again"


def yielded(files: int) -> str:
    return f"{_files(files)} {verb(files, 'run')} behind the tests of the new edit"


def hangs(what: str, seconds: float) -> str:
    return (
        f"{what} has done nothing for {seconds:.0f} s, and files have changed: "
        "it was stopped, and runs again with the changes"
    )


def unfit(module: str, why: str) -> str:
    return f"{module} was imported ahead under other conditions ({why}); this run starts over in a fresh interpreter"
