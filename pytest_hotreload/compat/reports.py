"""Transfers reports and warnings from a child to the controller.

A report of built-in data is sent as its attributes (``compat/plain_reports.py``), any other one is pickled as the
object that it is. This is exact (tuples stay tuples, subtests keep their context, attributes of plugins survive)
and three times as fast as pytest's JSON form. Parts that can't be pickled are replaced in place, see
``compat/pickling.py``, and never lose the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_hotreload.compat.pickling import can_be_found, dumps, is_own, pack
from pytest_hotreload.compat.plain_reports import is_plain, pack_plain, unpack_plain
from pytest_hotreload.compat.rebuilt_classes import ClassNames, class_of, names_of, with_text
from pytest_hotreload.compat.unpickling import find, loads, text_of
from pytest_hotreload.world import BUILTINS, pytest, time, warnings

__builtins__ = BUILTINS


def pack_report(config: pytest.Config, report: Any) -> bytes:
    """Pickle a report; always succeeds."""
    try:
        plain = pack_plain(report)
        if plain is not None:
            return plain
        if can_be_found(type(report)) and not is_own(type(report)):
            return dumps(report, config)
    except Exception:  # the graph is too deep
        pass
    return dumps(_Parts(report, config), config)


def new_report(
    item: pytest.Item, when: Any, text: str, sections: Sequence[tuple[str, str]] = (), seconds: float = 0.0
) -> pytest.TestReport:
    """Create a failure that the controller reports in place of a child."""
    now = time.time()
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=text,
        when=when,
        sections=sections,
        duration=seconds,
        start=now - seconds,
        stop=now,
    )


def one_teardown(passed: pytest.TestReport, failed: pytest.TestReport) -> pytest.TestReport:
    """Return the report of a teardown of which a part passed in a child and the rest failed in another process.

    Sections of one name are joined, as pytest captures them in one block.
    """
    sections = dict(passed.sections)
    for name, content in failed.sections:
        if name.endswith(" teardown") or name not in sections:
            sections[name] = sections.get(name, "") + content
    failed.sections = list(sections.items())
    failed.duration += passed.duration
    failed.start = passed.start
    failed.user_properties = passed.user_properties
    return failed


def unpack_report(config: pytest.Config, data: bytes, item: pytest.Item) -> Any:
    """Return the report. Data that is no pickle at all becomes a failure that says so."""
    try:
        if is_plain(data):
            return unpack_plain(data, item)
        report = loads(data, config, item)
        return report.report(config, item) if type(report) is _Parts else _checked(report)
    except Exception as error:
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome="failed",
            longrepr=f"the report of this test could not be read in the controller: {error!r}",
            when="call",
        )


def _checked(report: Any) -> Any:
    if not isinstance(report, pytest.TestReport):
        raise TypeError(f"a {type(report).__name__} is not a report")
    return report


class _Parts:
    """A report that can't be pickled as a whole: its attributes are pickled one by one.

    The names of its classes are stored, because the reading process may not have its class.
    """

    def __init__(self, report: Any, config: pytest.Config) -> None:
        self.kinds = [
            (base.__module__, base.__qualname__) for base in type(report).__mro__ if can_be_found(base)
        ]
        self.values = {name: pack(value, config) for name, value in vars(report).items()}

    def report(self, config: pytest.Config, item: pytest.Item) -> Any:
        """Rebuild the report."""
        found = [find(*names) for names in self.kinds]
        kind = next(
            (each for each in found if type(each) is type and issubclass(each, pytest.TestReport)), None
        )
        report = object.__new__(kind or pytest.TestReport)
        for name, data in self.values.items():
            report.__dict__[name] = loads(data, config, item)
        return report


# ---------------------------------------------------------------------------------- warnings


def pack_warning(
    config: pytest.Config, warning: warnings.WarningMessage
) -> tuple[bytes, ClassNames, str, int, str | None]:
    """Return (message, category, filename, line number, source line) of a recorded warning.

    The message consists of its text and, if possible, the object. The category consists of the names of its
    class and of the bases up to the first that other processes can import.
    """
    message = pack((text_of(str, warning.message), warning.message), config)
    return message, names_of(warning.category), warning.filename, warning.lineno, warning.line


def unpack_warning(
    config: pytest.Config, message: bytes, category: ClassNames, filename: str, lineno: int, line: str | None
) -> warnings.WarningMessage:
    """Rebuild the warning that :func:`pack_warning` packed."""
    kind = class_of(category, Warning, UserWarning)
    text, shown = loads(message, config)
    if not isinstance(shown, Warning) or text_of(str, shown) != text:
        shown = with_text(kind, text)
    return warnings.WarningMessage(shown, kind, filename, lineno, line=line)
