"""Every word that the user sees, and where it is shown."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from pytest_hotreload.compat import pytest_config
from pytest_hotreload.options import Options
from pytest_hotreload.process.messages import Collision
from pytest_hotreload.world import os, signal

PREFIX = "hotreload: "
NO_RECORDS = "there are no records (no cache)"


# ------------------------------------------------------------------------------------- header


def header(options: Options, verbose: int, where: str = "") -> list[str]:
    """The header: interpreter, slots (or ``where`` they are), and how children start; nothing with ``-q``."""
    if verbose < 0:
        return []
    slots = where or f"{options.slots} slot{'s' if options.slots != 1 else ''} ({options.asked_slots})"
    how = "a fresh interpreter" if options.start == "spawn" else "a fork"
    what = {
        "file": f"each file in {how}",
        "test": f"each test in {how}",
        "worker": f"the files of each slot in {how}",
        "strict": f"each file collected and run alone, in {how}",
    }[options.isolate]
    return [PREFIX + " · ".join([f"python {platform.python_version()}", slots, what])]


def warmed(modules: int, seconds: float, quarantine: Mapping[str, str], verbose: int) -> list[str]:
    """What the template holds, where one was needed; quarantined modules with reasons under ``-v``."""
    line = f"{PREFIX}template: {modules} modules warm in {seconds:.1f} s"
    if quarantine:
        line += f" · {len(quarantine)} quarantined" + ("" if verbose > 0 else " (-v shows why)")
    reasons = [f"  {module}: {why}" for module, why in quarantine.items()] if verbose > 0 else []
    return [line, *reasons]


# ------------------------------------------------------------------------------------- gathered


def not_gathered(
    problems: Mapping[str, Mapping[str, str]], lost: Sequence[str], gathering: Sequence[str], reused: int
) -> list[str]:
    """One line for each plugin or conftest whose session-end hooks lack something; and for files that are lost."""
    lines = []
    for owner, found in problems.items():
        (what, why), more = next(iter(found.items())), len(found) - 1
        others = f", and {more} more" if more else ""
        lines.append(
            f"{owner}: its session-end hooks miss data that tests stored in {what} ({why}){others}; "
            "hint: run with --no-hotreload to get all of it"
        )
    if lost and gathering:
        lines.append(f"{', '.join(gathering)}: the data from {', '.join(lost)} was lost with its process")
    if reused and gathering:
        files = f"{reused} reused test file{'s' if reused != 1 else ''}"
        lines.append(f"{', '.join(gathering)}: the data of {files} is missing; hint: --force runs everything")
    return lines


# ------------------------------------------------------------------------------------- lines


#: Where a process has no terminal of its own (a host): who is told instead.
TOLD = pytest.StashKey[Callable[[str], None]]()


def notice(config: pytest.Config, text: str) -> None:
    """One line of its own, at a place where pytest's line of dots is not torn."""
    told = config.stash.get(TOLD, None)
    if told is not None:
        told(text)
        return
    reporter = pytest_config.terminal_reporter(config)
    if reporter is None:
        return
    pytest_config.ensure_newline(config)
    reporter.write_line(PREFIX + text, yellow=True)


def left_to_plain(why: str) -> str:
    return f"plain pytest runs this suite, without children: {why}"


def silent_file(path: str, nodeid: str, phase: str, seconds: float) -> str:
    return f"{path} has made no progress for {seconds:.0f} s; it is running {nodeid} ({phase})"


def leftovers(path: str, names: Sequence[str]) -> str:
    return f"{path} left {len(names)} process{'es' if len(names) != 1 else ''} behind; killed: {', '.join(names)}"


def threads_left(path: str, what: str) -> str:
    return f"{path} started {what} while it was imported, so it is collected and run in its own process"


def own_slots(what: str) -> str:
    return f"{what} reads the worker id early, so each slot collects in its own process"


def template_died() -> str:
    return "the template ended while it imported modules: starting fresh interpreters instead"


