"""Forks this process without the warnings that the interpreter and packages raise at each fork."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from pytest_hotreload.world import BUILTINS, contextlib, live, os

__builtins__ = BUILTINS

#: A filter of warnings, as the interpreter keeps them: all categories, texts, modules and lines.
_IGNORE = ("ignore", None, Warning, None, 0)


def fork_quietly() -> int:
    """``os.fork`` without warnings, in the parent and in the child.

    Python 3.12 warns about threads, which ``imports/threads.py`` has already checked, and hooks of packages
    (``os.register_at_fork``) warn about forks in general. Raises OSError, also if an audit hook forbids the fork.
    """
    with _no_warnings():
        try:
            return os.fork()
        except OSError:
            raise
        except Exception as error:
            raise OSError(errno.EPERM, f"an audit hook: {error}") from None


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Ignore all warnings in this block.

    ``catch_warnings`` would make the interpreter forget which warnings were shown once, and show them again.
    """
    filters = _warning_filters()
    try:
        filters.insert(0, _IGNORE)
        yield
    finally:
        for place, each in enumerate(filters):
            if each is _IGNORE:
                del filters[place]
                break


def _warning_filters() -> list[Any]:
    """Return the list of filters that the interpreter looks at now, or one that nobody looks at."""
    module = live("warnings")
    try:
        # Since Python 3.14, ``catch_warnings`` may keep the filters of a context elsewhere.
        found = module._get_filters() if hasattr(module, "_get_filters") else module.filters
    except Exception:  # a conftest put something else in the place of the module
        return []
    return found if type(found) is list else []
