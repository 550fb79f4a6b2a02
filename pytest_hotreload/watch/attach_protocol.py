"""Messages of attached runs: between a server, its template, a prepared run and the run itself.

They travel as the messages of ``watch/protocol.py`` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pytest_hotreload.watch.protocol import NOTHING, Inputs


class Attach(NamedTuple):
    """Order to the template: fork an attached run, which is an independent pytest.

    The message carries four descriptors: the client's stdin, stdout and stderr, and a channel for
    :class:`Learned`.
    """

    #: The root of the project.
    root: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    #: The client's working directory.
    folder: str
    #: The client's umask, as a number.
    umask: int


class Prepare(NamedTuple):
    """Order to the template: fork a process that begins this attached run ahead (``watch/standby/prepared.py``).

    The process parks when the initial conftests are loaded, as :class:`Ready`, or ends with :class:`Unprepared`. Then
    it takes :class:`Extend`, with one test file, and :class:`Attach`. The message carries four descriptors: standard
    input, two for a file that takes what is printed, and a channel.
    """

    run: Attach


class RunFacts(NamedTuple):
    """What a run says about itself, so that the next run of the same file can be prepared."""

    #: The only file or test that the command line names, as it is written there; or "".
    named: str
    #: Whether nothing of the project that runs between the conftests and the collection can matter to imports.
    imports_early: bool
    #: Environment variables that changed between these two.
    written: frozenset[str] = frozenset()
    #: Whether it is a run with ``--hotreload``.
    is_active: bool = False


class Learned(NamedTuple):
    """From an attached run, at its end: what the template could have imported for it."""

    #: Installed modules that the run had to import itself, in the order of import.
    modules: tuple[str, ...]
    facts: RunFacts | None = None


class Unprepared(NamedTuple):
    """From a process that should have prepared a run, before it ends."""

    #: The reason why it cannot, in words.
    why: str
    #: The inputs on which the reason may depend.
    inputs: Inputs = NOTHING
