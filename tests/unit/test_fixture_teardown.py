"""Which teardowns may run in a process without tests, judged by their source."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pytest_hotreload.run.fixtures import teardown

CLOSING = [
    "return value",
    "yield value",
    "yield value\nvalue.close()",
    "yield value\nvalue.get('server').terminate()",
    "yield value\nif value.exists():\n    shutil.rmtree(value)",
    "yield value\nfor each in value:\n    each.close()",
    "yield value\nloop.run_until_complete(value.dispose())",
    "yield value\nteardown_databases(value, verbosity=0)",
    "yield value\nvalue = None\ndel value",
    "try:\n    yield value\nexcept Exception:\n    log.warning('x')\nfinally:\n    value.stop()",
    "with closing(value):\n    yield value",
    "with mock_aws():\n    yield value",
    "with unittest.mock.patch.dict(os.environ, A='1'):\n    yield value",
    "if value:\n    yield 1\n    value.close()\nelse:\n    yield 2",
    "request.addfinalizer(value.close)\nreturn value",
    "request.addfinalizer(lambda: value.close())\nreturn value",
    "def nested():\n    yield value\n    assert value\nreturn nested",
]
CHECKING = [
    "yield value\nassert not value",
    "yield value\nif value:\n    raise ValueError",
    "yield value\njson.dump(value, file)",
    "yield value\nunknown(value)",
    "yield value\nsave_and_close(value)",
    "yield value\nvalue.get(check(other)).close()",
    "yield value\nvalue.close(check(other))",
    "yield value\nresponses.stop()",
    "yield value\nwhile value:\n    value.pop()",
    "yield value\nvalue += 1\nother(value)",
    "with respx.mock():\n    yield value",
    "with recorded(value):\n    yield value",
    "with something():\n    yield value",
    "while True:\n    yield value",
    "for each in value:\n    yield each",
    "yield from value",
    "found = check((yield value))",
    "try:\n    yield value\nfinally:\n    assert value",
    "if value:\n    yield 1\nelse:\n    yield 2\n    assert value",
    "request.addfinalizer(lambda: check(value))\nreturn value",
    "request.addfinalizer(partial(check, value))\nreturn value",
]


#: Of the project's own functions and classes, the source counts and not the name.
OWN = """\
import atexit, contextlib, functools, weakref

class Closes:
    def __init__(self): self.inner = []
    def __enter__(self): return self
    def __exit__(self, *_): self.close()
    def close(self):
        if self.inner is not None:
            self.inner.clear()
        self._remove_rest()
    def _remove_rest(self): self.inner = None

class Checks(Closes):
    def _remove_rest(self): assert not self.inner

class ChecksItself:
    def __init__(self): self.v = []
    def __enter__(self): return self
    def __exit__(self, *_): assert not self.v
    def close(self): assert not self.v

class Holds:
    def __init__(self): self.held = {"one": [ChecksItself()]}

def close_all(value): value.close()
def note(word):
    with open("notes", "a") as file:
        file.write(word)
def close_and_note(): note("closed")
def close_and_note_it(value): note(value)
def close_and_look(value): assert not value
def close_more(value): close_and_look(value)

@contextlib.contextmanager
def closing_database():
    yield 1
    close_all(2)

@contextlib.contextmanager
def checking_database():
    value = []
    yield value
    assert not value

