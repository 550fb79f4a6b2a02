"""Benchmarks with generated suites: the costs of plain pytest, pytest-xdist and pytest-hotreload."""
