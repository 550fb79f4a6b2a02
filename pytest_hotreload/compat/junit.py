"""Private interfaces of pytest about the JUnit report (``--junitxml``).

Checked on pytest 8.4.2, 9.0 and 9.2.0. Each function names what it relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from pytest_hotreload.world import BUILTINS, pytest

__builtins__ = BUILTINS


def report(config: pytest.Config) -> Any:
    """Return LogXML, or None without ``--junitxml`` (``_pytest.junitxml.xml_key``)."""
    from _pytest.junitxml import xml_key

    return config.stash.get(xml_key, None)


def relay(config: pytest.Config, call: Callable[[bool, str, tuple[Any, ...]], None]) -> None:
    """Send the tests' additions to the JUnit report to ``call(on_node, method, args)``."""
    xml = report(config)
    if xml is None:
        return
    xml.add_global_property = lambda name, value: call(False, "add_global_property", (name, value))
    xml.node_reporter = lambda report: _NodeReporterRelay(call)


def stand_in(config: pytest.Config, path: str) -> None:
    """Provide the LogXML that fixtures request under ``--junitxml``, in a child that must not write the report."""
    from _pytest.junitxml import LogXML, xml_key

    class Unwritten(LogXML):
        def pytest_sessionfinish(self) -> None:
            """Do nothing: the controller writes the report."""

    if report(config) is None:
        family: Any = config.getini("junit_family")
        xml = Unwritten(path, config.option.junitprefix, family=family)
        config.stash[xml_key] = xml
        config.pluginmanager.register(xml)


class _NodeReporterRelay:
    """Replaces JUnit's node reporter in a child: sends each call on and stores nothing."""

    def __init__(self, call: Callable[[bool, str, tuple[Any, ...]], None]) -> None:
        self._call = call

    def __getattr__(self, method: str) -> Callable[..., None]:
        def relayed(self: _NodeReporterRelay, *args: Any) -> None:
            self._call(True, method, args)

        relayed.__qualname__ = f"_NodeReporter.{method}"
        return MethodType(relayed, self)


# Tracebacks show these names in the values of arguments.
_NodeReporterRelay.__module__, _NodeReporterRelay.__qualname__ = "_pytest.junitxml", "_NodeReporter"
