"""Which teardowns may run in a process without tests, judged by their source."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[str], str]:
    def judge(body: str) -> str:
        path = tmp_path / "fixtures.py"
        path.write_text(f"def fixture(request, value):\n{textwrap.indent(body, '    ')}\n")
        spec = importlib.util.spec_from_file_location(f"fixtures_{abs(hash(body))}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return teardown.doubt(module.fixture)

    return judge


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
