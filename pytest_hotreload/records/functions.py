"""The first-party functions that ran: the report of a process about them, and their part of a record's draft.

See docs/design/functions.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from pytest_hotreload._native import functions_ran
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

#: The label of functions that ran outside of all tests.
NO_TEST = -1
#: Reasons for which the files of a test file are not divided into functions.
STARTS_PROCESSES = "it starts processes"
OTHER_COLLECTION = "it ran in a process whose collection is not known"


class FunctionsRan(NamedTuple):
    """The first-party functions that ran in one process, from the beginning of its recording to the end."""

    #: File, first line and qualified name of each function that ran.
    places: tuple[tuple[str, int, str], ...] = ()
    #: The index of an item, or :data:`NO_TEST`, and the functions that ran for it as indexes of ``places``.
    sets: tuple[tuple[int, tuple[int, ...]], ...] = ()
    #: The labels of what started a process, and of tests in which one lived on that was started before.
    starters: tuple[int, ...] = ()
    #: Files whose functions are watched since the mark.
    files: tuple[str, ...] = ()
    #: The number of files that were watched when the controller forked, and its process; (0, 0) without a mark.
    mark: tuple[int, int] = (0, 0)
    #: The reason in words for which the functions are not known, or "".
    undivided: str = ""


def take() -> FunctionsRan:
    """Return what ran since the last call, or since functions are watched."""
    found, reason = functions_ran()
    if found is None:
        return FunctionsRan(undivided=reason)
    places, sets, starters, files, mark = found
    rows = tuple((label, tuple(ran)) for label, ran in sets)
    return FunctionsRan(tuple(places), rows, tuple(starters), tuple(files), mark)


def joined(first: FunctionsRan, second: FunctionsRan) -> FunctionsRan:
    """What ran in two recordings of one process, one after the other."""
    shift = len(first.places)
    moved = tuple((label, tuple(shift + one for one in ran)) for label, ran in second.sets)
    return FunctionsRan(
        first.places + second.places,
        first.sets + moved,
        first.starters + second.starters,
        first.files + second.files,
        second.mark,
        first.undivided or second.undivided,
    )


class _Draft:
    """Collects the places of one test file, grouped by their files."""

    def __init__(self, files: Iterable[str]) -> None:
        self.places: dict[str, dict[tuple[int, str], int]] = {file: {} for file in sorted(files)}

    def add(self, ran: FunctionsRan) -> list[tuple[str, int] | None]:
        """Add the places of a process; returns each as (file, number in the file), None if it does not count."""
        found: list[tuple[str, int] | None] = []
        for file, line, name in ran.places:
            known = self.places.get(file)
            found.append(None if known is None else (file, known.setdefault((line, name), len(known))))
        return found

    def starts(self) -> dict[str, int]:
        """File -> the number of its first place, if places are counted through in the order of the files."""
        counts = accumulate(map(len, self.places.values()), initial=0)
        return dict(zip(self.places, counts, strict=False))


class FunctionRecords:
    """What ran before the tests of a run, and the drafts of its records from what the children said."""

    def __init__(self, collections: Iterable[FunctionsRan | None]) -> None:
        """``collections``: what ran in each process that collected, and whose forks run tests."""
        self.collections = [one or FunctionsRan(undivided="nothing was recorded") for one in collections]
        #: Mark -> the files that a fork does not name, since the process that made the mark did.
        self._marked = {one.mark: one.files for one in self.collections}

    def before(self) -> list[tuple[str, list[tuple[int, str]]]]:
        """The functions that ran before all tests, as (line, qualified name), by file."""
        found: dict[str, list[tuple[int, str]]] = {}
        for file, line, name in dict.fromkeys(place for one in self.collections for place in one.places):
            found.setdefault(file, []).append((line, name))
        return list(found.items())

    def draft(
        self,
        closure: Collection[str],
        observed: Sequence[FunctionsRan],
        sources: Collection[str],
        tests: Sequence[int],
        undivided: str = "",
    ) -> Mapping[str, Any]:
        """The functions that ran for one test file in its children.

        ``closure``: its first-party files. ``observed``: from each of its children. ``sources``: files that it
        looked at otherwise. ``tests``: the indexes of its items, in the order of the record.
        """
        reason = undivided or self._undivided(observed)
        if reason:
            return {"files": [], "ran": [], "outside": [], "tests": [], "undivided": reason}
        files = set(closure).difference(sources)
        for one in observed:
            files &= self._watched(one)
        draft = _Draft(files)
        outside: set[tuple[str, int]] = set()
        by_test: dict[int, set[tuple[str, int]]] = {}
        for one in observed:
            places = draft.add(one)
            for label, ran in one.sets:
                into = outside if label == NO_TEST else by_test.setdefault(label, set())
                into.update(place for place in map(places.__getitem__, ran) if place is not None)
        starts = draft.starts()
        starters = {label for one in observed for label in one.starters}

        def numbers(places: Iterable[tuple[str, int]]) -> list[int]:
            return sorted(starts[file] + number for file, number in places)

        return {
            "files": [[file, list(known)] for file, known in draft.places.items()],
            "ran": numbers(outside.union(*by_test.values())),
            "outside": numbers(outside),
            # A test that was skipped ran nothing; what runs in a process is not known.
            "tests": [None if test in starters else numbers(by_test.get(test, ())) for test in tests],
            "undivided": "",
        }

    def _undivided(self, observed: Sequence[FunctionsRan]) -> str:
        reasons = [one.undivided for one in (*self.collections, *observed)]
        reasons += [OTHER_COLLECTION for one in observed if not self._is_of_this_run(one)]
        return next(filter(None, reasons), "" if observed else "nothing was recorded")

    def _is_of_this_run(self, one: FunctionsRan) -> bool:
        """Whether it is known what ran from the start of pytest on, in the process or in the one it is a fork of."""
        return one.mark == (0, 0) or one.mark in self._marked

    def _watched(self, one: FunctionsRan) -> set[str]:
        return {*one.files, *(self._marked[one.mark] if one.mark != (0, 0) else ())}
