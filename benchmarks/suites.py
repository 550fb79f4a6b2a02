"""Generates suites: the same seed gives the same files, byte for byte.

The name of a suite's folder contains a hash of its generator, so that bytecode stays warm between
measurements and a change of the generator creates a new suite.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks import heavy

SEED = 20250101
FOLDER = Path(__file__).parent.parent / "build" / "benchmarks" / "suites"

INI = """
[pytest]
testpaths = tests
pythonpath = .
filterwarnings =
    ignore:Using `httpx` with
"""

STDLIB = [
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "fractions",
    "json",
    "re",
    "statistics",
    "textwrap",
]

LIGHT_TEST = """
def test_work_{k}():
    numbers = [Fraction(n, {d}) for n in range(1, 60)]
    assert statistics.mean(numbers) == Fraction(30, {d})
    assert json.loads(json.dumps({{str(n): n for n in range(200)}}))["{k}"] == {k}
"""

LAYERED_MODULE = '''
"""{name}."""

import dataclasses
import enum
import re

{below}


class Kind{n}(enum.Enum):
    ONE, TWO, THREE = range(3)


@dataclasses.dataclass(order=True)
class Record{n}:
    number: int
    name: str = "record"
    kind: Kind{n} = Kind{n}.ONE
    parts: list[str] = dataclasses.field(default_factory=list)


PATTERN = re.compile(r"^(?P<head>[a-z]{{1,{n}1}})-(?P<tail>\\d+)$")


def compute(value):
    return value + {n}{sum}
'''

LAYERED_TEST = """
def test_{k}():
    assert {m}.compute({k}) >= {k}
    assert sorted({m}.Record{n}(number) for number in range(50, 0, -1))[0].number == 1
"""

TRIVIAL_FILE = """
def test_sum():
    assert 1 + 1 == 2


def test_text():
    assert "a" + "b" == "ab"
"""


@dataclass(frozen=True)
class Suite:
    name: str
    what: str
    files: int
    tests: int
    write: Callable[[Path, int, int], None]

    def generate(self) -> Path:
        """The suite's folder, which is written if it does not exist."""
        folder = FOLDER / f"{self.name}-{self.files}-{_source_hash()}"
        if not folder.exists():
            unfinished = folder.with_name(f".{folder.name}")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            (unfinished / "pytest.ini").write_text(INI.lstrip())
            self.write(unfinished, SEED, self.files)
            unfinished.rename(folder)
        return folder


def _source_hash() -> str:
    sources = (Path(__file__), Path(heavy.__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]


def write_light(folder: Path, seed: int, files: int) -> None:
    random = Random(seed)
    tests = folder / "tests"
    tests.mkdir()
    for number in range(files):
        imports = [f"import {name}" for name in sorted(random.sample(STDLIB, 3))]
        head = "\n".join([*imports, "import json", "import statistics", "from fractions import Fraction", ""])
        body = "\n".join(LIGHT_TEST.format(k=k, d=random.randrange(2, 99)) for k in range(8))
        (tests / f"test_{number:04}.py").write_text(f"{head}\n{body}")


def write_layered(folder: Path, seed: int, files: int) -> None:
    """A first-party package of 200 modules in ten layers, without third-party modules."""
    random = Random(seed)
    package = folder / "layers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    below: list[str] = []
    for layer in range(10):
        names = [f"layer_{layer}_{number}" for number in range(20)]
        for number, name in enumerate(names):
            chosen = sorted(random.sample(below, 4)) if below else []
            text = LAYERED_MODULE.format(
                name=name,
                n=number,
                below="\n".join(f"from layers import {module}" for module in chosen),
                sum=f" + {chosen[0]}.compute(value)" if chosen else "",
            )
            (package / f"{name}.py").write_text(text.lstrip())
        below = names
    _write_layered_tests(folder / "tests", random, files)


def _write_layered_tests(folder: Path, random: Random, files: int) -> None:
    folder.mkdir()
    for number in range(files):
        chosen = [(layer, random.randrange(20)) for layer in (9, 8, 7, 5)]
        imports = "\n".join(f"from layers import layer_{layer}_{n}" for layer, n in chosen)
        tests = [
            LAYERED_TEST.format(k=k, m=f"layer_{chosen[k % 4][0]}_{chosen[k % 4][1]}", n=chosen[k % 4][1])
            for k in range(8)
        ]
        (folder / f"test_{number:04}.py").write_text("\n".join([imports, *tests]))


def write_trivial(folder: Path, _seed: int, files: int) -> None:
    tests = folder / "tests"
    tests.mkdir()
    for number in range(files):
        (tests / f"test_{number:04}.py").write_text(TRIVIAL_FILE.lstrip())


def write_together(folder: Path, _seed: int, tests: int) -> None:
    """All tests in a single file; `write_apart` writes the same tests into one file each."""
    (folder / "tests").mkdir()
    text = "\n\n".join(f"def test_{number:04}():\n    assert 1 + 1 == 2\n" for number in range(tests))
    (folder / "tests" / "test_all.py").write_text(text)


def write_apart(folder: Path, _seed: int, files: int) -> None:
    """One trivial test in each file."""
    (folder / "tests").mkdir()
    for number in range(files):
        text = f"def test_{number:04}():\n    assert 1 + 1 == 2\n"
        (folder / "tests" / f"test_{number:04}.py").write_text(text)


def write_heavy_process(write: Callable[[Path, int, int], None]) -> Callable[[Path, int, int], None]:
    """The same suite, with a conftest that imports everything that the heavy suite imports."""

    def write_both(folder: Path, seed: int, files: int) -> None:
        write(folder, seed, files)
        heavy.write_package(folder / heavy.PACKAGE, Random(seed))
        (folder / "tests" / "conftest.py").write_text(heavy.import_all())

    return write_both


def trivial(files: int) -> Suite:
    return Suite("trivial", "two trivial tests per file", files, 2 * files, write_trivial)


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "heavy", "numpy, pandas, scipy, SQLAlchemy, pydantic, FastAPI; 60 modules", 60, 480, heavy.write
        ),
        Suite("light", "a few modules of the standard library", 60, 480, write_light),
        Suite("layered", "a first-party package of 200 modules, ten layers deep", 60, 480, write_layered),
        trivial(1000),
    )
}
