"""pytest-hotreload: imports paid once, each test file in a forked, isolated child.

PYTEST_DONT_REWRITE: the command asks pytest in a process that has loaded this package, of which pytest would warn.
"""

from .fixtures import shared

__all__ = ["__version__", "shared"]

__version__ = "0.1.0"
