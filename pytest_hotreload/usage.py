"""Mistakes of users, as pytest shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def usage_error(message: str, *, hint: str) -> pytest.UsageError:
    """Build the error for a user's mistake, which pytest prints as one line; the exit status is 4.

    Args:
        message: What is wrong, with the limit and the value, without a full stop.
        hint: What the user can do.

    Returns:
        The error, for the caller to raise.
    """
    import pytest

    return pytest.UsageError(f"hotreload: {message}; hint: {hint}")
