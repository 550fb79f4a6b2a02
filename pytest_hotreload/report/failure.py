"""A failure on the page about a run: its text, its output, its place, and the command that repeats it.

The module has no side effects: ``failure_reports`` fills the model, ``failure_section`` shows it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final, NamedTuple

#: Characters of a text or of a block of output that are shown. pytest's longest text in the suites of
#: ``benchmarks/`` has 9,000; a comparison of large objects with ``-vv`` may have millions.
MOST_TEXT: Final = 20_000
#: Characters of all failures together, so that a viewer opens the page of a run in which everything fails.
MOST_OF_ALL: Final = 3_000_000
#: Characters of a message.
_MOST_MESSAGE = 300
#: Sequences that move a cursor or set colours, which a page can't show.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

_LEFT_OUT = "Left out, because the texts of all failures are too long for one page; the command shows it."

#: Outcomes in addition to those of tests: a file that could not be collected, and an error in pytest or a plugin.
NOT_COLLECTED: Final = "not collected"
INTERNAL: Final = "internal error"


class Failure(NamedTuple):
    """One failure; a test may have several (subtests, a teardown after a call, attempts)."""

    nodeid: str
    #: failed, error, rerun (the test ran again, and passed), :data:`NOT_COLLECTED` or :data:`INTERNAL`.
    outcome: str
    #: setup, call, teardown or collect.
    when: str = "call"
    #: The description of the subtest, or "".
    subtest: str = ""
    #: The innermost line of the project's code, relative to the root folder, or "".
    file: str = ""
    line: int = 0
    message: str = ""
    #: pytest's text, as the terminal shows it.
    text: str = ""
    #: (name, content) of captured output.
    output: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> str:
        """The command that repeats the test in the root folder, for a shell; "" if there is none."""
        return f"pytest {shlex.quote(self.nodeid)}" if self.nodeid else ""


def readable(text: str) -> str:
    """Return a text without colours and with plain line ends."""
    return _ESCAPES.sub("", text).replace("\r\n", "\n")


def shortened(text: str, most: int = MOST_TEXT) -> str:
    """Return a text without its middle if it is too long: the first lines say what ran, the last ones what failed."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def message_of(text: str) -> str:
    """Return the first line of a message; the text of the failure has all of them."""
    line = readable(text).strip().partition("\n")[0].rstrip()
    return line if len(line) <= _MOST_MESSAGE else line[: _MOST_MESSAGE - 1] + "…"


def within_budget(failures: Sequence[Failure], most: int = MOST_OF_ALL) -> list[Failure]:
    """Return the failures with texts up to a total size, and with the output for which there is room then.

    Every failure keeps its message, its place and its command, and says what was left out.
    """
    left, found = most, []
    for each in failures:
        fits = len(each.text) <= left
        left -= len(each.text) if fits else 0
        found.append(each if fits else each._replace(text=_LEFT_OUT))
    for number, each in enumerate(found):
        size = sum(len(content) for _, content in each.output)
        if size <= left:
            left -= size
        else:
            found[number] = each._replace(output=tuple((name, _LEFT_OUT) for name, _ in each.output))
    return found
