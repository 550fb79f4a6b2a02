"""Caches of installed packages that are filled before the first fork, because each child would fill them again.

An entry must be only a cache: no test can tell that it is filled, except by the time. The package must have
been imported already. docs/design/warm-functions.md has the measurements, and what was left out.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from pytest_hotreload.process.fork_state import namespace
from pytest_hotreload.process.installed import is_installed
from pytest_hotreload.world import BUILTINS, MODULES

__builtins__ = BUILTINS


def present() -> list[tuple[str, Callable[[], None]]]:
    """Return the entries whose modules are loaded: (the name for users, the function that fills the cache)."""
    return [(name, fill) for name, (is_present, fill) in _KNOWN.items() if is_present()]


def _is_loaded(name: str) -> bool:
    """Whether an installed module is loaded. A stand-in of a test, or a package under development, does not count."""
    module = MODULES.get(name)
    file = namespace(module).get("__file__")
    return type(module) is ModuleType and type(file) is str and is_installed(file)


def _has_dialect() -> bool:
    return _is_loaded("sqlalchemy") and bool(_dialects())


def _has_lexer() -> bool:
    return _is_loaded("jinja2") and _is_loaded("jinja2.lexer")


def _sqlalchemy_statements() -> None:
    """Compile plain statements for each loaded dialect, unless the project changed how SQLAlchemy compiles them."""
    sa = MODULES["sqlalchemy"]
    if any(_is_changed(kind) for kind in _subclasses(sa.sql.visitors.Visitable)):
        return
    table = sa.table("t", sa.column("a", sa.Integer), sa.column("b", sa.String))
    one = table.c.a == 1
    statements = (
        sa.select(table).where(one),
        sa.insert(table),
        sa.update(table).where(one).values(b="x"),
        sa.delete(table).where(one),
    )
    for kind in _dialects():
        dialect = kind()  # connects to nothing
        for statement in statements:
            str(statement.compile(dialect=dialect))


def _dialects() -> list[type[Any]]:
    """Return the classes of SQLAlchemy's own dialects that are loaded."""
    kinds = [
        namespace(module).get("dialect")
        for name, module in list(MODULES.items())
        if type(name) is str and name.startswith("sqlalchemy.dialects.") and name.count(".") == 2
    ]
    return [kind for kind in kinds if isinstance(kind, type)]


def _is_changed(kind: type) -> bool:
    """Whether the project compiles SQLAlchemy's own class by its own function (``@compiles``), which we must not call.

    ``sqlalchemy.ext.compiler`` puts this attribute into the class (1.4 to 2.1).
    """
    return "_compiler_dispatcher" in vars(kind) and kind.__module__.startswith("sqlalchemy.")


def _subclasses(kind: type) -> list[type]:
    found: list[type] = kind.__subclasses__()
    return [*found, *(deeper for each in found for deeper in _subclasses(each))]


def _jinja2_lexer() -> None:
    """Make the lexer for default delimiters, which compiles regular expressions."""
    MODULES["jinja2.lexer"].get_lexer(MODULES["jinja2"].Environment())


#: Name for users -> (whether the cache exists in this process, the function that fills it).
_KNOWN: dict[str, tuple[Callable[[], bool], Callable[[], None]]] = {
    "SQLAlchemy's statements": (_has_dialect, _sqlalchemy_statements),
    "jinja2's lexer": (_has_lexer, _jinja2_lexer),
}
