"""A random project: modules that import each other in every way, data files, conftests, test files.

Everything has a value, an integer that follows from all it depends on, and each test tells its own. So
a change of a dependency shows, wherever it is missed.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

from tests.mutation import caches

INI = """
[pytest]
addopts = -p own
pythonpath = src ../lib
testpaths = tests
"""

MODULE = '''"""A module of the generated project."""
import importlib
import os
import pathlib

HERE = pathlib.Path(__file__).resolve()
ROOT = next((folder for folder in HERE.parents if (folder / "pytest.ini").exists()), HERE.parents[2] / "root")
{imports}

def value(depth=0):
    if depth > 3:
        return 0
    total = {constant}
{uses}
    return total


AT_IMPORT = {at_import}
'''

TEST = '''"""A test file of the generated project."""
import pytest
{imports}

NUMBER = {constant}
{body}


def value():
    total = NUMBER + AT_IMPORT
{uses}
    return total


def test_value(record_property):
    try:
        record_property("value", value())
    except Exception as error:  # told, too, so that the file counts as passed
        record_property("error", type(error).__name__)


def test_fixture(number, record_property):
    record_property("value", number + NUMBER)


@pytest.mark.parametrize("given", [{given}])
def test_parameter(given, record_property):
    record_property("value", given)
'''

CONFTEST = '''"""A conftest of the generated project."""
import os
import sys

import own
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "{up}", "more"))
{imports}

@pytest.fixture
def number():
    total = {constant} + own.AT_IMPORT
    try:
        pass
{uses}
    except ImportError:
        total += 50
    return total
'''


def add(expression: str) -> str:
    return f"    total += {expression}\n"


@dataclass
class Project:
    """``modules``: dotted names that may exist; ``data``: files below ``data/`` that may exist."""

    root: Path
    random: Random
    modules: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    #: Whether a test may depend on what other test files left when they were imported, and on folders that the
    #: collection of others put on ``sys.path``. A watch collects affected files alone, as ``pytest FILE…`` does.
    leaves_state: bool = True
    #: How many children of a run there are at once.
    slots: ClassVar[int] = 1

    def generate(self) -> None:
        """Write all of it."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.root.parent / "lib", ignore_errors=True)
        self.modules = ["common.text", "common.whole", "extra"]
        self.modules += [f"app.m{n}" for n in range(5)] + [f"app.sub.n{n}" for n in range(3)]
        self.modules += ["space.part0", "space.part1", "helper"]
        self.data = [f"d{n}.txt" for n in range(4)]
        self.tests = ["tests/test_a.py", "tests/test_b.py", "tests/db/test_c.py", "tests/db/test_d.py"]
        self.write("pytest.ini", INI)
        self.write("src/app/__init__.py", "")
        self.write("src/app/sub/__init__.py", "KIND = 1\n")
        self.write("../lib/common/__init__.py", "from .text import value\n")
        self.write("src/settings.py", caches.SETTINGS)
        self.write("src/plainly.py", caches.PLAINLY)
        self.write("src/thing.egg-info/PKG-INFO", caches.metadata(1))
        self.write("../site-packages/remembers.py", caches.REMEMBERS)
        self.write("plug/own.py", caches.OWN.format(name=self.random.choice(self.data)))
        for name in self.modules:
            self.write_module(name)
        for name in self.data[:3]:
            self.write(f"data/{name}", str(self.number()))
        (self.root / "data/link").symlink_to("d0.txt")
        for name in ("tests/conftest.py", "tests/db/conftest.py"):
            self.write_conftest(name)
        for name in self.tests:
            self.write_test(name)

    def number(self) -> int:
        return self.random.randrange(100)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def path_of(self, module: str) -> str:
        folder = {"common": "../lib", "extra": "more"}.get(module.partition(".")[0], "src")
        return f"{folder}/{module.replace('.', '/')}.py"

    def write_module(self, name: str, path: str | None = None) -> None:
        # Later modules import earlier ones only: no cycles, so that every project can be imported.
        position = self.modules.index(name) if name in self.modules else len(self.modules)
        imports, uses = self.dependencies(self.modules[:position], most=2)
        at_import = self.at_import(self.modules[:position])
        text = MODULE.format(
            imports="import settings\n" + imports,
            constant=self.number(),
            uses="".join(uses) or "    pass\n",
            at_import=at_import,
        )
        self.write(path or self.path_of(name), text)

    def write_test(self, name: str) -> None:
        imports, uses = self.dependencies(self.modules, most=3, prefix="")
        calls = [caches.call(self.random, self.data, self.modules) for _ in range(3)]
        rare = self.random.random
        body = f"AT_IMPORT = {calls[0] if rare() < 0.5 else 0}\n"
        given = calls[1] if rare() < 0.3 else "1"
        uses += [add(calls[2])] if rare() < 0.4 else []
        self.write(
            name,
            TEST.format(
                imports="import settings\n" + imports,
                constant=self.number(),
                uses="".join(uses),
                body=body,
                given=given,
            ),
        )

    def write_conftest(self, name: str) -> None:
        imports, uses = self.dependencies(self.modules, most=1, prefix="")
        self.write(
            name,
            CONFTEST.format(
                imports=imports,
                constant=self.number(),
                uses=textwrap.indent("".join(uses).rstrip(), "    "),
                up="/".join([".."] * name.count("/")),
            ),
        )

    def dependencies(self, modules: list[str], most: int, prefix: str = "depth + 1") -> tuple[str, list[str]]:
        """Import lines, and lines of a function's body that use what they import."""
        imports, uses = "", []
        for module in self.random.sample(modules, min(len(modules), self.random.randint(1, most))):
            line, use = self.one_import(module, prefix)
            imports += line
            uses.append(use)
        if prefix and self.random.random() < 0.5:
            uses.append(self.at_run())
        return imports, uses

    def one_import(self, module: str, argument: str) -> tuple[str, str]:
        package, _, last = module.rpartition(".")
        call = f"value({argument})"
        literal = repr(module)
        ways = [
            (f"import {module} as {last}\n", add(f"{last}.{call} + {last}.AT_IMPORT")),
            ("", f"    import {module} as inner\n" + add(f"inner.{call}")),
            (f"import importlib\n{last} = importlib.import_module({literal})\n", add(f"{last}.{call}")),
            ("import importlib\n", add(f"importlib.import_module(''.join({list(module)!r})).{call}")),
            ("", add(f"__import__(''.join({list(module)!r}), fromlist=['value']).{call}")),
            (
                f"try:\n    import {module}_fast as {last}\nexcept ImportError:\n    import {module} as {last}\n",
                add(f"{last}.{call}"),
            ),
            (
                f"try:\n    import {module} as {last}\nexcept ImportError:\n    {last} = None\n",
                add(f"({last}.{call} if {last} else 1)"),
            ),
        ]
        if package:
            ways.append((f"from {package} import {last}\n", add(f"{last}.{call}")))
        return self.random.choice(ways)

    def at_import(self, earlier: list[str]) -> str:
        if self.random.random() < 0.3:
            return caches.call(self.random, self.data, earlier)
        name = self.random.choice(self.data)
        ways = [
            "0",
            "0",
            f"int((ROOT / 'data' / {name!r}).read_text()) if (ROOT / 'data' / {name!r}).exists() else 7",
            "len(os.listdir(ROOT / 'data'))",
            "len(os.environ.get('APP_MODE', ''))",
            "len(sorted((ROOT / 'data').glob('*.txt')))",
        ]
        # `exists` is a stat, which no hook sees: read it, too, as code that is to be observed does.
        ways[2] = f"_read({name!r})"
        choice = self.random.choice(ways)
        if choice.startswith("_read"):
            listed = f"{name!r} in os.listdir(ROOT / 'data')"
            return f"int(open(ROOT / 'data' / {name!r}).read()) if {listed} else 7"
        return choice

    def at_run(self) -> str:
        name = self.random.choice(self.data)
        ways = [
            "    try:\n        total += int(open(ROOT / 'data' / {name!r}).read())\n    except OSError: pass\n",
            "    total += len(list(os.scandir(ROOT / 'data')))\n",
            "    total += len(os.environ.get('APP_MODE', ''))\n",
            "    if os.path.basename(str(HERE)) == '__init__.py':\n        total += 1\n",
        ]
        return self.random.choice(ways).replace("{name!r}", repr(name))


def files_of(root: Path) -> list[str]:
    """Every source and data file, relative, sorted."""
    found = []
    for start in (root, root.parent / "lib"):
        for folder, folders, names in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
            found += [os.path.relpath(Path(folder) / name, root) for name in names if name != "link"]
    return sorted(name for name in found if not name.endswith((".pyc", ".json")))
