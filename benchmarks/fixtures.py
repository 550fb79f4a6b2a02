"""Compares suites with costly session fixtures, and writes docs/benchmarks-fixtures.md:

python -m benchmarks.fixtures --write           a Django project, and a model of 300 MB that takes 3 s
python -m benchmarks.fixtures django            only printed

Plain pytest, pytest-xdist (`--dist=loadfile`) and pytest-hotreload take turns; hotreload once without any data of
earlier runs, and once with what they left in pytest's cache.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.contenders import PLAIN, Contender, hotreload, hotreload_again, xdist
from benchmarks.experiments import Plan, Row, compare, say
from benchmarks.measure import adopt_orphans
from benchmarks.suites import Suite

PAGE = report.ROOT / "docs" / "benchmarks-fixtures.md"
HEAD = """# What do shared session fixtures gain?

`python -m benchmarks.fixtures --write` writes this page: do not edit.
The first run of pytest-hotreload begins without data of earlier runs: the first children set the fixture up.
The figures are medians of {repeats} rounds after one that warmed bytecode and disk.
Memory is the largest sum of the proportional set sizes of all processes.

Machine: {machine}.
"""
FILES = 60
MODELS = 12
DJANGO_INI = """
[pytest]
testpaths = tests
pythonpath = .
DJANGO_SETTINGS_MODULE = settings
"""
SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
SECRET_KEY = "x"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
MODEL = """
class Thing{number}(models.Model):
    name = models.CharField(max_length=80, db_index=True)
    amount = models.IntegerField(default=0, db_index=True)
    owner = models.ForeignKey("auth.User", null=True, on_delete=models.CASCADE)
"""
DJANGO_TEST = """
import pytest
from django.contrib.auth.models import User
from shop.models import Thing{number}


@pytest.mark.django_db
@pytest.mark.parametrize("amount", range(6))
def test_things(amount):
    owner = User.objects.create(username="someone")
    for each in range({things}):
        Thing{number}.objects.create(name=f"thing {{each}}", amount=amount, owner=owner)
    assert Thing{number}.objects.filter(amount=amount, owner__username="someone").count() == {things}
"""
#: 300 MB, and 3 s together with the time that filling them takes.
MODEL_CONFTEST = """
import time
import pytest


@pytest.fixture(scope="session")
def model():
    end = time.monotonic() + 3
    weights = bytearray(b"x") * (300 << 20)
    while time.monotonic() < end:
        sum(range(1000))
    return weights
"""
MODEL_TEST = """
import pytest


@pytest.mark.parametrize("place", range(4))
def test_weights(model, place):
    assert model[place << 20] == ord("x")
"""


def write_django(things: int, folder: Path, _seed: int, files: int) -> None:
    (folder / "pytest.ini").write_text(DJANGO_INI.lstrip())
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("")
    models = "".join(MODEL.format(number=number) for number in range(MODELS))
    (folder / "shop" / "models.py").write_text(f"from django.db import models\n{models}")
    (folder / "tests").mkdir()
    for number in range(files):
        (folder / "tests" / f"test_{number:02}.py").write_text(
            DJANGO_TEST.format(number=number % MODELS, things=things)
        )


def write_model(folder: Path, _seed: int, files: int) -> None:
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(MODEL_CONFTEST)
    for number in range(files):
        (tests / f"test_{number:02}.py").write_text(MODEL_TEST)


def django(name: str, things: int) -> Suite:
    what = f"a Django project, whose tests create {things} objects each in a database in memory"
    # The folder is named by the suite, and must change with what is written.
    return Suite(f"{name}-{things}", what, FILES, 6 * FILES, partial(write_django, things))


SUITES = {
    "django": django("django", 100),
    "django-quick": django("django", 5),
    "model": Suite(
        "model", "each file uses a session fixture that takes 3 s and 300 MB", FILES, 4 * FILES, write_model
    ),
}


class Table(NamedTuple):
    """The figures of one suite."""

    suite: Suite
    rows: list[Row]

    def lines(self) -> list[str]:
        plain = self.rows[0]
        head = [
            "",
            f"## {self.suite.name}",
            "",
            f"{self.suite.what}; {self.suite.files} files, {self.suite.tests} tests.",
            "",
            "| | wall s | of plain | CPU s | memory MB | of plain |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        return head + [self._line(row, plain) for row in self.rows]

    @staticmethod
    def _line(row: Row, plain: Row) -> str:
        memory, share = "–", "–"
        if row.peak is not None and plain.peak:
            memory, share = f"{row.peak / 2**20:.0f}", f"{row.peak / plain.peak:.2f}"
        wall = f"{row.wall:.2f} | {row.wall / plain.wall:.2f}"
        return f"| {row.contender} | {wall} | {row.cpu:.2f} | {memory} | {share} |"


def contenders(slots: int) -> list[Contender]:
    return [PLAIN, xdist(slots), hotreload(slots), hotreload_again(slots)]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fixtures", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that sample memory")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-fixtures.md")
    options = parser.parse_args(arguments)
    adopt_orphans()
    plan = Plan(sys.executable, options.repeats, memory=not options.no_memory)
    lines = HEAD.format(repeats=options.repeats, machine=report.machine(sys.executable)).splitlines()
    for name in options.suites or SUITES:
        suite = SUITES[name]
        say(f"{name}: {suite.files} files, {suite.tests} tests")
        rows = compare(suite.generate(), contenders(options.slots), plan, [], suite.tests)
        lines += Table(suite, rows).lines()
    text = "\n".join(lines) + "\n"
    if options.write:
        PAGE.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
