"""Which shard this is: as `--shard` says it, or, only if that is ``auto``, the variables of the CI service.

An inherited variable must never drop tests, so without ``auto`` none of them is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pytest_hotreload.ci.plan import MOST_SHARDS
from pytest_hotreload.usage import usage_error

AUTO: Final = "auto"


class Number(NamedTuple):
    """Which of how many, from 1. ``source``: where it came from, in words; "" for the command line.

    ``touch``: a file whose existence tells the one who started us that shards are understood, or "".
    """

    number: int
    of: int
    source: str = ""
    touch: str = ""


class _Service(NamedTuple):
    """``first``: the number of its first shard. ``only``: a variable that has to be set, too; ``never``: not to be."""

    name: str
    position: str
    total: str
    first: int
    only: str = ""
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
#: Bazel's name for :attr:`Number.touch`.
_STATUS_FILE: Final = "TEST_SHARD_STATUS_FILE"
_HINT: Final = "give the number, for example --shard 2/4"


def number(text: str, environ: Mapping[str, str]) -> Number:
    """Read ``m/n`` or ``auto``. Raises :class:`pytest.UsageError`."""
    if text.strip() == AUTO:
        return _of_service(environ)
    index, slash, total = (part.strip() for part in text.partition("/"))
    m, n = _whole(index), _whole(total)
    if not slash or m is None or n is None:
        raise usage_error(f"--shard is {text!r}, not m/n or auto", hint="for example --shard 2/4")
    if not 1 <= n <= MOST_SHARDS:
        raise usage_error(
            f"--shard {text}: {n} shards are not from 1 to {MOST_SHARDS}", hint="for example --shard 2/4"
        )
    if not 1 <= m <= n:
        raise usage_error(
            f"--shard {text}: there is no shard {m} of {n}", hint=f"shards are numbered from 1/{n} to {n}/{n}"
        )
    return Number(m, n)


def _of_service(environ: Mapping[str, str]) -> Number:
    found = [each for service in _SERVICES if (each := _read(service, environ)) is not None]
    # Some services say 1 of 1 wherever nothing is parallel; that does not contradict another one.
    found = [each for each in found if each.of > 1] or found[:1]
    if not found:
        services = ", ".join(service.name for service in _SERVICES)
        raise usage_error(f"--shard auto finds no variables of {services}", hint=_HINT)
    if len({each[:2] for each in found}) > 1:
        raise usage_error(f"--shard auto: {' contradicts '.join(each.source for each in found)}", hint=_HINT)
    return found[0]


def _read(service: _Service, environ: Mapping[str, str]) -> Number | None:
    """What a service's variables say; None where it is not that service."""
    index, total = environ.get(service.position, ""), environ.get(service.total, "")
    if (service.only and not environ.get(service.only)) or (service.never and environ.get(service.never)):
        return None
    if not index:
        # GitLab says that there is one of them, and not which, where nothing is parallel.
        alone = total == "1"
        return Number(1, 1, f"{service.name}: {service.total}=1") if alone else None
    source = f"{service.name}: {service.position}={index}, {service.total}={total}"
    m, n = _whole(index), _whole(total)
    if m is None or n is None or not 1 <= n <= MOST_SHARDS or not 0 <= m - service.first < n:
        raise usage_error(f"--shard auto: {source} is no shard (from {service.first})", hint=_HINT)
    touch = environ.get(_STATUS_FILE, "") if service.name == "Bazel" else ""
    return Number(m - service.first + 1, n, source, touch)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