def diagnostic(path: str, line: int | None, text: str) -> str:
    where = f"{path}:{line}: " if line else f"{path}: " if path else ""
    return f"{where}{text}"


def shared_refused(name: str, why: str) -> str:
    return f"the fixture {name} can't be shared ({why}); each child sets it up separately"


def set_up_once(name: str) -> str:
    return (
        f"the session fixture {name} removes files, so it was set up once, before the first child; "
        "otherwise one child could remove files that another child wrote"
    )


def shared_unknown(name: str) -> str:
    return (
        f"hotreload_shared_fixtures names {name!r}, which no selected test uses at session or package scope"
    )


def changed_meanwhile(files: int) -> str:
    one = files == 1
    return f"{files} test file{'' if one else 's'} changed during the run and run{'s' if one else ''} again"


def hangs(what: str, seconds: float) -> str:
    return (
        f"{what} has done nothing for {seconds:.0f} s, and files have changed: "
        "it was stopped, and runs again with the changes"
    )


def hung(seconds: float) -> str:
    return f"used no CPU time for {seconds:.0f} s after a fork from a process with threads, and was killed"


def again_after_signal(path: str, name: str, what: str) -> str:
    return f"{path}: the process of {name} {what}; the test ran again in a fresh process, and that result is used"


def collided(path: str, name: str, address: str) -> str:
    where = f" ({address})" if address else ""
    return f"{path}: {name}: address already in use{where}; the file ran again alone, and that result is used"


def contended(path: str, name: str, found: Collision, holder: str) -> str:
    """A file that used what another living child has."""
    did = {
        Collision.BIND: f"tried to bind {found.subject}, which {holder} was using",
        Collision.CONNECT: f"tried to connect to {found.subject}, a server that {holder} started",
        Collision.PATH: f"failed after it used {found.subject}, which {holder} wrote at the same time",
    }[found.what]
    return f"{path}: {name} {did}; the file ran again alone, and that result is used"


def does_not_stop(seconds: float) -> str:
    return f"did not tear down within {seconds:.0f} s; the file runs again alone"


def taking_turns(keys: Mapping[str, int]) -> str:
    """Files that are kept apart in time, by what they share."""
    most, files = max(keys.items(), key=lambda entry: entry[1])
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    return f"{files} files share {most}{more}, so only one of them runs at a time"


def no_cache(error: OSError) -> str:
    return (
        f"the cache folder can't be written ({error.strerror or error}): durations and records are not saved"
    )


def written(what: str, path: object) -> str:
    return f"{what}: {path}"


def not_written(what: str, path: object, error: Exception) -> str:
    why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return f"the {what} can't be written to {path}: {why}"


def no_proc() -> str:
    return (
        "there is no /proc: hotreload can't find processes that tests leave behind, the owner of a port, "
        "or test files that hang without using CPU time"
    )


def no_fork(error: OSError) -> str:
    return f"the system refused to fork ({error.strerror or error}): starting fresh interpreters instead"


def hook_failed(plugin: str, hook: str, error: BaseException) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"{plugin}: {hook} failed at the end of a child, so data from that child may be missing: {what}"


# ------------------------------------------------------------------------------------- reports


def unreported(what: str) -> str:
    """An item of which not all arrived: its outcome is not known."""
    return (
        f"this test was collected, but {what}: its outcome is unknown\n"
        "hint: a test or plugin may have replaced pytest's hooks or closed files that it does not own; "
        "--no-hotreload runs the suite without children"
    )


def lost(sent: int, arrived: int) -> str:
    """What a child said is not what arrived."""
    return f"its process sent {sent} messages, of which {arrived} arrived"


def unreadable(why: str) -> str:
    return f"sent a message that can't be read ({why}) and was killed"


def died(phase: str, status: int, because: str) -> str:
    """What happened to a process that ended in the middle of a test."""
    what = because or status_text(status)
    where = {"start": "before its setup", "finish": "after its teardown", "end": "after the last test"}
    return f"the process of this test {what} {where.get(phase, f'during {phase}')}"


