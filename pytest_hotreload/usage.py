"""Mistakes of users, as pytest shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def usage_error(message: str, *, hint: str) -> pytest.UsageError:
    """A user's mistake, as the one line that pytest prints for it (exit status 4)."""
    import pytest

    return pytest.UsageError(f"hotreload: {message}; hint: {hint}")
