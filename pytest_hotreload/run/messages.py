"""The texts that a run shows to the user."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence

from pytest_hotreload.compat.console import PREFIX, status_text
from pytest_hotreload.options import Options
from pytest_hotreload.process.progress import Collision
from pytest_hotreload.records.saving import Saving
from pytest_hotreload.wording import duration, many
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


# ------------------------------------------------------------------------------------- header


def header(options: Options, where: str = "") -> list[str]:
    """Return the header: interpreter, slots, and how children start.

    ``where`` lists the hosts, which replace the slots.
    """
    slots = where or f"{many(options.slots, 'slot')} ({options.asked_slots})"
    how = "a fresh interpreter" if options.start == "spawn" else "a fork"
    what = {
        "file": f"each file in {how}",
        "test": f"each test in {how}",
        "worker": f"the files of each slot in {how}",
        "strict": f"each file collected and run alone, in {how}",
    }[options.isolate]
    return [PREFIX + " · ".join([f"python {platform.python_version()}", slots, what])]


def warmed(modules: int, seconds: float, quarantine: Mapping[str, str], verbose: int) -> list[str]:
    """Return the size of the template; with ``-v``, also the quarantined modules with their reasons."""
    line = f"{PREFIX}template: {modules} modules warm in {seconds:.1f} s"
    if quarantine:
        line += f" · {len(quarantine)} quarantined" + ("" if verbose > 0 else " (-v shows why)")
    reasons = [f"  {module}: {why}" for module, why in quarantine.items()] if verbose > 0 else []
    return [line, *reasons]


# ------------------------------------------------------------------------------------- gathered


def not_gathered(
    problems: Mapping[str, Mapping[str, str]], lost: Sequence[str], gathering: Sequence[str], reused: int
) -> list[str]:
    """Return one line per plugin or conftest whose session-end hooks lack data, and one for lost files."""
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
        files = many(reused, "reused test file")
        lines.append(f"{', '.join(gathering)}: the data of {files} is missing; hint: --force runs everything")
    return lines


# ------------------------------------------------------------------------------------- lines


def left_to_plain(why: str) -> str:
    return f"plain pytest runs this suite, without children: {why}"


def has_own_loop(plugin: str) -> str:
    return f"{plugin} runs the tests by itself (pytest_runtestloop)"


def silent_file(path: str, nodeid: str, phase: str, seconds: float) -> str:
    return f"{path} has made no progress for {seconds:.0f} s; it is running {nodeid} ({phase})"


def leftovers(path: str, names: Sequence[str]) -> str:
    return f"{path} left {many(len(names), 'process')} behind; killed: {', '.join(names)}"


def threads_left(path: str, what: str) -> str:
    return f"{path} started {what} while it was imported, so it is collected and run in its own process"


def one_at_a_time(what: str) -> str:
    return f"the collection left {what}, which forks share, so test files run one at a time"


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


#: What ended the trial of a warm function that returned no result.
ENDED_ITS_PROCESS = "ended its process"


def raised(error: BaseException) -> str:
    return f"raised {' '.join(f'{type(error).__name__}: {error}'.split())[:200]}"


def not_warmed(origin: str, name: str, why: str) -> str:
    """Describe a warm function that failed, or that left something behind that a fork does not have."""
    return f"{origin}: {name} {why}; the run goes on without it"


def warmed_functions(seconds: Mapping[str, float]) -> str:
    """Name the warm functions that were called, with the time that each took."""
    return "called before the first fork: " + ", ".join(
        f"{name} ({duration(each)})" for name, each in seconds.items()
    )


def fixtures_over_time(names: str, limit: float) -> str:
    return f"setting up {names} exceeded the time limit of {limit:g} s; each child sets it up separately"


def fixtures_silent(names: str, seconds: float) -> str:
    return f"setting up {names} for {duration(seconds)}"


def fixtures_once(shared: Mapping[str, tuple[float, int, int]], slots: int) -> str:
    """Name the fixtures that were set up once, and the wall time that this saved: the setups in the other children."""
    made = sum(setups for _, setups, _ in shared.values())
    times = sum(inherited for _, _, inherited in shared.values())
    saved = (
        sum(seconds * max(0, inherited - setups) for seconds, setups, inherited in shared.values()) / slots
    )
    how_often = "once" if made == 1 else f"{made} times"
    names = ", ".join(shared)
    return f"{PREFIX}shared: {names} · set up {how_often} instead of {many(times, 'time')}: {duration(saved)} saved"


def fixtures_refused(name: str, seconds: float, times: int, why: str) -> str:
    return (
        f"{PREFIX}the session fixture {name} is set up by each child ({duration(seconds)}, {many(times, 'time')}), "
        f"because {why}; hint: {_REMEDY}"
    )


_REMEDY = (
    "name it in hotreload_shared_fixtures if children can inherit its value, or see docs/session-fixtures.md"
)


def shared_unknown(name: str) -> str:
    return (
        f"hotreload_shared_fixtures names {name!r}, which no selected test uses at session or package scope"
    )


def hung(seconds: float) -> str:
    return f"used no CPU time for {seconds:.0f} s after a fork from a process with threads, and was killed"


def again_after_signal(path: str, name: str, what: str) -> str:
    return f"{path}: the process of {name} {what}; the test ran again in a fresh process, and that result is used"


def collided(path: str, name: str, address: str) -> str:
    where = f" ({address})" if address else ""
    return f"{path}: {name}: address already in use{where}; the file ran again alone, and that result is used"


def contended(path: str, name: str, found: Collision, holder: str) -> str:
    """Describe a file that used a resource of another living child."""
    did = {
        Collision.BIND: f"tried to bind {found.subject}, which {holder} was using",
        Collision.CONNECT: f"tried to connect to {found.subject}, a server that {holder} started",
        Collision.PATH: f"failed after it used {found.subject}, which {holder} wrote at the same time",
    }[found.what]
    return f"{path}: {name} {did}; the file ran again alone, and that result is used"


def does_not_stop(seconds: float) -> str:
    return f"did not tear down within {seconds:.0f} s; the file runs again alone"


def taking_turns(keys: Mapping[str, int]) -> str:
    """Describe the files that run one at a time because they share a resource."""
    most, files = max(keys.items(), key=lambda entry: entry[1])
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    return f"{files} files share {most}{more}, so only one of them runs at a time"


def no_cache(error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    return f"the cache folder can't be written ({why}): durations and records are not saved"


def nothing_learned(error: Exception) -> str:
    return f"what earlier runs learned can't be read ({type(error).__name__}): files run in pytest's order"


def no_proc() -> str:
    return (
        "there is no /proc: hotreload can't find processes that tests leave behind, the owner of a port, "
        "or test files that hang without using CPU time"
    )


#: The reason that is counted when memory could be restored only in part.
REWIND_BROKE = "the memory could be restored only in part"


def rewind_differs(pages: int) -> str:
    return (
        f"{many(pages, 'page')} of memory differed after a child was rewound, so each file runs in a new fork; "
        "hint: please report this with your platform; --hotreload-rewind=off skips the attempt"
    )


def rewound(files: int, seconds: float, refusals: Mapping[str, int]) -> str:
    """Return, for ``-v``, how many files ran in a rewound child, and why others did not."""
    line = f"{PREFIX}rewound after {many(files, 'file')} in {seconds:.2f} s"
    reasons = ", ".join(f"{why} ({times})" for why, times in refusals.items())
    return f"{line} · not rewound: {reasons}" if reasons else line


def no_fork(error: OSError) -> str:
    return f"the system refused to fork ({error.strerror or error}): starting fresh interpreters instead"


def known_failure(nodeid: str, head: str) -> str:
    """Name a failure before its turn."""
    path = head.partition("::")[0]
    return f"{nodeid} failed; its output follows that of {path}, which is still running"


def more_known_failures(head: str) -> str:
    """Say that further failures are known, of which none is named before its turn."""
    path = head.partition("::")[0]
    return f"more tests failed; their output follows that of {path}, which is still running"


# ------------------------------------------------------------------------------------- reports


def unreported(what: str) -> str:
    """Describe an item whose messages did not all arrive: its outcome is unknown."""
    return (
        f"this test was collected, but {what}: its outcome is unknown\n"
        "hint: a test or plugin may have replaced pytest's hooks or closed files that it does not own; "
        "--no-hotreload runs the suite without children"
    )


def lost(sent: int, arrived: int) -> str:
    """Describe a child whose messages did not all arrive."""
    return f"its process sent {sent} messages, of which {arrived} arrived"


def unreadable(why: str) -> str:
    return f"sent a message that can't be read ({why}) and was killed"


def died(phase: str, status: int, because: str) -> str:
    """Describe how a process ended in the middle of a test."""
    what = because or status_text(status)
    where = {"start": "before its setup", "finish": "after its teardown", "end": "after the last test"}
    return f"the process of this test {what} {where.get(phase, f'during {phase}')}"


def over_time(seconds: float) -> str:
    return f"was killed: the test took longer than --hotreload-timeout={seconds:g} s"


# ------------------------------------------------------------------------------------- closing


def closing(
    files: int,
    children: int,
    saving: Saving,
    fell_back: Iterable[str],
) -> str:
    """Return the last line: files, children, and the CPU time that was saved because the start is paid once."""
    parts = [f"{many(files, 'file')} in {many(children, 'child')}"]
    if saving.cpu:
        parts.append(
            f"{saving.cpu:.1f} s of CPU saved, because pytest and imports were loaded once, not in each of "
            f"{saving.workers} workers"
        )
    parts += list(fell_back)
    return PREFIX + " · ".join(parts)


def costly_fixtures(costs: Mapping[str, tuple[float, int]], saved: float) -> str:
    """Name the session fixtures that take most of the time, and the two remedies."""
    names = ", ".join(
        f"{name} {seconds:.1f} s in {times} children" for name, (seconds, times) in costs.items()
    )
    return (
        f"{PREFIX}session fixtures are set up in each child: {names}; hint: hotreload_shared_fixtures or "
        f"--hotreload-isolate=worker would save about {saved:.1f} s"
    )


def replaced_file(path: str, replaced: str) -> str:
    when = "which was open before its process was forked"
    return f"{path} replaced {replaced}, {when}: later files collect by themselves"


def collected_anew(path: str, why: str) -> str:
    return f"{path} started over in a fresh interpreter: {why}"
