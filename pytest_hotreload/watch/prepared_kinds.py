"""Kinds of prepared runs: what two runs have in common, and which process one of them may be a fork of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_hotreload.watch.attach_protocol import Attach, RunFacts
from pytest_hotreload.watch.input_states import InputStates
from pytest_hotreload.watch.process import Process
from pytest_hotreload.watch.standby.attached_run import NEUTRAL

#: Prefixes of variables that pytest reads before anything is observed; of those that the C library reads, whose time
#: zone and language are then as at the import; of those by which the folder for temporary files was chosen once.
_UNSEEN = ("PYTEST", "PY_", "TZ", "LANG", "LC_", "TMP", "TEMP")


@dataclass(frozen=True)
class Shape:
    """What two runs have in common if only the name of a file or test differs."""

    #: The arguments before and after the one that names the file or test.
    before: tuple[str, ...]
    after: tuple[str, ...]
    #: The folder of the file, as the argument names it.
    folder: str
    #: The working directory and the umask.
    directory: str
    umask: int

    def file(self, run: Attach) -> str:
        """The file that this run names, as it is written there, if the run has this shape; else ""."""
        place, count = len(self.before), len(run.arguments)
        if count != place + 1 + len(self.after) or run.arguments[:place] != self.before:
            return ""
        file = file_of(run.arguments[place])
        if run.arguments[place + 1 :] != self.after or os.path.dirname(file) != self.folder:
            return ""
        return file if file and (self.directory, self.umask) == (run.folder, run.umask) else ""


def file_of(argument: str) -> str:
    """The Python file that an argument names, or whose test it names; "" if it names something else."""
    name = argument.split("::", maxsplit=1)[0]
    return name if name.endswith(".py") and not name.startswith("-") and "[" not in name else ""


def _differing(
    ours: Mapping[str, str], theirs: Mapping[str, str], read: frozenset[str] = frozenset()
) -> set[str]:
    """The names of the variables that differ, apart from those that each shell sets for itself and nothing has read."""
    names = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
    return names.difference(set(NEUTRAL) - read)


def shape_of(run: Attach, named: str) -> Shape | None:
    """The shape of a run, of whose arguments exactly one is ``named``; None if it has none."""
    if run.arguments.count(named) != 1 or not file_of(named):
        return None
    place = run.arguments.index(named)
    folder = os.path.dirname(file_of(named))
    return Shape(run.arguments[:place], run.arguments[place + 1 :], folder, run.folder, run.umask)


@dataclass(eq=False)
class Point:
    """One prepared process."""

    process: Process
    #: When it was requested, in nanoseconds since 1970.
    since_ns: int
    #: The environment variables with which the process began, and those of them that were read.
    environment: Mapping[str, str]
    variables: frozenset[str] = frozenset()
    states: InputStates | None = None

    def suits(self, environment: Mapping[str, str], *, is_active: bool) -> bool:
        """Whether a run with these variables may be a fork of this process, which has read other ones only.

        ``is_active``: whether it is a run with ``--hotreload``, whose records depend on more variables.
        """
        differ = _differing(self.environment, environment, self.variables)
        if not differ:
            return True
        read = is_active or "*" in self.variables or not differ.isdisjoint(self.variables)
        return self.states is not None and not read and not any(name.startswith(_UNSEEN) for name in differ)

    @property
    def is_ready(self) -> bool:
        return self.states is not None and self.process.state == "ready"


@dataclass(eq=False)
class Kind:
    """The runs of one shape, and the processes that are prepared for them."""

    shape: Shape
    #: The last run, the file that it named, and what it said.
    run: Attach
    file: str
    facts: RunFacts
    #: The number of processes that were started since then.
    attempts: int = 0
    #: Has loaded the conftests; None if there is no such process.
    conftests: Point | None = None
    #: File, as the arguments name it -> the process that has imported it, in the order of their last use.
    files: dict[str, Point] = field(default_factory=dict)
    #: File, or "" for the conftests -> why it can't be prepared, and the inputs on which that may depend.
    refused: dict[str, tuple[str, InputStates]] = field(default_factory=dict)

    def is_of(self, shape: Shape, environment: Mapping[str, str]) -> bool:
        """Whether a run of this shape, with these variables, is of this kind."""
        if self.shape != shape:
            return False
        if not self.points:
            return _differing(self.run.environment, environment) == set()
        return all(point.suits(environment, is_active=self.facts.is_active) for point in self.points)

    @property
    def points(self) -> list[Point]:
        return [*([self.conftests] if self.conftests else []), *self.files.values()]
