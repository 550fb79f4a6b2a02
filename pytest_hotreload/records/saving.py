"""The CPU time that a run saved, compared with separately started workers: one number for all places that show it.

docs/design/saving.md has the definition, and the comparison with measurements.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pytest_hotreload.world import BUILTINS, resource

__builtins__ = BUILTINS

#: What a test costs more in a fresh fork than in a process that has run other tests, as a multiple of its system
#: time there: 14.4 ms at 8.1 ms (light suite), 136 ms at 72 ms (heavy suite); docs/design/saving.md.
_OF_SYSTEM_TIME = 2.0

#: The part of this process's start that a worker without hotreload would have taken, too: the rest is our own imports,
#: and the collection of 1,000 trivial files under observation; docs/design/saving.md.
_OF_START = 0.9

#: The part of a run's CPU time that counts as isolation as well: what tests take without isolation cannot be told more
#: exactly. Of the heavy suite on two slots, 1.3 and 0.4 s of 15 s were saved in two measurements (benchmarks.saved).
_DOUBT = 0.05


class Saving(NamedTuple):
    """The measured parts of the figure."""

    #: CPU seconds that a separately started worker takes to the end of the collection.
    start: float = 0.0
    #: The slots that had forks of the collected session: so many workers would have started separately.
    workers: int = 0
    #: CPU seconds of all processes of the run from the end of the collection to the end of the last child.
    run: float = 0.0
    #: The part of ``run`` that a process without isolation would have taken for the tests.
    tests: float = 0.0

    @property
    def isolation(self) -> float:
        """CPU seconds of everything but the tests: forks, copied memory, resets, messages, replay."""
        return max(0.0, self.run - self.tests) + _DOUBT * self.run

    @property
    def cpu(self) -> float:
        """The saved CPU seconds, in whole tenths, rounded down; 0.0 if nothing was saved.

        Each of the workers would have started and collected; this run did so once, and paid for isolation.
        """
        saved = max(0.0, self.start * (self.workers - 1) - self.isolation)
        tenths = math.floor(saved * 10)
        # The product is rounded: 53.199999999999996 s times ten are 532.
        return (tenths if tenths / 10 <= saved else tenths - 1) / 10


class Usage(NamedTuple):
    """The resources that this process has used, with those of the processes that it waited for."""

    cpu: float = 0.0
    #: The system time of this process alone.
    system: float = 0.0

    @classmethod
    def now(cls) -> Usage:
        own, others = (
            resource.getrusage(resource.RUSAGE_SELF),
            resource.getrusage(resource.RUSAGE_CHILDREN),
        )
        return cls(own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, own.ru_stime)


def start_of_a_worker(seconds: float) -> float:
    """Return the CPU seconds of a start without hotreload, of the seconds that this process's took."""
    return _OF_START * max(0.0, seconds)


def cpu_of_tests(before: Usage, after: Usage) -> float:
    """Return the CPU seconds that a child's tests would have taken without isolation, between two moments.

    In a fork, the system copies each page that a test writes to, and state that another file's tests created is
    created again.
    """
    system = after.system - before.system
    return max(0.0, after.cpu - before.cpu - _OF_SYSTEM_TIME * system)
