"""What a fixture process lets go before it forks: connections in values, and nothing of other objects is called."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from pytest_hotreload.run.fixtures import known


class Holder:
    def __init__(self, held: object) -> None:
        self.held = held


@pytest.fixture
def client(monkeypatch):
    """The type of redis-py's client, whose values can be let go."""

    class Pool:
        disconnected = 0

        def disconnect(self) -> None:
            self.disconnected += 1

    class Redis:
        def __init__(self) -> None:
            self.connection_pool = Pool()

    Redis.__module__, Redis.__qualname__ = "redis.client", "Redis"
    monkeypatch.setitem(sys.modules, "redis.client", ModuleType("redis.client"))
    return Redis()


@pytest.mark.parametrize("place", ["value", "inside", "local", "global"])
def test_a_client_is_found(client, monkeypatch, place):
    project = ModuleType("a_project")
    monkeypatch.setitem(sys.modules, "a_project", project)
    if place == "global":
        vars(project)["client"] = client
    value = {"value": client, "inside": [Holder(client)]}.get(place, 5)
    assert known.let_go_around(value, {"local": client} if place == "local" else {})
    assert client.connection_pool.disconnected == 1


def test_foreign_objects_are_not_asked(client, monkeypatch):
    def refuse(*_: object) -> Any:
        raise SystemExit("code of a foreign object ran")

    class Odd(type):
        __getattribute__ = __instancecheck__ = __subclasscheck__ = refuse

    class Lazy(metaclass=Odd):
        __getattribute__ = __eq__ = __hash__ = refuse

    class LazyModule(ModuleType):
        __getattribute__ = refuse

    lazy: Any = object.__new__(Lazy)
    monkeypatch.setitem(sys.modules, "a_lazy_module", LazyModule("a_lazy_module"))
    monkeypatch.setitem(sys.modules, "no_module", lazy)
    assert known.let_go_around([lazy, Lazy, Holder(lazy), client], {"lazy": lazy})
    assert client.connection_pool.disconnected == 1


def test_nothing_is_looked_at_without_such_types(monkeypatch):
    for module, _ in known._VALUES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert not known.let_go_around(5, {})