def database(): return ChecksItself()
"""
OWN_CLOSING = [
    "yield Closes()",
    "value = Closes()\nyield value\nvalue.close()",
    "with Closes() as value:\n    yield value",
    "with contextlib.closing(Closes()) as value:\n    yield value",
    "with closing_database() as value:\n    yield value",
    "yield value\nclose_all(value)",
    "yield value\nclose_and_note()",
    "with contextlib.ExitStack() as stack:\n    yield stack.enter_context(Closes())",
    "stack = contextlib.ExitStack()\nvalue = stack.enter_context(Closes())\nyield value\nstack.close()",
    "def close():\n    value.close()\nrequest.addfinalizer(close)\nreturn value",
    "atexit.register(close_all)\nreturn value",
    "value = ChecksItself()\nreturn value",
]
OWN_CHECKING = [
    "value = ChecksItself()\nyield value\nvalue.close()",
    "with ChecksItself() as value:\n    yield value",
    "value = ChecksItself()\nwith value:\n    yield value",
    "with Checks() as value:\n    yield value",
    "with contextlib.closing(ChecksItself()) as value:\n    yield value",
    "with checking_database() as value:\n    yield value",
    "with database() as value:\n    yield value",
    "yield value\nclose_and_look(value)",
    "yield value\nclose_and_note_it(value)",
    "yield value\nclose_more(value)",
    "with contextlib.ExitStack() as stack:\n    yield stack.enter_context(ChecksItself())",
    "stack = contextlib.ExitStack()\nvalue = stack.enter_context(ChecksItself())\nyield value\nstack.close()",
    "value = []\ndef close():\n    assert not value\nrequest.addfinalizer(close)\nreturn value",
    "value = ChecksItself()\nrequest.addfinalizer(value.close)\nreturn value",
    "value = ChecksItself()\nrequest.addfinalizer(lambda: value.__exit__(None, None, None))\nreturn value",
    "value = []\natexit.register(lambda: print(check(value)))\nreturn value",
    "value = Closes()\nweakref.finalize(value, close_and_look, [])\nreturn value",
    "value = []\nrequest.config.add_cleanup(lambda: check(value))\nreturn value",
    "value = Holds()\nyield value\nvalue.held['one'][0].close()",
    "value = (ChecksItself(), 1)\nyield value\nvalue[0].close()",
]


def _values(made):
    """What is known after the setup: the value, and the variables of a generator."""
    if not hasattr(made, "gi_frame"):
        return [made]
    return [next(made), *made.gi_frame.f_locals.values()]


@pytest.fixture
def fixture_in(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """The function ``fixture`` of a module that is written for it."""
    loaded = []

    def write(body: str, before: str = "") -> Any:
        path = tmp_path / "fixtures.py"
        path.write_text(f"{before}\ndef fixture(request, value):\n{textwrap.indent(body, '    ')}\n")
        spec = importlib.util.spec_from_file_location(f"fixtures_{abs(hash(body))}", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        loaded.append(spec.name)
        spec.loader.exec_module(module)
        return module.fixture

    yield write
    for name in loaded:
        del sys.modules[name]


@pytest.fixture
def judged_with_values(fixture_in) -> Callable[[str], str]:
    def judge(body: str) -> str:
        fixture = fixture_in(body, OWN)
        why = teardown.doubt(fixture)
        with mock.patch("atexit.register"):
            made = fixture(mock.MagicMock(), mock.MagicMock())
            return why or teardown.doubt_of_values(fixture, _values(made))

    return judge


@pytest.mark.parametrize("body", OWN_CLOSING)
def test_the_projects_own_code_closes(judged_with_values, body):
    assert judged_with_values(body) == ""


@pytest.mark.parametrize("body", OWN_CHECKING)
def test_the_projects_own_code_may_use_what_tests_change(judged_with_values, body):
    assert judged_with_values(body) == teardown.CHECKS


@pytest.fixture
def judged(fixture_in) -> Callable[[str], str]:
    return lambda body: teardown.doubt(fixture_in(body))


@pytest.mark.parametrize("body", CLOSING)
def test_it_closes(judged, body):
    assert judged(body) == ""


@pytest.mark.parametrize("body", CHECKING)
def test_it_may_use_what_tests_change(judged, body):
    assert judged(body) == teardown.CHECKS


def test_asynchronous(judged):
    async def fixture():
        yield

    async def other():
        return 1

    assert teardown.doubt(fixture) == teardown.doubt(other) == "it is asynchronous"


def test_without_a_source():
    assert teardown.doubt(eval("lambda: 1")) == teardown.UNREADABLE
    assert teardown.doubt(len) == teardown.UNREADABLE
