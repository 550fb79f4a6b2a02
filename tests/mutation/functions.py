"""A random project of functions of every sort.

Every function's result is an integer that follows from all that it depends on, and each test tells some of them.
Which function a test runs is not to be read from its source: results pass through caches, generators, callbacks,
threads, fixtures, imports and the state that one test leaves to the next one of its file.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from typing import ClassVar

from tests.mutation.function_sorts import SORTS
from tests.mutation.project import Project

INI = """
[pytest]
pythonpath = src
testpaths = tests
"""

#: Each is part of a module; ``X`` stands for a number of its own, ``K`` for a constant. ``call_X`` is its face.
IMPORTS = "import asyncio, contextlib, functools, inspect, re, sys, threading, zlib\n"
HEAD = (
    '"""A module of the generated project."""\n' + IMPORTS + "{imports}\nLEFT, GONE, STATE = [], [], {{}}\n\n"
)

#: Parts of a test file; ``M.call_Y`` is a function of a module.
TESTS = (
    """
def test_X(record_property):
    record_property("value", M.call_Y())
""",
    """
@pytest.fixture
def fixed_X():
    yield M.call_Y() + K
    M.call_Y()

def test_X(fixed_X, record_property):
    record_property("value", fixed_X)
""",
    """
@pytest.fixture(scope="module")
def wide_X():
    return [M.call_Y() + K]

def test_X(wide_X, record_property):
    wide_X.append(K)
    record_property("value", sum(wide_X))

def test_more_X(wide_X, record_property):
    record_property("value", sum(wide_X))
""",
    """
def helper_X(n):
    return n + K

@pytest.mark.parametrize("n", [helper_X(1), M.call_Y()])
def test_X(n, record_property):
    record_property("value", n)
""",
    """
HELD_X = {}

def test_X(record_property):
    HELD_X["n"] = M.call_Y()
    record_property("value", K)

def test_late_X(record_property):
    record_property("value", HELD_X.get("n", 0))
""",
    """
class TestX:
    @classmethod
    def setup_class(cls):
        cls.number = M.call_Y()

    def setup_method(self):
        self.own = K

    def test_one(self, record_property):
        record_property("value", self.number + self.own)

    def test_two(self, record_property):
        record_property("value", self.number)
""",
    """
def other_X():
    return K

def test_X(monkeypatch, record_property):
    monkeypatch.setattr(M, "call_Y", other_X)
    record_property("value", M.call_Y())
""",
    """
AT_IMPORT_X = M.call_Y()

def test_X(record_property):
    record_property("value", AT_IMPORT_X)
""",
    """
def test_X(session_number, number, record_property):
    record_property("value", session_number + number)
""",
    """
def test_X(made, record_property):
    record_property("value", made)
""",
)

CONFTEST = '''"""The conftest of the generated project."""
import pytest
from app import m0, m1

def helper():
    return K

@pytest.fixture(scope="session")
def session_number():
    return m0.call_0() + helper()

@pytest.fixture
def number():
    return K

@pytest.fixture(autouse=True)
def around():
    helper()
    yield

def pytest_generate_tests(metafunc):
    if "made" in metafunc.fixturenames:
        metafunc.parametrize("made", values(), ids=["only"])

def values():
    return [m1.call_0() + K]

def pytest_runtest_setup(item):
    item.user_properties.append(("setup", K))
'''

#: A test file reads what another test file's import, or its own first test, left in a module.
LEAVING = """
from app import state
LEFT_X = state.leave("KEY")

def test_left(record_property):
    record_property("value", state.left())
"""
STATE = '''"""State that test files leave while they are imported."""
NUMBERS = {}

def leave(key):
    NUMBERS[key] = K
    return bump(key)

def bump(key):
    NUMBERS[key] += K
    return NUMBERS[key]

def left():
    return sum(NUMBERS.values())

def unused():
    return K
'''


@dataclass
class FunctionsProject(Project):
    """``calls``: the faces of the modules, as (module, number)."""

    calls: list[tuple[str, int]] = field(default_factory=list)

    def generate(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.calls = []
        self.write("pytest.ini", INI)
        self.write("src/app/__init__.py", "")
        for number in range(4):
            self.write_functions(number)
        self.write("src/app/state.py", self.filled(STATE, 0))
        self.write("tests/conftest.py", self.filled(CONFTEST, 0))
        self.tests = [f"tests/test_{name}.py" for name in "abcdef"]
        for name in self.tests:
            self.write_tests(name)

    def filled(self, text: str, number: int) -> str:
        text = re.sub(r"X\b|X(?=[^a-zA-Z])", str(number), text)
        return re.sub(r"\bK\b", lambda _: str(self.random.randrange(1, 10)), text)

    def write_functions(self, number: int) -> None:
        name = f"m{number}"
        self.calls = [call for call in self.calls if call[0] != name]
        sorts = self.random.sample(SORTS, 6)
        parts = [self.filled(sort, at) for at, sort in enumerate(sorts)]
        earlier = self.random.sample(self.calls, min(2, len(self.calls))) if number else []
        for at, (module, call) in enumerate(earlier, start=len(parts)):
            parts.append(
                self.filled(
                    f"\ndef call_X():\n    from app import {module}\n    return {module}.call_{call}() + K\n",
                    at,
                )
            )
        self.write(f"src/app/{name}.py", HEAD.format(imports="") + "\n".join(parts))
        self.calls += [(name, at) for at in range(len(parts))]

    def write_tests(self, name: str) -> None:
        chosen = [self.random.choice(TESTS) for _ in range(3)]
        parts = []
        for at, part in enumerate(chosen):
            module, call = self.random.choice(self.calls)
            text = self.filled(part, at)
            parts.append(re.sub(r"\bM\b", module, text).replace("call_Y", f"call_{call}"))
        if self.random.random() < 0.5 and self.leaves_state:
            parts.append(self.filled(LEAVING.replace("KEY", name), 9))
        imports = "import pytest\nfrom app import m0, m1, m2, m3\n"
        self.write(name, imports + "\n".join(parts))


#: A conftest that does this while it is imported makes each slot collect for itself.
WORKER = """
import os
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""


@dataclass
class SlotsProject(FunctionsProject):
    """The same in a suite whose slots collect for themselves."""

    slots: ClassVar[int] = 2

    def generate(self) -> None:
        super().generate()
        conftest = self.root / "tests/conftest.py"
        self.write("tests/conftest.py", conftest.read_text() + WORKER)
