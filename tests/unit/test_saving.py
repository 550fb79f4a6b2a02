"""The one figure of what a run saved."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hotreload.records.saving import Saving, Usage, cpu_of_tests

SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("saving", "saved"),
    [
        (Saving(), 0.0),
        (Saving(start=2.0, workers=1, run=1.0, tests=1.0), 0.0),  # one worker would have paid the same
        (Saving(start=2.0, workers=2, run=5.0, tests=4.0), 0.7),
        (Saving(start=2.0, workers=4, run=5.0, tests=4.0), 4.7),
        (Saving(start=2.0, workers=2, run=9.0, tests=4.0), 0.0),  # isolation cost more
        (Saving(start=2.0, workers=2, run=4.0, tests=4.5), 1.8),
        (Saving(start=0.99, workers=2, run=0.0, tests=0.0), 0.9),
    ],
)
def test_it_is_the_starts_that_were_not_needed_without_what_isolation_cost(saving, saved):
    assert saving.cpu == saved


@given(SECONDS, st.integers(0, 1024), SECONDS, SECONDS)
def test_it_is_never_more_than_the_starts_of_the_other_workers(start, workers, run, tests):
    assert 0.0 <= Saving(start, workers, run, tests).cpu <= max(0.0, start * (workers - 1))


def test_the_system_time_of_tests_counts_twice_as_isolation():
    assert cpu_of_tests(Usage(1.0, 0.5), Usage(2.0, 0.5)) == 1.0
    assert cpu_of_tests(Usage(1.0, 0.5), Usage(2.0, 0.6)) == pytest.approx(0.8)
    assert cpu_of_tests(Usage(1.0, 0.5), Usage(2.0, 1.4)) == 0.0


def test_usage_has_the_processes_that_were_waited_for():
    before = Usage.now()
    pid = os.fork()
    if pid == 0:
        while Usage.now().cpu < 0.05:
            pass
        os._exit(0)
    os.waitpid(pid, 0)
    assert Usage.now().cpu - before.cpu >= 0.05
