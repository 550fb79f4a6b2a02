"""Which shards of which plan ran in a checkout, and when a shard of another plan is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_hotreload.ci import rounds
from pytest_hotreload.ci.plan import Plan, Shard
from pytest_hotreload.ci.rounds import Round

FILES = ("a.py", "b.py", "c.py")


def plan(*owners: int, of: int = 3, files: tuple[str, ...] = FILES) -> Plan:
    return Plan(of, dict(zip(files, owners, strict=True)), "hash")


ONE, TWO = plan(1, 2, 3), plan(2, 1, 3)


def run(folder: Path, *shards: tuple[Plan, int]) -> list[Round | None]:
    return [rounds.begin(folder, Shard(made, number)) for made, number in shards]


def test_a_round_of_one_plan(tmp_path: Path) -> None:
    assert run(tmp_path, (ONE, 1), (ONE, 1), (ONE, 3), (ONE, 2)) == [None] * 4
    assert run(tmp_path, (TWO, 1), (TWO, 2), (TWO, 3), (ONE, 1)) == [None] * 4


@pytest.mark.parametrize(
    ("before", "began"),
    [
        ([(ONE, 1)], (1,)),
        ([(ONE, 3), (ONE, 1)], (1, 3)),
        ([(ONE, 1), (ONE, 2), (ONE, 3), (ONE, 2)], (2,)),  # the second round
    ],
)
def test_another_plan_in_a_round_that_is_not_complete(
    tmp_path: Path, before: list[tuple[Plan, int]], began: tuple[int, ...]
) -> None:
    run(tmp_path, *before)
    assert run(tmp_path, (TWO, 2), (TWO, 1)) == [Round(ONE.fingerprint, began), None]


def test_other_files_and_other_numbers_of_shards_are_other_rounds(tmp_path: Path) -> None:
    more = plan(1, 2, 3, 1, files=(*FILES, "d.py"))
    assert run(tmp_path, (ONE, 1), (more, 2), (plan(1, 2, 1, of=2), 2)) == [None] * 3
    assert run(tmp_path, (TWO, 2)) == [Round(ONE.fingerprint, (1,))]


def test_the_latest_rounds_are_remembered(tmp_path: Path) -> None:
    run(tmp_path, (ONE, 1))
    run(tmp_path, *((plan(1, 2, 3, files=("a.py", "b.py", f"{number}.py")), 1) for number in range(8)))
    assert run(tmp_path, (TWO, 2)) == [None]


def test_a_merge_forgets(tmp_path: Path) -> None:
    run(tmp_path, (ONE, 1))
    rounds.forget(tmp_path)
    rounds.forget(tmp_path)
    assert run(tmp_path, (TWO, 2)) == [None]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert run(tmp_path / "gone", (ONE, 1), (TWO, 2)) == [None, None]
