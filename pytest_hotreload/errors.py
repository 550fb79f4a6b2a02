"""Every error that this package raises itself; each says what to do about it.

A user's mistake is a :class:`pytest.UsageError` of one line, built by :func:`usage_error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class HotreloadError(Exception):
    """Base of the errors of this package.

    ``hint`` is one sentence that says what to do; it is part of ``str(error)``.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}; hint: {hint}")
        self.hint = hint


class ProtocolError(HotreloadError):
    """A process of ours sent what the protocol does not know."""


class IncompleteRunError(HotreloadError):
    """Collected items without a result: never reported as a green run."""


class ChildInternalError(Exception):
    """An internal error of pytest in a child; carries pytest's own text of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
