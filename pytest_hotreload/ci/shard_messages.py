"""Texts about shards."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hotreload.ci.plan import Plan, Shard
from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.usage import usage_error
from pytest_hotreload.wording import duration, many, plural

#: A smaller difference from the prediction is not shown.
_PERCENT = 0.5
#: The largest number of shards that a line names.
_FEW = 4


def header(shard: Shard, source: str) -> list[str]:
    """The lines about this shard and its plan's prediction."""
    plan = shard.plan
    which = f"shard {shard.number}/{shard.of}" + (f" ({source})" if source else "")
    by = "durations" if plan.by == "durations" else "the hash of their paths"
    files = f"{len(shard.files)} of {many(len(plan.owners), 'test file')}"
    lines = [f"{PREFIX}{which}: {files} · plan {plan.fingerprint}, by {by}"]
    if plan.predicted:
        seconds = plan.predicted
        lines.append(
            f"{PREFIX}predicted: {duration(seconds[shard.number - 1])} here, {duration(min(seconds))} to "
            f"{duration(max(seconds))} on all {shard.of}, balance {plan.balance:.2f}"
        )
    return lines + dominating(plan)


def dominating(plan: Plan) -> list[str]:
    """The line about a file that alone takes longer than the mean of the shards."""
    if plan.dominating is None:
        return []
    file, seconds = plan.dominating
    long = f"{file} takes {duration(seconds)}, longer than a shard's mean of {duration(plan.mean)}"
    return [f"{PREFIX}{long}: more shards cannot make the run shorter; hint: split the file"]


def no_timings(notes: Sequence[str]) -> str:
    """The line about missing durations. ``notes``: problems with the timings files that were named."""
    why = "; ".join(notes) or "there is no run of all test files, and no merge, in the cache"
    return f"no durations ({why}): files are assigned to shards in turns, by the hash of their paths"


def another_plan(shard: Shard, other: str, began: Sequence[int]) -> str:
    """The line about shards of another plan over the same files that ran in this checkout."""
    those = " and ".join(f"{number}/{shard.of}" for number in began)
    if len(began) > _FEW:
        those = f"{began[0]}/{shard.of} and {len(began) - 1} more"
    which = plural(len(began), "shard")
    return (
        f"plan {shard.plan.fingerprint} over the same files differs from plan {other}, with which {which} {those} ran "
        f"here: put together, their tests may have run twice or never; hint: run all {shard.of} shards again, or give "
        "each --shard-from a plan that --shard-plan wrote"
    )


def limit_lifted(shard: Shard, limit: float) -> str:
    """The line about a shard's coverage, which is less than that of the suite."""
    return (
        f"the coverage of shard {shard.number}/{shard.of} is not compared with the limit of {limit:g} %; hint: "
        f"pytest-hotreload merge DIR --fail-under {limit:g} compares that of all shards"
    )


def some_ignored(notes: Sequence[str]) -> str:
    return f"timings ignored: {'; '.join(notes)}"


def unusable(file: str, why: object) -> str:
    return f"{file}: {why}"


def nothing_here(shard: Shard) -> str:
    return f"{PREFIX}shard {shard.number}/{shard.of} has no tests to run: the selected tests belong to other shards"


def achieved(shard: Shard, files: int, seconds: float) -> str:
    """The closing line: the time of this shard's tests and collection, compared with the plan."""
    text = (
        f"{PREFIX}shard {shard.number}/{shard.of}, plan {shard.plan.fingerprint}: "
        f"{many(files, 'test file')} took {duration(seconds)}"
    )
    if not shard.plan.predicted:
        return text
    predicted = shard.plan.predicted[shard.number - 1]
    return f"{text}, predicted {duration(predicted)}{_off(seconds, predicted)}"


def planned(plan: Plan, file: str) -> list[str]:
    """The lines after a plan was written and nothing was run."""
    files = many(len(plan.owners), "test file")
    lines = [f"{PREFIX}plan {plan.fingerprint}: {files} on {plan.of} shards, written to {file}"]
    if plan.predicted:
        seconds = plan.predicted
        lines.append(
            f"{PREFIX}predicted: {duration(min(seconds))} to {duration(max(seconds))} a shard, "
            f"balance {plan.balance:.2f}"
        )
    return lines + dominating(plan)


def _off(seconds: float, predicted: float) -> str:
    if predicted <= 0:
        return ""
    percent = 100 * (seconds / predicted - 1)
    return f" ({percent:+.0f} %)" if abs(percent) >= _PERCENT else ""


# ------------------------------------------------------------------------------------- errors


def plan_unreadable(file: str, why: object) -> Exception:
    return usage_error(
        f"--shard-from {file}: {why}", hint="write it with --shard 1/N --shard-plan FILE, once for all shards"
    )


def plan_unwritable(file: str, why: object) -> Exception:
    return usage_error(f"--shard-plan {file}: {why}", hint="name a file that you can write")


def other_count(file: str, of: int, wanted: int) -> Exception:
    return usage_error(
        f"--shard-from {file} is a plan for {many(of, 'shard')}, but --shard asks for one of {wanted}",
        hint=f"use --shard m/{of}, or write a plan for {wanted}",
    )
