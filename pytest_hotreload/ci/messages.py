"""Texts about results files, GitHub and merging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pytest_hotreload.wording import duration, listed, many, plural

INTERNAL_ERROR: Final = "internal error"
SLOWEST_HEAD: Final = ("| slowest files | tests | seconds |", "| --- | ---: | ---: |")
#: pytest's order of outcomes; each outcome of our own stands beside a similar one.
_ORDER: Final = (
    "failed",
    "passed",
    "skipped",
    "reused",
    "deselected",
    "xfailed",
    "xpassed",
    "rerun",
    "error",
)


def totals(counts: Mapping[str, int]) -> str:
    """The counts as in pytest's last line.

    A test that failed and then passed when it ran again is "rerun".
    """
    found = []
    for kind in _ORDER:
        count = counts.get(kind, 0)
        if count:
            word = "errors" if kind == "error" and count > 1 else kind
            found.append(f"{count} {word}")
    return ", ".join(found) or "no tests ran"


def results_not_written(path: object, error: OSError) -> str:
    return f"the results file {path} can't be written ({error.strerror or error})"


# ------------------------------------------------------------------------------------- GitHub


def no_step_summary(error: OSError) -> str:
    return f"hotreload: GITHUB_STEP_SUMMARY can't be written ({error.strerror or error})"


def more_failures(count: int) -> str:
    return f"and {count} more {plural(count, 'failure')}"


def step_lines(document: Mapping[str, Any]) -> list[str]:
    """The lines of the step summary below the totals."""
    lines = []
    plan = document["plan"]
    if plan is not None:
        lines.append(
            f"Shard {plan['shard']}/{plan['of']} of plan {plan['fingerprint']}: {many(len(plan['own']), 'file')}."
        )
    if document["stopped"]:
        lines.append(f"The run did not finish: {_one_line(document['stopped'])}.")
    if document["left_to_plain"]:
        lines.append(f"Plain pytest ran this suite: {document['left_to_plain']}.")
    reused = [test["reused"] for test in document["tests"] if test["reused"]]
    if reused:
        revisions = sorted({each["revision"] for each in reused if each["revision"]})
        source = f" ({', '.join(revisions)})" if revisions else ""
        lines.append(
            f"{len(reused)} results were reused from earlier runs{source}: none of their dependencies changed."
        )
    return lines


# ------------------------------------------------------------------------------------- merge


def no_results(folders: Iterable[object]) -> str:
    return f"no results file in {_list(folders)}; hint: run each shard with --hotreload-json=FILE"


def no_folder(folder: object) -> str:
    return f"{folder} is not a folder"


def unusable(path: object, why: str) -> str:
    return f"{path}: {why}"


def no_plan(paths: Sequence[object], count: int) -> str:
    return f"{_list(paths)}: no plan, although there are {count} results files; hint: run each shard with --shard"


def different_plans(of_plans: Mapping[str, Sequence[object]]) -> str:
    plans = "; ".join(f"{plan} ({_list(paths)})" for plan, paths in of_plans.items())
    return (
        f"the shards belong to different plans: {plans}; hint: write one plan with --shard-plan=FILE, and run each "
        "shard with --shard-from=FILE"
    )


def different_worlds(worlds: Mapping[str, Sequence[str]]) -> str:
    found = "; ".join(f"{world} (shard {', '.join(shards)})" for world, shards in worlds.items())
    return f"the shards ran on different platforms: {found}; hint: merge the shards of one platform at a time"


def missing_shard(number: int, of: int) -> str:
    return f"shard {number}/{of} is missing"


def shard_twice(number: int, of: int, paths: Sequence[object]) -> str:
    return f"shard {number}/{of} was found {len(paths)} times: {_list(paths)}"


def no_such_shard(path: object, number: int, of: int) -> str:
    return f"{path}: there is no shard {number}/{of}"


def owned_by(file: str, shards: Sequence[int]) -> str:
    if not shards:
        return f"{file} is in the plan, but no shard ran it"
    return f"{file} belongs to several shards: {_list(shards)}"


def not_planned(file: str, shard: str) -> str:
    return f"{file} belongs to {shard}, but is not in the plan"


def not_collected(file: str, shard: str) -> str:
    return f"{shard} did not collect {file}, which belongs to it"


def nobodys(file: str, shard: str) -> str:
    return f"{shard} found {file}, which is not in the plan, and which no shard collected"


def left_out(shard: str, files: Sequence[str]) -> str:
    few = listed(files)
    return f"{shard} collected nothing in {few}: not selected, ignored by a conftest, or deleted"


def not_its_own(file: str, shard: str) -> str:
    return f"{shard} ran {file}, which belongs to another shard"


def id_twice(nodeid: str, shards: Sequence[str]) -> str:
    return f"{nodeid} has a result in several shards: {_list(shards)}"


def ran_and_deselected(nodeid: str, shard: str) -> str:
    return f"{shard}: {nodeid} was deselected, but has a result"


def does_not_add_up(shard: str, results: int, deselected: int, collected: int) -> str:
    return (
        f"{shard}: {results} results and {deselected} deselected tests "
        f"do not add up to the {collected} collected tests"
    )


def did_not_finish(shard: str, why: str, results: int, selected: int) -> str:
    return f"{shard} did not finish ({_one_line(why)}): {results} of {selected} tests have a result"


def failed_otherwise(shard: str, status: int) -> str:
    return f"{shard} ended with exit status {status}, although none of its tests failed"


def more_problems(count: int) -> str:
    return f"and {count} more"


def lacks(shards: Sequence[str], what: str) -> str:
    return f"there is no {what} from {_list(shards)}"


def too_many(count: int, what: str, results: int, paths: Sequence[object]) -> str:
    return f"{count} {what}s for {many(results, 'results file')}: {_list(paths)}"


def no_coverage() -> str:
    return "coverage is not installed here, so its data can't be merged; hint: pip install coverage"


def covered(total: float, limit: float, origin: str, is_below: bool) -> str:
    compared = "less than" if is_below else "at least"
    return f"coverage is {total:.2f} %, {compared} the {limit:g} % of {origin}"


def coverage_refused(error: Exception) -> str:
    return f"coverage can't merge its data: {_one_line(str(error))}"


def can_not_write(path: object, error: OSError) -> str:
    return f"{path} can't be written: {error.strerror or error}"


def one_shard(
    shard: str, files: int, tests: int, predicted: float | None, took: float, seconds: float
) -> str:
    """The line about one shard.

    ``took``: the measured time of what was predicted, tests and collection. ``seconds``: the time from start
    to end.
    """
    expected = f"predicted {duration(predicted)}, " if predicted is not None else ""
    off = f" ({100 * (took / predicted - 1):+.0f} %)" if predicted else ""
    counts = f"{many(files, 'file')}, {many(tests, 'test')}"
    return f"{shard}: {counts}, {expected}took {duration(took)}{off}, {duration(seconds)} from start to end"


def whole(shards: int, counts: Mapping[str, int], seconds: float) -> str:
    return f"{many(shards, 'shard')}: {totals(counts)} in {duration(seconds)}"


def bad_test(word: str, nodeid: str, text: str) -> str:
    """A line as in pytest's short test summary."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = next((line[1:].strip() for line in lines if line.startswith("E ")), lines[-1] if lines else "")
    return f"{word.upper()} {nodeid}" + (f" - {told[:200]}" if told else "")


def wrote(path: object) -> str:
    return f"wrote {path}"


def left_alone(count: int, path: object, option: str) -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{path}{more} not merged; hint: {option}"


def _list(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))


def _one_line(text: str) -> str:
    return " ".join(text.split())
