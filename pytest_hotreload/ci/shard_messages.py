"""Every word that the user sees of shards."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hotreload.ci.plan import Plan, Shard
from pytest_hotreload.compat.console import PREFIX
from pytest_hotreload.usage import usage_error

#: Below that a share is not named as one of more or less.
_PERCENT = 0.5


def header(shard: Shard, source: str) -> list[str]:
    """Which shard this is, and what its plan predicts."""
    plan = shard.plan
    which = f"shard {shard.number}/{shard.of}" + (f" ({source})" if source else "")
    by = "durations" if plan.by == "durations" else "the hash of their paths"
    lines = [
        f"{PREFIX}{which}: {len(shard.files)} of {_files(len(plan.owners))} · plan {plan.fingerprint}, by {by}"
    ]
    if plan.predicted:
        seconds = plan.predicted
        lines.append(
            f"{PREFIX}predicted: {_seconds(seconds[shard.number - 1])} here, {_seconds(min(seconds))} to "
            f"{_seconds(max(seconds))} on all {shard.of}, balance {plan.balance:.2f}"
        )
    return lines + dominating(plan)


def dominating(plan: Plan) -> list[str]:
    """The file that alone takes longer than a shard should."""
    if plan.dominating is None:
        return []
    file, seconds = plan.dominating
    long = f"{file} takes {_seconds(seconds)}, longer than a shard's mean of {_seconds(plan.mean)}"
    return [f"{PREFIX}{long}: no number of shards ends sooner; hint: split it"]


def no_timings(notes: Sequence[str]) -> str:
    """``notes``: what was wrong with those that were named."""
    why = "; ".join(notes) or "there are no records of earlier runs"
    return f"no durations ({why}): files are dealt by the hash of their paths"


def some_ignored(notes: Sequence[str]) -> str:
    return f"timings: {'; '.join(notes)}: ignored"


def unusable(file: str, why: object) -> str:
    return f"{file}: {why}"


def nothing_here(shard: Shard) -> str:
    return f"{PREFIX}shard {shard.number}/{shard.of} has no tests to run: other shards have the rest of the selection"


def achieved(shard: Shard, files: int, seconds: float) -> str:
    """At the end: what this shard's tests and collection took, against the plan."""
    text = (
        f"{PREFIX}shard {shard.number}/{shard.of}, plan {shard.plan.fingerprint}: "
        f"{_files(files)} took {_seconds(seconds)}"
    )
    if not shard.plan.predicted:
        return text
    predicted = shard.plan.predicted[shard.number - 1]
    return f"{text}, predicted {_seconds(predicted)}{_off(seconds, predicted)}"


def planned(plan: Plan, file: str) -> list[str]:
    """A plan was written, and nothing run."""
    head = (
        f"{PREFIX}plan {plan.fingerprint}: {_files(len(plan.owners))} on {plan.of} shards, written to {file}"
    )
    lines = [head]
    if plan.predicted:
        seconds = plan.predicted
        lines.append(
            f"{PREFIX}predicted: {_seconds(min(seconds))} to {_seconds(max(seconds))} a shard, "
            f"balance {plan.balance:.2f}"
        )
    return lines + dominating(plan)


def _off(seconds: float, predicted: float) -> str:
    if predicted <= 0:
        return ""
    percent = 100 * (seconds / predicted - 1)
    return f" ({percent:+.0f} %)" if abs(percent) >= _PERCENT else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def _files(count: int) -> str:
    return f"{count} test file{'s' if count != 1 else ''}"


# ------------------------------------------------------------------------------------- mistakes


def plan_unreadable(file: str, why: object) -> Exception:
    return usage_error(
        f"--shard-from {file}: {why}", hint="write it with --shard 1/N --shard-plan FILE, once for all shards"
    )


def plan_unwritable(file: str, why: object) -> Exception:
    return usage_error(f"--shard-plan {file}: {why}", hint="name a file in a folder that exists")


def other_count(file: str, of: int, wanted: int) -> Exception:
    return usage_error(
        f"--shard-from {file} is a plan for {of} shard{'s' if of != 1 else ''}, and --shard asks for one of {wanted}",
        hint=f"say --shard m/{of}, or make a plan for {wanted}",
    )
