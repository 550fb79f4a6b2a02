"""Tests first: decides whether the tests that ran a changed function run before the rest of their files.

Pure functions; docs/design/tests-first.md has the rule and its measurements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pytest_hotreload.watch.protocol import AffectedPart, Go, Selected, Waiting

#: Seconds that a rerun takes without tests: fork, configuration, fixture manager, end. From a profile on busy
#: cores, as the others here: 0.08 to 0.12.
_RERUN_SECONDS: Final = 0.1
#: Seconds for the import and the collection of one test file whose modules are loaded. Seen: 0.004 to 0.008.
_FILE_SECONDS: Final = 0.005
#: Seconds for the child of one test file, beside its tests. Seen: 0.05 to 0.07.
_CHILD_SECONDS: Final = 0.06
#: Seconds of the recorded ones that each child takes for itself: the first use of libraries, and copied pages.
#: Seen: 0.07.
_FIRST_USE_SECONDS: Final = 0.07
#: Seconds for another rerun's process. Seen: 0.08, of which 0.04 are for its records.
_FORK_SECONDS: Final = 0.1


@dataclass
class FirstTests:
    """A rerun of affected tests, and the test files that run whole behind it."""

    #: The test files of these tests.
    files: tuple[str, ...]
    nodeids: tuple[str, ...]
    #: Whether they run in one process.
    together: bool
    #: Changed file -> its changed functions.
    functions: Mapping[str, Sequence[str]]
    #: All test files that run behind them.
    rest: tuple[str, ...]
    #: The number of other tests in these files; 0 if it is not known.
    others: int
    #: Test files with a failure, which is not shown before it is confirmed.
    suspects: set[str] = field(default_factory=set)

    @property
    def go(self) -> Go:
        return Go(files=self.files, hold=True, nodeids=self.nodeids, together=self.together, preview=True)


def of(message: Selected, files: Collection[str], waiting: Waiting | None, filters: Go) -> FirstTests | None:
    """The tests that run first of these files, or None. A user's filters and a terminal get one rerun."""
    if waiting is None or waiting.direct or filters.keyword or filters.marker or filters.path:
        return None
    return choose(files, message.parts, message.functions, waiting.slots)


def choose(
    files: Collection[str],
    parts: Sequence[AffectedPart],
    functions: Mapping[str, Sequence[str]],
    slots: int,
) -> FirstTests | None:
    """The rerun of the tests that run first, or None if it would not be worth it.

    ``files``: the test files that have to run. ``parts``: of those that the edit affects.
    """
    parts = [part for part in parts if part.file in files]
    known = [part for part in parts if part.tests]
    nodeids = tuple(nodeid for part in known for nodeid in part.tests or ())
    others = sum(part.all for part in parts) - len(nodeids)
    if not nodeids or not others:
        return None
    own = sum(part.seconds for part in known)
    together = _in_one_process(own, len(known)) <= _in_children(own, len(known), slots)
    first = _rerun(own, len(known), slots, together=together)
    whole = _rerun(sum(part.all_seconds for part in parts), len(files), slots, together=len(files) == 1)
    if whole - first <= first + _FORK_SECONDS:
        return None
    return FirstTests(
        files=tuple(part.file for part in known),
        nodeids=nodeids,
        together=together,
        functions=functions,
        rest=tuple(files),
        others=others if len(parts) == len(files) else 0,
    )


def _rerun(seconds: float, files: int, slots: int, *, together: bool) -> float:
    """The estimated seconds of a rerun whose tests take ``seconds``."""
    tests = _in_one_process(seconds, files) if together else _in_children(seconds, files, slots)
    return _RERUN_SECONDS + files * _FILE_SECONDS + tests


def _in_one_process(seconds: float, files: int) -> float:
    """The estimated seconds of tests that ran in a child for each file. At most half of them are its own cost."""
    return seconds - min(seconds / 2, (files - 1) * _FIRST_USE_SECONDS)


def _in_children(seconds: float, files: int, slots: int) -> float:
    """The estimated seconds of tests in a child for each file."""
    return (seconds + files * _CHILD_SECONDS) / min(slots, files)
