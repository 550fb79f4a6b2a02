"""pytest-hotreload: imports paid once, each test file in a forked, isolated child."""

from .fixtures import shared

__all__ = ["__version__", "shared"]

__version__ = "0.1.0"
