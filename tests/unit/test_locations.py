"""Locations are computed before the first fork where that calls no code of the project."""

from __future__ import annotations

import pytest

from pytest_hotreload.compat.pytest_session import locate

CALLS: list[object] = []


def function():
    """As a test file defines it."""


class Holder:
    def __init__(self):
        CALLS.append(self)

    def method(self):
        """As a test class defines it."""


class OwnFunction(pytest.Function):
    def reportinfo(self):
        CALLS.append(self)
        return self.path, 1, "own"


class Callable:
    def __call__(self):
        """As a decorator may return it."""


def test_a_function_of_a_module(request):
    item = pytest.Function.from_parent(request.node.parent, name="function", callobj=function)
    locate([item])
    found = vars(item)["location"]
    assert found is item.location
    assert found[1:] == (function.__code__.co_firstlineno - 1, "function")


@pytest.mark.parametrize("what", ["method", "own kind of item", "callable object"])
def test_items_that_may_run_code_of_the_project_are_left_alone(request, what):
    module = request.node.parent
    items = {
        "method": lambda: pytest.Function.from_parent(
            pytest.Class.from_parent(module, name="Holder", obj=Holder), name="method", callobj=Holder.method
        ),
        "own kind of item": lambda: OwnFunction.from_parent(module, name="function", callobj=function),
        "callable object": lambda: pytest.Function.from_parent(module, name="callable", callobj=Callable()),
    }
    item = items[what]()
    CALLS.clear()
    locate([item])
    assert "location" not in vars(item)
    assert CALLS == []


def test_an_error_is_left_to_pytest(request, monkeypatch):
    item = pytest.Function.from_parent(request.node.parent, name="function", callobj=function)
    monkeypatch.setattr(type(item.session), "_node_location_to_relpath", None)
    locate([item])
    assert "location" not in vars(item)
