"""The CPU time that a run saved, compared with separately started workers: one number for all places that show it.

docs/design/saving.md has the definition, and the comparison with measurements.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pytest_hotreload.world import BUILTINS, resource

__builtins__ = BUILTINS

#: CPU seconds of a page fault: docs/design/processes.md, "What a child costs".
_FAULT_SECONDS = 4e-6


class Saving(NamedTuple):
    """The measured parts of the figure."""

    #: CPU seconds from the start of the process to the end of the collection.
    start: float = 0.0
    #: The slots that had forks of the collected session: so many workers would have started separately.
    workers: int = 0
    #: CPU seconds of all processes of the run from the end of the collection to the end of the last child.
    run: float = 0.0
    #: The part of ``run`` in which children ran tests, without page faults.
    tests: float = 0.0

    @property
    def isolation(self) -> float:
        """CPU seconds of everything but the tests: forks, page faults, resets, messages, replay."""
        return max(0.0, self.run - self.tests)

    @property
    def cpu(self) -> float:
        """The saved CPU seconds, in whole tenths, rounded down; 0.0 if nothing was saved.

        Each of the workers would have started and collected; this run did so once, and paid for isolation.
        """
        saved = self.start * (self.workers - 1) - self.isolation
        return math.floor(saved * 10) / 10 if saved > 0 else 0.0


class Usage(NamedTuple):
    """The resources that this process has used, with those of the processes that it waited for."""

    cpu: float = 0.0
    #: Page faults of this process.
    faults: int = 0

    @classmethod
    def now(cls) -> Usage:
        own, others = (
            resource.getrusage(resource.RUSAGE_SELF),
            resource.getrusage(resource.RUSAGE_CHILDREN),
        )
        return cls(own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, own.ru_minflt)


def cpu_of_tests(before: Usage, after: Usage) -> float:
    """Return the CPU seconds between two moments of a child, without those of page faults.

    In a fork, most page faults copy memory that a separately started worker would have for itself.
    """
    faults = (after.faults - before.faults) * _FAULT_SECONDS
    return max(0.0, after.cpu - before.cpu - faults)
