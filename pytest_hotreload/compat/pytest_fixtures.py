"""Private interfaces of pytest about fixtures: their definitions, values and setup, as a test sees them.

Checked on pytest 8.4.2, 9.0 and 9.2.0. Each function names what it relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _pytest.fixtures

from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def fixture_definitions(session: pytest.Session) -> list[Any]:
    """Return every fixture definition.

    Relies on ``FixtureManager._get_all_fixture_defs``; before pytest 9.2 on ``_arg2fixturedefs``.
    """
    manager: Any = getattr(session, "_fixturemanager", None)
    everything = getattr(manager, "_get_all_fixture_defs", None)
    if everything is not None:
        return list(everything())
    known = getattr(manager, "_arg2fixturedefs", {})
    return [definition for definitions in known.values() for definition in definitions]


def fixture_of(item: pytest.Item, name: str) -> Any:
    """Return the definition that ``item`` uses for ``name``, or None (``_fixtureinfo``)."""
    info: Any = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", {}).get(name) if info is not None else None
    return definitions[-1] if definitions else None


def fixtures_of(item: pytest.Item) -> list[Any]:
    """Return the definitions of all fixtures that ``item`` requests, in the order of their setup (``_fixtureinfo``)."""
    info: Any = getattr(item, "_fixtureinfo", None)
    if info is None:
        return []
    known = info.name2fixturedefs
    return [known[name][-1] for name in info.names_closure if known.get(name)]


def is_skipped(item: pytest.Item) -> bool:
    """Return whether a mark alone says that ``item`` does not run, so that none of its fixtures is set up.

    Conditions that are texts are not evaluated here.
    """
    return (
        any(True for _ in item.iter_markers("skip"))
        or any(True in mark.args for mark in item.iter_markers("skipif"))
        or any(mark.kwargs.get("run") is False for mark in item.iter_markers("xfail"))
    )


def dependencies(item: pytest.Item, name: str) -> list[Any]:
    """Return the definition of a fixture, and those of all fixtures that it uses, as ``item`` sees them."""
    waiting, found = [name], []
    while waiting:
        definition = visible_fixture(item, waiting.pop())
        if definition is not None and definition not in found:
            found.append(definition)
            waiting += definition.argnames
    return found


def visible_fixture(item: pytest.Item, name: str) -> Any:
    """Return the definition that ``request.getfixturevalue(name)`` would find in ``item``, or None.

    Relies on ``FixtureManager.getfixturedefs``.
    """
    manager: Any = getattr(item.session, "_fixturemanager", None)
    if fixture_of(item, name) is None and manager is not None and hasattr(item, "_request"):
        definitions = manager.getfixturedefs(name, item)
        return definitions[-1] if definitions else None
    return fixture_of(item, name)


def package_of(item: pytest.Item, definition: Any) -> Any:
    """Return the package at whose end pytest tears a package-scoped fixture down; None at the end of the session.

    Relies on ``_pytest.fixtures.get_scope_package``.
    """
    found = _pytest.fixtures.get_scope_package(item, definition)
    return None if isinstance(found, pytest.Session) else found


#: Functions of a package's ``__init__.py`` that ``Package.setup`` calls, or registers for the end.
_PACKAGE_FUNCTIONS = ("setup_module", "setUpModule", "teardown_module", "tearDownModule")


def has_package_setup(item: pytest.Item) -> bool:
    """Return whether a package around the test is set up by functions, before any fixture (``Package.setup``)."""
    for node in item.listchain():
        if isinstance(node, pytest.Package):
            try:
                text = (node.path / "__init__.py").read_text("utf-8", "replace")
            except OSError:
                return True
            if any(name in text for name in _PACKAGE_FUNCTIONS):
                return True
    return False


def fixture_value(definition: Any) -> Any:
    """Return the value of a fixture that is set up (``FixtureDef.cached_result``).

    None means that the value is None, or that the fixture is not set up.
    """
    cached = definition.cached_result
    return cached[0] if cached is not None else None


def fixture_locals(definition: Any) -> dict[str, Any]:
    """Return the local variables of a fixture that waits at its ``yield``.

    Relies on ``FixtureDef._finalizers``, one of which is a partial call with the fixture's generator.
    """
    for finalizer in definition._finalizers:
        for each in getattr(finalizer, "args", ()):
            frame = getattr(each, "gi_frame", None)
            if frame is not None:
                return dict(frame.f_locals)
    return {}


def replace_fixture_function(definition: Any, function: Callable[[], None]) -> None:
    """Make the fixture call ``function``, without arguments (``FixtureDef.func``, ``argnames``)."""
    definition.func, definition.argnames = function, ()


def is_parametrised(session: pytest.Session, item: pytest.Item, name: str) -> bool:
    """Return whether ``name``, or a fixture that it depends on, has several values (``CallSpec2.params``).

    The fixtures are those that ``item`` sees.
    """
    waiting, seen = [name], set()
    while waiting:
        each = waiting.pop()
        definition = visible_fixture(item, each)
        if each in seen or definition is None:
            continue
        seen.add(each)
        waiting += definition.argnames
        if definition.params:
            return True
    return any(
        seen & set(getattr(getattr(other, "callspec", None), "params", ()))
        and visible_fixture(other, name) is visible_fixture(item, name)
        for other in session.items
    )


def set_up_fixture(session: pytest.Session, item: pytest.Item, name: str) -> None:
    """Set up one session- or package-scoped fixture as ``item`` would, without setting up the item itself.

    Relies on ``SetupState.stack`` and ``Function._request``.
    """
    for node in item.listchain()[:-1]:
        if isinstance(node, pytest.Module | pytest.Class):
            break
        session._setupstate.stack.setdefault(node, ([node.teardown], None))
    request: Any = item._request  # type: ignore[attr-defined]
    session._setupstate.stack[item] = ([], None)  # pytest 9.1 otherwise reports the item as torn down
    try:
        request.getfixturevalue(name)
    finally:
        session._setupstate.stack.pop(item, None)
        item._initrequest()  # type: ignore[attr-defined]
