"""pytest-hotreload: imports paid once, each test file in a forked, isolated child."""

__version__ = "0.1.0"
