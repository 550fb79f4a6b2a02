"""Errors that this package raises itself; each names what the user can do.

A user's mistake is a :class:`pytest.UsageError` of one line, built by :func:`pytest_hotreload.usage.usage_error`.
"""

from __future__ import annotations


class HotreloadError(Exception):
    """Base class of the errors of this package."""

    #: One sentence about what the user can do; ``str(error)`` contains it.
    hint: str

    def __init__(self, message: str, *, hint: str) -> None:
        """Create the error.

        Args:
            message: What happened, without a full stop.
            hint: What the user can do.
        """
        super().__init__(f"{message}; hint: {hint}")
        self.hint = hint


class ProtocolError(HotreloadError):
    """One of our processes sent a message that the protocol does not know."""


class IncompleteRunError(HotreloadError):
    """Collected items have no result; such a run is never reported as passed."""


class ChildInternalError(Exception):
    """An internal error of pytest in a child."""

    #: What pytest wrote about the error.
    text: str

    def __init__(self, text: str) -> None:
        """Create the error from the text that pytest wrote about it."""
        super().__init__(text)
        self.text = text
