"""A random project of functions of every sort.

Every function's result is an integer that follows from all that it depends on, and each test tells some of them.
Which function a test runs is not to be read from its source: results pass through caches, generators, callbacks,
threads, fixtures, imports and the state that one test leaves to the next one of its file.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field

from tests.mutation.project import Project

INI = """
[pytest]
pythonpath = src
testpaths = tests
"""

#: Each is part of a module; ``X`` stands for a number of its own, ``K`` for a constant. ``call_X`` is its face.
SORTS = (
    """
def plain_X(n=K):
    return n + K

def call_X():
    return plain_X() + plain_X(K)
""",
    """
class ClassX:
    \"\"\"Doc K.\"\"\"
    LEVEL = K

    def __init__(self):
        self.number = K

    def method(self):
        return self.number + K

    @property
    def shown(self):
        return self.method() * K

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def alone():
        return K

class LowerX(ClassX):
    def __init__(self):
        super().__init__()
        self.number += K

def call_X():
    return LowerX.make().shown + ClassX.alone() + len(ClassX.__doc__) + ClassX.LEVEL
""",
    """
@functools.lru_cache
def cached_X(n):
    return n * K

def call_X():
    return cached_X(K) + cached_X(2)
""",
    """
def around_X(factor=K):
    def decorate(function):
        def wrapper(*args):
            return function(*args) + factor + K
        return wrapper
    return decorate

@around_X(K)
def decorated_X():
    return K

def call_X():
    return decorated_X()
""",
    """
def numbers_X():
    yield K
    yield from (n + K for n in range(2))

def call_X():
    return sum(numbers_X()) + next(numbers_X())
""",
    """
async def awaited_X():
    await asyncio.sleep(0)
    return K

async def main_X():
    return await awaited_X() + sum([n async for n in stream_X()])

async def stream_X():
    yield K

def call_X():
    return asyncio.run(main_X())
""",
    """
@contextlib.contextmanager
def entered_X():
    LEFT.append(K)
    try:
        yield K
    finally:
        LEFT.pop()

def call_X():
    with entered_X() as n:
        return n + LEFT[-1]
""",
    """
def key_X(n):
    return -n + K

def call_X():
    return sorted([1, 2, K], key=key_X)[0] * 3 + functools.reduce(lambda a, b: a + b + K, [1, 2])
""",
    """
def replaced_X(match):
    return str(K)

def call_X():
    return int(re.sub("a", replaced_X, "1a2"))
""",
    """
class MetaX(type):
    def __new__(meta, name, bases, space):
        space["level"] = K
        return super().__new__(meta, name, bases, space)

class MadeX(metaclass=MetaX):
    def __init_subclass__(cls):
        cls.depth = K

class SubX(MadeX):
    pass

def call_X():
    return SubX.level + SubX.depth
""",
    """
class CellX:
    @functools.cached_property
    def value(self):
        return K

    def __getattr__(self, name):
        return K

    def __del__(self):
        GONE.append(K)

def call_X():
    cell = CellX()
    found = cell.value + cell.value + cell.other
    del cell
    return found + GONE[-1]
""",
    """
def body_X(into):
    into.append(K)

def call_X():
    into = []
    thread = threading.Thread(target=body_X, args=(into,))
    thread.start()
    thread.join()
    return into[0]
""",
    """
def deep_X(n):
    return K if n <= 0 else deep_X(n - 1) + 1

def call_X():
    return deep_X(5)
""",
    """
def made_X():
    space = {}
    exec("def inner(): return K", space)
    return space["inner"]() + eval("K")

def call_X():
    return made_X()
""",
    """
def first_X():
    return K

VALUE_X = first_X()

def call_X():
    return VALUE_X
""",
    """
def text_X():
    return K  # a comment

def call_X():
    return zlib.crc32(inspect.getsource(text_X).encode()) % 100
""",
    """
def asked_X():
    \"\"\"Says K.\"\"\"
    return K

def call_X():
    return sum(n for n in asked_X.__code__.co_consts if isinstance(n, int)) + len(asked_X.__doc__)
""",
    """
def default_X():
    return K

def given_X(n=default_X(), *, m=K):
    return n + m

def call_X():
    return given_X() + inspect.signature(given_X).parameters["m"].default
""",
    """
def traced_X():
    return K

def call_X():
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append(event))
    try:
        traced_X()
    finally:
        sys.setprofile(None)
    return traced_X() + (len(seen) > 0)
""",
    """
def outer_X():
    kept = K
    def middle():
        def inner():
            return kept + K
        return inner
    return middle()

def call_X():
    return outer_X()()
""",
    """
def put_X(key):
    STATE.setdefault(key, []).append(K)

def got_X(key):
    return sum(STATE.get(key, [K]))

def call_X():
    return K
""",
    """
def maybe_X():
    if K > 5:
        return hidden_X()
    return K

def hidden_X():
    return K

def call_X():
    return maybe_X()
""",
    """
class DescribedX:
    def __set_name__(self, owner, name):
        self.level = K

    def __get__(self, instance, owner):
        return self.level + K

class HolderX:
    field = DescribedX()

def call_X():
    return HolderX.field + HolderX().field
""",
    """
def never_X():
    return K

def paused_X():
    kept = never_X
    yield K

def call_X():
    return len([paused_X()]) + K
""",
)

#: A function that calls one of an earlier module.
CALLING = """
def call_X():
    from app import {module}
    return {module}.call_{call}() + K
"""

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
        if self.random.random() < 0.5:
            parts.append(self.filled(LEAVING.replace("KEY", name), 9))
        imports = "import pytest\nfrom app import m0, m1, m2, m3\n"
        self.write(name, imports + "\n".join(parts))
