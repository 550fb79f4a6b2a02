"""The options of shards: declares, reads and validates them.

``--shard auto`` reads the variables of the CI service. Without ``auto`` none of the variables is read: an
inherited variable must never drop tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pytest_hotreload.usage import usage_error

#: The largest number of shards; a larger number is a mistake.
MOST_SHARDS: Final = 10_000
AUTO: Final = "auto"
#: The options; each value is stored under the name of its option without the dashes.
_NAMES = ("--shard", "--shard-plan", "--shard-from", "--timings")


def declare(add: Callable[..., None]) -> None:
    """Declare the options by calls of ``add(name, long name, ...)``."""
    add(
        "--shard",
        "shard",
        dest="hotreload_shard",
        metavar="M/N",
        default=None,
        help="run part M of N of the test files (1/N to N/N); auto: read the numbers from the CI service",
    )
    add(
        "--shard-plan",
        "shard-plan",
        dest="hotreload_shard_plan",
        metavar="FILE",
        default=None,
        help="write the plan for all shards to FILE and run nothing",
    )
    add(
        "--shard-from",
        "shard-from",
        dest="hotreload_shard_from",
        metavar="FILE",
        default=None,
        help="read the plan from FILE, which --shard-plan wrote",
    )
    add(
        "--timings",
        "timings",
        dest="hotreload_timings",
        metavar="FILE",
        action="append",
        default=None,
        help="plan by the durations in FILE (a plan, results or timings; repeatable) instead of those of earlier runs",
    )


def asked(namespace: Any) -> str:
    """Return the first of the options that was given, or ""."""
    given = (name for name in _NAMES if getattr(namespace, "hotreload_" + name[2:].replace("-", "_"), None))
    return next(given, "")


def number(namespace: Any) -> ShardNumber | None:
    """Return the shard that this run is, or None if this run covers all test files.

    Raises :class:`pytest.UsageError`.
    """
    text = namespace.hotreload_shard
    if text is None:
        without = asked(namespace)
        if without:
            raise usage_error(f"{without} requires --shard m/n", hint="add --shard, for example --shard 1/4")
        return None
    if namespace.hotreload_shard_plan is not None and namespace.hotreload_shard_from is not None:
        raise usage_error(
            "--shard-plan and --shard-from contradict each other", hint="leave one of the two out"
        )
    if namespace.hotreload_watch:
        raise usage_error("--watch and --shard contradict each other", hint="leave one of the two out")
    if getattr(namespace, "stepwise", False):
        raise usage_error(
            "--stepwise and --shard contradict each other",
            hint="leave one of the two out",
        )
    return parse_shard(text, os.environ)


class ShardNumber(NamedTuple):
    """The number of a shard, from 1, and the number of all shards."""

    number: int
    of: int
    #: The origin of the numbers, in words; "" for the command line.
    source: str = ""
    #: A file whose existence tells the caller of this run that shards are supported, or "".
    touch: str = ""


class _Service(NamedTuple):
    """The variables of a CI service."""

    name: str
    position: str
    total: str
    #: The number of the service's first shard.
    first: int
    #: A variable that must be set, too.
    only: str = ""
    #: A variable that must not be set.
    never: str = ""


_SERVICES: Final = (
    _Service("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1, only="GITLAB_CI"),
    _Service("Knapsack", "CI_NODE_INDEX", "CI_NODE_TOTAL", 0, never="GITLAB_CI"),
    _Service("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    _Service("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    _Service("Semaphore", "SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT", 1),
    _Service("Bitbucket", "BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT", 0),
    _Service("Azure", "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", 1),
    _Service("Bazel", "TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS", 0),
)
#: Bazel's name for :attr:`ShardNumber.touch`.
_STATUS_FILE: Final = "TEST_SHARD_STATUS_FILE"
_HINT: Final = "give the numbers, for example --shard 2/4"


def parse_shard(text: str, environ: Mapping[str, str]) -> ShardNumber:
    """Parse ``m/n`` or ``auto``. Raises :class:`pytest.UsageError`."""
    if text.strip() == AUTO:
        return _of_service(environ)
    index, slash, total = (part.strip() for part in text.partition("/"))
    m, n = _whole(index), _whole(total)
    if not slash or m is None or n is None:
        raise usage_error(f"--shard is {text!r}, not m/n or auto", hint="for example --shard 2/4")
    if not 1 <= n <= MOST_SHARDS:
        raise usage_error(
            f"--shard {text}: the number of shards is {n}, not a number from 1 to {MOST_SHARDS}",
            hint="for example --shard 2/4",
        )
    if not 1 <= m <= n:
        raise usage_error(
            f"--shard {text}: there is no shard {m} of {n}", hint=f"shards are numbered from 1/{n} to {n}/{n}"
        )
    return ShardNumber(m, n)


def _of_service(environ: Mapping[str, str]) -> ShardNumber:
    found = [each for service in _SERVICES if (each := _read(service, environ)) is not None]
    # Some services report 1 of 1 when nothing runs in parallel; this does not contradict another service.
    found = [each for each in found if each.of > 1] or found[:1]
    if not found:
        services = ", ".join(service.name for service in _SERVICES)
        raise usage_error(f"--shard auto found no variables of {services}", hint=_HINT)
    if len({each[:2] for each in found}) > 1:
        raise usage_error(f"--shard auto: {' contradicts '.join(each.source for each in found)}", hint=_HINT)
    return found[0]


def _read(service: _Service, environ: Mapping[str, str]) -> ShardNumber | None:
    """Read the variables of a service; None if they are not those of this service."""
    index, total = environ.get(service.position, ""), environ.get(service.total, "")
    if (service.only and not environ.get(service.only)) or (service.never and environ.get(service.never)):
        return None
    if not index:
        # When nothing runs in parallel, GitLab sets the total to 1 and no position.
        alone = total == "1"
        return ShardNumber(1, 1, f"{service.name}: {service.total}=1") if alone else None
    source = f"{service.name}: {service.position}={index}, {service.total}={total}"
    m, n = _whole(index), _whole(total)
    if m is None or n is None or not 1 <= n <= MOST_SHARDS or not 0 <= m - service.first < n:
        raise usage_error(
            f"--shard auto: {source} is not a valid shard (the first is {service.first})", hint=_HINT
        )
    touch = environ.get(_STATUS_FILE, "") if service.name == "Bazel" else ""
    return ShardNumber(m - service.first + 1, n, source, touch)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