def status_text(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "a signal"
        return f"was killed by {name} (signal {number})"
    code = os.waitstatus_to_exitcode(status) if status >= 0 else "unknown"
    return f"ended with exit status {code}"


def over_time(seconds: float) -> str:
    return f"was killed: the test took longer than --hotreload-timeout={seconds:g} s"


# ------------------------------------------------------------------------------------- records

#: Verdicts in the order of interest, each with the word under which it is counted.
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
    "unsettled": "unsettled",
    "unknown": "new",
}


def records(
    files: int, kinds: Mapping[str, int], changes: Sequence[tuple[str, str | None, str | None]]
) -> str:
    """How many records held before the run, and why the others did not."""
    counts: dict[str, int] = {}
    for kind, word in COUNTED.items():
        if kinds.get(kind):
            counts[word] = counts.get(word, 0) + kinds[kind]
    others = ", ".join(f"{count} {word}" for word, count in counts.items())
    line = f"records: {kinds.get('fresh', 0)}/{files} fresh" + (f" ({others})" if others else "")
    return line + (" · " + new_epoch(changes) if changes else "")


def new_epoch(changes: Sequence[tuple[str, str | None, str | None]]) -> str:
    """The very inputs that differ; long values are not shown."""
    shown = [_change(*change) for change in changes[:3]]
    more = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "environment changed: " + ", ".join(shown + more)


def _change(name: str, then: str | None, now: str | None) -> str:
    if then is None or now is None:
        return f"{name} {'added' if then is None else 'removed'}"
    short = max(len(then), len(now)) <= 24
    return f"{name} {then} → {now}" if short else f"{name} changed"


def reason(path: str, kind: str, detail: str, chain: Sequence[str]) -> str:
    """Why a test file would run: ``tests/test_a.py: src/pay/card.py ← src/pay/api.py ← tests/test_a.py``."""
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
    }.get(kind, detail)
    return f"{path}: {' ← '.join(chain) if chain else why}"


def more_reasons(count: int) -> str:
    return f"and {count} more (-v shows them)"


def affected(selected: int, left_out: int) -> str:
    total = selected + left_out
    return f"{selected} of {total} test file{'s' if total != 1 else ''} affected"


def no_records() -> str:
    return f"{NO_RECORDS}: everything runs"


def ignored(note: str) -> str:
    """What the store could not use."""
    return f"records: {note}"


# ------------------------------------------------------------------------------------- closing


def closing(
    files: int,
    children: int,
    workers: int,
    start_cpu: float,
    fell_back: Iterable[str],
) -> str:
    """The last line: what was done, and what paying the start once saved.

    ``start_cpu``: CPU seconds from the start of the process to the end of collection. A worker that starts by itself
    pays it again; one of them is ours. ``workers``: slots that had forks of the collected session, which paid nothing.
    """
    parts = [f"{files} file{'s' if files != 1 else ''} in {children} child{'ren' if children != 1 else ''}"]
    if workers > 1:
        parts.append(
            f"startup and imports paid once: {start_cpu * (workers - 1):.1f} s of CPU saved "
            f"compared with {workers} separately started workers"
        )
    parts += list(fell_back)
    return PREFIX + " · ".join(parts)


def costly_fixtures(costs: Mapping[str, tuple[float, int]], saved: float) -> str:
    """Which session fixtures dominate, and the two remedies."""
    names = ", ".join(
        f"{name} {seconds:.1f} s in {times} children" for name, (seconds, times) in costs.items()
    )
    return (
        f"{PREFIX}session fixtures are set up in each child: {names}; hint: hotreload_shared_fixtures or "
        f"--hotreload-isolate=worker would save about {saved:.1f} s"
    )


# ------------------------------------------------------------------------------------- doctor


def doctor_nothing(status: int) -> str:
    return f"{PREFIX}no test ran (pytest's exit status {status}); hint: run pytest with the same arguments to see why"


