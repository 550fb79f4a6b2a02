"""Checks whether shards' results form a complete result.

Pure functions: one law for each way to lose a result or to invent one. Each violation is reported in one
line, and then nothing is merged. A shard's own report that it was interrupted is no contradiction: it is
shown, and the merged exit status reflects it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pytest_hotreload.ci import messages
from pytest_hotreload.records.file_outcome import FAILED

#: The number of problems of one kind that are shown.
_FEW: Final = 10
#: Severities of exit statuses. A status that is not listed (a plugin's own) is worse than one caused by
#: tests.
_SEVERITY: Final = {0: 0, 5: 1, 1: 2, 2: 3, 4: 5, 3: 6}
_OF_PLUGINS: Final = 4
_OK, _FAILED, _INTERRUPTED, _NOTHING = 0, 1, 2, 5


@dataclass(frozen=True)
class Result:
    """One results file: its path and its content."""

    path: Path
    said: Mapping[str, Any]

    @property
    def plan(self) -> Mapping[str, Any]:
        plan: Mapping[str, Any] = self.said["plan"] or {}
        return plan

    @property
    def shard(self) -> str:
        """The shard in words, or the path of a result without a plan."""
        return f"shard {self.plan['shard']}/{self.plan['of']}" if self.plan else str(self.path)

    @property
    def tests(self) -> Sequence[Mapping[str, Any]]:
        tests: Sequence[Mapping[str, Any]] = self.said["tests"]
        return tests

    @property
    def status(self) -> int:
        return int(self.said["exitstatus"])

    @property
    def selected(self) -> int:
        return int(self.said["collected"]) - len(self.said["deselected"])

    @property
    def finished(self) -> bool:
        return self.said["stopped"] is None


def problems(results: Sequence[Result]) -> list[str]:
    """The reasons why these do not form a complete result; [] if they do. Requires at least one result."""
    alone = len(results) == 1 and not results[0].plan
    found = [] if alone else _of_plans(results)
    if not found:  # otherwise the laws would only repeat the problem
        laws = [_of_files, _of_collection, _of_owners, _of_ids, _of_numbers]
        for law in laws:
            wrong = list(law(results))
            found += wrong[:_FEW]
            if len(wrong) > _FEW:
                found.append(messages.more_problems(len(wrong) - _FEW))
    return found


def _of_plans(results: Sequence[Result]) -> list[str]:
    without = [result.path for result in results if not result.plan]
    if without:
        return [messages.no_plan(without, len(results))]
    return _different(results) or _worlds(results) or [*islice(_of_shards(results), _FEW)]


def _different(results: Sequence[Result]) -> list[str]:
    """Compare the plans.

    Files are compared, too: equal fingerprints with other files mean a damaged result.
    """
    plans: defaultdict[tuple[Any, ...], list[Path]] = defaultdict(list)
    for result in results:
        plan = result.plan
        plans[(plan["fingerprint"], plan["of"], tuple(sorted(plan["files"])))].append(result.path)
    if len(plans) == 1:
        return []
    return [messages.different_plans(_by_name(plans))]


def _by_name(plans: Mapping[tuple[Any, ...], Sequence[Path]]) -> dict[str, Sequence[Path]]:
    return {
        f"{fingerprint} of {of} shards, {len(files)} files": paths
        for (fingerprint, of, files), paths in plans.items()
    }


def _worlds(results: Sequence[Result]) -> list[str]:
    """Compare the platforms: a result on one is none on another. Python's micro version may differ."""
    worlds: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        python = ".".join(result.said["python"].split(".")[:2])
        worlds[f"Python {python} on {result.said['platform']}"].append(str(result.plan["shard"]))
    return [messages.different_worlds(worlds)] if len(worlds) > 1 else []


def _of_shards(results: Sequence[Result]) -> Iterator[str]:
    of = results[0].plan["of"]
    there: defaultdict[int, list[Path]] = defaultdict(list)
    for result in results:
        there[result.plan["shard"]].append(result.path)
    for number, paths in sorted(there.items()):
        if not 1 <= number <= of:
            yield messages.no_such_shard(paths[0], number, of)
        elif len(paths) > 1:
            yield messages.shard_twice(number, of, paths)
    for number in range(1, of + 1):
        if number not in there:
            yield messages.missing_shard(number, of)


