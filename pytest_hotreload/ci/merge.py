"""``pytest-hotreload merge``: combines the output of all shards, or reports why the set is incomplete."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pytest_hotreload.ci import merge_checks, merge_coverage, merge_files, messages, results_file
from pytest_hotreload.ci.merge_checks import Result
from pytest_hotreload.ci.merge_coverage import Covered
from pytest_hotreload.ci.merge_files import RefusedError, ShardFiles
from pytest_hotreload.compat import console
from pytest_hotreload.records.file_outcome import FAILED

#: The exit status if the input cannot be merged; argparse uses the same status for a usage error.
REFUSED: Final = 2


@dataclass(frozen=True)
class MergeOptions:
    """The files to write, and their paths; and the least coverage."""

    json: Path | None = None
    junit: Path | None = None
    report_log: Path | None = None
    coverage: Path | None = None
    records: Path | None = None
    #: The least coverage in percent, or None for that of coverage's configuration.
    fail_under: float | None = None

    @property
    def needs_coverage(self) -> bool:
        return self.coverage is not None or self.fail_under is not None

    @property
    def paths(self) -> list[Path]:
        paths = (self.json, self.junit, self.report_log, self.coverage, self.records)
        return [path for path in paths if path is not None]


def merge(folders: Sequence[Path], wanted: MergeOptions) -> int:
    """Check and merge the results, and print a summary. Returns the merged exit status.

    Each reason against merging is printed on one line.
    """
    found = merge_files.find(folders, wanted.paths)
    results, wrong = _read(folders, found)
    if not wrong:
        wrong = merge_checks.problems(results)
    results.sort(key=lambda result: result.plan.get("shard", 0))
    if not wrong:
        wrong = _lacking(results, found, wanted)
    if not wrong:
        try:
            covered = _compare_coverage(found, wanted)
            status = merge_checks.status_of(results, less_covered=covered is not None and covered.is_below)
            wrote = _write(results, found, wanted, status)
        except RefusedError as error:
            wrong = [str(error)]
        except OSError as error:
            wrong = [messages.can_not_write(error.filename, error)]
    if wrong:
        print(*(console.PREFIX + each for each in wrong), sep="\n", file=sys.stderr)
        return REFUSED
    _tell(results, wrote, covered)
    return status


def _compare_coverage(found: ShardFiles, wanted: MergeOptions) -> Covered | None:
    """Merge the coverage data first, because its total may fail the run. Raises RefusedError, OSError."""
    if not wanted.needs_coverage:
        return None
    return merge_coverage.combine(found.coverage, wanted.coverage, wanted.fail_under)


def _read(folders: Sequence[Path], found: ShardFiles) -> tuple[list[Result], list[str]]:
    wrong = [messages.no_folder(folder) for folder in folders if not folder.is_dir()]
    results = []
    for path in found.results:
        try:
            results.append(Result(path, results_file.read(path)))
        except results_file.UnusableError as error:
            wrong.append(messages.unusable(path, str(error)))
    if not found.results and not wrong:
        wrong.append(messages.no_results(folders))
    return results, wrong


def _lacking(results: Sequence[Result], found: ShardFiles, wanted: MergeOptions) -> list[str]:
    """Report shards without a file of a requested kind: the merged file would lack their tests.

    A shard that ran nothing needs no coverage data and no records.
    """
    wrong = []
    if wanted.junit is not None:
        wrong += _counts(results, found.junit, "JUnit file")
    if wanted.report_log is not None:
        wrong += _counts(results, found.report_logs, "report log")
    if wanted.needs_coverage:
        wrong += _without(
            [result for result in results if result.tests], results, found.coverage, "coverage data"
        )
    return wrong


def _counts(results: Sequence[Result], paths: Sequence[Path], what: str) -> list[str]:
    """Report unless there is one file per shard, beside the results to which it belongs."""
    wrong = _without(results, results, paths, what)
    if not wrong and len(paths) != len(results):
        wrong.append(messages.too_many(len(paths), what, len(results), paths))
    return wrong


def _without(
    those: Sequence[Result], results: Sequence[Result], paths: Sequence[Path], what: str
) -> list[str]:
    homes = set(merge_files.homes(paths, [result.path for result in results]).values())
    lacking = [result.shard for result in those if result.path.resolve().parent not in homes]
    return [messages.lacks(lacking, what)] if lacking else []


# ------------------------------------------------------------------------------------- writing


def _write(results: Sequence[Result], found: ShardFiles, wanted: MergeOptions, status: int) -> list[str]:
    """Write the merged files, except the coverage data, and return one line for each. Raises RefusedError, OSError."""
    order = _in_order(results, found)
    steps: list[tuple[Path | None, str, list[Path], Callable[[Path], object]]] = [
        (
            wanted.junit,
            "--junitxml",
            order(found.junit),
            lambda to: merge_files.junit(order(found.junit), to),
        ),
        (
            wanted.report_log,
            "--report-log",
            order(found.report_logs),
            lambda to: merge_files.report_log(order(found.report_logs), to, status),
        ),
        (
            wanted.coverage,
            "--coverage",
            order(found.coverage),
            lambda _: None,
        ),
        (wanted.records, "--records", order(found.stores), lambda to: _merge_records(results, found, to)),
        (wanted.json, "--json", [], lambda to: results_file.write(to, whole(results, status))),
    ]
    said = []
    for to, option, paths, write in steps:
        if to is not None:
            write(to)
            said.append(messages.wrote(to))
        elif paths:
            said.append(messages.left_alone(len(paths), paths[0], option))
    return said


def _merge_records(results: Sequence[Result], found: ShardFiles, to: Path) -> None:
    from pytest_hotreload.ci import merge_cache

    merge_cache.merge(results, found.stores, to)


def _in_order(results: Sequence[Result], found: ShardFiles) -> Callable[[Sequence[Path]], list[Path]]:
    """A function that sorts paths by the number of the shard beside whose results they are."""
    number = {result.path.resolve().parent: at for at, result in reversed([*enumerate(results)])}
    every = [*found.junit, *found.report_logs, *found.coverage, *found.stores]
    home_of = merge_files.homes(every, [result.path for result in results])

    def place(path: Path) -> tuple[int, str]:
        home = home_of[path]
        return (len(results) if home is None else number[home], str(path))

    return lambda paths: sorted(paths, key=place)


def whole(results: Sequence[Result], status: int) -> dict[str, Any]:
    """The merged results as one document, which belongs to no plan."""
    said = [result.said for result in results]
    began = min(datetime.fromisoformat(each["started"]) for each in said)
    ended = max(datetime.fromisoformat(each["started"]) + timedelta(seconds=each["seconds"]) for each in said)
    stopped = [f"{result.shard}: {result.said['stopped']}" for result in results if not result.finished]
    plain = [each["left_to_plain"] for each in said if each["left_to_plain"]]
    return {
        **said[0],
        "started": began.isoformat(timespec="milliseconds"),
        "seconds": round((ended - began).total_seconds(), 3),
        "saved_cpu": round(sum(each.get("saved_cpu", 0.0) for each in said), 1),
        "exitstatus": status,
        "plan": None,
        "collected": sum(each["collected"] for each in said),
        "deselected": [nodeid for each in said for nodeid in each["deselected"]],
        "stopped": "; ".join(stopped) or None,
        "left_to_plain": plain[0] if plain else None,
        "tests": [test for each in said for test in each["tests"]],
        "errors": [error for each in said for error in each["errors"]],
        "files": sorted(
            (file for each in said for file in each["files"]), key=lambda file: str(file["file"])
        ),
        "merged": [
            {
                "shard": result.plan.get("shard", 1),
                "exitstatus": result.status,
                "seconds": result.said["seconds"],
            }
            for result in results
        ],
    }


# ------------------------------------------------------------------------------------- texts


def _tell(results: Sequence[Result], wrote: Sequence[str], covered: Covered | None) -> None:
    document = whole(results, merge_checks.status_of(results))
    for test in document["tests"]:
        if test["outcome"] in FAILED:
            print(messages.bad_test(test["outcome"], test["nodeid"], test.get("text", "")))
    for error in document["errors"]:
        print(messages.bad_test("error", error["nodeid"] or messages.INTERNAL_ERROR, error["text"]))
    for result in results:
        if result.plan:
            print(console.PREFIX + _shard_line(result))
    for line in [*merge_checks.remarks(results), *wrote]:
        print(console.PREFIX + line)
    if covered is not None:
        print(
            console.PREFIX + messages.covered(covered.total, covered.limit, covered.origin, covered.is_below)
        )
    counts = results_file.counted(document)
    print(console.PREFIX + messages.whole(len(results), counts, document["seconds"]))


def _shard_line(result: Result) -> str:
    files = result.said["files"]
    took = sum(file["seconds"] + file.get("collection", 0.0) for file in files)
    return messages.one_shard(
        result.shard,
        sum(1 for file in files if file["tests"]),
        len(result.tests),
        result.plan["predicted"],
        took,
        result.said["seconds"],
    )