def doctor_coupled(nodeid: str, cause: str | None) -> str:
    if cause is None:
        return f"{nodeid} passes only together with other files; no single module explains it"
    return f"{nodeid} passes only together with other files: it needs {cause}"


def doctor_total(tests: int, coupled: int) -> str:
    found = "none needs" if not coupled else f"{coupled} need{'s' if coupled == 1 else ''}"
    return f"{PREFIX}{tests} tests: {found} another file"


# ------------------------------------------------------------------------------------- explain


def would_run(why: str) -> str:
    return f"would run: {why}"


def would_not_run(outcomes: Mapping[str, int]) -> str:
    total = sum(outcomes.values())
    tests = f"{total} test{'s' if total != 1 else ''}"
    if set(outcomes) == {"passed"}:
        return f"would not run: its record is fresh ({tests} passed)"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"would not run: its record is fresh ({tests}: {counts})"


def first_party(files: int, *, recorded: bool) -> str:
    source = "" if recorded else " (from the sources: there is no record)"
    return f"first-party: {files} file{'s' if files != 1 else ''}{source}"


def imported(name: str, chain: Sequence[str]) -> str:
    return " ← ".join(chain) if chain else f"{name} (no import statement leads to it)"


def variables(names: Sequence[str]) -> list[str]:
    return ["all variables" if name == "*" else name for name in names]


def depends_on(label: str, names: Iterable[str]) -> str:
    return f"{label}: {', '.join(names)}"


def distribution(name: str, version: str, modules: Sequence[str]) -> str:
    """Its modules are named where they are others than the one of its own name."""
    others = f" ({', '.join(modules)})" if list(modules) != [name] else ""
    return f"{name} {version}{others}"


def template_module(name: str, files: int, *, loaded: bool, quarantine: str | None, learned: bool) -> str:
    """What a template makes of a module that ``files`` test files reach when they are imported."""
    if loaded:
        return f"{name} warm (pytest loads it)"
    if quarantine is not None:
        return f"{name} quarantined: {quarantine}"
    if files > 1:
        return f"{name} warm ({files} test files reach it)"
    return (
        f"{name} warm (an earlier run needed it)"
        if learned
        else f"{name} not warm (only this file reaches it)"
    )


def unseen_import(name: str, why: str) -> str:
    """What was imported before any hook of ours, and can't be imported a second time to see what it reads."""
    return (
        f"{name}: the inputs of its import are unknown ({why}), so every test file runs each time; "
        "hint: name it in pytest_plugins of the root conftest.py instead"
    )


def store_notes(notes: Iterable[str]) -> str:
    return PREFIX + "; ".join(notes)


# ------------------------------------------------------------------------------------- graph


def no_such_test_file(path: str) -> str:
    return f"{PREFIX}{path} is not a Python file; hint: name a test file"


def in_tree(file: str, *, again: bool) -> str:
    return f"{file} …" if again else file


# ------------------------------------------------------------------------------------- cache


def no_store(folder: object) -> str:
    return "no records: " + ("pytest's cache is turned off" if folder is None else f"{folder} does not exist")


def store_info(folder: object, counts: Mapping[str, int], notes: Iterable[str]) -> list[str]:
    return [f"folder: {folder}", *(f"{name}: {count}" for name, count in counts.items()), *notes]


def store_cleaned(folder: object, records: int, removed: Sequence[str]) -> str:
    if not removed:
        return f"nothing to remove in {folder}"
    return f"removed {', '.join(removed)} ({_records(records)}) from {folder}"


def store_sound(folder: object, records: int) -> str:
    return f"{_records(records)} in {folder}, all can be read"


def store_refused(error: OSError) -> str:
    return f"{PREFIX}the record store can't be changed: {error.strerror or error}"


def _records(count: int) -> str:
    return f"{count} record{'s' if count != 1 else ''}"


def unfit(module: str, why: str) -> str:
    return f"{module} was imported ahead under other conditions ({why}); this run starts over in a fresh interpreter"


def collected_anew(path: str, why: str) -> str:
    return f"{path} started over in a fresh interpreter: {why}"
