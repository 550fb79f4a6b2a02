"""Keeps errors about records from failing a run: such an error costs the records of this run, and is one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pytest_hotreload.original_names import ORIGINAL_NAMES
from pytest_hotreload.world import BUILTINS

__builtins__ = BUILTINS

_Method = TypeVar("_Method", bound=Callable[..., Any])


class MayGiveUp(Protocol):
    """What gives up its work at the first error."""

    #: The reason in words, or "".
    lost: str

    def give_up(self, error: Exception) -> None: ...


def never_fails_the_run(
    instead: Callable[..., Any], passes: tuple[type[Exception], ...] = ()
) -> Callable[[_Method], _Method]:
    """Decorates a method so that it never fails a run, whatever the collected files changed in the process.

    See docs/design/worlds.md. An exception in the method costs the records of this run; ``instead`` is then
    called with the same arguments and its result is returned. Exceptions in ``passes`` are raised.
    """

    def wrapped(method: _Method) -> _Method:
        @functools.wraps(method)
        def guarded(self: MayGiveUp, *args: Any, **kwargs: Any) -> Any:
            if not self.lost:
                try:
                    with ORIGINAL_NAMES:
                        return method(self, *args, **kwargs)
                except passes:
                    raise
                except Exception as error:
                    self.give_up(error)
            return instead(self, *args, **kwargs)

        return guarded  # type: ignore[return-value]

    return wrapped


def text_of(error: Exception) -> str:
    """Return the first line of an error, which may be of a class that a test defines."""
    try:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    except Exception:
        return "an error that has no text"
