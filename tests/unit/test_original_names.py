"""Names have their original values within the context, and a test's values around it: docs/design/worlds.md."""

from __future__ import annotations

import builtins
import io
import json
import os
import pathlib
import sys
import threading
from typing import Any

import pytest

from pytest_hotreload.original_names import Known, OriginalNames

MOCK: Any = object()
#: Functions of modules, methods of classes written in Python, builtins, constants, and what imports need.
NAMES = [
    (builtins, "vars"),
    (builtins, "sorted"),
    (io, "open"),
    (json, "dumps"),
    (pathlib.Path, "read_text"),
    (json.JSONEncoder, "encode"),
    (os, "sep"),
    (os, "listdir"),
    (os.path, "join"),
    (os, "environ"),
    (threading, "Thread"),
    (sys, "path"),
    (sys, "meta_path"),
    (sys, "modules"),
    (sys, "platform"),
]


@pytest.fixture
def world() -> OriginalNames:
    made = OriginalNames()
    made.remember()
    return made


@pytest.fixture(params=NAMES, ids=lambda name: f"{name[0].__name__}.{name[1]}")
def target(request: pytest.FixtureRequest) -> tuple[Any, str]:
    owner, name = request.param
    return owner, name


def test_a_replaced_name(world: OriginalNames, target: tuple[Any, str]) -> None:
    """Replaced for as short as can be: pytest needs them, too."""
    owner, name = target
    was = vars(owner)[name]
    try:
        setattr(owner, name, MOCK)
        with world:
            within = owner.__dict__[name]
        after = owner.__dict__[name]
    finally:
        setattr(owner, name, was)
    assert within is was
    assert after is MOCK


def test_a_name_that_is_gone(world: OriginalNames) -> None:
    was = json.dumps
    try:
        del json.dumps
        with world:
            within = json.dumps
        after = hasattr(json, "dumps")
    finally:
        json.dumps = was
    assert within is was
    assert not after


def test_a_method_that_an_attribute_hides(world: OriginalNames, monkeypatch: pytest.MonkeyPatch) -> None:
    """``mock.patch("os.environ.get")``."""
    monkeypatch.setattr(os.environ, "get", MOCK, raising=False)
    with world:
        assert os.environ.get("PATH") == os.environ["PATH"]
    assert vars(os.environ)["get"] is MOCK


def test_what_a_test_may_set_stays(world: OriginalNames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another list of paths, hooks, streams, a module's own state."""
    mine: Any = [*sys.path, "/more"]
    for owner, name, value in [
        (sys, "path", mine),
        (sys, "excepthook", MOCK),
        (sys, "stdout", sys.stderr),
        (json, "of_a_test", MOCK),
    ]:
        monkeypatch.setattr(owner, name, value, raising=False)
        with world:
            assert vars(owner)[name] is value
        assert vars(owner)[name] is value
        monkeypatch.undo()


def test_within_itself_and_when_something_is_raised(
    world: OriginalNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = io.open
    monkeypatch.setattr(io, "open", MOCK)

    def fails() -> None:
        with world, world:
            assert io.open is was
            raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        fails()
    assert io.open is MOCK


def test_what_is_known_from_the_last_look(world: OriginalNames, monkeypatch: pytest.MonkeyPatch) -> None:
    was, known = io.open, Known(world)
    monkeypatch.setattr(io, "open", MOCK)
    with known:  # nobody looked
        assert io.open is MOCK
    with world:
        pass
    with known:
        assert io.open is was
    assert io.open is MOCK


def test_who_remembered_nothing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "open", MOCK)
    with OriginalNames():
        assert io.open is MOCK


def test_names_that_our_own_code_replaced_stay_for_frequent_calls(
    world: OriginalNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumps, loads, load = json.dumps, json.loads, json.load
    monkeypatch.setattr(json, "dumps", MOCK)
    monkeypatch.setattr(json, "loads", MOCK)
    world.accept()
    theirs = object()
    monkeypatch.setattr(json, "load", theirs)
    monkeypatch.setattr(json, "loads", theirs)  # over ours
    with world:
        original = json.dumps, json.loads, json.load
    with Known(world):
        known = json.dumps, json.loads, json.load
    assert original == (dumps, loads, load)
    assert known == (MOCK, loads, load)
    assert (json.dumps, json.loads, json.load) == (MOCK, theirs, theirs)
