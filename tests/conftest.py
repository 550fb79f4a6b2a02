"""Fixtures of the acceptance tests."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from .acceptance.compare import Project
from .acceptance.desk import Desk
from .acceptance.reading_keys import start_reading
from .acceptance.servers import Postgres, postgres_server, redis_server
from .acceptance.shared_suites import Suite, suite_of
from .acceptance.terminals import Terminal

#: Only tests of this let runs start servers. Set before any process is started.
os.environ["PYTEST_HOTRELOAD_SERVE"] = "off"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project on disk, run by plain pytest and under ``--hotreload``."""
    return Project(tmp_path)


@pytest.fixture
def suite(project: Project, tmp_path: Path) -> Callable[..., Suite]:
    """Makes a suite whose costly session fixtures write notes: ``suite(conftest, files)``."""
    return functools.partial(suite_of, project, tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages, beside the project."""
    folder = tmp_path / "lib/site-packages"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A project, and terminals for a watch of it."""
    with_terminals = Desk(tmp_path)
    yield with_terminals
    with_terminals.close()


@pytest.fixture(params=[1, 2], ids=["slots-1", "slots-2"])
def slots(request: pytest.FixtureRequest) -> int:
    """How many children run at once: alone, as plain pytest's world is, and with a sibling."""
    return int(request.param)


@pytest.fixture
def key_program(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts a program that reads keys: ``start(actions, before=…, through="sh script with $KEYS", TERM=…)``."""
    started: list[Terminal] = []

    def start(
        actions: str = "", *, before: str = "", through: str = "exec $KEYS", columns: int = 80, **environ: str
    ) -> Terminal:
        terminal = start_reading(tmp_path, actions, before, through, columns, environ)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def key_reader(key_program: Callable[..., Terminal]) -> Callable[..., Terminal]:
    """Starts the program of ``key_program``, and waits until it reads keys."""

    def start(*args: str, **how: str) -> Terminal:
        terminal: Terminal = key_program(*args, **how)
        terminal.wait_for("ready True\n")
        return terminal

    return start


#: Tests of files with these names also run with one slot in `make check`, because order or output can differ.
_BOTH = (
    "test_output_",
    "test_reports_",
    "test_selection_",
    "test_worlds",
    "test_contention",
    "test_gathered_",
)
#: The number of cases of each parametrised acceptance test that `make check` runs, drawn by `HOTRELOAD_SEED`; 0: all.
_CASES = int(os.environ.get("HOTRELOAD_CASES_PER_TEST", "0"))

#: One of how many slow tests `make check` runs. The 101 slow tests took a third of its time.
_SLOW = 4
_SEED = os.environ.get("HOTRELOAD_SEED", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make check` leaves out runs with one slot that could only repeat those with two, and draws the rest by its seed.

    Drawn are the cases of parametrised acceptance tests, and slow tests.

    `make test` runs everything.
    """
    if "HOTRELOAD_CHECK" not in os.environ:
        return
    left_out = {item for item in items if _has_one_slot(item) and not item.path.name.startswith(_BOTH)}
    left_out |= {item for item in items if item.get_closest_marker("slow") and not _is_drawn(item)}
    left_out |= _not_drawn([item for item in items if item not in left_out])
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _has_one_slot(item: pytest.Item) -> bool:
    return _parameters(item).get("slots") == 1


def _is_drawn(item: pytest.Item) -> bool:
    """Whether `HOTRELOAD_SEED` chooses this slow test, as it does one in `_SLOW`."""
    return Random(f"{_SEED} {item.nodeid.partition('[')[0]}").randrange(_SLOW) == 0


def _not_drawn(items: list[pytest.Item]) -> set[pytest.Item]:
    """The cases of parametrised acceptance tests that `HOTRELOAD_SEED` does not choose.

    Unit tests keep all their cases: together they take less than a minute.
    """
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _CASES and _parameters(item) and item.path.parent.name == "acceptance":
            cases[item.nodeid.partition("[")[0]].append(item)
    drawn = {
        item
        for name, group in cases.items()
        for item in Random(f"{_SEED} {name}").sample(group, min(_CASES, len(group)))
    }
    return {item for group in cases.values() for item in group} - drawn


def _parameters(item: pytest.Item) -> dict[str, object]:
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec is not None else {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this process, for all tests that need one."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """The socket of a Redis of this process, for all tests that need one."""
    with redis_server() as socket:
        yield socket