# ------------------------------------------------------------------------------------- laws


def _of_files(results: Sequence[Result]) -> Iterator[str]:
    """Each planned file is owned by exactly one shard."""
    planned = {file for result in results for file in result.plan.get("files", ())}
    owners: defaultdict[str, list[int]] = defaultdict(list)
    for result in results:
        for file in result.plan.get("own", ()):
            owners[file].append(result.plan["shard"])
            if file not in planned:
                yield messages.not_planned(file, result.shard)
    for file in sorted(planned):
        if len(owners[file]) != 1:
            yield messages.owned_by(file, owners[file])


def _of_collection(results: Sequence[Result]) -> Iterator[str]:
    """Each shard collected its own files or reports them as left out, and some shard collected each unplanned file."""
    everywhere: set[str] = set()
    for result in results:
        met = {each["file"] for each in result.said["files"]} | set(result.plan.get("left_out", ()))
        everywhere |= met
        if result.finished:
            for file in sorted(set(result.plan.get("own", ())) - met):
                yield messages.not_collected(file, result.shard)
    if all(result.finished for result in results):
        for result in results:
            for file in sorted(set(result.plan.get("found", ())) - everywhere):
                yield messages.nobodys(file, result.shard)


def _of_owners(results: Sequence[Result]) -> Iterator[str]:
    """No shard ran a file of another shard."""
    for result in results:
        others = set(result.plan.get("files", ())) - set(result.plan.get("own", ()))
        for file in sorted(others & {test["file"] for test in result.tests}):
            yield messages.not_its_own(file, result.shard)


def _of_ids(results: Sequence[Result]) -> Iterator[str]:
    """No test has results from two shards, or a result although it was deselected."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        ids = {test["nodeid"] for test in result.tests}
        for nodeid in sorted(ids & set(result.said["deselected"])):
            yield messages.ran_and_deselected(nodeid, result.shard)
        for nodeid in ids:
            seen[nodeid].append(result.shard)
    for nodeid, shards in sorted(seen.items()):
        if len(shards) > 1:
            yield messages.id_twice(nodeid, shards)


def _of_numbers(results: Sequence[Result]) -> Iterator[str]:
    """executed + reused + deselected = collected. A shard with less must state why it stopped."""
    for result in results:
        have, deselected = len(result.tests), len(result.said["deselected"])
        short = have < result.selected and not result.finished
        if have != result.selected and not short:
            yield messages.does_not_add_up(result.shard, have, deselected, result.said["collected"])


# ------------------------------------------------------------------------------------- the complete result


def remarks(results: Sequence[Result]) -> list[str]:
    """The remarks about shards that did not finish, failed without a failed test, or left files out."""
    found = []
    for result in results:
        if result.finished and result.plan.get("left_out"):
            found.append(messages.left_out(result.shard, result.plan["left_out"]))
        bad = any(test["outcome"] in FAILED for test in result.tests) or result.said["errors"]
        if not result.finished:
            why = result.said["stopped"]
            found.append(messages.did_not_finish(result.shard, why, len(result.tests), result.selected))
        elif result.status not in (_OK, _NOTHING) and not bad:
            found.append(messages.failed_otherwise(result.shard, result.status))
    return found


def status_of(results: Sequence[Result], *, less_covered: bool = False) -> int:
    """The merged exit status: the worst of all. ``less_covered``: the coverage is below its limit.

    The status is 5 only if no shard found a test, and never 0 if a test has no result.
    """
    statuses = {result.status for result in results}
    worst = max(statuses, key=lambda status: (_SEVERITY.get(status, _OF_PLUGINS), status))
    if worst == _NOTHING and any(result.tests for result in results):
        worst = _OK
    if worst in (_OK, _NOTHING) and any(len(result.tests) < result.selected for result in results):
        return _INTERRUPTED
    return _FAILED if worst == _OK and less_covered else worst
