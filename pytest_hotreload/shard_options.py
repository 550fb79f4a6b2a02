"""The options of shards: declared, and read as far as they contradict each other or what else was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytest_hotreload import ci_variables
from pytest_hotreload.usage import usage_error

#: Their names without the dashes are where their values go.
_NAMES = ("--shard", "--shard-plan", "--shard-from", "--timings")


def declare(add: Callable[..., None]) -> None:
    """``add(name, long name, ...)``: declares one."""
    add(
        "--shard",
        "shard",
        dest="hotreload_shard",
        metavar="M/N",
        default=None,
        help="run part M of N of the test files, from 1; auto: as the variables of the CI service say",
    )
    add(
        "--shard-plan",
        "shard-plan",
        dest="hotreload_shard_plan",
        metavar="FILE",
        default=None,
        help="write the plan for all shards and run nothing",
    )
    add(
        "--shard-from",
        "shard-from",
        dest="hotreload_shard_from",
        metavar="FILE",
        default=None,
        help="run the shard of a plan that --shard-plan wrote",
    )
    add(
        "--timings",
        "timings",
        dest="hotreload_timings",
        metavar="FILE",
        action="append",
        default=None,
        help="plan by the durations in this file (a plan, results, timings; repeatable), not by the records",
    )


def asked(namespace: Any) -> str:
    """The first of them that was given, or ""."""
    given = (name for name in _NAMES if getattr(namespace, "hotreload_" + name[2:].replace("-", "_"), None))
    return next(given, "")


def number(namespace: Any) -> ci_variables.Number | None:
    """Which of how many; None where all of it runs here. Raises :class:`pytest.UsageError`."""
    text = namespace.hotreload_shard
    if text is None:
        without = asked(namespace)
        if without:
            raise usage_error(f"{without} says how to deal, and not among how many", hint="add --shard m/n")
        return None
    if namespace.hotreload_shard_plan is not None and namespace.hotreload_shard_from is not None:
        raise usage_error(
            "--shard-plan writes a plan, and --shard-from reads one", hint="leave one of the two out"
        )
    if namespace.hotreload_watch:
        raise usage_error("--watch and --shard contradict each other", hint="leave one of the two out")
    if getattr(namespace, "stepwise", False):
        raise usage_error(
            "--stepwise goes on from one test through all files, and --shard has some of them",
            hint="leave one of the two out",
        )
    return ci_variables.number(text, os.environ)
