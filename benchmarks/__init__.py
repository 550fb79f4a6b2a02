"""Suites that are generated, and what running them costs: plain pytest, pytest-xdist and pytest-hotreload."""
