"""Remembers with which plan the shards of this checkout ran, to notice that a later shard has another plan.

A round is the runs of all shards of one plan. While a round is incomplete, a shard of another plan over the
same files would lose or repeat tests of the round, and nothing else in the checkout shows that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hotreload.ci.plan import Plan, Shard
from pytest_hotreload.process import atomic_write
from pytest_hotreload.world import contextlib

_NAME = "shards-1.json"
#: Rounds of other files or other numbers of shards that are remembered beside the current one: the unit and
#: the integration tests of a project may be sharded in turn.
_MOST_ROUNDS = 8


class Round(NamedTuple):
    """The shards of one plan that ran here."""

    #: The plan's fingerprint.
    plan: str
    #: The numbers of the shards that began, sorted.
    began: tuple[int, ...]

    def is_complete(self, of: int) -> bool:
        return len(self.began) == of


def begin(folder: Path, shard: Shard) -> Round | None:
    """Note that this shard begins.

    Returns the incomplete round of another plan over the same files, or None. ``folder``: our folder in
    pytest's cache. Nothing is remembered where it cannot be written.
    """
    rounds, key = _load(folder), _key(shard.plan)
    before = rounds.pop(key, None)
    goes_on = (
        before is not None and before.plan == shard.plan.fingerprint and not before.is_complete(shard.of)
    )
    began = {*before.began, shard.number} if before is not None and goes_on else {shard.number}
    rounds[key] = Round(shard.plan.fingerprint, tuple(sorted(began)))
    recent = list(rounds.items())[-_MOST_ROUNDS:]
    with contextlib.suppress(OSError):
        text = json.dumps({key: each._asdict() for key, each in recent})
        atomic_write.write(folder / _NAME, text.encode() + b"\n")
    if before is None or before.plan == shard.plan.fingerprint or before.is_complete(shard.of):
        return None
    return before


def forget(folder: Path) -> None:
    """Forget all rounds: a merge accounts for every test of the shards that it merged. Raises OSError."""
    (folder / _NAME).unlink(missing_ok=True)


def _key(plan: Plan) -> str:
    """The files and the number of shards: rounds of which are compared."""
    files = json.dumps(sorted(plan.owners)).encode("utf-8", "surrogatepass")
    return f"{plan.of} {hashlib.sha256(files).hexdigest()[:16]}"


def _load(folder: Path) -> dict[str, Round]:
    """The remembered rounds, the latest last. A missing or damaged file counts as empty."""
    try:
        found: Mapping[str, Any] = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return {
            str(key): Round(str(each["plan"]), tuple(sorted({int(number) for number in each["began"]})))
            for key, each in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}
