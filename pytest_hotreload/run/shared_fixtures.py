"""Session- and package-scoped fixtures that are set up once, before the forks.

Children inherit the value as memory: data, an in-memory database, the address of a server, the name of a
folder. Only the controller tears the fixtures down. After each setup, the controller looks for what a fork
does not carry (threads, live connections); such a fixture is torn down again, and each child sets it up for
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from pytest_hotreload.compat import pytest_output, pytest_session
from pytest_hotreload.process.living import Living
from pytest_hotreload.run import clearing_fixtures, messages
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

_MARK = "_pytest_hotreload_shared"
_SCOPES = ("session", "package")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def shared(function: _Function) -> _Function:
    """Mark a fixture function to be set up once, in the controller, before the first fork.

    The decorator stands below ``@pytest.fixture``, and has the same effect as the fixture's name in the ini
    option ``hotreload_shared_fixtures``. Without ``--hotreload``, the decorator has no effect.

    Args:
        function: The function of a fixture with the scope "session" or "package".

    Returns:
        The same function.
    """
    setattr(function, _MARK, True)
    return function


@dataclass
class Shared:
    """The fixtures that were set up in the controller."""

    #: pytest's stack of finalizers of each fixture, in the order of the setups.
    stacks: list[dict[Any, Any]] = field(default_factory=list)
    #: One line for each fixture that could not be shared, with the reason.
    notices: list[str] = field(default_factory=list)
    #: The names of the fixtures that were set up.
    names: list[str] = field(default_factory=list)
    #: (base id, name) of fixtures that removed files and gave None; a child that collects for itself leaves
    #: them out.
    cleared: list[tuple[str, str]] = field(default_factory=list)

    def note_clearing(self, definition: Any) -> None:
        """Note that a fixture which removes files was set up once, although no option asked for that.

        Args:
            definition: pytest's definition of the fixture.
        """
        self.notices.append(messages.set_up_once(definition.argname))
        if pytest_session.fixture_value(definition) is None:
            self.cleared.append((definition.baseid, definition.argname))

    def tear_down(self, session: pytest.Session) -> list[BaseException]:
        """Tear all fixtures down, in the controller, after the last child.

        Args:
            session: The session of the controller.

        Returns:
            The exceptions that the teardowns raised.
        """
        errors: list[BaseException] = []
        if not self.stacks:
            return errors
        item = session.items[-1]
        with pytest_output.captured_into(item, "teardown"), pytest_output.warnings_of(item) as warned:
            for stack in reversed(self.stacks):
                try:
                    pytest_session.restore_setup(session, stack)
                    pytest_session.teardown_everything(session)
                except BaseException as error:  # becomes a report
                    errors.append(error)
        pytest_output.show_warnings(item, warned)
        return errors


def set_up(session: pytest.Session, named: Iterable[str], items: Sequence[pytest.Item]) -> Shared:
    """Set up the named and the marked fixtures, in the order of their first use.

    Args:
        session: The session of the controller.
        named: The names in the ini option ``hotreload_shared_fixtures``.
        items: The items that will run.

    Returns:
        What was set up, with a notice for each fixture that could not be shared.

    Raises:
        KeyboardInterrupt: Ctrl-C during a setup; all fixtures have been torn down.
    """
    result, named = Shared(), list(named)
    for name in dict.fromkeys([*named, *_found(session)]) if items else ():
        item = _first_use(items, name, found=name not in named)
        if item is not None:
            clears = name not in named and _clears(pytest_session.visible_fixture(item, name))
            if _share(session, item, name, result) and clears:
                result.note_clearing(pytest_session.visible_fixture(item, name))
        elif name in named:
            result.notices.append(messages.shared_unknown(name))
    return result


def _found(session: pytest.Session) -> list[str]:
    return [
        each.argname
        for each in pytest_session.fixture_definitions(session)
        if _is_marked(each) or _clears(each)
    ]


def _is_marked(definition: Any) -> bool:
    return definition.scope in _SCOPES and getattr(definition.func, _MARK, False) is True


def _clears(definition: Any) -> bool:
    """Whether the fixture removes files that other tests may have written; pytest's own fixtures do not."""
    is_own = str(getattr(definition.func, "__module__", "")).startswith("_pytest.")
    return definition.scope in _SCOPES and not is_own and clearing_fixtures.clears(definition.func)


def leave_out(session: pytest.Session, cleared: Iterable[tuple[str, str]]) -> None:
    """Replace fixtures in a child that collects for itself, because the controller has set them up once.

    Args:
        session: The session of the child.
        cleared: (base id, name) of each of these fixtures, all of which gave None.
    """
    wanted = set(cleared)
    for definition in pytest_session.fixture_definitions(session) if wanted else ():
        if (definition.baseid, definition.argname) in wanted:
            pytest_session.replace_fixture_function(definition, _nothing)


def _nothing() -> None:
    """Replaces a fixture function that returns None."""


def _first_use(items: Sequence[pytest.Item], name: str, *, found: bool) -> pytest.Item | None:
    """Return the first test that requests the fixture.

    If there is none, a named fixture gets the first test that could request it, because pytest-django's
    fixtures are requested while tests run, so the requests are not known before.
    """
    for item in items:
        definition = pytest_session.fixture_of(item, name)
        if definition is not None and definition.scope in _SCOPES:
            if found and not (_is_marked(definition) or _clears(definition)):
                continue  # another fixture with that name
            return item
    for item in [] if found else items:
        definition = pytest_session.visible_fixture(item, name)
        if definition is not None and definition.scope in _SCOPES:
            return item
    return None


def _share(session: pytest.Session, item: pytest.Item, name: str, result: Shared) -> bool:
    try:
        parametrised = pytest_session.is_parametrised(session, item, name)
        why = "it is parametrised" if parametrised else _set_up_one(session, item, name, result)
    except KeyboardInterrupt:  # Ctrl-C: no test will run any more
        result.tear_down(session)
        raise
    if why:
        result.notices.append(messages.shared_refused(name, why))
    else:
        result.names.append(name)
    return not why


def _set_up_one(session: pytest.Session, item: pytest.Item, name: str, result: Shared) -> str:
    """Set up one fixture. Returns the reason for which it can't be shared, or ""."""
    before, captured = Living(), len(pytest_output.report_sections(item))
    with pytest_output.captured_into(item, "setup"), pytest_output.warnings_of(item) as warned:
        try:
            pytest_session.set_up_fixture(session, item, name)
            why = before.what_is_new()
        except KeyboardInterrupt:
            pytest_session.teardown_everything(session)
            raise
        except BaseException as error:  # each test that uses it will show the error
            why = f"its setup failed: {type(error).__name__}: {error}".splitlines()[0]
    stack = pytest_session.take_setup(session)
    if not why:
        result.stacks.append(stack)
        pytest_output.show_warnings(item, warned)
        return ""
    undone = Shared([stack]).tear_down(session)
    del pytest_output.report_sections(item)[captured:]  # a child will show the sections
    return why + "".join(f"; its teardown failed too: {error}" for error in undone)
