"""Lines of the sub-commands doctor, explain, graph and cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.wording import many, verb
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS


def doctor_nothing(status: int) -> str:
    return f"{PREFIX}no test ran (pytest's exit status {status}); hint: run pytest with the same arguments to see why"


def doctor_coupled(nodeid: str, cause: str | None) -> str:
    if cause is None:
        return f"{nodeid} passes only together with other files; no single module explains it"
    return f"{nodeid} passes only together with other files: it needs {cause}"


def doctor_total(tests: int, coupled: int) -> str:
    found = "none needs" if not coupled else f"{coupled} {verb(coupled, 'need')}"
    return f"{PREFIX}{tests} tests: {found} another file"


def would_run(why: str) -> str:
    return f"would run: {why}"


def would_not_run(outcomes: Mapping[str, int]) -> str:
    total = sum(outcomes.values())
    tests = many(total, "test")
    if set(outcomes) == {"passed"}:
        return f"would not run: its record is fresh ({tests} passed)"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"would not run: its record is fresh ({tests}: {counts})"


def first_party(files: int, *, recorded: bool) -> str:
    source = "" if recorded else " (from the sources: there is no record)"
    return f"first-party: {many(files, 'file')}{source}"


def imported(name: str, chain: Sequence[str]) -> str:
    return " ← ".join(chain) if chain else f"{name} (no import statement leads to it)"


def variables(names: Sequence[str]) -> list[str]:
    return ["all variables" if name == "*" else name for name in names]


def depends_on(label: str, names: Iterable[str]) -> str:
    return f"{label}: {', '.join(names)}"


def distribution(name: str, version: str, modules: Sequence[str]) -> str:
    """The name and version of a distribution, with its modules unless the only module has the same name."""
    others = f" ({', '.join(modules)})" if list(modules) != [name] else ""
    return f"{name} {version}{others}"


def template_module(name: str, files: int, *, loaded: bool, quarantine: str | None, learned: bool) -> str:
    """The line about a module that ``files`` test files reach when they are imported: whether a template holds it."""
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


def store_notes(notes: Iterable[str]) -> str:
    return PREFIX + "; ".join(notes)


def no_such_test_file(path: str) -> str:
    return f"{PREFIX}{path} is not a Python file; hint: name a test file"


def in_tree(file: str, *, again: bool) -> str:
    return f"{file} …" if again else file


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
    return many(count, "record")


#: The line about a test whose functions no record knows.
FUNCTIONS_UNKNOWN = "the functions that it runs are not known: they are recorded when its whole file passes"


def functions(ran: int, total: int, files: int, reason: str) -> str:
    """The line about the functions that a test file ran: ``functions: ran 12 of 80, in 5 files``."""
    if reason:
        return f"functions: not recorded, so an edit of a file counts as a whole ({reason})"
    return f"functions: ran {ran} of {total}, in {many(files, 'file')}"


def runners(function: str, tests: Sequence[str], files: Sequence[str]) -> list[str]:
    """The lines about the tests that ran a function; ``files`` ran it outside of single tests."""
    if not tests and not files:
        return [f"{function}: no test ran it, by the records"]
    lines = [f"{function}: {many(len(tests), 'test')} ran it" if tests else function]
    lines += [f"  {test}" for test in tests]
    return lines + [f"  {file}: all tests, since it ran outside of a single test" for file in files]
