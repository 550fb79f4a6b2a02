"""The native reader of imports and the fallback parser agree on generated sources."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_hotreload.imports import fallback_parser

from .reading import assert_agree, project, written

NAMES = st.sampled_from(["a", "b", "os", "sys", "TYPE_CHECKING", "patch", "environ", "pytest_plugins"])
DOTTED = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
EXPRESSIONS = st.one_of(
    NAMES,
    DOTTED,
    DOTTED.map("import_module({0!r})".format),
    DOTTED.map(lambda name: f"f(lambda: __import__({name!r}))"),
    st.builds("{}[{!r}]".format, DOTTED, NAMES),
    st.sampled_from(
        ["0", "True", "not TYPE_CHECKING", "'a.b'", "['a', 'b']", "{'A': 1}", "x and TYPE_CHECKING"]
    ),
)
SIMPLE = st.one_of(
    DOTTED.map("import {}".format),
    st.builds("from {}{} import {} as x".format, st.sampled_from(["", ".", ".."]), DOTTED, NAMES),
    st.just("from . import a"),
    st.builds("{} = {}".format, st.one_of(DOTTED, DOTTED.map("{}['k']".format)), EXPRESSIONS),
    st.builds("{} |= {}".format, DOTTED, EXPRESSIONS),
    st.builds("{}({})".format, DOTTED, EXPRESSIONS),
    EXPRESSIONS,
)


def indented(bodies: list[str]) -> str:
    return textwrap.indent("\n".join(bodies), "  ")


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map(indented)
    heads = ["class A:", "def a():", "async def pytest_configure():", "with a:", "for x in a:", "while a:"]
    return st.one_of(
        st.builds("{}\n{}".format, st.sampled_from(heads), body),
        st.builds("if {}:\n{}\nelif {}:\n{}\nelse:\n{}".format, EXPRESSIONS, body, EXPRESSIONS, body, body),
        st.builds(
            "try:\n{}\nexcept {}:\n{}\nelse:\n{}\nfinally:\n{}".format,
            body,
            st.sampled_from(["ImportError", "a.ImportError", "ValueError", "(KeyError, Exception)", "f()"]),
            body,
            body,
            body,
        ),
        st.builds(
            "match a:\n  case 1:\n{}\n  case _:\n{}".format, body.map(indent_more), body.map(indent_more)
        ),
    )


def indent_more(text: str) -> str:
    return textwrap.indent(text, "  ")


MODULES = st.lists(st.recursive(SIMPLE, compound, max_leaves=12), max_size=6).map("\n".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sources=st.lists(MODULES, min_size=1, max_size=8))
@pytest.mark.slow
def test_generated_source(sources: list[str], tmp_path: Path) -> None:
    for source in sources:
        ast.parse(source)
    assert_agree(tmp_path, {f"test_{number}.py": source.encode() for number, source in enumerate(sources)})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_bytes_are_an_error(source: bytes, tmp_path: Path) -> None:
    path = str(written(tmp_path / "test_it.py", source))
    scanned = project(tmp_path)
    for rejected in scanned.scan([path]):
        scanned.supply(rejected, *fallback_parser.imports_of(rejected))
    assert scanned.scan([path]) == []
    assert scanned.closure(path) == [path]
