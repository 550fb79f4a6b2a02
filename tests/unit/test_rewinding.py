"""Which children are rewound: after a difference none is trusted, and a child that broke had ended well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_hotreload.options import Options
from pytest_hotreload.process.fork_messages import RewindMode
from pytest_hotreload.process.messages import Ended, NotRewound, Rewound
from pytest_hotreload.records.totals import Totals
from pytest_hotreload.run.rewinding import BROKEN, Rewinding
from pytest_hotreload.run.schedule import Group

GROUP = Group("test_a.py", [0])


def rewinding(rewind: str = "auto", *, marks: tuple[Any, ...] = (), **options: Any) -> Rewinding:
    items: Any = [SimpleNamespace(iter_markers=lambda _name: marks)]
    return Rewinding(Options(rewind=rewind, **options), items, Totals())


def test_the_first_is_compared_and_each_with_verify() -> None:
    for chosen, later in (("auto", RewindMode.YES), ("verify", RewindMode.VERIFY)):
        decided = rewinding(chosen)
        assert decided.mode(GROUP, 1) == RewindMode.VERIFY
        decided.done(Rewound(0.1, 0, 1))
        assert decided.mode(GROUP, 1) == later
        assert decided.mode(GROUP, 0) == RewindMode.NO, "nothing else waits"


def test_after_a_difference_no_waiting_child_is_used() -> None:
    decided = rewinding()
    assert not decided.needs_fork(GROUP)
    decided.done(Rewound(0.1, 3, 1))
    assert decided.needs_fork(GROUP)
    assert decided.mode(GROUP, 1) == RewindMode.NO


def test_what_needs_a_fork() -> None:
    mark = SimpleNamespace(kwargs={"rewind": False})
    assert rewinding("off").needs_fork(GROUP)
    assert rewinding(isolate="worker").needs_fork(GROUP)
    assert rewinding(direct=True).needs_fork(GROUP)
    assert rewinding(marks=(mark,)).needs_fork(GROUP)
    decided = rewinding()
    decided.refused(NotRewound("once"))
    assert not decided.needs_fork(GROUP)
    decided.refused(NotRewound("for good", lasting=True))
    assert decided.needs_fork(GROUP)


def test_a_child_that_broke_while_it_was_restored_has_ended_well() -> None:
    ended, status = Ended(b"", (), (), None), BROKEN << 8
    running: Any = SimpleNamespace(ended=ended, status=status)
    assert rewinding().broke(running)
    for other in ({"ended": None}, {"status": 1 << 8}, {"status": 9}):
        assert not rewinding().broke(SimpleNamespace(**{**vars(running), **other}))  # type: ignore[arg-type]
